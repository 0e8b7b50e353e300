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
  let sizeBytes = 0;
  try {
    await body.read((chunk, release) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw tooLarge();
      // Copied, because a released chunk's memory may be the next chunk's.
      chunks.push(Buffer.from(chunk));
      release();
    });
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks, sizeBytes);
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
