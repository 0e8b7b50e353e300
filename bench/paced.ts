import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startServer } from '../test/support/processes.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { downloads, SERVER_CORES } from './drive.ts';
import { startMetahub } from './registries.ts';
import { measure } from './rounds.ts';
import type { Section } from './table.ts';

const SERVER = fileURLToPath(new URL('paced-server.mjs', import.meta.url));
const SIZE_BYTES = 200_000_000;
const BYTES_PER_SECOND = 20_000_000;

/** A large blob nobody holds yet, over an upstream that limits each connection. */
export async function benchPaced(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const upstream = await startServer({
    command: 'taskset',
    args: [
      '--cpu-list',
      SERVER_CORES,
      process.execPath,
      SERVER,
      String(SIZE_BYTES),
      String(BYTES_PER_SECOND),
    ],
    ready: /(\d+) (sha256:[0-9a-f]{64})/,
  });
  workplace.onClose(() => upstream.stop());
  const [, port = '', digest = ''] = upstream.announced;
  const url = `http://127.0.0.1:${port}`;
  const path = `/v2/library/big/blobs/${digest}`;

  async function through(connections: string) {
    const data = workplace.folder('metahub-paced');
    rmSync(data, { recursive: true, force: true });
    const metahub = await startMetahub(workplace, {
      upstream: url,
      data,
      args: ['--blob-connections', connections],
    });
    const figure = await downloads(
      { url: metahub.url + path, pid: metahub.pid },
      { clients: 1, sizeBytes: SIZE_BYTES },
    );
    await metahub.stop();
    return figure;
  }
  const direct = () =>
    downloads({ url: url + path, pid: upstream.pid }, { clients: 1, sizeBytes: SIZE_BYTES });
  return [
    {
      title: 'Cold blob, 20 MB/s a connection',
      how: `200 MB from an upstream that limits each connection to 20 MB/s, a new and empty MetaHub in each of ${rounds} rounds, GB/s as the client sees it.`,
      unit: 'GB/s',
      measured: await measure(rounds, {
        MetaHub: () => through('8'),
        'MetaHub, --blob-connections off': () => through('off'),
        direct,
      }),
      ratios: [
        { of: 'MetaHub', against: 'direct', goal: 4 },
        { of: 'MetaHub, --blob-connections off', against: 'direct' },
      ],
    },
  ];
}
