import { join } from 'node:path';
import { installedPrograms, type ProgramResult, type Programs } from './processes.ts';
import type { Workplace } from './workplace.ts';

/** A separate dockerd process. */
export interface Dockerd {
  readonly pid: number;
  /** `unix://PATH`, for DOCKER_HOST. */
  readonly host: string;
  readonly version: string;
  /** Runs the docker client with it. Resolves with its output. */
  docker(...args: readonly string[]): Promise<string>;
  attempt(...args: readonly string[]): Promise<ProgramResult>;
  /** Pulls. Resolves with the last lines of the client's output. */
  pull(image: string, ...options: readonly string[]): Promise<string>;
  /** Runs the image. Resolves with its output. */
  run(image: string): Promise<string>;
  /** The digests under which the image was pulled. */
  digestsOf(image: string): Promise<readonly string[]>;
  architectureOf(image: string): Promise<string>;
  /** Removes every image, so that the next pull starts without any content. */
  forget(): Promise<void>;
}

export interface DockerdOptions {
  /** `http://127.0.0.1:PORT` of the mirror for images of docker.io. */
  readonly mirror?: string;
  /** The daemon.json. Default: none. */
  readonly configFile?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The dockerd to run. Default: the installed one. */
  readonly programs?: Programs;
}

/** Starts dockerd without its own network; containers run with `--network none`. */
export async function startDockerd(
  workplace: Workplace,
  { mirror, configFile, env = {}, programs = installedPrograms }: DockerdOptions,
): Promise<Dockerd> {
  const folder = workplace.folder('dockerd');
  const socket = join(folder, 'docker.sock');
  const server = await programs.startServer({
    command: 'dockerd',
    args: [
      ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--host', `unix://${socket}`, '--pidfile', join(folder, 'pid')],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none'],
      ...(mirror === undefined ? [] : ['--registry-mirror', mirror]),
      ...(configFile === undefined ? [] : ['--config-file', configFile]),
    ],
    env,
    ready: /API listen on /,
  });
  workplace.onClose(() => server.stop());
  // The logins of the user who runs the tests are not used.
  const client = { env: { DOCKER_CONFIG: workplace.folder('dockerd/client') } };
  const host = `unix://${socket}`;
  const docker = (...args: readonly string[]) => programs.run('docker', ['--host', host, ...args], client);

  return {
    pid: server.pid,
    host,
    version: (await docker('version', '--format', '{{.Server.Version}}')).trim(),
    docker,
    attempt: (...args) => programs.attempt('docker', ['--host', host, ...args], client),
    pull: (image, ...options) => docker('pull', ...options, image),
    run: async (image) => (await docker('run', '--rm', '--pull', 'never', '--network', 'none', image)).trim(),
    async digestsOf(image) {
      const digests = JSON.parse(
        await docker('inspect', '--format', '{{json .RepoDigests}}', image),
      ) as string[];
      return digests.map((name) => name.slice(name.indexOf('@') + 1));
    },
    architectureOf: async (image) => (await docker('inspect', '--format', '{{.Architecture}}', image)).trim(),
    async forget() {
      const ids = (await docker('images', '--all', '--quiet')).split('\n').filter((id) => id !== '');
      if (ids.length > 0) await docker('rmi', '--force', ...new Set(ids));
    },
  };
}
