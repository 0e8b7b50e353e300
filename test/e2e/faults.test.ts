import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { startDockerd } from '../support/dockerd.ts';
import { lineOf, pushImageSet } from '../support/image-set.ts';
import { type BodyFault, type Interposer, startInterposer } from '../support/interposer.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { openPodman } from '../support/podman.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const BENCH = 'docker.io/qnib/bench:latest';

/** What these tests ask of a runtime. */
interface Runtime {
  pull(image: string): Promise<string>;
  run(image: string): Promise<string>;
  /** Forgets the images and their content. */
  forget(): Promise<unknown>;
}

type StartRuntime = (workplace: Workplace, mirror: string) => Promise<Runtime>;

const RUNTIMES: readonly (readonly [string, readonly string[], StartRuntime])[] = [
  ['dockerd', ['dockerd', 'docker'], (workplace, mirror) => startDockerd(workplace, { mirror })],
  [
    'containerd',
    ['containerd', 'ctr', 'runc'],
    async (workplace, mirror) => {
      const containerd = await startContainerd(workplace, { mirror });
      return { ...containerd, forget: () => containerd.ctr('images', 'remove', '--sync', BENCH) };
    },
  ],
  [
    'podman',
    ['podman', 'runc'],
    async (workplace, mirror) => {
      const podman = openPodman(workplace, { mirror });
      return { ...podman, forget: () => podman.podman('rmi', '--all', '--force') };
    },
  ],
];

for (const [name, programs, start] of RUNTIMES) {
  describeWith([...MIRRORED_REGISTRY, ...programs], `${name}, when the registry behind MetaHub fails`, () => {
    let workplace: Workplace;
    let registry: DockerRegistry;
    let link: Interposer;
    let metahub: Metahub;
    let runtime: Runtime;
    let faultFor: (exchange: string) => BodyFault | undefined;

    beforeEach(async () => {
      workplace = openWorkplace();
      registry = await startDockerRegistry(workplace);
      await pushImageSet(workplace, registry);
      faultFor = () => undefined;
      link = await startInterposer(workplace, registry.url, (exchange) => faultFor(exchange));
      metahub = await startMetahub(workplace, { upstream: link.url, host: 'cpu:broadwell' });
      runtime = await start(workplace, metahub.url);
    });
    afterEach(() => workplace.close());

    test('an image that was pulled once is pulled again while the registry is gone', async () => {
      await runtime.pull(BENCH);
      await runtime.forget();
      await registry.stop();
      await metahub.restart();
      await runtime.pull(BENCH);
      expect(await runtime.run(BENCH)).toBe(lineOf('cpu:broadwell'));
    });

    test('a blob that breaks off is taken up where it broke', async () => {
      const broken = new Set<string>();
      faultFor = (exchange) => {
        if (!/^GET \S+\/blobs\/\S+ 200$/.test(exchange) || broken.has(exchange)) return undefined;
        broken.add(exchange);
        return 'truncated';
      };
      await runtime.pull(BENCH);
      expect(broken.size).toBeGreaterThan(0);
      expect(link.exchanges.filter((exchange) => exchange.endsWith(' 206'))).toHaveLength(broken.size);
      expect(await runtime.run(BENCH)).toBe(lineOf('cpu:broadwell'));
    });

    describe('a blob with a flipped bit', () => {
      test('never becomes an image, and does not outlast the fault', async () => {
        faultFor = (exchange) => (/^GET \S+\/blobs\/\S+ 20\d$/.test(exchange) ? 'corrupted' : undefined);
        await expect(runtime.pull(BENCH)).rejects.toThrow();
        faultFor = () => undefined;
        await runtime.pull(BENCH);
        expect(await runtime.run(BENCH)).toBe(lineOf('cpu:broadwell'));
      });
    });
  });
}
