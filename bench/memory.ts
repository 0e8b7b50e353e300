import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Workplace } from '../test/support/workplace.ts';
import { pushRandomBlob } from './content.ts';
import { residentBytes } from './cpu-time.ts';
import { downloads } from './drive.ts';
import { startMetahub, startRegistry } from './registries.ts';

const READERS = 64;
const SIZE_BYTES = 100 * 1000 * 1000;
const WATCHED_MS = 10_000;
/** Bytes a reader takes every tick: 100 MB would last far longer than anyone watches. */
const SIP_BYTES = 64 * 1024;
const TICK_MS = 100;

export interface MemoryFigure {
  readonly idleBytes: number;
  readonly peakBytes: number;
}

/** A client that reads a little and then pauses, again and again. */
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

/** The resident memory of the mirror while 64 slow clients read a held blob of 100 MB each. */
export async function benchMemory(workplace: Workplace): Promise<MemoryFigure> {
  const registry = await startRegistry(workplace, 'upstream');
  const { path } = await pushRandomBlob(registry.url, SIZE_BYTES);
  const metahub = await startMetahub(workplace, {
    upstream: registry.url,
    data: workplace.folder('metahub'),
  });
  const idleBytes = residentBytes(metahub.pid);
  const url = metahub.url + path;
  await downloads({ url, pid: metahub.pid }, { clients: 1, sizeBytes: SIZE_BYTES });
  const readers = Array.from({ length: READERS }, () => slowReader(new URL(url)));
  let peakBytes = 0;
  const end = performance.now() + WATCHED_MS;
  while (performance.now() < end) {
    await delay(TICK_MS);
    peakBytes = Math.max(peakBytes, residentBytes(metahub.pid));
  }
  for (const reader of readers) reader.destroy();
  return { idleBytes, peakBytes };
}
