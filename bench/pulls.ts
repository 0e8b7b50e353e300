import { randomBytes } from 'node:crypto';
import { startDockerd } from '../test/support/dockerd.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { pushImageOfLayers } from './content.ts';
import { startMetahub, startRegistry } from './registries.ts';
import { type Figure, measure } from './rounds.ts';
import type { Section } from './table.ts';

const LAYERS = 10;
const LAYER_BYTES = 50 * 1000 * 1000;
const METAHUB = 'through MetaHub, warm';
const DIRECT = 'from the registry itself';

/** A real dockerd that pulls half a gigabyte, directly and through a warm mirror. */
export async function benchPulls(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const registry = await startRegistry(workplace, 'upstream');
  const layers = Array.from({ length: LAYERS }, () => randomBytes(LAYER_BYTES));
  await pushImageOfLayers(registry.url, 'bench/image', layers);
  const metahub = await startMetahub(workplace, {
    upstream: registry.url,
    data: workplace.folder('metahub'),
  });
  const dockerd = await startDockerd(workplace, { mirror: metahub.url });
  const local = registry.url.replace('http://', '');

  const pull = async (image: string): Promise<Figure> => {
    await dockerd.forget();
    const start = performance.now();
    await dockerd.pull(image);
    return { rate: 1000 / (performance.now() - start) };
  };
  await pull('bench/image');
  return [
    {
      title: 'Whole pull by dockerd, 500 MB in 10 layers',
      how: `dockerd's own unpacking is most of it; ${rounds} rounds, every pull into an empty dockerd.`,
      unit: 'pulls/s',
      measured: await measure(rounds, {
        [METAHUB]: () => pull('bench/image'),
        [DIRECT]: () => pull(`${local}/bench/image`),
      }),
      ratios: [{ of: METAHUB, against: DIRECT, goal: 1 / 1.05 }],
    },
  ];
}
