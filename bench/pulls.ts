import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { startContainerd } from '../test/support/containerd.ts';
import { startDockerd } from '../test/support/dockerd.ts';
import { freePort } from '../test/support/loopback.ts';
import { run } from '../test/support/processes.ts';
import { openWorkplace, type Workplace } from '../test/support/workplace.ts';
import { pushImageOfLayers } from './content.ts';
import { cpuSeconds, writtenBytes } from './cpu-time.ts';
import { unpin } from './drive.ts';
import { startPacedRegistry } from './paced.ts';
import { startMetahub, startRegistry } from './registries.ts';
import { type Figure, measure } from './rounds.ts';
import type { Section } from './table.ts';

const METAHUB = 'through MetaHub, cold';
const DIRECT = 'from the registry itself';
/** How much longer a pull through MetaHub may take than one from a registry on the same machine. */
const SLOWER_AT_MOST = 1.08;

/** A runtime that pulls `bench/image` through the mirror at a fixed port, or from the registry itself. */
interface Runtime {
  readonly pid: number;
  pull(from: 'mirror' | 'registry'): Promise<unknown>;
  /** Removes every image and layer. */
  forget(): Promise<unknown>;
}

interface Surroundings {
  readonly workplace: Workplace;
  readonly registry: { readonly url: string; readonly pid: number };
  /** Where MetaHub listens, whenever it runs. */
  readonly mirrorPort: number;
}

async function dockerd({ workplace, registry, mirrorPort }: Surroundings): Promise<Runtime> {
  const daemon = await startDockerd(workplace, { mirror: `http://127.0.0.1:${mirrorPort}` });
  const local = registry.url.replace('http://', '');
  return {
    pid: daemon.pid,
    pull: (from) => daemon.pull(from === 'mirror' ? 'bench/image' : `${local}/bench/image`),
    forget: () => daemon.forget(),
  };
}

async function containerd({ workplace, registry, mirrorPort }: Surroundings): Promise<Runtime> {
  const daemon = await startContainerd(workplace, { mirror: `http://127.0.0.1:${mirrorPort}` });
  const images = {
    mirror: 'docker.io/bench/image:latest',
    registry: `${registry.url.slice(7)}/bench/image:latest`,
  };
  return {
    pid: daemon.pid,
    pull: (from) =>
      from === 'mirror'
        ? daemon.pull(images.mirror)
        : daemon.ctr('images', 'pull', '--plain-http', images.registry),
    // Synchronous: when it returns, its garbage collector has removed content and snapshots.
    forget: async () => {
      const names = (await daemon.ctr('images', 'list', '--quiet')).split('\n').filter((name) => name !== '');
      if (names.length > 0) await daemon.ctr('images', 'remove', '--sync', ...names);
    },
  };
}

/** Waits until no process works on the rest of the last pull any more. */
async function settle(pids: readonly number[]): Promise<void> {
  const used = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  for (let before = used(), tries = 0; tries < 20; tries += 1) {
    await delay(200);
    const now = used();
    if (now - before < 0.02) return;
    before = now;
  }
}

/** One pull: the CPU time of all processes that take part in it, and the bytes that they write to disk. */
async function pullOnce(
  { workplace, registry, mirrorPort }: Surroundings,
  runtime: Runtime,
  from: 'mirror' | 'registry',
): Promise<Figure> {
  const data = workplace.folder('metahub-pulls');
  rmSync(data, { recursive: true, force: true });
  await runtime.forget();
  const metahub =
    from === 'mirror'
      ? await startMetahub(workplace, { upstream: registry.url, data, port: mirrorPort })
      : undefined;
  const pids = [runtime.pid, registry.pid, ...(metahub ? [metahub.pid] : [])];
  await unpin(pids);
  await settle(pids);
  await run('sync', []);
  const used = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const [start, cpuBefore, writtenBefore] = [performance.now(), used(), writtenBytes()];
  await runtime.pull(from);
  const rate = 1000 / (performance.now() - start);
  await settle(pids);
  const cpu = used() - cpuBefore;
  await run('sync', []);
  const written = writtenBytes() - writtenBefore;
  await metahub?.stop();
  return { rate, cpu, writtenBytes: written };
}

interface Case {
  readonly runtime: 'dockerd' | 'containerd';
  readonly layers: number;
  readonly layerBytes: number;
  readonly isPaced: boolean;
  readonly goal: number;
}

async function benchCase(workplace: Workplace, rounds: number, asked: Case): Promise<Section> {
  const { layers, layerBytes, isPaced, goal } = asked;
  const registry = isPaced
    ? await startPacedRegistry(workplace, layers, layerBytes)
    : await startRegistry(workplace, `upstream-${asked.runtime}`);
  if (!isPaced) {
    const files = Array.from({ length: layers }, () => randomBytes(layerBytes));
    await pushImageOfLayers(registry.url, 'bench/image', files);
  }
  const surroundings = { workplace, registry, mirrorPort: await freePort() };
  const runtime = await (asked.runtime === 'dockerd' ? dockerd : containerd)(surroundings);
  const pull = (from: 'mirror' | 'registry') => () => pullOnce(surroundings, runtime, from);
  const size = `${layers} x ${Math.round(layerBytes / 1e6)} MB`;
  const pace = isPaced ? ', 20 MB/s a connection' : '';
  return {
    title: `Whole pull by ${asked.runtime}, ${size}${pace}`,
    how: `An empty ${asked.runtime} and an empty MetaHub in each of ${rounds} rounds, all of them on all cores; processor time of the runtime, the registry and MetaHub together; what all disks were given to write.`,
    unit: 'pulls/s',
    measured: await measure(rounds, { [METAHUB]: pull('mirror'), [DIRECT]: pull('registry') }),
    ratios: [{ of: METAHUB, against: DIRECT, goal }],
  };
}

/** A direct pull over a limited connection takes half a minute. */
const PACED_ROUNDS = 3;

const CASES: readonly Case[] = [
  { runtime: 'dockerd', layers: 10, layerBytes: 50e6, isPaced: false, goal: 1 / SLOWER_AT_MOST },
  { runtime: 'containerd', layers: 10, layerBytes: 50e6, isPaced: false, goal: 1 / SLOWER_AT_MOST },
  { runtime: 'dockerd', layers: 1, layerBytes: 500e6, isPaced: true, goal: 4 },
  { runtime: 'dockerd', layers: 10, layerBytes: 50e6, isPaced: true, goal: 1.4 },
];

/** Container runtimes that pull half a gigabyte, directly and through a mirror with an empty cache. */
export async function benchPulls(_: Workplace, rounds: number): Promise<readonly Section[]> {
  const sections: Section[] = [];
  for (const asked of CASES) {
    // Each has its own workplace, because a runtime's directory is removed with it.
    const workplace = openWorkplace();
    try {
      sections.push(
        await benchCase(workplace, asked.isPaced ? Math.min(rounds, PACED_ROUNDS) : rounds, asked),
      );
    } finally {
      await workplace.close();
    }
  }
  return sections;
}
