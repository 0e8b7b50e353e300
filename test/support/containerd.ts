import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installedPrograms, type Programs } from './processes.ts';
import type { Workplace } from './workplace.ts';

/** A separate containerd process, controlled by ctr. */
export interface Containerd {
  readonly pid: number;
  readonly socket: string;
  ctr(...args: readonly string[]): Promise<string>;
  /** Pulls by full name, `docker.io/qnib/bench:latest`, only through the mirror. */
  pull(image: string, ...options: readonly string[]): Promise<string>;
  /** @param namespace `k8s.io` for images that were pulled by CRI */
  run(image: string, namespace?: string): Promise<string>;
  /** The digest of a name in containerd. */
  digestOf(image: string): Promise<string>;
}

/**
 * Starts containerd with a hosts.toml for docker.io that has only the mirror, or with those in `hostsFolder`. CRI
 * is off unless `configuration` enables it.
 */
export async function startContainerd(
  workplace: Workplace,
  {
    mirror,
    hostsFolder,
    configuration,
    env,
    programs = installedPrograms,
  }: {
    readonly mirror: string;
    readonly hostsFolder?: string;
    readonly configuration?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly programs?: Programs;
  },
): Promise<Containerd> {
  const folder = workplace.folder('containerd');
  const socket = join(folder, 'containerd.sock');
  const withoutCri = join(folder, 'config.toml');
  writeFileSync(withoutCri, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const hosts = hostsFolder ?? join(folder, 'certs.d');
  if (hostsFolder === undefined) {
    mkdirSync(join(hosts, 'docker.io'), { recursive: true });
    writeFileSync(
      join(hosts, 'docker.io', 'hosts.toml'),
      `server = "${mirror}"\n[host."${mirror}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
  }
  const server = await programs.startServer({
    command: 'containerd',
    args: [
      ...['--config', configuration ?? withoutCri, '--address', socket],
      ...['--root', join(folder, 'root'), '--state', join(folder, 'state')],
    ],
    env,
    ready: /containerd successfully booted/,
  });
  workplace.onClose(() => server.stop());
  const ctr = (...args: readonly string[]) => programs.run('ctr', ['--address', socket, ...args]);
  let containers = 0;

  return {
    pid: server.pid,
    socket,
    ctr,
    pull: (image, ...options) => ctr('images', 'pull', '--hosts-dir', hosts, ...options, image),
    async run(image, namespace = 'default') {
      // For a container that ends at once, ctr sometimes copies no output.
      for (let tries = 1; ; tries += 1) {
        containers += 1;
        const fifos = ['--fifo-dir', join(folder, 'fifos')];
        const output = (
          await ctr('--namespace', namespace, 'run', '--rm', ...fifos, image, `c${containers}`)
        ).trim();
        if (output !== '' || tries === 3) return output;
      }
    },
    async digestOf(image) {
      const row = (await ctr('images', 'list', `name==${image}`)).split('\n')[1] ?? '';
      return /sha256:[0-9a-f]{64}/.exec(row)?.[0] ?? '';
    },
  };
}
