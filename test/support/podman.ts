import { join } from 'node:path';
import { installedPrograms, type Programs } from './processes.ts';
import { writeRegistriesFiles } from './registries-conf.ts';
import type { Workplace } from './workplace.ts';

/** podman with its own storage. */
export interface Podman {
  podman(...args: readonly string[]): Promise<string>;
  /** Pulls by full name, `docker.io/qnib/bench:latest`, only through the mirror. */
  pull(image: string, ...options: readonly string[]): Promise<string>;
  run(image: string): Promise<string>;
  digestOf(image: string): Promise<string>;
  architectureOf(image: string): Promise<string>;
}

export function openPodman(
  workplace: Workplace,
  {
    mirror,
    configuration,
    logins,
    programs = installedPrograms,
    hasCgroups = true,
  }: {
    readonly mirror: string;
    readonly configuration?: string;
    readonly logins?: string;
    readonly programs?: Programs;
    /** False: its containers run without a cgroup, which only crun supports. */
    readonly hasCgroups?: boolean;
  },
): Podman {
  const folder = workplace.folder('podman');
  const files = writeRegistriesFiles(folder, mirror);
  const env = {
    CONTAINERS_REGISTRIES_CONF: configuration ?? files.configuration,
    REGISTRY_AUTH_FILE: logins ?? files.logins,
  };
  const storage = [
    ...['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'],
    ...[
      '--runtime',
      hasCgroups ? 'runc' : 'crun',
      '--cgroup-manager',
      'cgroupfs',
      '--events-backend',
      'none',
    ],
  ];
  const podman = (...args: readonly string[]) => programs.run('podman', [...storage, ...args], { env });
  // A machine's own limits may be lower than podman's defaults.
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
  if (!hasCgroups) limits.push('--cgroups', 'disabled');
  const inspect = async (image: string, format: string) =>
    (await podman('image', 'inspect', '--format', format, image)).trim();

  return {
    podman,
    pull: (image, ...options) => podman('pull', '--quiet', ...options, image),
    run: async (image) =>
      (await podman('run', '--rm', '--pull', 'never', '--network', 'none', ...limits, image)).trim(),
    digestOf: (image) => inspect(image, '{{.Digest}}'),
    architectureOf: (image) => inspect(image, '{{.Architecture}}'),
  };
}
