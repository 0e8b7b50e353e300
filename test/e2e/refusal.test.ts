import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { startDockerd } from '../support/dockerd.ts';
import { startHub } from '../support/hub.ts';
import { pushIndex } from '../support/image-set.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { openPodman } from '../support/podman.ts';
import { attempt } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const NEWEST = 'docker.io/qnib/newest:latest';
const PROGRAMS = ['containerd', 'ctr', 'runc', 'podman', 'skopeo', 'dockerd', 'docker'];

/** Every runtime may go on to the registry behind the mirror, which would give it an image that does not run. */
describeWith([...MIRRORED_REGISTRY, ...PROGRAMS], 'fault 65: an image of which no entry runs', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;
  /** A registries.conf with the mirror before the registry itself. */
  let configuration: string;

  beforeAll(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    await pushIndex(workplace, scene.registry, 'qnib/newest', 'oci', [
      { optimizedFor: 'cpu:zen5', features: ['cpu:zen5'] },
      { optimizedFor: 'x86-64-v4', variant: 'v4' },
    ]);
    await scene.metahub.restart('cpu:haswell');
    configuration = join(workplace.folder('with-fallback'), 'registries.conf');
    writeFileSync(
      configuration,
      `[[registry]]
prefix = "docker.io"
location = "${new URL(scene.registry.url).host}"
insecure = true
[[registry.mirror]]
location = "${new URL(scene.metahub.url).host}"
insecure = true
`,
    );
  });
  afterAll(() => workplace?.close());

  test('makes containerd stop, which has the registry as its next host', async () => {
    const hostsFolder = workplace.folder('certs.d');
    mkdirSync(join(hostsFolder, 'docker.io'), { recursive: true });
    writeFileSync(
      join(hostsFolder, 'docker.io', 'hosts.toml'),
      `server = "${scene.registry.url}"\n[host."${scene.metahub.url}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
    const containerd = await startContainerd(workplace, { mirror: scene.metahub.url, hostsFolder });
    await expect(containerd.pull(NEWEST)).rejects.toThrow(/no match for platform/);
    await expect(containerd.run(NEWEST)).rejects.toThrow(/not found|no match/);
    await containerd.pull('docker.io/qnib/bench:latest');
  });

  test('makes podman stop, which has the registry behind its mirror', async () => {
    const podman = openPodman(workplace, { mirror: scene.metahub.url, configuration });
    await expect(podman.pull(NEWEST)).rejects.toThrow(/no image found in (?:image index|manifest list)/);
    expect((await podman.podman('images', '--quiet')).trim()).toBe('');
    await podman.pull('docker.io/qnib/bench:latest');
  });

  test('makes skopeo stop, and shows it what the entries demand', async () => {
    const skopeo = (...args: readonly string[]) =>
      attempt('skopeo', ['--registries-conf', configuration, ...args]);
    const copied = await skopeo('copy', `docker://${NEWEST}`, `dir:${workplace.folder('copy')}`);
    expect(copied.status).not.toBe(0);
    expect(copied.stderr).toMatch(/no image found in (?:image index|manifest list)/);
    const raw = await skopeo('inspect', '--raw', `docker://${NEWEST}`);
    const { manifests } = JSON.parse(raw.stdout);
    expect(
      manifests.map(
        (entry: { annotations: Record<string, string> }) => entry.annotations['io.metahub.refused'],
      ),
    ).toEqual(['not for this host: it demands cpu:zen5', 'not for this host: it demands x86-64-v4']);
  });

  // docs/selection.md: a mirror cannot stop the classic store. `npm run runtimes` shows that the containerd store stops.
  test('does not keep dockerd’s classic store from the registry, which is all that can', async () => {
    const place = openWorkplace();
    try {
      const hub = await startHub(place, scene.registry.url);
      const dockerd = await startDockerd(place, { mirror: scene.metahub.url, env: hub.env });
      await dockerd.pull('qnib/newest');
      expect(hub.requests.some((asked) => asked.includes('/v2/qnib/newest/manifests/'))).toBe(true);
    } finally {
      await place.close();
    }
  });

  test('gives dockerd nothing to run where the registry cannot be reached', async () => {
    const dockerd = await startDockerd(workplace, { mirror: scene.metahub.url });
    const pull = await dockerd.attempt('pull', 'qnib/newest');
    expect(pull.status).not.toBe(0);
    expect((await dockerd.docker('images', '--quiet')).trim()).toBe('');
  });

  test('counts the refusal', async () => {
    const metrics = await (await fetch(`${scene.metahub.url}/metrics`)).text();
    const refusals = /^metahub_refusals_total (\d+)$/m.exec(metrics)?.[1];
    // An answer that is repeated from memory within moments is no new decision.
    expect(Number(refusals)).toBeGreaterThanOrEqual(1);
  });
});
