import type { Writable } from 'node:stream';
import { SingleFlight } from '../lib/single-flight.ts';
import { CorruptContentError, type StoredBlob } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { type ByteRange, type RangeRequest, resolveRange } from '../oci/range.ts';
import { formatRepository, isSameRepository, type Repository } from '../oci/reference.ts';
import {
  type Blob,
  type BlobContent,
  type BlobInfo,
  type BlobOptions,
  type BlobRedirect,
  hasOwnLogin,
  type RequestOptions,
} from '../oci/registry.ts';
import { isLoopError, RegistryError } from '../oci/registry-error.ts';
import { BlobDownload } from './blob-download.ts';
import type { CacheOptions, CacheResult } from './cache-options.ts';

const LINGER_MS = 30_000;
/** How long an authorization counts for a running download: downloads take up to hours, and a login may be revoked. */
const ADMITTED_FOR_MS = 5 * 60_000;
/** A range that begins more than this many bytes beyond what has arrived is fetched separately. */
const WAIT_FOR_BYTES = 16 * 1024 * 1024;

/** One request for a blob. */
interface BlobRequest {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly options: BlobOptions;
}

/** A running download. */
interface ActiveDownload {
  readonly kind: 'download';
  readonly download: BlobDownload;
  /** The repository that delivers it. Only this one can decide who may see the blob. */
  readonly repository: Repository;
  /** When upstream authorized each partition, in monotonic milliseconds. */
  readonly admittedMs: Map<string, number>;
  /** True when the request that started the download was counted as a miss. Later ones are coalesced. */
  isCounted: boolean;
}

/** Where a blob that is not stored comes from. */
type BlobSource = ActiveDownload | BlobRedirect | { readonly kind: 'bypass' };

/** The result of attaching to a download. `finished`: it has ended meanwhile. `bypass`: it cannot serve the range. */
type Attachment = BlobContent | 'finished' | 'bypass';

/** The key of an authorization: a client's own login counts for one repository, anything else for the partition. */
function partitionOf({ repository, options: { access } }: BlobRequest): string {
  if (access === undefined) return 'own';
  return `of ${access.partition}${hasOwnLogin(access) ? ` at ${formatRepository(repository)}` : ''}`;
}

/** A key for each registry: one registry may be slow or deliver wrong bytes, and must not block another. */
function downloadKey({ repository, digest }: BlobRequest): string {
  return `${repository.host} ${digest}`;
}

/** A key for each repository too: when one does not have the blob, another may. */
function openingKey(request: BlobRequest): string {
  const { repository, digest, options } = request;
  return `${options.follow === true} ${partitionOf(request)} ${formatRepository(repository)}@${digest}`;
}

function rangeWithin(request: RangeRequest | undefined, sizeBytes: number, digest: Digest) {
  const range = request && resolveRange(request, sizeBytes);
  if (range === 'unsatisfiable') {
    const headers = { 'content-range': `bytes */${sizeBytes}` };
    throw new RegistryError('RANGE_INVALID', `${digest} has ${sizeBytes} bytes`, { headers });
  }
  return range;
}

/** True when the range begins near the bytes that have arrived. */
function isNear(download: BlobDownload, request: RangeRequest | undefined): boolean {
  if (request === undefined) return true;
  if (download.sizeBytes === undefined) return false;
  const range = resolveRange(request, download.sizeBytes);
  return range === 'unsatisfiable' || range.start <= download.availableBytes + WAIT_FOR_BYTES;
}

/** A lazy reader requests hundreds of ranges from the middle, none of which is a reason to download the whole blob. */
function beginsAtStart(request: RangeRequest | undefined): boolean {
  return request === undefined || (request.kind === 'from' && request.first === 0);
}

/** The part of the cache for blobs. It downloads each blob once; concurrent requests follow that download. */
export class CachedBlobs {
  readonly #options: CacheOptions;
  /** Requests to upstream from which no download has started yet. */
  readonly #openings = new SingleFlight<BlobSource>(isLoopError);
  readonly #downloads = new Map<string, ActiveDownload>();
  /** How many downloads have ended. When it changes, a blob that was missing in the store may be there. */
  #finishedDownloads = 0;

