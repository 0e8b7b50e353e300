import type { Hash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { WebLocation } from '../lib/url.ts';
import { pipeInto, type SinkWatch, watchSink } from '../lib/writable.ts';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import type { ByteRange, RangeRequest } from '../oci/range.ts';
import type { BlobContent } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { type Body, BrokenBodyError } from './http/body.ts';
import { announcedSize } from './http/reply.ts';
import { waitBeforeRepeat } from './repetition.ts';

export interface BlobSource {
  readonly digest: Digest;
  /** `docker.io/library/alpine@sha256:…`, for messages. */
  readonly name: string;
  readonly opened: OpenedBlob;
  /** Set when a range was requested and the registry sent it. */
  readonly range: ByteRange | undefined;
  readonly verify: boolean;
  /** Opens the rest again after a failure, from `start` to the end of the requested bytes, at any endpoint. */
  readonly reopen: (start: number, end: number | undefined, failure: unknown) => Promise<OpenedBlob>;
  /** Pause before the blob is opened again, in milliseconds. Doubled by each fruitless try. */
  readonly resumeMs: number;
  readonly onResume: (offset: number, reason: string) => void;
}

/** After this many consecutive fruitless tries the download fails. */
const FRUITLESS_TRIES_MAX = 4;
/** A try that brings fewer bytes than this is fruitless. */
export const FRUITFUL_MIN_BYTES = 16 * 1024;
/** Limit of all resumptions: a registry that drops the connection after every few bytes is not worth more. */
const RESUMES_MAX = 100;

/** The state of a copy across all its responses. */
interface Progress {
  position: number;
  end: number | undefined;
  hash: Hash | undefined;
  hasWritten: boolean;
}

/** The received bytes are not the blob. */
class WrongBytesError extends RegistryError {}

function mismatch({ digest, name }: BlobSource): WrongBytesError {
  return new WrongBytesError(
    'UNAVAILABLE',
    `the upstream's bytes for ${name} do not have the digest ${digest}`,
  );
}

function hasDigest({ hash }: Progress, digest: Digest): boolean {
  return hash === undefined || finishDigest(hash.copy(), algorithmOf(digest)) === digest;
}

/**
 * Copies one response from `progress.position` on, and skips what comes before. Resolves when all writes have
 * ended.
 */
async function copyOnce(source: BlobSource, opened: OpenedBlob, progress: Progress, sink: Writable) {
  const { body } = opened;
  let skipBytes = progress.position - opened.start;
  const { write, drained } = pipeInto(sink);
  await body.read((whole, release) => {
    const skipped = Math.min(skipBytes, whole.length);
    skipBytes -= skipped;
    const room = progress.end === undefined ? whole.length : progress.end - progress.position;
    const chunk = whole.subarray(skipped);
    if (chunk.length === 0) return release();
    if (chunk.length > room) {
      throw new WrongBytesError('UNAVAILABLE', `${source.name} is longer than announced`);
    }
    progress.hash?.update(chunk);
    progress.position += chunk.length;
    // The last chunk waits until the digest is verified: a wrong blob must never look complete.
    if (progress.position === progress.end && !hasDigest(progress, source.digest)) throw mismatch(source);
    progress.hasWritten = true;
    write(chunk, release);
  });
  await drained();
}

/** True when everything has arrived. Without an announced size only the digest shows that. */
function isComplete({ digest }: BlobSource, progress: Progress): boolean {
  return progress.end === undefined ? hasDigest(progress, digest) : progress.position === progress.end;
}

/** Opens the blob again at the position that was reached when `failure` happened. */
async function resume(source: BlobSource, progress: Progress, failure: unknown): Promise<OpenedBlob> {
  const { position } = progress;
  const next = await source.reopen(position, progress.end, failure);
  const isOther =
    next.sizeBytes !== undefined &&
    source.opened.sizeBytes !== undefined &&
    next.sizeBytes !== source.opened.sizeBytes;
  if (next.start > position || isOther) {
    next.body.cancel();
    throw new BrokenBodyError('another part than requested was sent');
  }
  if (source.range === undefined) progress.end ??= next.sizeBytes;
  return next;
}

async function copy(
  source: BlobSource,
  sink: Writable,
  onOpened: (opened: OpenedBlob) => void,
  signal: AbortSignal,
): Promise<void> {
  const { opened, range, verify, digest } = source;
  const isWhole = range === undefined || (range.start === 0 && range.end === opened.sizeBytes);
  const begin = (): Progress => ({
    position: range?.start ?? 0,
    end: range?.end ?? opened.sizeBytes,
    hash: isWhole && verify ? hashFor(digest) : undefined,
    hasWritten: false,
  });
  let progress = begin();
  let current: OpenedBlob | undefined = opened;
  let fruitless = 0;
  let failure: unknown;
  for (let resumes = 0; ; resumes += 1) {
    const before = progress.position;
    try {
      current ??= await resume(source, progress, failure);
      onOpened(current);
      signal.throwIfAborted();
      await copyOnce(source, current, progress, sink);
      if (isComplete(source, progress)) break;
      failure = new BrokenBodyError('the upstream ended early');
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'RANGE_INVALID') throw mismatch(source);
      const isOnlyWrong = error instanceof WrongBytesError && !progress.hasWritten;
      if (!isOnlyWrong && !(error instanceof BrokenBodyError) && !isUnavailable(error, current)) throw error;
      failure = error;
      // No byte was passed on yet, so another endpoint or another try may deliver the right bytes.
      if (isOnlyWrong) progress = begin();
    }
    const isFruitful = progress.position - before >= FRUITFUL_MIN_BYTES;
    fruitless = isFruitful ? 0 : fruitless + 1;
    if (!isFruitful) current?.reportBad();
    current = undefined;
    const reason = (failure as Error).message;
    if (fruitless >= FRUITLESS_TRIES_MAX || resumes >= RESUMES_MAX) {
      throw new RegistryError(
        'UNAVAILABLE',
        `${source.name} broke off at byte ${progress.position}: ${reason}`,
      );
    }
    source.onResume(progress.position, reason);
    const waitMs = waitBeforeRepeat(failure, source.resumeMs * 2 ** fruitless);
    await delay(waitMs, undefined, { signal });
  }
  if (!hasDigest(progress, digest)) throw mismatch(source);
}

