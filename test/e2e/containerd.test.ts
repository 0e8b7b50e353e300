import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Containerd, startContainerd } from '../support/containerd.ts';
import { BENCH, FITTING_ENTRIES, LEVELS, lineOf } from '../support/image-set.ts';
import { startInterposer } from '../support/interposer.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

describeWith(
  [...MIRRORED_REGISTRY, 'containerd', 'ctr', 'runc'],
  'a real containerd with MetaHub as its host',
  () => {
    let workplace: Workplace;
    let scene: MirroredRegistry;
    let containerd: Containerd;

    beforeAll(async () => {
      workplace = openWorkplace();
      scene = await mirroredRegistry(workplace);
      containerd = await startContainerd(workplace, { mirror: scene.metahub.url });
    });
    afterAll(() => workplace?.close());

    test.each([...FITTING_ENTRIES, ['cpu:skylake_avx512', 'cpu:skylake', 'x86-64-v4'] as const])(
      'on a host with %s it runs the entries %s and %s',
      async (host, bench, levels) => {
        await scene.metahub.restart(host);
        await containerd.pull(BENCH);
        expect(await containerd.run(BENCH)).toBe(lineOf(bench));
        await containerd.pull(LEVELS);
        expect(await containerd.run(LEVELS)).toBe(lineOf(levels));
      },
    );

    test('an image that is no index keeps its digest', async () => {
      await containerd.pull('docker.io/library/plain:latest');
      expect(await containerd.digestOf('docker.io/library/plain:latest')).toBe(scene.images.plain.digest);
    });

    test('pulls the index that an original digest names', async () => {
      const { digest } = scene.images.bench;
      await containerd.pull(`docker.io/qnib/bench@${digest}`);
      expect(await containerd.digestOf(`docker.io/qnib/bench@${digest}`)).toBe(digest);
      expect(await containerd.run(`docker.io/qnib/bench@${digest}`)).toBe(lineOf('generic'));
    });

    test('--platform linux/arm64 still gets the arm64 entry', async () => {
      await containerd.pull(BENCH, '--platform', 'linux/arm64');
      const content = await containerd.ctr('content', 'list', '--quiet');
      expect(content.split('\n')).toContain(scene.images.bench.entry('arm64'));
    });
  },
);

describeWith(
  [...MIRRORED_REGISTRY, 'containerd', 'ctr', 'runc'],
  'a mirror killed between HEAD and GET',
  () => {
    let workplace: Workplace;
    afterAll(() => workplace?.close());

    test('loses nothing for containerd either', async () => {
      workplace = openWorkplace();
      const { metahub } = await mirroredRegistry(workplace);
      await metahub.restart('cpu:broadwell');
      let kills = 0;
      const interposer = await startInterposer(workplace, metahub.url, async (exchange) => {
        if (!exchange.startsWith('HEAD /v2/qnib/bench/manifests/latest')) return undefined;
        kills += 1;
        await metahub.killAndRestart();
        return undefined;
      });
      const containerd = await startContainerd(workplace, { mirror: interposer.url });

      await containerd.pull(BENCH);

      expect(kills).toBe(1);
      expect(await containerd.run(BENCH)).toBe(lineOf('cpu:broadwell'));
    });
  },
);
