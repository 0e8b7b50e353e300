import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { startDockerd } from '../support/dockerd.ts';
import { lineOf } from '../support/image-set.ts';
import { metahubProgram } from '../support/metahub.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { openPodman } from '../support/podman.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const RUNTIMES = ['dockerd', 'docker', 'containerd', 'ctr', 'podman', 'runc'];

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

  test('containerd starts on the config.toml that setup wrote, and takes its config_path', async () => {
    const shown = await run('containerd', [
      '--config',
      join(root, 'etc/containerd/config.toml'),
      'config',
      'dump',
    ]);
    expect(shown).toContain('config_path = "/etc/containerd/certs.d"');
  });

  test('podman reads the drop-in and runs the entry that fits', async () => {
    const configuration = join(root, 'etc/containers/registries.conf.d/metahub.conf');
    const podman = openPodman(workplace, { mirror: scene.metahub.url, configuration });
    await podman.pull('docker.io/qnib/bench:latest');
    expect(await podman.run('docker.io/qnib/bench:latest')).toBe(lineOf('cpu:broadwell'));
  });
});
