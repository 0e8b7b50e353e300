import {
  closeSync,
  fchmodSync,
  fstatSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { whyUnwritable } from '../lib/config-error.ts';
import { resolveBelow } from '../lib/link-path.ts';
import { jsonText } from '../lib/text.ts';
import { uniqueToken } from '../lib/unique-token.ts';
import type { JsonDocument, JsonDocumentName } from './json-documents.ts';
import { endQuietlyWithReader, UserError } from './user-error.ts';

/** The destination of an answer. */
export interface Output {
  readonly write: (text: string) => void;
  /** The width, at most 80 columns, and whether to use colours. */
  readonly terminal: () => { readonly width: number; readonly colour: boolean };
  /** Ends the process if everything is written: taking the heap apart first costs a tenth of a short run. */
  readonly end?: () => void;
}

/**
 * Formats what a command prints with `--json`: `documentText<'version'>(facts)`. The compiler refuses a document that
 * the schema of this name does not describe.
 */
export function documentText<Name extends JsonDocumentName = never>(
  document: JsonDocument<Name>,
  indent = 2,
): string {
  return `${jsonText(document, indent)}\n`;
}

const STDOUT = 1;
const DEFAULT_COLUMNS = 80;

/**
 * Returns the width of a terminal in columns. Some terminals, such as serial consoles, report 0 when it is
 * unknown.
 */
export function columnsOf({ columns }: { readonly columns?: number }): number {
  return columns || DEFAULT_COLUMNS;
}

/** True when stdout is a terminal whose user has not asked for plain text. @see https://no-color.org */
export function wantsColour(): boolean {
  const isPlain = Boolean(process.env['NO_COLOR']) || process.env['TERM'] === 'dumb';
  return process.stdout.isTTY === true && !isPlain;
}

const COLOURS = { red: 31, green: 32, yellow: 33, dim: 2 } as const;
export type Colour = keyof typeof COLOURS;

/** Returns the text in a colour when the output has colours, else unchanged. */
export function painted(text: string, colour: Colour): string {
  return wantsColour() ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
}

/** The stream of Node.js. */
export const STREAM_OUTPUT: Output = {
  write: (text) => {
    process.stdout.write(text);
  },
  terminal: () => {
    return { width: Math.min(columnsOf(process.stdout), DEFAULT_COLUMNS), colour: wantsColour() };
  },
};

/** Node's stream writes what stdout did not take at once. */
let isStreaming = false;

const PLAIN_OUTPUT: Output = {
  write: writePlainly,
  terminal: () => ({ width: DEFAULT_COLUMNS, colour: false }),
  end: () => {
    if (!isStreaming) process.exit();
  },
};

/**
 * Returns a direct write to stdout when that is a pipe, a file or /dev/null: loading the streams and
 * terminals of Node.js would take a quarter of the time that detection takes.
 */
export function quickestOutput(): Output {
  const stdout = fstatSync(STDOUT);
  const isPipe = stdout.isFIFO() || stdout.isSocket();
  const isPlain = isPipe || stdout.isFile() || stdout.rdev === statSync('/dev/null').rdev;
  return isPlain ? PLAIN_OUTPUT : STREAM_OUTPUT;
}

function writePlainly(text: string): void {
  let rest: string | Buffer = text;
  try {
    const written = writeSync(STDOUT, text);
    if (written === Buffer.byteLength(text)) return;
    rest = Buffer.from(text).subarray(written);
    while (rest.length > 0) rest = rest.subarray(writeSync(STDOUT, rest));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A reader that has left wants nothing more. For a slow reader the stream waits.
    if (code === 'EPIPE') return;
    if (code !== 'EAGAIN') throw error;
    isStreaming = true;
    endQuietlyWithReader();
    process.stdout.write(rest);
  }
}

function replaceAnswer(path: string, answer: string): void {
  const unfinished = `${path}.${uniqueToken()}.new`;
  // Exclusively: in a directory for all, another user may have put a link of this name.
  const file = openSync(unfinished, 'wx', 0o600);
  try {
    try {
      writeFileSync(file, answer);
      fchmodSync(file, 0o644);
    } finally {
      closeSync(file);
    }
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

/**
 * Writes to a file that everybody may read, and replaces it as a whole: a reader sees the old answer or the new one. A
 * link stays a link. To a device or a pipe, such as /dev/stdout, it writes without replacing it.
 */
export function fileOutput(path: string): Output {
  let answer = '';
  return {
    write: (text) => {
      answer += text;
      try {
        const isStream = statSync(path, { throwIfNoEntry: false })?.isFile() === false;
        if (isStream) writeFileSync(path, text);
        else replaceAnswer(resolveBelow('/', resolve(path)), answer);
      } catch (cause) {
        throw new UserError(`cannot write ${path}: ${whyUnwritable(cause)}`, {
          cause,
          nextStep: 'Name a file in a directory that exists and that this user may write.',
        });
      }
    },
    terminal: () => ({ width: DEFAULT_COLUMNS, colour: false }),
  };
}
