/** Collects what the probes could not read, and whether one of them failed rather than found nothing. */
export interface Diagnostics {
  /** A fact is absent; says which, and why it matters. */
  readonly warn: (message: string) => void;
  /** A probe failed: the answer is incomplete, and the command says so in its exit status. */
  readonly fail: (message: string) => void;
}

export interface CollectedDiagnostics extends Diagnostics {
  readonly warnings: readonly string[];
  readonly failed: () => boolean;
}

/** Starts an empty collection; the same message is kept once. */
export function collectDiagnostics(): CollectedDiagnostics {
  const warnings: string[] = [];
  let failed = false;
  const warn = (message: string): void => {
    if (!warnings.includes(message)) warnings.push(message);
  };
  return {
    warnings,
    warn,
    fail: (message) => {
      failed = true;
      warn(message);
    },
    failed: () => failed,
  };
}
