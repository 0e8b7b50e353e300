import { afterAll, beforeAll, expect, test } from 'vitest';
import { BENCH, FITTING_ENTRIES, LEVELS, lineOf } from '../support/image-set.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { openPodman, type Podman } from '../support/podman.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

describeWith([...MIRRORED_REGISTRY, 'podman', 'runc'], 'a real podman with MetaHub as its registry', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;
  let podman: Podman;

  beforeAll(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    podman = openPodman(workplace, { mirror: scene.metahub.url });
  });
  afterAll(() => workplace?.close());

  test.each(FITTING_ENTRIES)(
    'on a host with %s it runs the entries %s and %s',
    async (host, bench, levels) => {
      await scene.metahub.restart(host);
      await podman.pull(BENCH);
      expect(await podman.run(BENCH)).toBe(lineOf(bench));
      await podman.pull(LEVELS);
      expect(await podman.run(LEVELS)).toBe(lineOf(levels));
    },
  );

  test('an image that is no index keeps its digest', async () => {
    await podman.pull('docker.io/library/plain:latest');
    expect(await podman.digestOf('docker.io/library/plain:latest')).toBe(scene.images.plain.digest);
  });

  test('--platform linux/arm64 still gets the arm64 entry', async () => {
    await podman.pull(BENCH, '--platform', 'linux/arm64');
    expect(await podman.architectureOf(BENCH)).toBe('arm64');
  });
});
