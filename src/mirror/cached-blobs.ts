import type { Writable } from 'node:stream';
import { SingleFlight } from '../lib/single-flight.ts';
import { SpoiltContentError, type StoredBlob } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { type ByteRange, type RangeRequest, resolveRange } from '../oci/range.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import type {
  Access,
  Blob,
  BlobContent,
  BlobOptions,
  BlobRedirect,
  Registry,
  RequestOptions,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isLoopError } from '../oci/via.ts';
import { type BlobDownload, startBlobDownload } from './blob-download.ts';
import type { CacheOptions } from './cache-options.ts';

const LINGER_MS = 30_000;
/** A part that begins this far behind what has arrived is asked of upstream rather than waited for, in bytes. */
const WAIT_FOR_BYTES = 16 * 1024 * 1024;

/** A fetch under way, and whom upstream has let see it. */
interface Filling {
  readonly fill: BlobDownload;
  readonly partitions: Set<string>;
  /** Somebody is already counted as the one it was fetched for. */
  isClaimed: boolean;
}

/** What opening a blob upstream came to: it is being taken in, or it is to be had elsewhere. */
type Opening = { readonly kind: 'filling'; readonly filling: Filling } | BlobRedirect;

function partitionOf(access: Access | undefined): string {
  return access === undefined ? 'own' : `of ${access.partition}`;
}

/** By registry: the bytes that come from one may be slow, or wrong at their end, and must not hold up another's. */
function fillingKey({ host }: Repository, digest: Digest): string {
  return `${host} ${digest}`;
}

function rangeWithin(request: RangeRequest | undefined, sizeBytes: number, digest: Digest) {
  const range = request && resolveRange(request, sizeBytes);
  if (range === 'unsatisfiable') {
    const headers = { 'content-range': `bytes */${sizeBytes}` };
    throw new RegistryError('RANGE_INVALID', `${digest} has ${sizeBytes} bytes`, { headers });
  }
  return range;
}

/** Fetches the rest from upstream, from a position to an end. */
type GoOn = (sink: Writable, rest: ByteRange) => Promise<void>;

function contentOf(held: StoredBlob, digest: Digest, range: ByteRange | undefined, goOn: GoOn): BlobContent {
  const { sizeBytes } = held;
  const { start, end } = range ?? { start: 0, end: sizeBytes };
  return {
    kind: 'content',
    digest,
    sizeBytes,
    range,
    cancel: () => held.close(),
    writeTo: async (sink) => {
      try {
        await held.writeTo(sink, { start, end });
      } catch (error) {
        if (!(error instanceof SpoiltContentError)) throw error;
        // What was written so far was right: the client need not notice.
        await goOn(sink, { start: error.position, end });
      } finally {
        held.close();
      }
    },
  };
}

