import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../lib/lru.ts';
import type { WebLocation } from '../lib/url.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { type ByteRange, formatRange, isInNoBlob, type RangeRequest, rangeFrom } from '../oci/range.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import type { Blob, BlobOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isOpened, type Opening, readOpening, type Wanted } from './blob-opening.ts';
import { fromNetworkError, fromStatus, isAbort, mayRefuseRange } from './errors.ts';
import type { ChainClient } from './failover.ts';
import { BrokenBodyError } from './http/body.ts';
import { drain, followRedirects, WHOLE } from './http/reply.ts';
import { type Outgoing, type Reply, type Transport, USER_AGENT } from './http/transport.ts';
import { ParallelBody } from './parallel-body.ts';
import type { RangeBudget } from './range-budget.ts';
import { isThrottled } from './repetition.ts';
import { createBlobContent, type OpenedBlob, UnsoundRangeError } from './resumable-blob.ts';

export interface BlobClientOptions {
  readonly ask: ChainClient['ask'];
  /** Sends what goes past the registry: to a location that it named. */
  readonly send: Transport['send'];
  readonly budget: RangeBudget;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** `redirect` passes a redirect to blob storage on to the client; `stream` follows it. */
  readonly mode: 'stream' | 'redirect';
  /** True when MetaHub would follow a redirect to this location; otherwise no client is redirected there either. */
  readonly mayFollow: (location: string) => Promise<boolean>;
  readonly resumeMs: number;
  readonly onResume: (blob: string, offset: number, reason: string) => void;
}

