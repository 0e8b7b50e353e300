import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostProfile } from '../../src/host/profile.ts';
import { type RunningServer, startServer } from './processes.ts';
import type { Workplace } from './workplace.ts';

export const metahubProgram = fileURLToPath(new URL('../../bin/metahub.js', import.meta.url));

/** The least capable amd64 host. `--set` turns it into any other host, whatever machine the tests run on. */
const PLAIN_HOST: HostProfile = {
  platform: { os: 'linux', architecture: 'amd64', variant: 'v1' },
  cpu: { microarchitecture: 'x86_64', vendor: 'generic', compatible: ['x86_64'], flags: [] },
  gpus: [],
  features: ['cpu:x86_64'],
  warnings: [],
};

export interface MetahubOptions {
  /** `http://127.0.0.1:PORT` of the registry that replaces docker.io; undefined when a configuration file has it. */
  readonly upstream?: string;
  /** The features of the host: `cpu:broadwell nvcap:5.2`. */
  readonly host?: string;
  /** Further arguments of `serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The limit of open files of its processes. */
  readonly openFiles?: number;
  /** Receives the log output of its processes. */
  readonly onOutput?: (text: string) => void;
}

/** `metahub serve` as a process that keeps its port and data across restarts. */
export interface Metahub {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** The process id of the current process. */
  readonly pid: number;
  /** Its data directory. */
  readonly data: string;
  /** The log of the current process. */
  log(): string;
  /** Makes it read its settings again. */
  reload(): void;
  /** Stops it like an operator and starts it again, optionally for another host. Resolves with the exit status. */
  restart(host?: string): Promise<number | null>;
  /** Ends it with SIGKILL, whatever it is doing, and starts it again. */
  killAndRestart(): Promise<void>;
  /** Stops it like an operator. Resolves with the exit status. */
  stop(): Promise<number | null>;
}

export async function startMetahub(workplace: Workplace, options: MetahubOptions): Promise<Metahub> {
  const profile = join(workplace.directory, 'profile.json');
  writeFileSync(profile, JSON.stringify(PLAIN_HOST));
  const data = workplace.folder('metahub');
  let listen = '127.0.0.1:0';
  let host = options.host ?? 'cpu:x86_64';
  let server: RunningServer;

  const { openFiles } = options;
  const command = openFiles === undefined ? process.execPath : 'prlimit';
  const limiting = openFiles === undefined ? [] : [`--nofile=${openFiles}`, process.execPath];

  async function start(): Promise<void> {
    server = await startServer({
      command,
      args: [
        ...limiting,
        ...[metahubProgram, 'serve', '--listen', listen, '--data', data],
        ...(options.upstream === undefined ? [] : ['--upstream', `docker.io=${options.upstream}`]),
        ...['--public-registries', 'off'],
        ...['--profile', profile, ...host.split(' ').flatMap((feature) => ['--set', feature])],
        ...(options.args ?? []),
      ],
      env: options.env,
      onOutput: options.onOutput,
      ready: /listening\b.*?http:\/\/(127\.0\.0\.1:\d+)/,
    });
    // The first start's port is kept, because runtimes are configured with it.
    listen = server.announced[1] ?? listen;
  }

  await start();
  workplace.onClose(() => server.stop());
  return {
    url: `http://${listen}`,
    data,
    get pid() {
      return server.pid;
    },
    log: () => server.output(),
    reload: () => void process.kill(server.pid, 'SIGHUP'),
    async restart(next = host) {
      host = next;
      const status = await server.stop();
      await start();
      return status;
    },
    async killAndRestart() {
      await server.stop('SIGKILL');
      await start();
    },
    stop: () => server.stop(),
  };
}
