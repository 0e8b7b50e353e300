import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { startDockerd } from '../support/dockerd.ts';
import { lineOf, type PushedIndex, pushImageSet, pushIndex } from '../support/image-set.ts';
import {
  type BeforeAnswer,
  type BodyFault,
  type Interposer,
  startInterposer,
} from '../support/interposer.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { openPodman } from '../support/podman.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const BENCH = 'docker.io/qnib/bench:latest';

/** The mirror cuts a blob whose bytes are wrong: containerd and podman ask for it again, and give up. */
const CUT = /\/blobs\/sha256:[0-9a-f]{64}(?:\?ns=docker\.io)?": EOF/;
/** dockerd turns to Docker Hub itself, which cannot be reached, or has no such image. */
const TURNED_TO_HUB = /registry-1\.docker\.io|pull access denied for qnib\//;

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
  describeWith([...MIRRORED_REGISTRY, ...programs], `${name}, when MetaHub’s disk is full`, () => {
    const workplace = openWorkplace();
    afterAll(() => workplace.close());

    test('fault 31: the disk is full: the image is streamed, and the pull succeeds', async () => {
      const data = workplace.folder('metahub');
      // Room for the answers of its own, and for no layer.
      await run('mount', ['-t', 'tmpfs', '-o', 'size=160k', 'tmpfs', data]);
      const registry = await startDockerRegistry(workplace);
      await pushImageSet(workplace, registry);
      // By default the bound fits the file system and a floor of free space is kept, so that it never fills.
      const args = ['--cache-size', '1GiB', '--cache-min-free', '0'];
      const metahub = await startMetahub(workplace, { upstream: registry.url, host: 'cpu:broadwell', args });
      const runtime = await start(workplace, metahub.url);
      await runtime.pull(BENCH);
      expect(await runtime.run(BENCH)).toBe(lineOf('cpu:broadwell'));
      expect(metahub.log()).toContain('the disk is full');
    });
  });

  describeWith([...MIRRORED_REGISTRY, ...programs], `${name}, when the registry behind MetaHub fails`, () => {
    let workplace: Workplace;
    let registry: DockerRegistry;
    let link: Interposer;
    let metahub: Metahub;
    let runtime: Runtime;
    let faultFor: BeforeAnswer;

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

    const isLayer = (exchange: string) => /^GET \S+\/blobs\/\S+ 20[06]$/.test(exchange);

    /** Lets a fault happen to the first answer with each blob. */
    function spoilFirstAnswers(fault: BodyFault): ReadonlySet<string> {
      const spoilt = new Set<string>();
      faultFor = (exchange) => {
        if (!/^GET \S+\/blobs\/\S+ 20[06]$/.test(exchange) || spoilt.has(exchange)) return undefined;
        spoilt.add(exchange);
        return fault;
      };
      return spoilt;
    }

    async function expectPulled(): Promise<void> {
      await runtime.pull(BENCH);
      expect(await runtime.run(BENCH)).toBe(lineOf('cpu:broadwell'));
    }

    test('fault 1: connection refused: an image that was pulled once is pulled again, after a restart too', async () => {
      await runtime.pull(BENCH);
      await runtime.forget();
      await registry.stop();
      await metahub.restart();
      await expectPulled();
    });

    test.each(['truncated', 'reset'] as const)(
      'fault 6: reset mid-blob: %s, it is taken up where it broke',
      async (fault) => {
        const broken = spoilFirstAnswers(fault);
        await expectPulled();
        expect(broken.size).toBeGreaterThan(0);
        // Each blob is requested as a range once, and a broken one once more, from where it broke.
        const ranges = link.exchanges.filter((exchange) => exchange.endsWith(' 206'));
        expect(ranges.length - new Set(ranges).size).toBe(broken.size);
      },
    );

    test('fault 10: wrong digest: a blob with a flipped bit never becomes an image, and does not outlast the fault', async () => {
      faultFor = (exchange) => (isLayer(exchange) ? 'corrupted' : undefined);
      await expect(runtime.pull(BENCH)).rejects.toThrow(name === 'dockerd' ? TURNED_TO_HUB : CUT);
      faultFor = () => undefined;
      await expectPulled();
    });

    test('fault 23: 429 with Retry-After: an image that was pulled once is pulled again', async () => {
      await runtime.pull(BENCH);
      await runtime.forget();
      await metahub.restart();
      faultFor = () => 'refused';
      await expectPulled();
      expect(metahub.log()).toContain('served stale');
    });

    test('fault 35: kill -9 mid-write: killed in the middle of a layer, it has the image whole in the end', async () => {
      let killing: Promise<void> | undefined;
      faultFor = async (exchange) => {
        if (!isLayer(exchange) || killing !== undefined) return undefined;
        killing = metahub.killAndRestart();
        await killing;
        return 'truncated';
      };
      // Without a registry to fall back to, a runtime may give up; whoever asked for the image asks again.
      await runtime.pull(BENCH).catch(async () => {
        await killing;
        await runtime.pull(BENCH);
      });
      expect(killing).toBeDefined();
      expect(await runtime.run(BENCH)).toBe(lineOf('cpu:broadwell'));
    });
  });
}

