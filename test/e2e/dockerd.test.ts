import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { lineOf } from '../support/image-set.ts';
import { startInterposer } from '../support/interposer.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const BENCH = 'qnib/bench';
const LEVELS = 'qnib/levels';

describeWith([...MIRRORED_REGISTRY, 'dockerd', 'docker'], 'a real dockerd with MetaHub as its mirror', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;
  let dockerd: Dockerd;

  beforeAll(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    dockerd = await startDockerd(workplace, { mirror: scene.metahub.url });
  });
  afterAll(() => workplace?.close());
  beforeEach(() => dockerd.forget());

  describe('runs the entry of a manifest list whose features fit the host', () => {
    test.each([
      ['cpu:x86_64', 'generic'],
      ['cpu:skylake', 'cpu:skylake'],
      ['cpu:broadwell', 'cpu:broadwell'],
      ['cpu:broadwell nvcap:5.2', 'cpu:broadwell,nvcap:5.2'],
    ])('on a host with %s it runs the entry %s', async (host, line) => {
      await scene.metahub.restart(host);
      await dockerd.pull(BENCH);
      expect(await dockerd.run(BENCH)).toBe(lineOf(line));
    });
  });

  describe('runs the entry of an OCI index whose variant fits the host', () => {
    test.each([
      ['cpu:x86_64', 'generic'],
      ['cpu:nehalem', 'x86-64-v2'],
      ['cpu:broadwell', 'x86-64-v3'],
      ['cpu:skylake_avx512', 'x86-64-v4'],
    ])('on a host with %s it runs the entry %s', async (host, line) => {
      await scene.metahub.restart(host);
      await dockerd.pull(LEVELS);
      expect(await dockerd.run(LEVELS)).toBe(lineOf(line));
    });
  });

  describe('on a Broadwell host', () => {
    beforeEach(() => scene.metahub.restart('cpu:broadwell'));

    test('an image that is no index arrives with its own digest', async () => {
      await dockerd.pull('plain');
      expect(await dockerd.digestsOf('plain')).toEqual([scene.images.plain.digest]);
      expect(await dockerd.run('plain')).toBe(lineOf('nothing, it is alone'));
    });

    test('a tag of an index arrives under a digest of its own, and only that', async () => {
      await dockerd.pull(BENCH);
      const digests = await dockerd.digestsOf(BENCH);
      expect(digests).toHaveLength(1);
      expect(digests).not.toContain(scene.images.bench.digest);
    });

    test('a pull by the original digest of the index gets exactly that index, untailored', async () => {
      const { digest, bytes } = scene.images.bench;
      await dockerd.pull(`${BENCH}@${digest}`);
      expect(await dockerd.digestsOf(`${BENCH}@${digest}`)).toEqual([digest]);
      expect(await dockerd.run(`${BENCH}@${digest}`)).toBe(lineOf('generic'));
      const response = await fetch(`${scene.metahub.url}/v2/${BENCH}/manifests/${digest}`);
      expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
    });

    test.each([BENCH, LEVELS])('--platform linux/arm64 of %s still gets the arm64 entry', async (image) => {
      await dockerd.pull(image, '--platform', 'linux/arm64');
      expect(await dockerd.architectureOf(image)).toBe('arm64');
    });

    test('a second pull finds the image up to date', async () => {
      await dockerd.pull(BENCH);
      expect(await dockerd.pull(BENCH)).toContain('Image is up to date');
    });

    test('a pull after a change of the profile gets another entry', async () => {
      await dockerd.pull(BENCH);
      const before = await dockerd.digestsOf(BENCH);
      expect(await dockerd.run(BENCH)).toBe(lineOf('cpu:broadwell'));

      await scene.metahub.restart('cpu:skylake');
      expect(await dockerd.pull(BENCH)).toContain('Downloaded newer image');
      expect(await dockerd.run(BENCH)).toBe(lineOf('cpu:skylake'));
      expect(await dockerd.digestsOf(BENCH)).not.toEqual(before);
    });
  });
});

/** The digest of the layer of the entry that prints this. */
async function layerOf({ registry, images }: MirroredRegistry, optimizedFor: string): Promise<string> {
  const url = `${registry.url}/v2/${BENCH}/manifests/${images.bench.entry(optimizedFor)}`;
  const headers = { accept: 'application/vnd.docker.distribution.manifest.v2+json' };
  const manifest = (await (await fetch(url, { headers })).json()) as { layers: [{ digest: string }] };
  return manifest.layers[0].digest;
}

describeWith([...MIRRORED_REGISTRY, 'dockerd', 'docker'], 'a mirror that is killed with SIGKILL', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;

  beforeEach(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    await scene.metahub.restart('cpu:broadwell');
  });
  afterEach(() => workplace.close());

  test('between HEAD and GET loses nothing: the announced digest is there after the restart', async () => {
    let kills = 0;
    const interposer = await startInterposer(workplace, scene.metahub.url, async (exchange) => {
      if (!exchange.startsWith(`HEAD /v2/${BENCH}/manifests/latest`)) return undefined;
      kills += 1;
      await scene.metahub.killAndRestart();
      return undefined;
    });
    const dockerd = await startDockerd(workplace, { mirror: interposer.url });

    await dockerd.pull(BENCH);

    expect(kills).toBe(1);
    const [digest] = await dockerd.digestsOf(BENCH);
    const head = interposer.exchanges.findIndex((exchange) => exchange.startsWith('HEAD'));
    expect(interposer.exchanges[head + 1]).toBe(`GET /v2/${BENCH}/manifests/${digest} 200`);
    expect(await dockerd.run(BENCH)).toBe(lineOf('cpu:broadwell'));
  });

  test('loses nothing in the middle of a layer: the rest arrives after the restart', async () => {
    const layer = `GET /v2/${BENCH}/blobs/${await layerOf(scene, 'cpu:broadwell')}`;
    let kills = 0;
    const interposer = await startInterposer(workplace, scene.metahub.url, async (exchange) => {
      if (exchange !== `${layer} 200` || kills > 0) return undefined;
      kills += 1;
      await scene.metahub.killAndRestart();
      return 'truncated';
    });
    const dockerd = await startDockerd(workplace, { mirror: interposer.url });

    await dockerd.pull(BENCH);

    expect(kills).toBe(1);
    expect(interposer.exchanges.filter((exchange) => exchange.startsWith(layer))).toHaveLength(2);
    expect(await dockerd.run(BENCH)).toBe(lineOf('cpu:broadwell'));
  });
});
