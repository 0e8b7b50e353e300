import { chmodSync, fstatSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { endQuietlyWithReader, UserError } from './user-error.ts';

/** Where an answer goes. */
export interface Output {
  readonly write: (text: string) => void;
  /** How wide it is, 80 columns at most, and whether colours are wanted. */
  readonly terminal: () => { readonly width: number; readonly colour: boolean };
}

const STDOUT = 1;
const DEFAULT_COLUMNS = 80;

/** How wide a terminal is, in columns; some, such as serial consoles, say 0 and mean that they do not know. */
export function columnsOf({ columns }: { readonly columns?: number }): number {
  return columns || DEFAULT_COLUMNS;
}

/** Is stdout a terminal whose user has not asked for plain text? @see https://no-color.org */
export function wantsColour(): boolean {
  const isPlain = Boolean(process.env['NO_COLOR']) || process.env['TERM'] === 'dumb';
  return process.stdout.isTTY === true && !isPlain;
}

const COLOURS = { red: 31, green: 32, yellow: 33, dim: 2 } as const;
export type Colour = keyof typeof COLOURS;

/** The text in a colour where its reader wants colours, else as it is. */
export function painted(text: string, colour: Colour): string {
  return wantsColour() ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
}

/** Node's own stream. */
export const STREAM_OUTPUT: Output = {
  write: (text) => {
    process.stdout.write(text);
  },
  terminal: () => {
    return { width: Math.min(columnsOf(process.stdout), DEFAULT_COLUMNS), colour: wantsColour() };
  },
};

const PLAIN_OUTPUT: Output = {
  write: writePlainly,
  terminal: () => ({ width: DEFAULT_COLUMNS, colour: false }),
};

/**
 * Where stdout is a pipe, a file or /dev/null it is written to directly: loading Node's streams and terminals takes a
 * quarter of the time that detection does.
 */
export function quickestOutput(): Output {
  const stdout = fstatSync(STDOUT);
  const isPipe = stdout.isFIFO() || stdout.isSocket();
  const isPlain = isPipe || stdout.isFile() || stdout.rdev === statSync('/dev/null').rdev;
  return isPlain ? PLAIN_OUTPUT : STREAM_OUTPUT;
}

function writePlainly(text: string): void {
  let rest = Buffer.from(text);
  try {
    while (rest.length > 0) rest = rest.subarray(writeSync(STDOUT, rest));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A reader that left wants nothing more; for a slow one the stream waits.
    if (code === 'EPIPE') return;
    if (code !== 'EAGAIN') throw error;
    endQuietlyWithReader();
    process.stdout.write(rest);
  }
}

/** A file, readable by everyone and replaced as a whole: a reader sees the old answer or the new. */
export function fileOutput(path: string): Output {
  const unfinished = `${path}.${process.pid}.new`;
  let answer = '';
  return {
    write: (text) => {
      answer += text;
      try {
        writeFileSync(unfinished, answer);
        chmodSync(unfinished, 0o644);
        renameSync(unfinished, path);
      } catch (cause) {
        rmSync(unfinished, { force: true });
        throw new UserError(`cannot write ${path}: ${(cause as Error).message}`, {
          cause,
          nextStep: 'Name a file in a directory that exists and that this user may write.',
        });
      }
    },
    terminal: () => ({ width: DEFAULT_COLUMNS, colour: false }),
  };
}
