import type { IncomingMessage } from 'node:http';
import type { FairBudget, Share } from '../lib/fair-budget.ts';
import { MANIFEST_MAX_BYTES } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { Arrival, announcedSize } from './http/reply.ts';

/** How long a client may take to send its manifest, in milliseconds. */
const SEND_MS = 60_000;

function tooLarge(): RegistryError {
  return new RegistryError('MANIFEST_INVALID', 'the manifest is larger than 4 MiB', { status: 413 });
}

/**
 * Reads the request's body into `arrival`.
 * @throws {RegistryError} 408, 413, 503; an Error when the client has left
 */
function readInto(req: IncomingMessage, arrival: Arrival, sendMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = new RegistryError('MANIFEST_INVALID', `the manifest took more than ${sendMs} ms`, {
      status: 408,
    });
    const timer = setTimeout(() => settle(() => reject(late)), sendMs);
    const onData = (chunk: Buffer) => {
      try {
        if (arrival.sizeBytes + chunk.length > MANIFEST_MAX_BYTES) throw tooLarge();
        arrival.add(chunk);
      } catch (error) {
        settle(() => reject(error));
      }
    };
    const onEnd = () => settle(resolve);
    const onClose = () => settle(() => reject(new Error('the client left')));
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      req.off('data', onData).off('end', onEnd).off('close', onClose).pause();
      finish();
    };
    req.on('data', onData).once('end', onEnd).once('close', onClose);
  });
}

/**
 * Reads a manifest that a client pushes into memory, because it may have to be sent again after a challenge.
 * Its memory stays counted until `use` has finished.
 * @throws {RegistryError} 413 when it is too large; 408 when it is too slow; 503 when the client's share of the
 * memory is used up
 */
export async function withManifest(
  req: IncomingMessage,
  { budget, share, sendMs = SEND_MS }: { budget: FairBudget; share: Share; sendMs?: number | undefined },
  use: (bytes: Buffer) => Promise<void>,
): Promise<void> {
  const arrival = new Arrival(budget, share);
  try {
    const announcedBytes = announcedSize({ 'content-length': req.headers['content-length'] ?? '' }) ?? 0;
    if (announcedBytes > MANIFEST_MAX_BYTES) throw tooLarge();
    arrival.reserve(announcedBytes);
    await readInto(req, arrival, sendMs);
    await use(arrival.bytes());
  } finally {
    arrival.free();
  }
}
