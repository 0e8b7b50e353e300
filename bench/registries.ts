import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RunningServer, startServer } from '../test/support/processes.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { SERVER_CORES } from './drive.ts';

/** The installed program. */
export const PROGRAM = fileURLToPath(new URL('../bin/metahub.js', import.meta.url));

/** A server that can be started again with an empty cache. */
export interface Contender {
  readonly url: string;
  readonly pid: number;
  /** The text of its log so far. */
  output(): string;
  stop(): Promise<void>;
}

function contender(server: RunningServer, url: string, workplace: Workplace): Contender {
  const stop = async () => {
    await server.stop();
  };
  workplace.onClose(stop);
  return { url, pid: server.pid, output: () => server.output(), stop };
}

/** Debian's docker-registry: as a registry, or as a pull-through cache of another. */
export async function startRegistry(
  workplace: Workplace,
  name: string,
  { remote, accessLog = false }: { remote?: string; accessLog?: boolean } = {},
): Promise<Contender> {
  const folder = workplace.folder(`registry-${name}`);
  rmSync(join(folder, 'data'), { recursive: true, force: true });
  const file = join(folder, 'config.yml');
  const configuration = {
    version: '0.1',
    log: { level: accessLog ? 'info' : 'error', accesslog: { disabled: !accessLog } },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: '127.0.0.1:0', secret: 'for one run' },
    ...(remote === undefined ? {} : { proxy: { remoteurl: remote } }),
  };
  writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
  const server = await startServer({
    command: 'taskset',
    // At its own log level it does not print its address.
    args: ['--cpu-list', SERVER_CORES, 'docker-registry', 'serve', file],
    env: { REGISTRY_LOG_LEVEL: 'info' },
    ready: /listening on (127\.0\.0\.1:\d+)/,
  });
  return contender(server, `http://${server.announced[1]}`, workplace);
}

export interface MetahubStart {
  /** The registry that replaces docker.io. */
  readonly upstream: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The port. Default: any free one. */
  readonly port?: number;
  /** The data directory. Default: a new one. */
  readonly data: string;
}

/** Starts `metahub serve` for a Broadwell. */
export async function startMetahub(workplace: Workplace, options: MetahubStart): Promise<Contender> {
  const server = await startServer({
    command: 'taskset',
    args: [
      ...[
        '--cpu-list',
        SERVER_CORES,
        process.execPath,
        PROGRAM,
        'serve',
        '--listen',
        `127.0.0.1:${options.port ?? 0}`,
      ],
      ...['--data', options.data, '--upstream', `docker.io=${options.upstream}`, '--set', 'cpu:broadwell'],
      ...['--log-level', 'notice', '--tag-max-age', '1h', ...(options.args ?? [])],
    ],
    // Reading another certificate bundle costs a tenth of a second, which is not MetaHub's.
    env: { NODE_EXTRA_CA_CERTS: '', ...options.env },
    ready: /listening\b.*?(http:\/\/127\.0\.0\.1:\d+)/,
  });
  return contender(server, server.announced[1] ?? '', workplace);
}

const BARE_SERVER = fileURLToPath(new URL('bare-server.ts', import.meta.url));

/** Starts the least that Node.js needs for one of MetaHub's jobs (bare-server.ts). */
export async function startBare(
  workplace: Workplace,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Contender> {
  const server = await startServer({
    command: 'taskset',
    args: ['--cpu-list', SERVER_CORES, process.execPath, '--import', 'tsx', BARE_SERVER, ...words],
    env: { NODE_EXTRA_CA_CERTS: '', ...env },
    ready: /listening (http:\S+)/,
  });
  return contender(server, server.announced[1] ?? '', workplace);
}
