import { availableParallelism } from 'node:os';
import { run } from '../test/support/processes.ts';
import { cpuSeconds, processesBelow } from './cpu-time.ts';
import type { Figure } from './rounds.ts';

/** The load generator runs on one core, the servers on the others. */
const LOAD_CORE = '0';
export const SERVER_CORES = `1-${availableParallelism() - 1}`;

/** A server under load: its URL, and the process whose CPU time is measured. */
export interface Target {
  readonly url: string;
  readonly pid: number;
}

const pinned = (command: string, args: readonly string[], cores = LOAD_CORE) =>
  run('taskset', ['--cpu-list', cores, command, ...args]);

const ALL_CORES = `0-${availableParallelism() - 1}`;

/** Lets these servers run on every core from now on. */
export async function unpin(pids: readonly number[]): Promise<void> {
  for (const pid of pids.flatMap(processesBelow)) {
    await run('taskset', ['--all-tasks', '--cpu-list', '--pid', ALL_CORES, String(pid)]);
  }
}

export interface RequestLoad {
  readonly connections: number;
  readonly seconds: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A wrk script, for requests that differ. */
  readonly script?: string;
  /** True: runs on any core, like the servers. False: on a core of its own. */
  readonly isUnpinned?: boolean;
}

async function accounted(
  pid: number,
  work: () => Promise<{ units: number; seconds: number }>,
): Promise<Figure> {
  const before = cpuSeconds(pid);
  const { units, seconds } = await work();
  return { rate: units / seconds, cpu: (cpuSeconds(pid) - before) / units };
}

/** GET requests by wrk, in requests/s. Every response must be a success. */
export function requests({ url, pid }: Target, load: RequestLoad): Promise<Figure> {
  return accounted(pid, async () => {
    const headers = Object.entries(load.headers ?? {}).flatMap(([name, value]) => [
      '-H',
      `${name}: ${value}`,
    ]);
    const script = load.script === undefined ? [] : ['-s', load.script];
    const output = await pinned(
      'wrk',
      ['-t1', `-c${load.connections}`, `-d${load.seconds}s`, ...headers, ...script, url],
      load.isUnpinned ? ALL_CORES : LOAD_CORE,
    );
    const [, total, time] = /(\d+) requests in ([\d.]+)s/.exec(output) ?? [];
    if (total === undefined || /Non-2xx|Socket errors/.test(output)) throw new Error(`${url}: ${output}`);
    return { units: Number(total), seconds: Number(time) };
  });
}

export interface HeadLoad {
  readonly connections: number;
  readonly seconds: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** HEAD requests by ab, in requests/s; wrk cannot send them. */
export function heads({ url, pid }: Target, load: HeadLoad): Promise<Figure> {
  const { connections, seconds: limit, headers } = load;
  return accounted(pid, async () => {
    const sent = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    // The option order matters: the default limit of 50,000 requests would end the run a second early.
    const output = await pinned('ab', [
      ...['-q', '-i', '-k', `-c${connections}`, `-t${limit}`, '-n1000000', ...sent, url],
    ]);
    const seconds = /Time taken for tests:\s+([\d.]+)/.exec(output)?.[1];
    const count = /Complete requests:\s+(\d+)/.exec(output)?.[1];
    if (seconds === undefined || count === undefined || /Non-2xx/.test(output))
      throw new Error(`${url}: ${output}`);
    return { units: Number(count), seconds: Number(seconds) };
  });
}

/** Whole downloads by curl, several at once: GB/s in total. Each must have the right length. */
export function downloads(
  { url, pid }: Target,
  { clients, sizeBytes, insecure = false }: { clients: number; sizeBytes: number; insecure?: boolean },
): Promise<Figure> {
  return accounted(pid, async () => {
    const start = performance.now();
    const one = () =>
      pinned('curl', [
        ...['--silent', '--show-error', '--fail', ...(insecure ? ['--insecure'] : [])],
        ...['--output', '/dev/null', '--write-out', '%{size_download}', url],
      ]);
    const sizes = await Promise.all(Array.from({ length: clients }, one));
    const wrong = sizes.find((size) => Number(size) !== sizeBytes);
    if (wrong !== undefined) throw new Error(`${url}: ${wrong} of ${sizeBytes} bytes`);
    return { units: (clients * sizeBytes) / 1e9, seconds: (performance.now() - start) / 1000 };
  });
}
