import { afterAll, beforeAll, expect, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { startDockerd } from '../support/dockerd.ts';
import { type ImageSet, lineOf, pushImageSet } from '../support/image-set.ts';
import { openPodman } from '../support/podman.ts';
import { describeWith } from '../support/required-programs.ts';
import { openSkopeo } from '../support/skopeo.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

// What the other end-to-end tests are to be held against: the same images, straight from the registry.
describeWith(['root', 'docker-registry', 'gcc'], 'a runtime that pulls straight from a registry', () => {
  let workplace: Workplace;
  let registry: DockerRegistry;
  let images: ImageSet;

  beforeAll(async () => {
    workplace = openWorkplace();
    registry = await startDockerRegistry(workplace);
    images = await pushImageSet(workplace, registry);
  });
  afterAll(() => workplace.close());

  describeWith(['dockerd', 'docker'], 'dockerd', () => {
    test('runs the generic entry', async () => {
      const dockerd = await startDockerd(workplace, { mirror: registry.url });
      await dockerd.pull('qnib/bench');
      expect(await dockerd.run('qnib/bench')).toBe(lineOf('generic'));
      expect(await dockerd.digestsOf('qnib/bench')).toEqual([images.bench.digest]);
    });
  });

  describeWith(['containerd', 'ctr', 'runc'], 'containerd', () => {
    test('runs the generic entry', async () => {
      const containerd = await startContainerd(workplace, { mirror: registry.url });
      await containerd.pull('docker.io/qnib/bench:latest');
      expect(await containerd.run('docker.io/qnib/bench:latest')).toBe(lineOf('generic'));
      expect(await containerd.digestOf('docker.io/qnib/bench:latest')).toBe(images.bench.digest);
    });
  });

  describeWith(['podman', 'runc'], 'podman', () => {
    test('runs the generic entry', async () => {
      const podman = openPodman(workplace, { mirror: registry.url });
      await podman.pull('docker.io/qnib/bench:latest');
      expect(await podman.run('docker.io/qnib/bench:latest')).toBe(lineOf('generic'));
    });
  });

  describeWith(['skopeo'], 'skopeo', () => {
    test('copies the generic entry', async () => {
      const skopeo = openSkopeo(workplace, { mirror: registry.url });
      const copied = await skopeo.copy('docker.io/qnib/bench:latest');
      expect(copied.digest).toBe(images.bench.entry('generic'));
    });
  });
});
