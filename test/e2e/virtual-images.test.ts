import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { lineOf, pushPlainImages } from '../support/image-set.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

/** The 2019 demonstration's list, as its authors wrote it. */
const BENCH = `
image: docker.io/qnib/bench
manifests:
  - image: docker.io/qnib/plain-featuretest:generic
    platform: { architecture: amd64, os: linux }
  - image: docker.io/qnib/plain-featuretest:cpu-skylake
    platform: { architecture: amd64, os: linux, features: ["cpu:skylake"] }
  - image: docker.io/qnib/plain-featuretest:cpu-broadwell
    platform: { architecture: amd64, os: linux, features: ["cpu:broadwell"] }
  - image: docker.io/qnib/plain-featuretest:cpu-broadwell-nvcap52
    platform: { architecture: amd64, os: linux, features: ["cpu:broadwell", "nvcap:5.2"] }
`;

/** A publisher who puts the hardware into the tag. */
const BY_TAG = `
image: docker.io/acme/solver
tags: "v*"
manifests:
  - image: "docker.io/acme/solver:{tag}-avx512"
    platform: { architecture: amd64, os: linux, features: [x86-64-v4] }
  - image: "docker.io/acme/solver:{tag}"
    platform: { architecture: amd64, os: linux }
`;

/** Nothing is to be chosen: one image for each platform. */
const BY_PLATFORM = `
image: docker.io/acme/merged
manifests:
  - image: docker.io/qnib/plain-featuretest:generic
    platform: { architecture: amd64, os: linux }
  - image: docker.io/qnib/plain-featuretest:cpu-skylake
    platform: { architecture: arm64, os: linux }
`;

describeWith([...MIRRORED_REGISTRY, 'dockerd', 'docker'], 'images that no registry holds', () => {
  let workplace: Workplace;
  let registry: DockerRegistry;
  let metahub: Metahub;
  let dockerd: Dockerd;

  beforeAll(async () => {
    workplace = openWorkplace();
    registry = await startDockerRegistry(workplace);
    await pushPlainImages(workplace, registry, 'qnib/plain-featuretest', {
      generic: 'generic',
      'cpu-skylake': 'cpu:skylake',
      'cpu-broadwell': 'cpu:broadwell',
      'cpu-broadwell-nvcap52': 'cpu:broadwell,nvcap:5.2',
    });
    await pushPlainImages(workplace, registry, 'acme/solver', { 'v1.2': 'any', 'v1.2-avx512': 'AVX-512' });
    const catalog = workplace.folder('images.d');
    writeFileSync(join(catalog, 'bench.yml'), BENCH);
    writeFileSync(join(catalog, 'solver.yml'), BY_TAG);
    writeFileSync(join(catalog, 'merged.yml'), BY_PLATFORM);
    metahub = await startMetahub(workplace, { upstream: registry.url, args: ['--images', catalog] });
    dockerd = await startDockerd(workplace, { mirror: metahub.url });
  });
  afterAll(() => workplace?.close());
  beforeEach(() => dockerd.forget());

  test('the registry indeed has no qnib/bench', async () => {
    const response = await fetch(`${registry.url}/v2/qnib/bench/manifests/latest`);
    expect(response.status).toBe(404);
  });

  describe('qnib/bench, put together from tags of another repository', () => {
    test.each([
      ['cpu:x86_64', 'generic'],
      ['cpu:skylake', 'cpu:skylake'],
      ['cpu:broadwell', 'cpu:broadwell'],
      ['cpu:broadwell nvcap:5.2', 'cpu:broadwell,nvcap:5.2'],
    ])('on a host with %s it runs the entry %s', async (host, line) => {
      await metahub.restart(host);
      await dockerd.pull('qnib/bench');
      expect(await dockerd.run('qnib/bench')).toBe(lineOf(line));
    });
  });

  test('acme/merged, an image for each platform of which nothing is to be chosen', async () => {
    await dockerd.pull('acme/merged');
    expect(await dockerd.run('acme/merged')).toBe(lineOf('generic'));
  });

  describe('acme/solver:v1.2, whose hardware is in its tags', () => {
    test.each([
      ['cpu:broadwell', 'any'],
      ['cpu:skylake_avx512', 'AVX-512'],
    ])('on a host with %s it runs the entry %s', async (host, line) => {
      await metahub.restart(host);
      await dockerd.pull('acme/solver:v1.2');
      expect(await dockerd.run('acme/solver:v1.2')).toBe(lineOf(line));
    });
  });
});
