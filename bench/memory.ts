import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Workplace } from '../test/support/workplace.ts';
import { pushRandomBlob } from './content.ts';
import { residentBytes } from './cpu-time.ts';
import { downloads } from './drive.ts';
import { startPacedRegistry } from './paced.ts';
import { startMetahub, startRegistry } from './registries.ts';
import type { Section } from './table.ts';

const READERS = 64;
const SIZE_BYTES = 100 * 1000 * 1000;
const LARGE_BYTES = 200_000_000;
const WATCHED_MS = 10_000;
/** Bytes that a reader takes each tick: 100 MB last far longer than the measurement. */
const SIP_BYTES = 64 * 1024;
const TICK_MS = 100;

/** A client that repeatedly reads a little and then pauses. */
function slowReader(url: URL): Socket {
  const socket = connect({ host: url.hostname, port: Number(url.port) });
  socket.write(`GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`);
  let taken = 0;
  socket.on('data', (chunk) => {
    taken += chunk.length;
    if (taken < SIP_BYTES) return;
    taken = 0;
    socket.pause();
    setTimeout(() => socket.resume(), TICK_MS);
  });
  return socket;
}

/** The maximum resident memory of a process within the next seconds, in bytes. */
async function peakOf(pid: number): Promise<number> {
  let peakBytes = 0;
  const end = performance.now() + WATCHED_MS;
  while (performance.now() < end) {
    await delay(TICK_MS);
    peakBytes = Math.max(peakBytes, residentBytes(pid));
  }
  return peakBytes;
}

/** Memory while 64 slow clients each read a stored blob of 100 MB, and after the start. */
async function ofSlowReaders(workplace: Workplace) {
  const registry = await startRegistry(workplace, 'upstream');
  const { path } = await pushRandomBlob(registry.url, SIZE_BYTES);
  const data = workplace.folder('metahub');
  const metahub = await startMetahub(workplace, { upstream: registry.url, data });
  const idleBytes = residentBytes(metahub.pid);
  const url = metahub.url + path;
  await downloads({ url, pid: metahub.pid }, { clients: 1, sizeBytes: SIZE_BYTES });
  const readers = Array.from({ length: READERS }, () => slowReader(new URL(url)));
  const peakBytes = await peakOf(metahub.pid);
  for (const reader of readers) reader.destroy();
  return { idleBytes, peakBytes };
}

/** Memory while four large blobs arrive in parallel ranges. */
async function ofParallelRanges(workplace: Workplace): Promise<number> {
  const upstream = await startPacedRegistry(workplace, 4, LARGE_BYTES);
  const data = workplace.folder('metahub-ranges');
  const { url, pid } = await startMetahub(workplace, { upstream: upstream.url, data });
  const clients = upstream.paths.map((path) => get(url + path, (response) => response.resume()));
  const peakBytes = await peakOf(pid);
  for (const client of clients) client.on('error', () => {}).destroy();
  return peakBytes;
}

/** The resident memory of a mirror under load. */
export async function benchMemory(workplace: Workplace): Promise<readonly Section[]> {
  const { idleBytes, peakBytes } = await ofSlowReaders(workplace);
  const rangesBytes = await ofParallelRanges(workplace);
  const outcome = (name: string, bytes: number) => ({
    name,
    rate: bytes / 1e6,
    cpu: undefined,
    writtenBytes: undefined,
  });
  return [
    {
      title: 'Memory',
      how: `The most that is resident within ${WATCHED_MS / 1000} s: 64 slow clients of a held blob of 100 MB; four cold blobs of 200 MB in parallel ranges.`,
      unit: 'MB',
      measured: {
        outcomes: [
          outcome('after the start', idleBytes),
          outcome('64 slow clients', peakBytes),
          outcome('four blobs in parallel ranges', rangesBytes),
        ],
        ratio: () => Number.NaN,
      },
      ratios: [],
      limits: [
        { what: '64 slow clients', value: peakBytes / 1e6, unit: 'MB', atMost: 110 },
        { what: 'four blobs in parallel ranges', value: rangesBytes / 1e6, unit: 'MB', atMost: 250 },
      ],
    },
  ];
}
