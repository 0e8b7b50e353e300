import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { readStdin } from './stdin.ts';
import { UserError } from './user-error.ts';

/** Maximum size of a password, in bytes. */
const MAX_BYTES = 1024;

export interface PasswordInput {
  /** True: read all of stdin instead of asking, for scripts. */
  readonly fromStdin: boolean;
  /** The purpose of the password: `password of qnib`. */
  readonly what: string;
  /** True: ask twice, because the input is not shown. */
  readonly confirm: boolean;
  /** How a program that has no terminal passes the password; without it, `--password-stdin`. */
  readonly withoutTerminal?: string;
}

async function passwordOnStdin(): Promise<string> {
  const text = await readStdin(MAX_BYTES);
  if (text === undefined) throw new UserError('the password on stdin is too long', { exitStatus: 2 });
  return text.replace(/\r?\n$/, '');
}

/** Asks on the terminal, without showing what is typed. */
async function ask(what: string): Promise<string> {
  process.stderr.write(`${what}: `);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  const stop = new AbortController();
  // Ctrl-C, and Ctrl-D on an empty line.
  terminal.once('SIGINT', () => stop.abort());
  terminal.once('close', () => stop.abort());
  try {
    return await terminal.question('', { signal: stop.signal });
  } catch (cause) {
    throw new UserError('cancelled: nothing was changed', { cause });
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}

/**
 * Reads a password, never from the command line, which every user of the machine can see.
 * @throws {UserError} when it is empty, when the two inputs differ, or when there is no terminal to ask on.
 */
export async function readPassword({
  fromStdin,
  what,
  confirm,
  withoutTerminal = 'Write it to stdin, and add --password-stdin.',
}: PasswordInput): Promise<string> {
  if (!fromStdin && !process.stdin.isTTY) {
    throw new UserError(`there is no terminal to ask for the ${what} on`, {
      nextStep: withoutTerminal,
      exitStatus: 2,
    });
  }
  const password = fromStdin ? await passwordOnStdin() : await ask(what);
  if (password === '') throw new UserError(`the ${what} is empty: nothing was changed`, { exitStatus: 2 });
  if (/[\r\n]/.test(password)) throw new UserError(`the ${what} must be one line`, { exitStatus: 2 });
  if (!fromStdin && confirm && (await ask(`${what}, again`)) !== password) {
    throw new UserError('the two passwords differ: nothing was changed', { nextStep: 'Type it again.' });
  }
  return password;
}
