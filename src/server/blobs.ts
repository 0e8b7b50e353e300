import type { IncomingMessage } from 'node:http';
import type { HeaderList } from '../lib/http.ts';
import { type ByteRange, parseRange, type RangeRequest } from '../oci/range.ts';
import type { BlobContent, BlobInfo, BlobOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { etagOf, isKnownToClient, rangeCounts } from './request-validation.ts';
import {
  COMMON_HEADERS,
  cacheControl,
  type HttpExchange,
  isHeaderValue,
  NO_STORE,
  sendEmpty,
} from './response.ts';
import type { BlobRoute } from './routes.ts';

function identityHeaders({ digest }: BlobInfo, isPrivate: boolean): HeaderList {
  return [
    ...['Docker-Content-Digest', digest, 'ETag', etagOf(digest), 'Accept-Ranges', 'bytes'],
    ...cacheControl(isPrivate, true),
  ];
}

/** The length is a number: `strictContentLength` takes no string before Node.js 20.19.5 and 22.15 (nodejs/node#57456). */
function lengthHeaders(sizeBytes: number | undefined, range: ByteRange | undefined): HeaderList {
  if (range !== undefined) {
    const part = `bytes ${range.start}-${range.end - 1}/${sizeBytes ?? '*'}`;
    return ['Content-Length', range.end - range.start, 'Content-Range', part];
  }
  return sizeBytes === undefined ? [] : ['Content-Length', sizeBytes];
}

/** The time since the bytes were stored or confirmed. @see https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3 */
function ageOf({ ageMs }: BlobInfo): HeaderList {
  return ageMs === undefined ? [] : ['Age', String(Math.floor(ageMs / 1000))];
}

export function blobHeaders(info: BlobInfo, isPrivate: boolean, range?: ByteRange): (string | number)[] {
  return [
    ...COMMON_HEADERS,
    ...identityHeaders(info, isPrivate),
    'Content-Type',
    'application/octet-stream',
    ...lengthHeaders(info.sizeBytes, range),
    ...ageOf(info),
  ];
}

/** The range that a GET requests; HEAD has none. @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2 */
export function rangeAsked({ headers }: IncomingMessage, { digest }: BlobRoute): RangeRequest | undefined {
  const { range, 'if-range': ifRange } = headers;
  if (range === undefined || !rangeCounts(typeof ifRange === 'string' ? ifRange : undefined, digest)) {
    return undefined;
  }
  return parseRange(range);
}

/** The options of a GET. `signal` stays a getter, because the signal is created when it is first read. */
function blobOptions(exchange: HttpExchange, route: BlobRoute): BlobOptions {
  const { options } = exchange;
  const { access, via, client, revalidate } = options;
  return {
    ...{ access, via, client, revalidate, range: rangeAsked(exchange.req, route) },
    get signal() {
      return options.signal;
    },
  };
}

async function sendContent({ res, isPrivate }: HttpExchange, content: BlobContent): Promise<void> {
  if (res.destroyed) {
    content.cancel();
    return;
  }
  // Fewer or more bytes than announced are an error, not an answer that looks complete.
  res.strictContentLength = true;
  try {
    res.writeHead(content.range === undefined ? 200 : 206, blobHeaders(content, isPrivate, content.range));
  } catch (error) {
    content.cancel();
    throw error;
  }
  await content.writeTo(res);
  res.end();
}

/** Adds the size of the blob to a 416 that lacks it, if the registry tells it. */
async function withSize(exchange: HttpExchange, route: BlobRoute, error: unknown): Promise<unknown> {
  const isBare =
    error instanceof RegistryError && error.code === 'RANGE_INVALID' && !error.headers['content-range'];
  if (!isBare) return error;
  const { sizeBytes } = await exchange.registry.statBlob(route.repository, route.digest, exchange.options);
  if (sizeBytes === undefined) return error;
  return new RegistryError(error.code, error.message, {
    cause: error,
    headers: { ...error.headers, 'content-range': `bytes */${sizeBytes}` },
  });
}

/**
 * Answers a request for a blob. GET opens the blob, HEAD asks for its size only; both send the same headers.
 * Rejects when the body cannot be completed; the caller must then break the connection, so that the answer does not
 * look complete.
 */
export async function answerBlob(exchange: HttpExchange, route: BlobRoute): Promise<void> {
  const { req, res, registry, options, isPrivate } = exchange;
  const isKnown = isKnownToClient(req.headers['if-none-match'], route.digest);
  if (isKnown || req.method === 'HEAD') {
    const info = await registry.statBlob(route.repository, route.digest, options);
    if (isKnown) return sendEmpty(res, 304, identityHeaders(info, isPrivate));
    res.writeHead(200, blobHeaders(info, isPrivate));
    res.end();
    return;
  }
  const blob = await registry
    .blob(route.repository, route.digest, blobOptions(exchange, route))
    .catch(async (error: unknown) => {
      throw await withSize(exchange, route, error);
    });
  if (blob.kind === 'content') return sendContent(exchange, blob);
  if (!isHeaderValue(blob.location)) throw new RegistryError('UNAVAILABLE', 'malformed redirect');
  sendEmpty(res, 307, ['Location', blob.location, 'Docker-Content-Digest', route.digest, ...NO_STORE]);
}
