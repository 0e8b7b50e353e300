import { rmSync } from 'node:fs';
import type { Workplace } from '../test/support/workplace.ts';
import { pushRandomBlob } from './content.ts';
import { downloads } from './drive.ts';
import { type Contender, startBare, startMetahub, startRegistry } from './registries.ts';
import { type Figure, measure } from './rounds.ts';
import type { Section } from './table.ts';

const METAHUB = 'MetaHub';
const THROUGH = 'docker-registry pull-through';
/** Verifies no digest, syncs nothing, and never reads the file again. */
const BARE = 'bare socket, hash and file';
/** As in the measurements that the goals come from: with less, the compiling of a new process weighs more. */
const SIZE_BYTES = 1_000_000_000;
/** The size of a blob requested first, so that a server's own start is not measured. */
const FIRST_BYTES = 4 * 1024 * 1024;

/** Bytes of blobs that docker-registry has sent, from its access log. */
function sentBytes({ output }: Contender): number {
  const lines = output().matchAll(/"GET \S*\/blobs\/\S* HTTP\/1\.1" 20[06] (\d+)/g);
  return [...lines].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}

/** A blob that no cache has: streamed, hashed and stored, for one client and for four at once. */
export async function benchCold(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const upstream = await startRegistry(workplace, 'upstream', { accessLog: true });
  const first = await pushRandomBlob(upstream.url, FIRST_BYTES);
  const { path } = await pushRandomBlob(upstream.url, SIZE_BYTES);
  const fetched: Record<string, number> = {};

  async function cold(name: string, clients: number, start: () => Promise<Contender>): Promise<Figure> {
    const server = await start();
    const { url, pid } = server;
    await downloads({ url: url + first.path, pid }, { clients: 1, sizeBytes: FIRST_BYTES });
    const before = sentBytes(upstream);
    const figure = await downloads({ url: url + path, pid }, { clients, sizeBytes: SIZE_BYTES });
    await server.stop();
    fetched[`${name} ${clients}`] = (sentBytes(upstream) - before) / SIZE_BYTES;
    return figure;
  }
  const metahub = () => {
    const data = workplace.folder('metahub-cold');
    rmSync(data, { recursive: true, force: true });
    return startMetahub(workplace, { upstream: upstream.url, data });
  };
  const through = () => startRegistry(workplace, 'through', { remote: upstream.url });
  const bare = () => {
    const folder = workplace.folder('bare-cold');
    return startBare(workplace, ['relay', upstream.url, folder]);
  };
  const over = (clients: number) =>
    measure(rounds, {
      [METAHUB]: () => cold(METAHUB, clients, metahub),
      [THROUGH]: () => cold(THROUGH, clients, through),
      ...(clients === 1 ? { [BARE]: () => cold(BARE, clients, bare) } : {}),
    });
  const times = (clients: number) =>
    `Fetched from upstream: MetaHub ${fetched[`${METAHUB} ${clients}`]?.toFixed(2)} times, docker-registry ${fetched[`${THROUGH} ${clients}`]?.toFixed(2)} times.`;
  const one = await over(1);
  const four = await over(4);
  const how = `1 GB, a new and empty server in each of ${rounds} rounds, another blob first, GB/s as the client sees it.`;
  return [
    {
      title: 'Cold blob, one client',
      how: `${how} ${times(1)}`,
      unit: 'GB/s',
      measured: one,
      ratios: [
        { of: METAHUB, against: THROUGH, goal: 1.5 },
        { of: BARE, against: THROUGH },
        { of: METAHUB, against: BARE },
      ],
      limits: [
        { what: 'CPU for one GB', value: one.outcomes[0]?.cpu ?? Number.NaN, unit: 's', atMost: 1.5 },
        {
          what: 'bytes from upstream',
          value: fetched[`${METAHUB} 1`] ?? Number.NaN,
          unit: 'times',
          atMost: 1,
        },
      ],
    },
    {
      title: 'Cold blob, four clients at once',
      how: `${how} ${times(4)}`,
      unit: 'GB/s',
      measured: four,
      ratios: [{ of: METAHUB, against: THROUGH, goal: 2 }],
      limits: [
        {
          what: 'bytes from upstream',
          value: fetched[`${METAHUB} 4`] ?? Number.NaN,
          unit: 'times',
          atMost: 1,
        },
      ],
    },
  ];
}
