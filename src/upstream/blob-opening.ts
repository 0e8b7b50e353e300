import { formatLocation } from '../lib/url.ts';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import type { RangeRequest } from '../oci/range.ts';
import type { Repository } from '../oci/reference.ts';
import type { BlobOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isWebPage, webPageError } from './errors.ts';
import { bodyOf } from './http/body.ts';
import {
  announcedSize,
  assertIdentityEncoding,
  drain,
  isRedirect,
  locationOf,
  readBody,
  WHOLE,
} from './http/reply.ts';
import type { Reply } from './http/transport.ts';
import { grants, type OpenedBlob, readBlobHead, UnsoundRangeError } from './resumable-blob.ts';
import { DEFAULT_TIMEOUTS } from './settings.ts';

/** The result of opening a blob: its bytes, or the location that the registry redirects to. */
export type Opening = OpenedBlob | { readonly location: string };

export interface Wanted {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly name: string;
  readonly options: BlobOptions;
  readonly range: RangeRequest | undefined;
}

/** True for the whole content with another success status than 200, or with 206 but without a Content-Range. */
function isWholeUnderAnotherName({ status, headers }: Reply, range: RangeRequest | undefined): boolean {
  return (
    WHOLE.includes(status) ||
    (status === 206 && range === undefined && headers['content-range'] === undefined)
  );
}

export function isOpened(opening: Opening): opening is OpenedBlob {
  return 'body' in opening;
}

/** Longer than the page of any captive portal or gateway. */
const PAGE_MAX_BYTES = 1024 * 1024;

/**
 * Opens a response that is labelled as a web page. It may still be the blob, because some registries label
 * everything so; or it is a captive portal's page. So the bytes are read and verified first.
 * @throws {RegistryError} UNAVAILABLE
 */
async function openWebPage(
  reply: Reply,
  { digest, name }: Wanted,
  reportBad: () => void,
): Promise<OpenedBlob> {
  const opened = readBlobHead(reply, reportBad, digest);
  if ((announcedSize(reply.headers) ?? 0) > PAGE_MAX_BYTES) return opened;
  const bytes = await readBody(reply, PAGE_MAX_BYTES, DEFAULT_TIMEOUTS.documentMs);
  if (digestOf(bytes, algorithmOf(digest)) !== digest) throw webPageError(reply, name);
  return { ...opened, body: bodyOf(bytes), end: bytes.length, sizeBytes: bytes.length };
}

/** @throws {RegistryError} UNAVAILABLE when the body is encoded. Perhaps only parts are, and the whole is not. */
function assertUsable(answer: Reply, range: RangeRequest | undefined): void {
  try {
    assertIdentityEncoding(answer);
  } catch (cause) {
    const isPart = range !== undefined && answer.status === 206;
    if (!isPart || !(cause instanceof RegistryError)) throw cause;
    throw new UnsoundRangeError('UNAVAILABLE', cause.message, { cause });
  }
}

/**
 * Reads the head of an answer and checks that it is what was requested.
 * @throws {RegistryError} UNAVAILABLE
 */
export async function readOpening(answer: Reply, wanted: Wanted, reportBad: () => void): Promise<Opening> {
  const { name, digest, range } = wanted;
  if (isRedirect(answer)) {
    drain(answer);
    return { location: formatLocation(locationOf(answer)) };
  }
  assertUsable(answer, range);
  const reply = isWholeUnderAnotherName(answer, range) ? { ...answer, status: 200 } : answer;
  if (reply.status === 200 && isWebPage(reply)) return openWebPage(reply, wanted, reportBad);
  const opened = readBlobHead(reply, reportBad, digest);
  const { start, end, sizeBytes = end } = opened;
  // Some storage answers every request with 206. Here the part is the whole; the digest proves it.
  if (range === undefined && start === 0 && end !== undefined && end === sizeBytes) {
    return { ...opened, sizeBytes, isPart: false };
  }
  if (opened.isPart && (range === undefined || !grants(opened, range))) {
    opened.body.cancel();
    const message = `${reply.url.host} sent another part of ${name} than requested`;
    throw range === undefined
      ? new RegistryError('UNAVAILABLE', message)
      : new UnsoundRangeError('UNAVAILABLE', message);
  }
  return opened;
}
