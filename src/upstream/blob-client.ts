import { LRUCache } from 'lru-cache';
import { formatLocation, type WebLocation } from '../lib/address.ts';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { type ByteRange, type RangeRequest, resolveRange } from '../oci/range.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import type { Blob, BlobOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isWebPage, webPageError } from './errors.ts';
import type { ChainClient } from './failover.ts';
import { BrokenBodyError, bodyOf } from './http/body.ts';
import {
  announcedSize,
  assertIdentityEncoding,
  drain,
  isRedirect,
  locationOf,
  readBody,
} from './http/reply.ts';
import type { Reply } from './http/transport.ts';
import { ParallelBody } from './parallel-body.ts';
import type { RangeBudget } from './range-budget.ts';
import { createBlobContent, type OpenedBlob, readBlobHead, UnsoundRangeError } from './resumable-blob.ts';
import { DEFAULT_TIMEOUTS } from './settings.ts';

export interface BlobClientOptions {
  readonly ask: ChainClient['ask'];
  /** A bare GET of bytes `start` to `end` at a location that a registry named: no login, redirects followed. */
  readonly askLocation: (
    location: WebLocation,
    range: ByteRange,
    signal: AbortSignal | undefined,
  ) => Promise<Reply>;
  readonly budget: RangeBudget;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** `redirect` hands a redirect to blob storage on; `stream` follows it. */
  readonly mode: 'stream' | 'redirect';
  /** Would this mirror itself follow a redirect there? Else no client is sent there either. */
  readonly mayFollow: (location: string) => Promise<boolean>;
  readonly resumeMs: number;
  readonly onResume: (blob: string, offset: number, reason: string) => void;
}

/** An empty blob has no range at all: registries answer 416, or close the connection. */
const EMPTY_BLOB = digestOf(Buffer.alloc(0));
/** Blobs from this size on are fetched in ranges over several connections. */
const PARALLEL_MIN_BYTES = 32 * 1024 * 1024;
/** The range that finds out how large a blob is and whether its host serves ranges: most blobs are no larger. */
const FIRST_RANGE_BYTES = 8 * 1024 * 1024;
const WHOLE_ONLY_MS = 10 * 60_000;
const HOSTS_MAX = 500;

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

/**
 * Statuses of the content itself. Of 203 a gateway may have changed it, and 201 and 202 are for other methods: the digest tells.
 */
export const WHOLE = [200, 201, 202, 203];

/** Is it the whole, under another success than 200 or as a part that says nothing of which one it is? */
function isWholeUnderAnotherName({ status, headers }: Reply, range: RangeRequest | undefined): boolean {
  return (
    WHOLE.includes(status) ||
    (status === 206 && range === undefined && headers['content-range'] === undefined)
  );
}

function isOpened(opening: Opening): opening is OpenedBlob {
  return 'body' in opening;
}

function boundsOf(range: RangeRequest | undefined): {
  readonly start: number;
  readonly end: number | undefined;
} {
  if (range?.kind !== 'from') return { start: 0, end: undefined };
  return { start: range.first, end: range.last === undefined ? undefined : range.last + 1 };
}

/** Longer than any page that stands in for a registry's answer. */
const PAGE_MAX_BYTES = 1024 * 1024;

