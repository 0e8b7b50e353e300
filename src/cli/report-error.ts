import { printable } from './printable.ts';
import { UserError } from './user-error.ts';

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
