import { cpSync, existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { startDockerd } from '../support/dockerd.ts';
import { parseDocument } from '../support/json-documents.ts';
import { metahubProgram } from '../support/metahub.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { attempt } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const PROGRAMS = ['dockerd', 'docker', 'containerd', 'ctr', 'podman', 'unshare'];
const STATE = '/var/lib/metahub';

describeWith([...MIRRORED_REGISTRY, ...PROGRAMS], 'metahub setup and doctor with real runtimes', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;
  let machine: string;
  let env: Record<string, string>;
  const hadState = existsSync(STATE);

  /** Runs MetaHub where /etc of the runtimes and /var/lib/metahub are folders of the test's own. */
  async function metahub(words: readonly string[], more: Readonly<Record<string, string>> = {}) {
    const mounts = ['docker', 'containerd', 'containers']
      .map((name) => `mkdir -p /etc/${name} && mount --bind ${join(machine, name)} /etc/${name}`)
      .join(' && ');
    const script = `${mounts} && mkdir -p ${STATE} && mount --bind ${join(machine, 'state')} ${STATE} && exec "$@"`;
    const command = [process.execPath, metahubProgram, ...words, '--mirror', scene.metahub.url];
    return attempt('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...command], {
      env: { ...env, ...more },
    });
  }
  async function statuses(): Promise<Readonly<Record<string, string>>> {
    const { stdout } = await metahub(['doctor', '--json']);
    const { checks } = parseDocument('doctor', stdout);
    return Object.fromEntries(checks.map(({ name, status }) => [name, status]));
  }

  beforeAll(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    machine = workplace.folder('etc');
    for (const name of ['docker', 'containerd', 'containers', 'state']) mkdirSync(join(machine, name));
    // What the packages installed, podman's policy among it.
    cpSync('/etc/containers', join(machine, 'containers'), { recursive: true });
    // Logins of the user who runs the tests stay out of it.
    const client = workplace.folder('client');
    writeFileSync(join(client, 'config.json'), '{}');
    const folder = (name: string) => join(workplace.directory, name);
    env = {
      DOCKER_HOST: `unix://${folder('dockerd/docker.sock')}`,
      DOCKER_CONFIG: client,
      CONTAINERD_ADDRESS: folder('containerd/containerd.sock'),
    };
    expect(await metahub(['setup', 'docker', 'containerd', 'podman'])).toMatchObject({ status: 0 });
    await startDockerd(workplace, { configFile: join(machine, 'docker/daemon.json') });
    await startContainerd(workplace, {
      mirror: scene.metahub.url,
      hostsFolder: join(machine, 'containerd/certs.d'),
    });
  });
  afterAll(async () => {
    await workplace?.close();
    if (!hadState && existsSync(STATE) && readdirSync(STATE).length === 0) rmdirSync(STATE);
  });

  test('doctor sees a request of each runtime come to the mirror', async () => {
    expect(await statuses()).toMatchObject({
      mirror: 'pass',
      'docker: configured': 'pass',
      'docker: uses the mirror': 'pass',
      'containerd: uses the mirror': 'pass',
      'podman: configured': 'pass',
      'podman: uses the mirror': 'pass',
    });
  });

  test('doctor fails when the CRI of a running containerd has not read config_path, although ctr uses the mirror', async () => {
    const own = openWorkplace();
    onTestFinished(() => own.close());
    const configuration = join(own.directory, 'config.toml');
    writeFileSync(configuration, 'version = 2\n');
    const { socket } = await startContainerd(own, { mirror: scene.metahub.url, configuration });
    const { stdout } = await metahub(['doctor', '--json'], { CONTAINERD_ADDRESS: socket });
    const { checks } = parseDocument('doctor', stdout);
    expect(checks).toContainEqual(
      expect.objectContaining({
        name: 'containerd: uses the mirror',
        status: 'fail',
        message: expect.stringContaining('by CRI'),
      }),
    );
  });

  test('doctor fails after setup --remove for a runtime that no longer uses the mirror, and names the remedy', async () => {
    expect(await metahub(['setup', 'all', '--remove'])).toMatchObject({ status: 0 });
    const { stdout, status } = await metahub(['doctor']);
    expect(status).toBe(1);
    expect(stdout).toContain('✗ podman: uses the mirror');
    expect(stdout).toContain('Run: metahub setup podman --reload');
    expect(readdirSync(join(machine, 'state'))).toEqual([]);
    expect(existsSync(join(machine, 'docker/daemon.json'))).toBe(false);
  });
});
