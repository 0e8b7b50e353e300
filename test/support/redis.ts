import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IssuedCertificate, TestAuthority } from './certificates.ts';
import { freePort } from './loopback.ts';
import { type RunningServer, run, startServer } from './processes.ts';
import type { Workplace } from './workplace.ts';

export interface RedisOptions {
  readonly password?: string;
  /** TLS only, with this certificate. */
  readonly tls?: { readonly authority: TestAuthority; readonly certificate: IssuedCertificate };
  /** Further words of redis-server. */
  readonly args?: readonly string[];
}

/** Debian's redis-server on loopback, which keeps its port, and nothing on disk. */
export interface TestRedis {
  readonly port: number;
  /** Runs redis-cli. */
  cli(...words: readonly string[]): Promise<string>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Stops and continues the process. */
  pause(): void;
  resume(): void;
}

export async function startRedis(workplace: Workplace, options: RedisOptions = {}): Promise<TestRedis> {
  const { password, tls, args = [] } = options;
  const port = await freePort();
  const folder = workplace.folder(`redis-${port}`);
  const listening =
    tls === undefined
      ? ['--port', String(port)]
      : [
          ...['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no'],
          ...['--tls-cert-file', tls.certificate.certFile, '--tls-key-file', tls.certificate.keyFile],
          ...['--tls-ca-cert-file', tls.authority.certFile],
        ];
  let server: RunningServer;
  const start = async () => {
    server = await startServer({
      command: 'redis-server',
      args: [
        ...listening,
        ...['--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
        ...(password === undefined ? [] : ['--requirepass', password]),
        ...args,
      ],
      ready: /Ready to accept connections|Sentinel ID is/,
    });
  };
  await start();
  workplace.onClose(() => server.stop('SIGKILL'));
  return {
    port,
    cli: (...words) =>
      run('redis-cli', [
        ...['-p', String(port), '--no-auth-warning'],
        ...(password === undefined ? [] : ['-a', password]),
        ...(tls === undefined ? [] : ['--tls', '--cacert', tls.authority.certFile]),
        ...words,
      ]),
    kill: async () => {
      await server.stop('SIGKILL');
    },
    start,
    pause: () => void process.kill(server.pid, 'SIGSTOP'),
    resume: () => void process.kill(server.pid, 'SIGCONT'),
  };
}

/** Starts a Sentinel that monitors one master by this name. */
export async function startSentinel(workplace: Workplace, master: string, port: number): Promise<number> {
  const own = await freePort();
  const folder = workplace.folder(`sentinel-${own}`);
  const file = join(folder, 'sentinel.conf');
  writeFileSync(
    file,
    `port ${own}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor ${master} 127.0.0.1 ${port} 1\n`,
  );
  const server = await startServer({
    command: 'redis-server',
    args: [file, '--sentinel'],
    ready: /Sentinel ID is/,
  });
  workplace.onClose(() => server.stop('SIGKILL'));
  return own;
}
