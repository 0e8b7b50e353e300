import { ConfigError, type ConfigErrorCode } from '../lib/config-error.ts';
import { printable } from '../lib/text.ts';

/**
 * Exit statuses: 1 it failed, also because a file is missing; 2 a wrong option, or a file that does not hold what it must;
 * 3 it was done in part (a probe failed, a fallback was taken).
 */
export type ExitStatus = 1 | 2 | 3;

/** A failure that a person can act on: a line with the reason, and a line with the next step. */
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

/** The command line is wrong, not the machine's state. */
const MISWRITTEN: ReadonlySet<ConfigErrorCode> = new Set([
  'too-large',
  'syntax',
  'unknown-key',
  'missing-key',
  'wrong-type',
  'invalid-value',
]);

/** The line with the reason, and the line with the next step. */
function textOf({ message, nextStep }: UserError | ConfigError): string {
  const hint = nextStep === undefined ? '' : `  ${printable(nextStep)}\n`;
  return `metahub: ${printable(message)}\n${hint}`;
}

/** Prints the failure and the next step on stderr; answers the exit status. */
export function reportError(error: unknown): number {
  if (error instanceof UserError) {
    process.stderr.write(textOf(error));
    return error.exitStatus;
  }
  if (error instanceof ConfigError) {
    process.stderr.write([error, ...error.further].map(textOf).join(''));
    return MISWRITTEN.has(error.code) ? 2 : 1;
  }
  const message = error instanceof Error ? error.message : String(error);
  const trace = process.env['METAHUB_DEBUG'] && error instanceof Error ? `${error.stack}\n` : '';
  process.stderr.write(`metahub: ${printable(message)}\n${trace}`);
  return 1;
}

/** `metahub detect | head -1` is no error; a full disk is one, and is reported like any other. */
export function endQuietlyWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : reportError(error));
  });
}