  constructor(options: CacheOptions) {
    this.#options = options;
  }

  async blob(repository: Repository, digest: Digest, options: BlobOptions = {}): Promise<Blob> {
    const request = { repository, digest, options };
    // Repeated when a download has ended meanwhile, because its blob may be in the store now.
    for (;;) {
      const finishedBefore = this.#finishedDownloads;
      const stored = await this.#openStored(request);
      if (stored) return this.#count('hit', stored);
      if (finishedBefore !== this.#finishedDownloads) continue;

      const source = await this.#findOrStartDownload(request);
      if (source.kind === 'redirect') return this.#count('bypass', source);
      const content = source.kind === 'download' ? await this.#tryAttach(source, request) : 'bypass';
      if (content === 'finished') continue;
      if (content === 'bypass') {
        return this.#count('bypass', await this.#options.next.blob(repository, digest, options));
      }
      return content;
    }
  }

  async statBlob(repository: Repository, digest: Digest, options: RequestOptions = {}): Promise<BlobInfo> {
    const request = { repository, digest, options };
    // A client that has just received the last byte may ask for the size before the blob is committed.
    const active = this.#downloads.get(downloadKey(request));
    const sizeBytes = active?.download.verifiedSizeBytes;
    if (active && sizeBytes !== undefined && (await this.#admit(active, request))) {
      return { digest, sizeBytes };
    }
    const stored = await this.#findStored(request);
    if (!stored) return this.#options.next.statBlob(repository, digest, options);
    stored.close();
    return { digest, sizeBytes: stored.sizeBytes, ageMs: stored.ageMs };
  }

  /** Cancels all running downloads. */
  async close(): Promise<void> {
    const running = [...this.#downloads.values()].map(({ download }) => download);
    for (const download of running) download.cancel();
    await Promise.all(running.map(({ finished }) => finished));
  }

  #count<T extends Blob>(result: CacheResult, blob: T): T {
    this.#options.onResult?.('blob', result);
    return blob;
  }

  /** Rejects unless upstream shows the blob to this request's login. */
  async #authorize({ repository, digest, options }: BlobRequest): Promise<void> {
    const { access, via, signal, revalidate } = options;
    await this.#options.next.statBlob(repository, digest, { access, via, signal, revalidate });
  }

  // From the store.

  /**
   * The stored blob, if the request may see it. Otherwise a repository that delivered it decides that, by a HEAD
   * request. Undefined when the bytes must come from upstream.
   */
  async #findStored(request: BlobRequest): Promise<StoredBlob | undefined> {
    const { digest, repository, options } = request;
    const stored = await this.#options.store.blob(digest);
    if (!stored || stored.isVisibleTo(options.access, repository)) return stored;
    if (!stored.isFrom(repository)) {
      stored.close();
      return undefined;
    }
    await this.#authorize(request).catch((error: unknown) => {
      stored.close();
      throw error;
    });
    await this.#options.store.grant(digest, { repository, access: options.access });
    stored.confirm();
    return stored;
  }

  async #openStored(request: BlobRequest): Promise<BlobContent | undefined> {
    const { digest, options } = request;
    const stored = await this.#findStored(request);
    if (!stored) return undefined;
    const { sizeBytes, ageMs } = stored;
    try {
      const range = rangeWithin(options.range, sizeBytes, digest);
      return {
        kind: 'content',
        digest,
        ...{ sizeBytes, ageMs, range },
        cancel: () => stored.close(),
        writeTo: (sink) => this.#writeStored(request, stored, range ?? { start: 0, end: sizeBytes }, sink),
      };
    } catch (error) {
      stored.close();
      throw error;
    }
  }

  async #writeStored(request: BlobRequest, stored: StoredBlob, range: ByteRange, sink: Writable) {
    try {
      await stored.writeTo(sink, range);
    } catch (error) {
      if (!(error instanceof CorruptContentError)) throw error;
      // The bytes written so far are right, so the client need not notice.
      await this.#resumeFromUpstream(request, { start: error.position, end: range.end }, sink);
    } finally {
      stored.close();
    }
  }

  async #resumeFromUpstream(request: BlobRequest, { start, end }: ByteRange, sink: Writable): Promise<void> {
    const { repository, digest, options } = request;
    const range: RangeRequest = { kind: 'from', first: start, last: end - 1 };
    const rest = await this.#options.next.blob(repository, digest, { ...options, range, signal: undefined });
    if (rest.kind === 'content' && rest.range?.start === start && rest.range.end === end) {
      return rest.writeTo(sink);
    }
    if (rest.kind === 'content') rest.cancel();
    throw new RegistryError('UNAVAILABLE', `${digest} is corrupt here, and upstream sends no part of it`);
  }

  // From upstream.

  /** The running download, or a new one. A range from the middle starts none. */
  async #findOrStartDownload(request: BlobRequest): Promise<BlobSource> {
    const running = this.#downloads.get(downloadKey(request));
    if (running) return running;
    const { options } = request;
    if (!beginsAtStart(options.range)) return { kind: 'bypass' };
    return this.#openings.share(openingKey(request), options.signal, (signal) =>
      this.#startDownload({ ...request, options: { ...options, signal } }),
    );
  }

  async #startDownload(request: BlobRequest): Promise<BlobSource> {
    const { repository, digest, options } = request;
    const { access, via, signal, follow, revalidate } = options;
    const { next, store, lingerMs = LINGER_MS } = this.#options;
    const wanted = { access, via, signal, follow, revalidate, verify: false };
    const content = await next.blob(repository, digest, wanted);
    if (content.kind === 'redirect') return content;
    const ingest = await store.ingest(digest, content.sizeBytes, { repository, access });
    if (signal?.aborted) {
      // All clients have left, which aborted the request to upstream: later requests must not join this download.
      content.cancel();
      ingest.close();
      throw signal.reason;
    }
    const name = `${formatRepository(repository)}@${digest}`;
    const active: ActiveDownload = {
      kind: 'download',
      download: new BlobDownload({ digest, name, content, ingest, lingerMs }),
      repository,
      admittedMs: new Map([[partitionOf(request), this.#options.now()]]),
      isCounted: false,
    };
    this.#track(downloadKey(request), active, name);
    return active;
  }

  #track(key: string, active: ActiveDownload, name: string): void {
    this.#downloads.set(key, active);
    void active.download.finished.then((failure) => {
      if (this.#downloads.get(key) === active) this.#downloads.delete(key);
      this.#finishedDownloads += 1;
      if (!failure) return;
      const fields = { blob: name, reason: failure.message };
      this.#options.log('warning', 'blob-download-failed', 'the download of a blob failed', fields);
    });
  }

  /** False when the request names another repository, which must decide itself. Rejects when upstream refuses it. */
  async #admit(active: ActiveDownload, request: BlobRequest): Promise<boolean> {
    const key = partitionOf(request);
    const sinceMs = active.admittedMs.get(key);
    if (sinceMs !== undefined && this.#options.now() - sinceMs < ADMITTED_FOR_MS) return true;
    if (!isSameRepository(active.repository, request.repository)) return false;
    await this.#authorize(request);
    active.admittedMs.set(key, this.#options.now());
    return true;
  }

  /** Makes the request a reader of the download, if that can serve it. */
  async #tryAttach(active: ActiveDownload, request: BlobRequest): Promise<Attachment> {
    const { download } = active;
    const { digest, options } = request;
    if (!isNear(download, options.range)) return 'bypass';
    if (!(await this.#admit(active, request))) return 'bypass';
    const { sizeBytes } = download;
    const range = sizeBytes === undefined ? undefined : rangeWithin(options.range, sizeBytes, digest);
    if (download.canServe(range)) {
      const result = active.isCounted ? 'coalesced' : 'miss';
      active.isCounted = true;
      return this.#count(result, download.open(range));
    }
    if (!download.isOver) return 'bypass';
    await download.finished;
    return 'finished';
  }
}
