import { printable } from '../lib/text.ts';

/**
 * Exit statuses: 1 it failed, also because a file is missing; 2 a wrong option, or a file that does not hold what it must;
 * 3 it was done in part (a probe failed, a fallback was taken).
 */
export type ExitStatus = 1 | 2 | 3;

/** A failure a person can act on: one line that says what, and one that says what to do next. */
export class UserError extends Error {
  override readonly name = 'UserError';
  readonly nextStep: string | undefined;
  readonly exitStatus: ExitStatus;

  constructor(message: string, options: ErrorOptions & { nextStep?: string; exitStatus?: ExitStatus } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.nextStep = options.nextStep;
    this.exitStatus = options.exitStatus ?? 1;
  }
}

/** Says on stderr what went wrong and what to do next; answers the exit status. */
export function reportError(error: unknown): number {
  if (error instanceof UserError) {
    const hint = error.nextStep === undefined ? '' : `  ${error.nextStep}\n`;
    process.stderr.write(`metahub: ${printable(error.message)}\n${hint}`);
    return error.exitStatus;
  }
  const message = error instanceof Error ? error.message : String(error);
  const trace = process.env['METAHUB_DEBUG'] && error instanceof Error ? `${error.stack}\n` : '';
  process.stderr.write(`metahub: ${printable(message)}\n${trace}`);
  return 1;
}

/** `metahub detect | head -1` is no error of ours; a full disk is one, and is said as any other. */
export function endQuietlyWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : reportError(error));
  });
}
