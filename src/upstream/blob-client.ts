import type { Digest } from '../oci/digest.ts';
import { type RangeRequest, resolveRange } from '../oci/range.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import type { Blob, BlobOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { SendToChain } from './chain-client.ts';
import { isRedirect, locationOf } from './http/redirect.ts';
import { assertIdentityEncoding, drain } from './http/response-reader.ts';
import type { Reply } from './http/transport.ts';
import { createBlobContent, type OpenedBlob, readBlobHead } from './resumable-blob.ts';

export interface BlobClientOptions {
  readonly ask: SendToChain;
  /** `redirect` hands a redirect to blob storage on; `stream` follows it. */
  readonly mode: 'stream' | 'redirect';
  readonly resumeMs: number;
  readonly onResume: (blob: string, offset: number, reason: string) => void;
}

/** What opening a blob came to: its bytes, or the place to which the registry sends for them. */
type Opening = OpenedBlob | { readonly location: string };

interface Wanted {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly name: string;
  readonly options: BlobOptions;
  readonly range: RangeRequest | undefined;
}

function rangeHeader(range: RangeRequest): string {
  return range.kind === 'suffix' ? `bytes=-${range.length}` : `bytes=${range.first}-${range.last ?? ''}`;
}

/** Bytes that no blob has, however long: registries do not agree on what to make of `500-0` and `-0`, so none is asked. */
function isInNoBlob(range: RangeRequest): boolean {
  return resolveRange(range, Number.MAX_SAFE_INTEGER) === 'unsatisfiable';
}

/** Does the opened part answer `range`? Its end may be clipped by the blob's. */
function grants(opened: OpenedBlob, range: RangeRequest): boolean {
  const { start, end, sizeBytes } = opened;
  if (range.kind === 'suffix') return end === sizeBytes && (end ?? 0) - start <= range.length;
  if (start !== range.first) return false;
  return range.last === undefined ? end === sizeBytes : end !== undefined && end <= range.last + 1;
}

function isOpened(opening: Opening): opening is OpenedBlob {
  return 'body' in opening;
}

/** The way to one source host's blobs. */
export function createBlobClient({ ask, mode, resumeMs, onResume }: BlobClientOptions) {
  function readOpening(reply: Reply, { name, range }: Wanted, blame: () => void): Opening {
    if (isRedirect(reply)) {
      drain(reply);
      return { location: locationOf(reply).href };
    }
    assertIdentityEncoding(reply);
    const opened = readBlobHead(reply, blame);
    if (reply.status === 206 && (range === undefined || !grants(opened, range))) {
      opened.body.cancel();
      throw new RegistryError(
        'UNAVAILABLE',
        `${reply.url.host} sent another part of ${name} than the one asked for`,
      );
    }
    return opened;
  }

  function open(wanted: Wanted, follow: 'any' | 'origin'): Promise<Opening> {
    const { repository, digest, name, options, range } = wanted;
    const asking = {
      method: 'GET',
      path: `/blobs/${digest}`,
      follow,
      isForBlob: true,
      accepts: [200, ...(range ? [206] : []), ...(follow === 'origin' ? [301, 302, 303, 307, 308] : [])],
      ...(range === undefined ? {} : { headers: { range: rangeHeader(range) } }),
    } as const;
    const subject = { name, unknown: 'BLOB_UNKNOWN' } as const;
    return ask(repository, subject, asking, options, (reply, blame) => readOpening(reply, wanted, blame));
  }

  return async (repository: Repository, digest: Digest, options: BlobOptions = {}): Promise<Blob> => {
    const name = `${formatRepository(repository)}@${digest}`;
    if (options.range && isInNoBlob(options.range)) {
      throw new RegistryError('RANGE_INVALID', `${name} has no such part`);
    }
    const wanted: Wanted = { repository, digest, name, options, range: options.range };
    const handsOn = mode === 'redirect' && options.follow !== true;
    const opened = await open(wanted, handsOn ? 'origin' : 'any');
    if (!isOpened(opened)) return { kind: 'redirect', location: opened.location };
    const { start, end, isPart } = opened;
    return createBlobContent({
      digest,
      name,
      opened,
      range: isPart && end !== undefined ? { start, end } : undefined,
      verify: options.verify !== false,
      resumeMs,
      reopen: async (from, to) => {
        const isWhole = from === 0 && !isPart;
        const rest = { kind: 'from', first: from, last: to === undefined ? undefined : to - 1 } as const;
        // What has been begun as bytes is finished as bytes: a redirect is followed from here on.
        const next = await open({ ...wanted, range: isWhole ? undefined : rest }, 'any');
        if (!isOpened(next)) throw new RegistryError('UNAVAILABLE', `${name} was moved while it was read`);
        return next;
      },
      onResume: (offset, reason) => onResume(name, offset, reason),
    });
  };
}