describeWith([...MIRRORED_REGISTRY, 'dockerd', 'docker'], 'dockerd, when MetaHub is stopped', () => {
  const workplace = openWorkplace();
  afterAll(() => workplace.close());

  test('fault 41: SIGTERM mid-pull: the pull that runs is finished first', async () => {
    const registry = await startDockerRegistry(workplace);
    await pushImageSet(workplace, registry);
    // The configuration and the layer: nothing else is asked for after them.
    let blobs = 0;
    let bothAsked = () => {};
    const asked = new Promise<void>((resolve) => {
      bothAsked = resolve;
    });
    let goOn = () => {};
    const released = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const link = await startInterposer(workplace, registry.url, async (exchange) => {
      if (!exchange.includes('/blobs/')) return undefined;
      blobs += 1;
      if (blobs === 2) bothAsked();
      await released;
      return undefined;
    });
    const metahub = await startMetahub(workplace, { upstream: link.url, host: 'cpu:broadwell' });
    const dockerd = await startDockerd(workplace, { mirror: metahub.url });
    const pulled = dockerd.pull(BENCH);
    await asked;
    const stopped = metahub.stop();
    await expect.poll(() => metahub.log()).toContain('"event":"stopping"');
    goOn();
    await pulled;
    expect(await stopped).toBe(0);
    expect(metahub.log()).not.toContain('pulls cut');
    expect(await dockerd.run(BENCH)).toBe(lineOf('cpu:broadwell'));
  });
});

describeWith([...MIRRORED_REGISTRY, 'dockerd', 'docker'], 'dockerd, when no entry runs on this host', () => {
  const IMAGE = 'qnib/newer';
  let workplace: Workplace;
  let registry: DockerRegistry;
  let index: PushedIndex;
  beforeEach(async () => {
    workplace = openWorkplace();
    registry = await startDockerRegistry(workplace);
    index = await pushIndex(workplace, registry, IMAGE, 'docker', [
      { optimizedFor: 'cpu:skylake', features: ['cpu:skylake'] },
      { optimizedFor: 'arm64', architecture: 'arm64', variant: 'v8' },
    ]);
  });
  afterEach(() => workplace.close());

  test('--on-no-match refuse: the pull is refused, and the log says why', async () => {
    const metahub = await startMetahub(workplace, { upstream: registry.url, host: 'cpu:broadwell' });
    const dockerd = await startDockerd(workplace, { mirror: metahub.url });
    await expect(dockerd.pull(IMAGE)).rejects.toThrow(TURNED_TO_HUB);
    expect(metahub.log()).toMatch(/"event":"decided"[^\n]*qnib\/newer[^\n]*cpu:skylake/);
    // Other platforms are not this host's to refuse.
    await dockerd.pull(IMAGE, '--platform', 'linux/arm64');
  });

  test('--on-no-match upstream: the pull gets what the registry has', async () => {
    const args = ['--on-no-match', 'upstream'];
    const metahub = await startMetahub(workplace, { upstream: registry.url, host: 'cpu:broadwell', args });
    const dockerd = await startDockerd(workplace, { mirror: metahub.url });
    await dockerd.pull(IMAGE);
    expect(await dockerd.digestsOf(IMAGE)).toEqual([index.digest]);
    expect(await dockerd.run(IMAGE)).toBe(lineOf('cpu:skylake'));
  });
});
