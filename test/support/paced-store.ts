import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRange, resolveRange } from '../../src/oci/range.ts';
import { type Handler, startServer } from './hostile-registry.ts';
import { afterTest, closing } from './upstream.ts';

/** Handles a request in place of serving it; `nth` counts from 0. */
export type Misdeed = (
  nth: number,
  request: IncomingMessage,
  response: ServerResponse,
) => 'served' | 'not mine';

export interface PacedStore {
  readonly url: string;
  readonly digest: Digest;
  readonly bytes: Buffer;
  /** The Range header of each request, oldest first. */
  ranges(): readonly (string | undefined)[];
  /** Bytes of bodies handed to sockets so far. */
  sentBytes(): number;
  /** The maximum number of concurrent responses. */
  mostAtOnce(): number;
  /** The number of responses in progress. */
  underWay(): number;
}

const PIECE_BYTES = 128 * 1024;

/** Bytes without a period, generated fast: a range at a wrong offset never has the right bytes. */
export function aperiodicBytes(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let offset = 0; offset + 8 <= sizeBytes; offset += 8) {
    bytes.writeUInt32LE(offset / 8, offset);
    bytes.writeUInt32LE(Math.imul(offset + 1, 2654435761) >>> 0, offset + 4);
  }
  return bytes;
}

interface PacedBlob {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

const blobs = new Map<number, PacedBlob>();

/** The one blob of a size. Making and hashing it takes longer than most tests that read it. */
function blobOf(sizeBytes: number): PacedBlob {
  const made = blobs.get(sizeBytes);
  if (made !== undefined) return made;
  const bytes = aperiodicBytes(sizeBytes);
  const blob = { bytes, digest: digestOf(bytes) };
  blobs.set(sizeBytes, blob);
  return blob;
}

/**
 * A registry with one blob that serves ranges and limits the speed of each response, as content delivery networks
 * do.
 */
export async function startPacedStore(
  sizeBytes: number,
  { pauseMs = 3, misdeed = () => 'not mine' as const }: { pauseMs?: number; misdeed?: Misdeed } = {},
): Promise<PacedStore> {
  const { bytes, digest } = blobOf(sizeBytes);
  let sent = 0;
  let now = 0;
  let most = 0;
  let nth = -1;
  let closed = false;
  afterTest(() => {
    closed = true;
  });

  async function send(part: Buffer, response: ServerResponse): Promise<void> {
    now += 1;
    most = Math.max(most, now);
    for (let at = 0; at < part.length && !response.destroyed && !closed; at += PIECE_BYTES) {
      const piece = part.subarray(at, at + PIECE_BYTES);
      sent += piece.length;
      response.write(piece);
      // A limit of bytes by time needs a clock: this is not a wait for an event.
      await delay(pauseMs);
    }
    now -= 1;
    response.end();
  }
  const handler: Handler = (request, response) => {
    nth += 1;
    if (misdeed(nth, request, response) === 'served') return;
    const asked = parseRange(request.headers.range ?? '');
    const range = asked && resolveRange(asked, sizeBytes);
    if (range === 'unsatisfiable') return void response.writeHead(416, { 'content-length': 0 }).end();
    const { start, end } = range ?? { start: 0, end: sizeBytes };
    response.writeHead(range ? 206 : 200, {
      'content-length': end - start,
      etag: '"one"',
      ...(range ? { 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` } : {}),
    });
    void send(bytes.subarray(start, end), response);
  };
  const server = closing(await startServer(handler));
  return {
    url: server.url,
    digest,
    bytes,
    ranges: () => server.requests.map(({ headers }) => headers['range'] as string | undefined),
    sentBytes: () => sent,
    mostAtOnce: () => most,
    underWay: () => now,
  };
}
