import { afterAll, beforeAll, expect, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { startDockerd } from '../support/dockerd.ts';
import { lineOf } from '../support/image-set.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { openPodman } from '../support/podman.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

/** What these tests ask of a runtime. */
interface Runtime {
  pull(image: string): Promise<string>;
  run(image: string): Promise<string>;
}

type StartRuntime = (workplace: Workplace, mirror: string) => Promise<Runtime>;

const RUNTIMES: readonly (readonly [string, readonly string[], StartRuntime])[] = [
  ['dockerd', ['dockerd', 'docker'], (workplace, mirror) => startDockerd(workplace, { mirror })],
  [
    'containerd',
    ['containerd', 'ctr', 'runc'],
    (workplace, mirror) => startContainerd(workplace, { mirror }),
  ],
  ['podman', ['podman', 'runc'], async (workplace, mirror) => openPodman(workplace, { mirror })],
];

const BENCH = 'docker.io/qnib/bench';
const ACCEPT =
  'application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json';

for (const [name, programs, start] of RUNTIMES) {
  describeWith(
    [...MIRRORED_REGISTRY, ...programs],
    `${name}, between two mirrors of hosts of two kinds`,
    () => {
      let workplace: Workplace;
      let otherWorkplace: Workplace;
      let scene: MirroredRegistry;
      let broadwell: Metahub;

      beforeAll(async () => {
        workplace = openWorkplace();
        otherWorkplace = openWorkplace();
        scene = await mirroredRegistry(workplace);
        broadwell = await startMetahub(otherWorkplace, {
          upstream: scene.registry.url,
          host: 'cpu:broadwell',
        });
        await scene.metahub.restart('cpu:x86_64');
      });
      afterAll(async () => {
        await otherWorkplace?.close();
        await workplace?.close();
      });

      test('pulls the digest that the other mirror derived, runs the entry it was derived for, and the log says so', async () => {
        const head = await fetch(`${broadwell.url}/v2/qnib/bench/manifests/latest`, {
          method: 'HEAD',
          headers: { accept: ACCEPT },
        });
        const digest = head.headers.get('docker-content-digest');
        expect(digest).not.toBe(scene.images.bench.digest);
        const runtime = await start(workplace, scene.metahub.url);
        const image = `${BENCH}@${digest}`;
        await runtime.pull(image);
        expect(await runtime.run(image)).toBe(lineOf('cpu:broadwell'));
        expect(scene.metahub.log()).toMatch(
          /"event":"foreign-derived"[^\n]*"demands":"cpu:broadwell"[^\n]*"runsHere":false/,
        );
        const metrics = await (await fetch(`${scene.metahub.url}/metrics`)).text();
        expect(metrics).toContain('metahub_foreign_derived_total{answer="delivered"} 1');
      });
    },
  );
}