/** The half of the cache that answers for blobs: each is fetched once, whoever asks meanwhile reads along. */
export function createCachedBlobs(options: CacheOptions) {
  const { next, store, log, onResult = () => {}, lingerMs = LINGER_MS } = options;
  const openings = new SingleFlight<Opening>(isLoopError);
  const fillings = new Map<string, Filling>();
  /** Fetches that have come to an end: what one of them brought was not held a moment before. */
  let ended = 0;

  /** Rejects unless upstream would show the blob to these eyes. */
  async function authorise(repository: Repository, digest: Digest, asked: RequestOptions): Promise<void> {
    const { access, via, signal } = asked;
    await next.statBlob(repository, digest, { access, via, signal });
  }

  async function findHeld(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
  ): Promise<StoredBlob | undefined> {
    const held = await store.blob(digest);
    if (!held || held.isFor(asked.access)) return held;
    try {
      await authorise(repository, digest, asked);
    } catch (error) {
      held.close();
      throw error;
    }
    await store.grant(digest, { repository, access: asked.access });
    return held;
  }

  function track(key: string, filling: Filling, name: string): void {
    fillings.set(key, filling);
    void filling.fill.over.then((failure) => {
      if (fillings.get(key) === filling) fillings.delete(key);
      ended += 1;
      if (failure)
        log('warning', 'blob-download-failed', 'the download of a blob failed', {
          blob: name,
          reason: failure.message,
        });
    });
  }

  async function open(repository: Repository, digest: Digest, asked: BlobOptions): Promise<Opening> {
    const { access, via, signal, follow } = asked;
    const name = `${formatRepository(repository)}@${digest}`;
    const content = await next.blob(repository, digest, { access, via, signal, follow, verify: false });
    if (content.kind === 'redirect') return content;
    const intake = await store.intake(digest, content.sizeBytes, { repository, access });
    if (signal?.aborted) {
      // All have left meanwhile, which has ended what was opened for them: whoever comes now must not join it.
      content.cancel();
      intake.close();
      throw signal.reason;
    }
    const fill = startBlobDownload({ digest, name, content, intake, lingerMs });
    const filling: Filling = { fill, partitions: new Set([partitionOf(access)]), isClaimed: false };
    track(fillingKey(repository, digest), filling, name);
    return { kind: 'filling', filling };
  }

  /** Would this part come within reach of what is being fetched? */
  function isNear({ fill }: Filling, request: RangeRequest | undefined): boolean {
    if (request === undefined) return true;
    if (fill.sizeBytes === undefined) return false;
    const range = resolveRange(request, fill.sizeBytes);
    return range === 'unsatisfiable' || range.start <= fill.availableBytes + WAIT_FOR_BYTES;
  }

  async function join(
    { fill, partitions }: Filling,
    repository: Repository,
    digest: Digest,
    asked: BlobOptions,
  ): Promise<BlobContent | undefined> {
    const partition = partitionOf(asked.access);
    if (!partitions.has(partition)) {
      await authorise(repository, digest, asked);
      partitions.add(partition);
    }
    const { sizeBytes } = fill;
    const range = sizeBytes === undefined ? undefined : rangeWithin(asked.range, sizeBytes, digest);
    return fill.canServe(range) ? fill.open(range) : undefined;
  }

  /** Reads along with a fetch; undefined when that is over, 'apart' when this part cannot be had from it. */
  async function joinOrLeave(
    filling: Filling,
    repository: Repository,
    digest: Digest,
    asked: BlobOptions,
  ): Promise<BlobContent | 'apart' | undefined> {
    if (!isNear(filling, asked.range)) return 'apart';
    const joined = await join(filling, repository, digest, asked);
    if (joined) return joined;
    if (!filling.fill.isOver) return 'apart';
    await filling.fill.over;
    return undefined;
  }

  /** Writes what held content should have been, from `start` on. */
  async function goOn(
    repository: Repository,
    digest: Digest,
    asked: BlobOptions,
    sink: Writable,
    { start, end }: ByteRange,
  ): Promise<void> {
    const range: RangeRequest = { kind: 'from', first: start, last: end - 1 };
    const rest = await next.blob(repository, digest, { ...asked, range, signal: undefined });
    if (rest.kind === 'content' && rest.range?.start === start && rest.range.end === end) {
      return rest.writeTo(sink);
    }
    if (rest.kind === 'content') rest.cancel();
    throw new RegistryError('UNAVAILABLE', `${digest} is spoilt here, and upstream sends no part of it`);
  }

  async function fromStore(repository: Repository, digest: Digest, asked: BlobOptions) {
    const held = await findHeld(repository, digest, asked);
    if (!held) return undefined;
    try {
      const range = rangeWithin(asked.range, held.sizeBytes, digest);
      return contentOf(held, digest, range, (sink, rest) => goOn(repository, digest, asked, sink, rest));
    } catch (error) {
      held.close();
      throw error;
    }
  }

  /** The fetch that is under way, or a new one; undefined when this part is to be had from upstream only. */
  async function openingOf(
    repository: Repository,
    digest: Digest,
    asked: BlobOptions,
  ): Promise<Opening | undefined> {
    const running = fillings.get(fillingKey(repository, digest));
    if (running) return { kind: 'filling', filling: running };
    // A part from the middle is no reason to fetch everything: lazy readers ask for hundreds of them.
    const isPart = asked.range !== undefined && !(asked.range.kind === 'from' && asked.range.first === 0);
    if (isPart) return undefined;
    // By repository: that one does not have it says nothing of another.
    const key = `${asked.follow === true} ${partitionOf(asked.access)} ${formatRepository(repository)}@${digest}`;
    return openings.share(key, asked.signal, (signal) => open(repository, digest, { ...asked, signal }));
  }

  async function blob(repository: Repository, digest: Digest, asked: BlobOptions = {}): Promise<Blob> {
    // Once more whenever a fetch has come to an end meanwhile: what was not held a moment ago may be held now.
    for (;;) {
      const before = ended;
      const held = await fromStore(repository, digest, asked);
      if (held) {
        onResult('blob', 'hit');
        return held;
      }
      if (before !== ended) continue;
      const opening = await openingOf(repository, digest, asked);
      if (opening?.kind === 'redirect') {
        onResult('blob', 'bypass');
        return opening;
      }
      const joined = opening ? await joinOrLeave(opening.filling, repository, digest, asked) : 'apart';
      if (joined === undefined) continue;
      if (joined === 'apart' || opening === undefined) {
        onResult('blob', 'bypass');
        return next.blob(repository, digest, asked);
      }
      onResult('blob', opening.filling.isClaimed ? 'coalesced' : 'miss');
      opening.filling.isClaimed = true;
      return joined;
    }
  }

  return {
    blob,
    statBlob: async (repository: Repository, digest: Digest, asked: RequestOptions = {}) => {
      const held = await findHeld(repository, digest, asked);
      if (!held) return next.statBlob(repository, digest, asked);
      held.close();
      return { digest, sizeBytes: held.sizeBytes };
    },
    close: async () => {
      const running = [...fillings.values()];
      for (const { fill } of running) fill.cancel();
      await Promise.all(running.map(({ fill }) => fill.over));
    },
  } satisfies Pick<Registry, 'blob' | 'statBlob'> & { close(): Promise<void> };
}