/** Never requested in ranges: for an empty blob registries answer 416, or close the connection. */
const EMPTY_BLOB = parseDigest('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
/** Blobs of this size or more are fetched in ranges over several connections. */
const PARALLEL_MIN_BYTES = 32 * 1024 * 1024;
/** The first range shows the size of a blob and whether its host supports ranges. Most blobs are no larger. */
const FIRST_RANGE_BYTES = 8 * 1024 * 1024;
const WHOLE_ONLY_MS = 10 * 60_000;
/** The same for a registry that limits requests: a range is one more request. */
const THROTTLED_MS = 60_000;
const HOSTS_MAX = 500;

function boundsOf(range: RangeRequest | undefined): ByteRange {
  if (range?.kind !== 'from') return { start: 0, end: Number.POSITIVE_INFINITY };
  return { start: range.first, end: range.last === undefined ? Number.POSITIVE_INFINITY : range.last + 1 };
}

/** True for a failure of the first range after which the blob is requested in one piece. */
function isAboutRange(error: unknown, { range }: Wanted): boolean {
  if (error instanceof UnsoundRangeError) return true;
  if (range !== undefined) return false;
  return mayRefuseRange(error) || (error instanceof RegistryError && error.code === 'RANGE_INVALID');
}

/** A GET of bytes `start` to `end` at a location that a registry named, without a login. Follows redirects. */
async function askLocation(
  send: Transport['send'],
  location: WebLocation,
  { start, end }: ByteRange,
  signal: AbortSignal | undefined,
): Promise<Reply> {
  const headers = {
    'accept-encoding': 'identity',
    'user-agent': USER_AGENT,
    range: `bytes=${start}-${end - 1}`,
  };
  const outgoing: Outgoing = { method: 'GET', ...location, headers, signal };
  try {
    return await followRedirects(send, outgoing, await send(outgoing));
  } catch (error) {
    if (isAbort(error) || signal?.aborted) throw error;
    throw fromNetworkError(error, location.url.host);
  }
}

/** A location gets no login. */
const ELSEWHERE = { isAuthorized: false, isElsewhere: true };

/** Fetches the blobs of one source host. */
export class BlobClient {
  readonly #options: BlobClientOptions;
  /**
   * Registries that do not answer ranges properly, or limit requests: for a while each blob, or its rest, is
   * one request. Monotonic milliseconds by host.
   */
  readonly #wholeOnlyUntil = new LRUCache<string, number>(entriesAtMost(HOSTS_MAX));

  constructor(options: BlobClientOptions) {
    this.#options = options;
  }

  async get(repository: Repository, digest: Digest, options: BlobOptions = {}): Promise<Blob> {
    const { mode, mayFollow } = this.#options;
    const name = `${formatRepository(repository)}@${digest}`;
    if (options.range && isInNoBlob(options.range)) {
      throw new RegistryError('RANGE_INVALID', `${name} has no such part`);
    }
    const wanted: Wanted = { repository, digest, name, options, range: options.range };
    const handsOn = mode === 'redirect' && options.follow !== true;
    const first = handsOn ? await this.#open(wanted, 'origin') : await this.#openAny(wanted);
    const isHandedOn = !isOpened(first) && (await mayFollow(first.location));
    if (!isOpened(first) && isHandedOn) return { kind: 'redirect', location: first.location };
    // MetaHub does not redirect the client there, so it follows itself; that fails with the reason.
    const opened = isOpened(first) ? first : await this.#openAny(wanted);
    if (!isOpened(opened)) throw new RegistryError('UNAVAILABLE', `${name} moved while it was requested`);
    return this.#contentOf(wanted, opened);
  }

  #contentOf(wanted: Wanted, opened: OpenedBlob): Blob {
    const { resumeMs, onResume } = this.#options;
    const { digest, name, options } = wanted;
    const { start, end, isPart } = opened;
    return createBlobContent({
      digest,
      name,
      opened,
      range: isPart && end !== undefined ? { start, end } : undefined,
      verify: options.verify !== false,
      resumeMs,
      reopen: async (from, to, failure) => {
        if (isThrottled(failure)) this.#noteWholeOnly(wanted, THROTTLED_MS);
        const isWhole = from === 0 && !isPart;
        const part = { ...wanted, range: isWhole ? undefined : rangeFrom(from, to) };
        // Once bytes were sent to the client, it cannot be redirected: MetaHub follows redirects from here on.
        const next = await (to === undefined ? this.#open(part, 'any') : this.#openAny(part)).catch(
          (error) => {
            // The whole blob is requested instead; what the client already has is skipped.
            if (isPart || !(error instanceof UnsoundRangeError || mayRefuseRange(error))) throw error;
            return this.#open({ ...wanted, range: undefined }, 'any');
          },
        );
        if (!isOpened(next)) throw new RegistryError('UNAVAILABLE', `${name} moved while it was being read`);
        return next;
      },
      onResume: (offset, reason) => onResume(name, offset, reason),
    });
  }

  #open(wanted: Wanted, follow: 'any' | 'origin'): Promise<Opening> {
    const { repository, digest, name, options, range } = wanted;
    const asking = {
      method: 'GET',
      path: `/blobs/${digest}`,
      follow,
      isForBlob: true,
      accepts: [...WHOLE, 206, ...(follow === 'origin' ? [301, 302, 303, 307, 308] : [])],
      ...(range === undefined ? {} : { headers: { range: formatRange(range) } }),
    } as const;
    const subject = { name, unknown: 'BLOB_UNKNOWN' } as const;
    return this.#options.ask(repository, subject, asking, options, (reply, reportBad) =>
      readOpening(reply, wanted, reportBad),
    );
  }

  /** Opens the blob in ranges if the registry supports them and the blob is large, otherwise whole. */
  async #openAny(wanted: Wanted): Promise<Opening> {
    const { budget, now } = this.#options;
    const { host } = wanted.repository;
    const isParallel =
      budget.connectionsPerHost > 1 &&
      wanted.range?.kind !== 'suffix' &&
      (this.#wholeOnlyUntil.get(host) ?? 0) <= now();
    const first = isParallel ? await this.#openInRanges(wanted) : undefined;
    if (first !== undefined && first !== 'refused') return first;
    const whole = await this.#open(wanted, 'any');
    if (first === 'refused') this.#noteWholeOnly(wanted);
    return whole;
  }

  #noteWholeOnly({ repository }: Wanted, ms = WHOLE_ONLY_MS): void {
    const { host } = repository;
    const untilMs = this.#options.now() + ms;
    this.#wholeOnlyUntil.set(host, Math.max(untilMs, this.#wholeOnlyUntil.get(host) ?? untilMs));
  }

  /** Opens the first range, and the rest in parallel when the blob is large. Undefined when that is impossible. */
  async #openInRanges(wanted: Wanted): Promise<OpenedBlob | 'refused' | undefined> {
    const { start, end: wantedEnd } = boundsOf(wanted.range);
    if (wanted.digest === EMPTY_BLOB || wantedEnd - start < PARALLEL_MIN_BYTES) return undefined;
    const first = await this.#openFirstRange(wanted, start);
    if (first === undefined || first === 'refused' || !first.isPart) return first;
    const { sizeBytes } = first;
    if (sizeBytes === undefined || first.end === undefined) {
      first.body.cancel();
      this.#noteWholeOnly(wanted);
      return undefined;
    }
    const isPart = wanted.range !== undefined;
    const end = Math.min(wantedEnd, sizeBytes);
    if (first.end >= end) return { ...first, isPart };
    const { budget, resumeMs: retryMs, onResume } = this.#options;
    const open = this.#rangeOpener(wanted, first);
    let isReported = false;
    // Once, because a registry may refuse hundreds of ranges.
    const onRepeat = (offset: number, reason: string) => {
      if (!isReported) onResume(wanted.name, offset, reason);
      isReported = true;
    };
    const body = new ParallelBody({ first, end, host: first.host, open, budget, retryMs, onRepeat });
    return { ...first, body, end, isPart };
  }

  /** Opens the range that shows the blob's size. `refused` or undefined when the registry does not support ranges. */
  async #openFirstRange(wanted: Wanted, start: number): Promise<OpenedBlob | 'refused' | undefined> {
    const range = rangeFrom(start, start + FIRST_RANGE_BYTES);
    try {
      const first = await this.#open({ ...wanted, range }, 'any');
      return isOpened(first) ? first : undefined;
    } catch (error) {
      if (error instanceof UnsoundRangeError) this.#noteWholeOnly(wanted);
      if (!isAboutRange(error, wanted)) throw error;
      return mayRefuseRange(error) ? 'refused' : undefined;
    }
  }

  /** Opens further ranges of the blob, at the location that `first` was redirected to while that is valid. */
  #rangeOpener(wanted: Wanted, first: OpenedBlob) {
    let location = first.location;
    return async (start: number, end: number, signal: AbortSignal): Promise<OpenedBlob> => {
      const options = { ...wanted.options, signal };
      const range = rangeFrom(start, end);
      const opened =
        (location && (await this.#openAt(location, { start, end }, wanted, first.reportBad, signal))) ??
        (await this.#open({ ...wanted, options, range }, 'any'));
      if (!isOpened(opened)) throw new BrokenBodyError(`${wanted.name} moved while it was being read`);
      const isSameVersion = opened.etag === first.etag && opened.sizeBytes === first.sizeBytes;
      if (opened.isPart && opened.start === start && isSameVersion) {
        location = opened.location;
        return opened;
      }
      opened.body.cancel();
      if (!opened.isPart) this.#noteWholeOnly(wanted);
      throw new BrokenBodyError(
        opened.isPart ? 'a range of another version was sent' : 'the whole was sent instead of a range',
      );
    };
  }

  /** A signed location serves many ranges until it expires. Undefined: the registry must be asked for a new one. */
  async #openAt(
    location: WebLocation,
    range: ByteRange,
    wanted: Wanted,
    reportBad: () => void,
    signal: AbortSignal,
  ): Promise<OpenedBlob | undefined> {
    const reply = await askLocation(this.#options.send, location, range, signal);
    if (reply.status !== 206 && reply.status !== 200) {
      drain(reply);
      // A busy host is as busy at a new location.
      const isBusy = reply.status === 429 || reply.status >= 500;
      if (isBusy) throw fromStatus(reply, { name: wanted.name, unknown: 'BLOB_UNKNOWN' }, ELSEWHERE);
      return undefined;
    }
    const asked = { ...wanted, range: rangeFrom(range.start, range.end) };
    const opened = await readOpening(reply, asked, reportBad);
    return isOpened(opened) ? opened : undefined;
  }
}
