import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BENCH, FITTING_ENTRIES, LEVELS } from '../support/image-set.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { describeWith } from '../support/required-programs.ts';
import { openSkopeo, type Skopeo } from '../support/skopeo.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

describeWith([...MIRRORED_REGISTRY, 'skopeo'], 'a real skopeo with MetaHub as its registry', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;
  let skopeo: Skopeo;

  beforeAll(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    skopeo = openSkopeo(workplace, { mirror: scene.metahub.url });
  });
  afterAll(() => workplace?.close());

  test.each(FITTING_ENTRIES)(
    'for a host with %s it copies the entries %s and %s',
    async (host, bench, levels) => {
      await scene.metahub.restart(host);
      expect((await skopeo.copy(BENCH)).digest).toBe(scene.images.bench.entry(bench));
      expect((await skopeo.copy(LEVELS)).digest).toBe(scene.images.levels.entry(levels));
    },
  );

  test('copies exactly the index that an original digest names', async () => {
    const { digest, bytes } = scene.images.bench;
    const raw = await skopeo.raw(`docker.io/qnib/bench@${digest}`);
    expect(raw).toBe(bytes.toString());
    expect(digestOf(Buffer.from(raw))).toBe(digest);
  });

  test('--override-arch arm64 still gets the arm64 entry', async () => {
    const copied = await skopeo.copy(BENCH, '--override-arch', 'arm64');
    expect(copied).toEqual({ digest: scene.images.bench.entry('arm64'), architecture: 'arm64' });
  });

  test('an image that is no index is copied as it is', async () => {
    const copied = await skopeo.copy('docker.io/library/plain:latest');
    expect(copied.digest).toBe(scene.images.plain.digest);
  });
});
