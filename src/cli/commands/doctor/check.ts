import { UserError } from '../../user-error.ts';

/** The result of a check in one line, and what to do about it. */
export type CheckResult =
  | { readonly status: 'pass'; readonly message: string }
  | { readonly status: 'warn' | 'fail'; readonly message: string; readonly remedy: string };

export interface Check {
  /** `mirror`, `docker uses the mirror`. */
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<CheckResult>;
}

export type NamedResult = CheckResult & { readonly name: string };

/** Time limit of a check, in milliseconds. A slower check has failed. */
const CHECK_MS = 45_000;
const AGAIN = 'Run it again. If it fails again, report it: docs/troubleshooting.md says how.';

export function pass(message: string): CheckResult {
  return { status: 'pass', message };
}

export function warn(message: string, remedy: string): CheckResult {
  return { status: 'warn', message, remedy };
}

export function fail(message: string, remedy: string): CheckResult {
  return { status: 'fail', message, remedy };
}

/**
 * Runs all checks at the same time. A check that throws or takes too long has failed. The results are in the
 * order of the checks.
 */
export function runChecks(checks: readonly Check[]): Promise<readonly NamedResult[]> {
  return Promise.all(
    checks.map(async ({ name, run }) => {
      const signal = AbortSignal.timeout(CHECK_MS);
      try {
        return { name, ...(await run(signal)) };
      } catch (error) {
        const message = signal.aborted ? `took longer than ${CHECK_MS / 1000} s` : (error as Error).message;
        const known = error instanceof UserError && !signal.aborted ? error.nextStep : undefined;
        return { name, ...fail(message, known ?? AGAIN) };
      }
    }),
  );
}
