import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { pullByCri } from '../../src/cli/commands/doctor/cri.ts';
import { startContainerd } from '../support/containerd.ts';
import { startDockerd } from '../support/dockerd.ts';
import { lineOf } from '../support/image-set.ts';
import { metahubProgram } from '../support/metahub.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { openPodman } from '../support/podman.ts';
import { installedPrograms, run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const RUNTIMES = ['dockerd', 'docker', 'containerd', 'ctr', 'podman', 'runc', 'unshare'];

describeWith([...MIRRORED_REGISTRY, ...RUNTIMES], 'real runtimes started on what metahub setup wrote', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;
  let root: string;

  beforeAll(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    await scene.metahub.restart('cpu:broadwell');
    root = workplace.folder('machine');
    mkdirSync(join(root, 'etc/docker'), { recursive: true });
    writeFileSync(join(root, 'etc/docker/daemon.json'), '{"log-level": "info"}\n');
    // No way around the mirror: what runs has come through it.
    await run(process.execPath, [
      ...[metahubProgram, 'setup', 'docker', 'containerd', 'podman', '--strict'],
      ...['--mirror', scene.metahub.url, '--root', root],
    ]);
  });
  afterAll(() => workplace?.close());
  function openedFor(): Workplace {
    const own = openWorkplace();
    onTestFinished(() => own.close());
    return own;
  }

  test('dockerd reads daemon.json and runs the entry that fits', async () => {
    const dockerd = await startDockerd(workplace, { configFile: join(root, 'etc/docker/daemon.json') });
    await dockerd.pull('qnib/bench');
    expect(await dockerd.run('qnib/bench')).toBe(lineOf('cpu:broadwell'));
  });

  test('containerd reads hosts.toml and runs the entry that fits', async () => {
    const hostsFolder = join(root, 'etc/containerd/certs.d');
    const containerd = await startContainerd(workplace, { mirror: scene.metahub.url, hostsFolder });
    await containerd.pull('docker.io/qnib/bench:latest');
    expect(await containerd.run('docker.io/qnib/bench:latest')).toBe(lineOf('cpu:broadwell'));
  });

  test('containerd, started on the files that setup wrote, pulls the entry that fits when the kubelet’s interface asks', async () => {
    // What stands in /etc counts, so it stands there, for this containerd alone.
    const bind = `mkdir -p /etc/containerd && mount --bind '${join(root, 'etc/containerd')}' /etc/containerd && exec "$@"`;
    const containerd = await startContainerd(openedFor(), {
      mirror: scene.metahub.url,
      configuration: '/etc/containerd/config.toml',
      programs: {
        ...installedPrograms,
        startServer: ({ command, args, ...options }) =>
          installedPrograms.startServer({
            ...options,
            command: 'unshare',
            args: ['--mount', '--propagation', 'private', 'sh', '-c', bind, 'sh', command, ...args],
          }),
      },
    });
    const image = 'docker.io/qnib/bench:latest';
    expect(await pullByCri(containerd.socket, image, AbortSignal.timeout(30_000))).toEqual({
      kind: 'pulled',
    });
    expect(await containerd.run(image, 'k8s.io')).toBe(lineOf('cpu:broadwell'));
  });

  test('podman reads the drop-in and runs the entry that fits', async () => {
    const configuration = join(root, 'etc/containers/registries.conf.d/metahub.conf');
    const podman = openPodman(workplace, { mirror: scene.metahub.url, configuration });
    await podman.pull('docker.io/qnib/bench:latest');
    expect(await podman.run('docker.io/qnib/bench:latest')).toBe(lineOf('cpu:broadwell'));
  });
});
