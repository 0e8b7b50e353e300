import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startServer } from '../test/support/processes.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { cpuSeconds } from './cpu-time.ts';
import { downloads, SERVER_CORES } from './drive.ts';
import { type Contender, startBare, startMetahub } from './registries.ts';
import { type Figure, measure } from './rounds.ts';
import type { Section } from './table.ts';

const SERVER = fileURLToPath(new URL('paced-server.ts', import.meta.url));
export const PACE_BYTES_PER_SECOND = 20_000_000;

/** Starts a registry that limits each connection. Resolves with the paths of its image's layers too. */
export async function startPacedRegistry(workplace: Workplace, layers: number, layerBytes: number) {
  const server = await startServer({
    command: 'taskset',
    args: [
      ...['--cpu-list', SERVER_CORES, process.execPath, '--import', 'tsx', SERVER],
      ...[layers, layerBytes, PACE_BYTES_PER_SECOND].map(String),
    ],
    ready: /^(\d+) (sha256:.+)/,
  });
  workplace.onClose(() => server.stop());
  const [, port = '', digests = ''] = server.announced;
  const paths = digests.split(' ').map((digest) => `/v2/bench/image/blobs/${digest}`);
  return { url: `http://127.0.0.1:${port}`, pid: server.pid, paths };
}

/** What a tar archive adds to its one file: the header and the archive's end. */
const TAR_BYTES = 3 * 512;
const LARGE_BYTES = 200_000_000;
const SMALL_BYTES = 20_000_256;

/** One large blob that no cache has, from an upstream that limits each connection. */
async function benchRanges(workplace: Workplace, rounds: number): Promise<Section> {
  const upstream = await startPacedRegistry(workplace, 1, LARGE_BYTES);
  const [path = ''] = upstream.paths;
  const load = { clients: 1, sizeBytes: LARGE_BYTES + TAR_BYTES };

  async function through(connections: string) {
    const data = workplace.folder('metahub-paced');
    rmSync(data, { recursive: true, force: true });
    const args = ['--blob-connections', connections];
    const metahub = await startMetahub(workplace, { upstream: upstream.url, data, args });
    const figure = await downloads({ url: metahub.url + path, pid: metahub.pid }, load);
    await metahub.stop();
    return figure;
  }
  return {
    title: 'Cold blob, 20 MB/s a connection',
    how: `200 MB from an upstream that limits each connection to 20 MB/s, a new and empty MetaHub in each of ${rounds} rounds, GB/s as the client sees it.`,
    unit: 'GB/s',
    measured: await measure(rounds, {
      MetaHub: () => through('8'),
      'MetaHub, --blob-connections off': () => through('off'),
      direct: () => downloads({ url: upstream.url + path, pid: upstream.pid }, load),
    }),
    ratios: [
      { of: 'MetaHub', against: 'direct', goal: 4 },
      { of: 'MetaHub, --blob-connections off', against: 'direct' },
    ],
  };
}

/** Ten blobs at once, each arriving slowly, in a process that has done the same before. */
async function benchSlowArrivals(workplace: Workplace, rounds: number): Promise<Section> {
  const upstream = await startPacedRegistry(workplace, 50, SMALL_BYTES);
  // V8 compiles what runs often while the first of them arrive.
  const [measured, ...warmUps] = [40, 0, 10, 20, 30].map((from) => upstream.paths.slice(from, from + 10));

  const emptied = (name: string) => {
    rmSync(workplace.folder(name), { recursive: true, force: true });
    return workplace.folder(name);
  };
  const metahub = (...args: readonly string[]) =>
    startMetahub(workplace, { upstream: upstream.url, data: emptied('metahub-slow'), args });
  const bare = () => startBare(workplace, ['relay', upstream.url, emptied('bare-slow')]);

  async function through(start: () => Promise<Contender>): Promise<Figure> {
    const { url, pid, stop } = await start();
    const fetchAll = (paths: readonly string[] = []) =>
      Promise.all(
        paths.map((path) =>
          downloads({ url: url + path, pid }, { clients: 1, sizeBytes: SMALL_BYTES + TAR_BYTES }),
        ),
      );
    for (const paths of warmUps) await fetchAll(paths);
    const [startMs, before] = [performance.now(), cpuSeconds(pid)];
    await fetchAll(measured);
    const gigabytes = (10 * SMALL_BYTES) / 1e9;
    const seconds = (performance.now() - startMs) / 1000;
    const cpu = (cpuSeconds(pid) - before) / gigabytes;
    await stop();
    return { rate: gigabytes / seconds, cpu };
  }
  const found = await measure(rounds, {
    MetaHub: () => through(() => metahub()),
    'MetaHub, cache off': () => through(() => metahub('--cache', 'off')),
    'bare socket, hash and file': () => through(bare),
  });
  return {
    title: 'Slow arrivals',
    how: `Ten cold blobs of 20 MB at once, each at 20 MB/s, through a MetaHub that has fetched forty others, ${rounds} rounds.`,
    unit: 'GB/s',
    measured: found,
    ratios: [],
    limits: [{ what: 'CPU for one GB', value: found.outcomes[0]?.cpu ?? Number.NaN, unit: 's', atMost: 2.2 }],
  };
}

/** Blobs from an upstream that limits each connection. */
export async function benchPaced(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  return [await benchRanges(workplace, rounds), await benchSlowArrivals(workplace, rounds)];
}
