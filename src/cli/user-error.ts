import { ConfigError, type ConfigErrorCode } from '../lib/config-error.ts';
import { printable, truncateText } from '../lib/text.ts';

/**
 * Exit statuses. 1: the command failed, also because a file is missing. 2: an option or the content of a file
 * is invalid. 3: the command succeeded in part (a probe failed, a fallback was used).
 */
export type ExitStatus = 1 | 2 | 3;

/** A failure that a person can correct: a line with the reason, and a line with the next step. */
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

/** Codes of errors in what a person wrote, as opposed to the state of the machine. */
const MISWRITTEN: ReadonlySet<ConfigErrorCode> = new Set([
  'too-large',
  'syntax',
  'unknown-key',
  'missing-key',
  'wrong-type',
  'invalid-value',
]);

/** A message may quote what somebody typed, or what a file contains: up to 128 KiB in one operand. */
const MESSAGE_MAX_CHARACTERS = 4000;

function sentence(message: string): string {
  return `metahub: ${printable(truncateText(message, MESSAGE_MAX_CHARACTERS))}\n`;
}

/** Formats the line with the reason, and the line with the next step. */
function textOf({ message, nextStep }: UserError | ConfigError): string {
  const hint = nextStep === undefined ? '' : `  ${printable(nextStep)}\n`;
  return `${sentence(message)}${hint}`;
}

/** Prints the failure and the next step on stderr; returns the exit status. */
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
  process.stderr.write(`${sentence(message)}${trace}`);
  return 1;
}

/**
 * Ends without an error when the reader leaves (`metahub detect | head -1`). A full disk is reported like any
 * other error.
 */
export function endQuietlyWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : reportError(error));
  });
}