/** True when reopening failed, as opposed to wrong bytes from an open response. */
function isUnavailable(error: unknown, current: OpenedBlob | undefined): boolean {
  if (current !== undefined || !(error instanceof RegistryError)) return false;
  return error.code === 'UNAVAILABLE' || error.code === 'TOOMANYREQUESTS';
}

/** A blob that is resumed after broken connections, and verified when it is read whole. */
export function createBlobContent(source: BlobSource): BlobContent {
  let current: OpenedBlob = source.opened;
  const senders = new Set([current]);
  const cancel = (reason?: Error) => current.body.cancel(reason);
  const distrust = () => {
    for (const { reportBad } of senders) reportBad();
  };
  return {
    kind: 'content',
    digest: source.digest,
    sizeBytes: source.opened.sizeBytes,
    range: source.range,
    cancel: () => cancel(),
    distrust,
    writeTo: async (sink) => {
      let watch: SinkWatch | undefined;
      const gone = new Promise<never>((_, reject) => {
        watch = watchSink(sink, reject);
      });
      const given = new AbortController();
      const onOpened = (opened: OpenedBlob) => {
        current = opened;
        senders.add(opened);
        if (given.signal.aborted) cancel();
      };
      try {
        await Promise.race([copy(source, sink, onOpened, given.signal), gone]);
      } catch (error) {
        given.abort();
        cancel(error as Error);
        if (error instanceof WrongBytesError) distrust();
        throw error;
      } finally {
        watch?.stop();
      }
    },
  };
}

/** A response that contains a blob or a part of it, with its head parsed. */
export interface OpenedBlob {
  readonly body: Body;
  /** True when it contains a requested part. */
  readonly isPart: boolean;
  /** The offsets in the blob at which the body begins and ends; the end only if known. */
  readonly start: number;
  readonly end: number | undefined;
  /** The size of the whole blob, if known. */
  readonly sizeBytes: number | undefined;
  /** The sender's `HOST[:PORT]`, the entity tag (strong or weak), and the location if a redirect led there. */
  readonly host: string;
  readonly etag: string | undefined;
  readonly location: WebLocation | undefined;
  /** Reports that the bytes are wrong, so that this endpoint is tried last for a while. */
  readonly reportBad: () => void;
}

/** True when the part is what `range` requests. It may end earlier, at the end of the blob. */
export function grants(opened: OpenedBlob, range: RangeRequest): boolean {
  const { start, end, sizeBytes } = opened;
  if (range.kind === 'suffix') return end === sizeBytes && (end ?? 0) - start <= range.length;
  if (start !== range.first) return false;
  return range.last === undefined ? end === sizeBytes : end !== undefined && end <= range.last + 1;
}

/** A 206 that is not usable: without a valid Content-Range, encoded, or with another part than requested. */
export class UnsoundRangeError extends RegistryError {}

/** @see https://www.rfc-editor.org/rfc/rfc9110#section-14.1 for the case of the unit */
const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i;

/**
 * Reads the head of a response. A 200 contains the whole blob, whatever was requested.
 * @throws {RegistryError} UNAVAILABLE when a 206 has no valid Content-Range; RANGE_INVALID when the part is
 * empty.
 */
export function readBlobHead(
  reply: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Body;
    readonly url: URL;
    readonly target: string;
  },
  reportBad: () => void,
  digest: Digest,
): OpenedBlob {
  const { status, headers, body, url, target } = reply;
  const announced = announcedSize(headers);
  const origin = {
    host: url.host,
    etag: headers['etag'],
    location: url.pathname.endsWith(`/blobs/${digest}`) ? undefined : { url, target },
    reportBad,
  };
  if (status === 200)
    return { ...origin, body, isPart: false, start: 0, end: announced, sizeBytes: announced };
  if (announced === 0) {
    // Go's file server, and so distribution, answers 206 for the end of an empty blob instead of 416.
    body.cancel();
    throw new RegistryError('RANGE_INVALID', `${url.host} has no such part`);
  }
  const match = CONTENT_RANGE.exec(headers['content-range'] ?? '');
  const [start, last] = [Number(match?.[1]), Number(match?.[2])];
  const sizeBytes = match?.[3] === '*' ? undefined : Number(match?.[3]);
  const isSound =
    match !== null &&
    start <= last &&
    (sizeBytes === undefined || last < sizeBytes) &&
    (announced === undefined || announced === last - start + 1);
  if (!isSound) {
    body.cancel();
    throw new UnsoundRangeError('UNAVAILABLE', `${url.host} answered 206 without a valid Content-Range`);
  }
  return { ...origin, body, isPart: true, start, end: last + 1, sizeBytes };
}
