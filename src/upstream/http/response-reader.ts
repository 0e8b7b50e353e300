import { ByteBudget } from '../../lib/byte-budget.ts';
import { TurnQueue } from '../../lib/queue.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import type { Reply } from './transport.ts';

/** Responses that nobody wants to the end are read so far, to keep their connection, and cut off beyond. */
const DISCARD_MAX_BYTES = 64 * 1024;

/**
 * Refuses a body that is not the bytes themselves: we asked for `identity`, so anything else is a gateway's doing (or a
 * bomb), and would be stored under the wrong digest.
 * @throws {RegistryError} UNAVAILABLE.
 */
export function assertIdentityEncoding({ headers, body, url }: Reply): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding === '' || encoding.toLowerCase() === 'identity') return;
  body.cancel();
  throw new RegistryError(
    'UNAVAILABLE',
    `${url.host} sent ${encoding}-encoded content where none was accepted`,
  );
}

/** The size a response announces, in bytes; undefined when it does not. */
export function announcedSize(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers['content-length'];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** A document up to this size is bounded by the number of requests in flight; of a larger one the rest is budgeted. */
const SMALL_BYTES = 64 * 1024;
/** Large documents that arrive at the same time, in bytes: a registry that sends slowly must not fill the memory. */
const DOCUMENT_MEMORY = new ByteBudget(64 * 1024 * 1024);
/** Reading a large document takes milliseconds: many that arrive together are read one per turn. */
const LARGE_DOCUMENTS = new TurnQueue();

/** 503 with the time after which another try makes sense; no fault of the registry's. */
export function memoryExhausted(): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', 'this mirror is receiving as many large documents as it may', {
    status: 503,
    headers: { 'retry-after': '1' },
  });
}

/**
 * A response's whole body, of at most `maxBytes`, within `timeoutMs`.
 * @throws {RegistryError} UNAVAILABLE when it is encoded, larger, or does not arrive.
 */
export async function readBody(reply: Reply, maxBytes: number, timeoutMs: number): Promise<Buffer> {
  assertIdentityEncoding(reply);
  const { body, headers, url } = reply;
  const tooLarge = () =>
    new RegistryError('UNAVAILABLE', `${url.host} sent more than ${maxBytes} bytes for ${url.pathname}`);
  if ((announcedSize(headers) ?? 0) > maxBytes) {
    body.cancel();
    throw tooLarge();
  }
  const late = new RegistryError(
    'UNAVAILABLE',
    `${url.host} took more than ${timeoutMs} ms for ${url.pathname}`,
    {
      status: 504,
    },
  );
  const timer = setTimeout(() => body.cancel(late), timeoutMs);
  const chunks: Buffer[] = [];
  const reserved: (() => void)[] = [];
  let sizeBytes = 0;
  try {
    await body.read((chunk, release) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw tooLarge();
      if (sizeBytes > SMALL_BYTES) {
        const free = DOCUMENT_MEMORY.tryTake(chunk.length);
        if (free === undefined) throw memoryExhausted();
        reserved.push(free);
      }
      // Copied, because a released chunk's memory may be the next chunk's.
      chunks.push(Buffer.from(chunk));
      release();
    });
    clearTimeout(timer);
    if (sizeBytes > SMALL_BYTES) await LARGE_DOCUMENTS.next();
    return Buffer.concat(chunks, sizeBytes);
  } finally {
    clearTimeout(timer);
    for (const free of reserved) free();
  }
}

/** Lets go of a response whose head said everything. */
export function drain({ body }: Reply): void {
  let sizeBytes = 0;
  body
    .read((chunk, release) => {
      sizeBytes += chunk.length;
      release();
      if (sizeBytes > DISCARD_MAX_BYTES) body.cancel();
    })
    .catch(() => {
      // Nobody waits for these bytes: what becomes of them changes nothing.
    });
}
