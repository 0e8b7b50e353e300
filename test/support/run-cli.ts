import { Readable } from 'node:stream';
import { main } from '../../src/cli/main.ts';

export interface CliRun {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

/**
 * Runs `metahub` with these words in this process. Resolves with its output and exit status.
 * @throws {Error} when it prints JSON that the schema of the command does not describe
 */
export async function runCli(...words: readonly string[]): Promise<CliRun> {
  const printed = await captureCli(() => main(['node', 'metahub', ...words]));
  if (words.includes('--json')) {
    // The schemas are loaded only for the tests that need them.
    const { checkPrinted } = await import('./json-documents.ts');
    await checkPrinted(words, printed.stdout);
  }
  return printed;
}

export interface CliSurroundings {
  /** Variables besides those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** The standard input, which is no terminal. Default: empty. */
  readonly input?: string | undefined;
}

/** Like `runCli`, with variables and a standard input of its own. */
export async function runCliWith(
  { env = {}, input = '' }: CliSurroundings,
  ...words: readonly string[]
): Promise<CliRun> {
  const before = { env: process.env, stdin: Object.getOwnPropertyDescriptor(process, 'stdin') };
  process.env = { ...process.env, ...env };
  Object.defineProperty(process, 'stdin', { configurable: true, value: Readable.from([Buffer.from(input)]) });
  try {
    return await runCli(...words);
  } finally {
    process.env = before.env;
    if (before.stdin) Object.defineProperty(process, 'stdin', before.stdin);
  }
}

/** Captures the output and the exit status while `run` runs. */
export async function captureCli(run: () => Promise<void>): Promise<CliRun> {
  const printed = { stdout: '', stderr: '' };
  const before = { exitCode: process.exitCode, stdout: process.stdout.write, stderr: process.stderr.write };
  const catching = (name: 'stdout' | 'stderr') => (text: string | Uint8Array) => {
    printed[name] += text;
    return true;
  };
  process.exitCode = 0;
  process.stdout.write = catching('stdout');
  process.stderr.write = catching('stderr');
  try {
    await run();
    return { ...printed, status: Number(process.exitCode ?? 0) };
  } finally {
    process.exitCode = before.exitCode;
    process.stdout.write = before.stdout;
    process.stderr.write = before.stderr;
    process.stdout.removeAllListeners('error');
  }
}
