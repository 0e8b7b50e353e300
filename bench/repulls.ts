import { randomBytes } from 'node:crypto';
import { startContainerd } from '../test/support/containerd.ts';
import { startDockerd } from '../test/support/dockerd.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { pushImageOfLayers } from './content.ts';
import { startMetahub, startRegistry } from './registries.ts';
import type { Outcome } from './rounds.ts';
import type { Section } from './table.ts';

const LAYER_BYTES = 1_000_000;

/** A runtime that pulls by name through the mirror. */
interface Runtime {
  readonly name: string;
  pull(image: string): Promise<unknown>;
  /** Removes the images of these names, with the layers that no other image has. */
  remove(...images: readonly string[]): Promise<unknown>;
}

async function runtimesAt(workplace: Workplace, mirror: string): Promise<readonly Runtime[]> {
  const dockerd = await startDockerd(workplace, { mirror });
  const containerd = await startContainerd(workplace, { mirror });
  const fullName = (image: string) => `docker.io/${image}:latest`;
  return [
    {
      name: 'dockerd',
      pull: (image) => dockerd.pull(image),
      remove: (...images) => dockerd.docker('rmi', '--force', ...images),
    },
    {
      name: 'containerd',
      pull: (image) => containerd.pull(fullName(image)),
      remove: (...images) => containerd.ctr('images', 'remove', '--sync', ...images.map(fullName)),
    },
  ];
}

/** The number of requests for blobs to a mirror, from its metrics. */
async function blobRequests(mirror: string): Promise<number> {
  const text = await (await fetch(`${mirror}/metrics`)).text();
  const lines = text.matchAll(/^metahub_cache_requests_total\{kind="blob",.*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** When a runtime requests blobs that it has had before: how much the mirror of one node could save by storing them. */
export async function benchRepulls(workplace: Workplace): Promise<readonly Section[]> {
  const registry = await startRegistry(workplace, 'upstream');
  const metahub = await startMetahub(workplace, {
    upstream: registry.url,
    data: workplace.folder('metahub'),
    args: ['--tag-max-age', '0s'],
  });
  const layers = Array.from({ length: 6 }, () => randomBytes(LAYER_BYTES));
  const push = (image: string, ...of: readonly number[]) =>
    pushImageOfLayers(
      registry.url,
      image,
      of.flatMap((at) => layers[at] ?? []),
    );
  const outcomes: Outcome[] = [];
  for (const { name, pull, remove } of await runtimesAt(workplace, metahub.url)) {
    const [one, two] = [`bench/${name}-one`, `bench/${name}-two`];
    const count = async (what: string, work: () => Promise<unknown>) => {
      const before = await blobRequests(metahub.url);
      await work();
      const rate = (await blobRequests(metahub.url)) - before;
      outcomes.push({ name: `${name}: ${what}`, rate, cpu: undefined, writtenBytes: undefined });
    };
    await push(one, 0, 1, 2);
    await push(two, 0, 1, 3);
    await count('an image of three layers', () => pull(one));
    await count('the same again', () => pull(one));
    await count('another that shares two of three layers', () => pull(two));
    await push(one, 0, 1, 4);
    await count('its tag moved, one layer is new', () => pull(one));
    await remove(two);
    await count('the other, removed while the first is there', () => pull(two));
    await remove(one, two);
    await count('the first, after everything was pruned', () => pull(one));
  }
  return [
    {
      title: 'Requests for blobs that a runtime has had',
      how: 'Blobs, configurations among them, that the runtime requests of the mirror in each step.',
      unit: 'blobs',
      measured: { outcomes, ratio: () => Number.NaN },
      ratios: [],
    },
  ];
}
