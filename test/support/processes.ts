import { type ChildProcess, spawn } from 'node:child_process';

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** The standard input of the program. Default: empty. */
  readonly input?: string | Buffer | undefined;
  readonly timeoutMs?: number | undefined;
}

export interface ProgramResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ServerOptions extends Omit<ProgramOptions, 'input'> {
  readonly command: string;
  readonly args: readonly string[];
  /** Matched against each line of both output streams. The first match means that the program is ready. */
  readonly ready: RegExp;
  /** Receives all output of both streams as it arrives. */
  readonly onOutput?: ((text: string) => void) | undefined;
}

/** A program that runs until it is stopped. */
export interface RunningServer {
  readonly pid: number;
  /** The match of `ready`, with what it captured. */
  readonly announced: RegExpExecArray;
  /** The output of both streams so far. */
  output(): string;
  /** Stops it, waits until it has ended, and resolves with its exit status; null when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

// Debian has the daemons in sbin, which is not in an unprivileged PATH.
const PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

function environment(extra: ProgramOptions['env']): NodeJS.ProcessEnv {
  return { ...process.env, PATH, ...extra };
}

/** Runs a program to its end and accepts any status. */
export function attempt(
  command: string,
  args: readonly string[],
  { env, cwd, input, timeoutMs = 120_000 }: ProgramOptions = {},
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: environment(env), timeout: timeoutMs });
    const output = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text;
    });
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, ...output }));
    child.stdin.on('error', () => {}); // a program may end before it has read its input
    child.stdin.end(input);
  });
}

/** Runs a program to its end. Resolves with its standard output; a status other than 0 is an error with the rest. */
export async function run(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await attempt(command, args, options);
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')}: status ${status}\n${stdout}${stderr}`);
}

const running = new Set<ChildProcess>();
// A test run that is interrupted leaves no server running.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a server and waits until it is ready. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { command, args, env, cwd, ready, onOutput, timeoutMs = 60_000 } = options;
  const child = spawn(command, args, { cwd, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let written = '';
  const ended = new Promise<number | null>((resolve) => {
    child.once('exit', (status) => {
      running.delete(child);
      resolve(status);
    });
  });
  const announced = await new Promise<RegExpExecArray>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${command} ${args.join(' ')}: ${why}\n${written}`));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`not ready within ${timeoutMs} ms`);
    }, timeoutMs);
    let searchFrom = 0;
    let isReady = false;
    const read = (text: string) => {
      written += text;
      onOutput?.(text);
      if (isReady) return;
      const end = written.lastIndexOf('\n') + 1;
      const match = ready.exec(written.slice(searchFrom, end));
      searchFrom = end;
      if (match === null) return;
      isReady = true;
      clearTimeout(timer);
      resolve(match);
    };
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', read);
    child.once('error', (error) => fail(error.message));
    child.once('close', (status) => {
      clearTimeout(timer);
      fail(`ended with status ${status}`);
    });
  });
  return {
    pid: child.pid ?? 0,
    announced,
    output: () => written,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const last = setTimeout(() => child.kill('SIGKILL'), 30_000);
      const status = await ended;
      clearTimeout(last);
      return status;
    },
  };
}

/** The source of the programs: this machine, or a tree that is unpacked elsewhere. */
export interface Programs {
  attempt(command: string, args: readonly string[], options?: ProgramOptions): Promise<ProgramResult>;
  run(command: string, args: readonly string[], options?: ProgramOptions): Promise<string>;
  startServer(options: ServerOptions): Promise<RunningServer>;
}

export const installedPrograms: Programs = { attempt, run, startServer };