/**
 * Bytes that are labelled as a web page may be the blob all the same: some registries label everything so. As they may as
 * well be a captive portal's page, of which even the length would be wrong, they are read and checked before they are used.
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

/** The way to one source host's blobs. */
export function createBlobClient(client: BlobClientOptions) {
  const { ask, askLocation, budget, now, mode, mayFollow, resumeMs, onResume } = client;

  async function readOpening(answer: Reply, wanted: Wanted, reportBad: () => void): Promise<Opening> {
    const { name, digest, range } = wanted;
    if (isRedirect(answer)) {
      drain(answer);
      return { location: formatLocation(locationOf(answer)) };
    }
    assertIdentityEncoding(answer);
    const reply = isWholeUnderAnotherName(answer, range) ? { ...answer, status: 200 } : answer;
    if (reply.status === 200 && isWebPage(reply)) return openWebPage(reply, wanted, reportBad);
    const opened = readBlobHead(reply, reportBad, digest);
    const { start, end, sizeBytes = end } = opened;
    // Some storage grants every request as a part: all of it is what was asked for. The digest tells whether it is all.
    if (range === undefined && start === 0 && end !== undefined && end === sizeBytes) {
      return { ...opened, sizeBytes, isPart: false };
    }
    if (opened.isPart && (range === undefined || !grants(opened, range))) {
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
      accepts: [...WHOLE, 206, ...(follow === 'origin' ? [301, 302, 303, 307, 308] : [])],
      ...(range === undefined ? {} : { headers: { range: rangeHeader(range) } }),
    } as const;
    const subject = { name, unknown: 'BLOB_UNKNOWN' } as const;
    return ask(repository, subject, asking, options, (reply, reportBad) =>
      readOpening(reply, wanted, reportBad),
    );
  }

  /** Registries that answered a range with something else: for a while blobs are requested whole. */
  const wholeOnlyUntil = new LRUCache<string, number>({ max: HOSTS_MAX });
  const servesRanges = ({ host }: Repository) => (wholeOnlyUntil.get(host) ?? 0) <= now();
  const noteWholeOnly = ({ repository }: Wanted) =>
    void wholeOnlyUntil.set(repository.host, now() + WHOLE_ONLY_MS);

  /** Opens ranges of the blob that `first` is a part of, at the location where that was found as long as it holds. */
  function rangeOpener(wanted: Wanted, first: OpenedBlob) {
    let location = first.location;
    return async (start: number, end: number, signal: AbortSignal): Promise<OpenedBlob> => {
      const options = { ...wanted.options, signal };
      const range = { kind: 'from', first: start, last: end - 1 } as const;
      const opened =
        (location && (await openAt(location, { start, end }, wanted, first.reportBad, signal))) ??
        (await open({ ...wanted, options, range }, 'any'));
      if (!isOpened(opened)) throw new BrokenBodyError(`${wanted.name} was moved while it was read`);
      const isSameVersion = opened.etag === first.etag && opened.sizeBytes === first.sizeBytes;
      if (opened.isPart && opened.start === start && isSameVersion) {
        location = opened.location;
        return opened;
      }
      opened.body.cancel();
      if (!opened.isPart) noteWholeOnly(wanted);
      throw new BrokenBodyError(
        opened.isPart ? 'a range of another version was sent' : 'the whole was sent instead of a range',
      );
    };
  }

  /** A signed location serves many ranges until it expires; undefined: the registry is to be asked for a new one. */
  async function openAt(
    location: WebLocation,
    range: ByteRange,
    wanted: Wanted,
    reportBad: () => void,
    signal: AbortSignal,
  ): Promise<OpenedBlob | undefined> {
    const reply = await askLocation(location, range, signal);
    if (reply.status !== 206 && reply.status !== 200) {
      drain(reply);
      return undefined;
    }
    const asked = { kind: 'from', first: range.start, last: range.end - 1 } as const;
    const opened = await readOpening(reply, { ...wanted, range: asked }, reportBad);
    return isOpened(opened) ? opened : undefined;
  }

  /** Opens a first range of what is wanted, and the rest in parallel where the blob is large; undefined: not to be had so. */
  async function openInRanges(wanted: Wanted): Promise<OpenedBlob | undefined> {
    const { start, end: wantedEnd } = boundsOf(wanted.range);
    if (wanted.digest === EMPTY_BLOB) return undefined;
    if ((wantedEnd ?? Number.POSITIVE_INFINITY) - start < PARALLEL_MIN_BYTES) return undefined;
    let first: Opening;
    try {
      const range = { kind: 'from', first: start, last: start + FIRST_RANGE_BYTES - 1 } as const;
      first = await open({ ...wanted, range }, 'any');
    } catch (error) {
      if (error instanceof UnsoundRangeError) noteWholeOnly(wanted);
      const isAboutRange =
        error instanceof UnsoundRangeError ||
        (error instanceof RegistryError && error.code === 'RANGE_INVALID' && wanted.range === undefined);
      if (isAboutRange) return undefined;
      throw error;
    }
    if (!isOpened(first)) return undefined;
    if (!first.isPart) return first;
    const { sizeBytes } = first;
    if (sizeBytes === undefined || first.end === undefined) {
      first.body.cancel();
      noteWholeOnly(wanted);
      return undefined;
    }
    const isPart = wanted.range !== undefined;
    const end = Math.min(wantedEnd ?? sizeBytes, sizeBytes);
    if (first.end >= end) return { ...first, isPart };
    const body = new ParallelBody({
      first,
      end,
      host: first.host,
      open: rangeOpener(wanted, first),
      budget,
      retryMs: resumeMs,
      now,
    });
    return { ...first, body, end, isPart };
  }

  return async (repository: Repository, digest: Digest, options: BlobOptions = {}): Promise<Blob> => {
    const name = `${formatRepository(repository)}@${digest}`;
    if (options.range && isInNoBlob(options.range)) {
      throw new RegistryError('RANGE_INVALID', `${name} has no such part`);
    }
    const wanted: Wanted = { repository, digest, name, options, range: options.range };
    const handsOn = mode === 'redirect' && options.follow !== true;
    const openAny = async (part: Wanted) => {
      const isParallel =
        budget.connectionsPerHost > 1 && part.range?.kind !== 'suffix' && servesRanges(repository);
      return (isParallel ? await openInRanges(part) : undefined) ?? (await open(part, 'any'));
    };
    const first = handsOn ? await open(wanted, 'origin') : await openAny(wanted);
    const isHandedOn = !isOpened(first) && (await mayFollow(first.location));
    if (!isOpened(first) && isHandedOn) return { kind: 'redirect', location: first.location };
    // Followed, it is refused with the reason.
    const opened = isOpened(first) ? first : await openAny(wanted);
    if (!isOpened(opened)) throw new RegistryError('UNAVAILABLE', `${name} was moved while it was asked for`);
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
        const next = await (to === undefined ? open : openAny)(
          { ...wanted, range: isWhole ? undefined : rest },
          'any',
        );
        if (!isOpened(next)) throw new RegistryError('UNAVAILABLE', `${name} was moved while it was read`);
        return next;
      },
      onResume: (offset, reason) => onResume(name, offset, reason),
    });
  };
}
