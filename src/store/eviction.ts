import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Digest } from '../oci/digest.ts';
import type { FreeSpaceFloor } from './disk.ts';
import { digestOfFile, type Layout } from './layout.ts';
import { diskBytesOf, type IndexedContent, LruIndex } from './lru-index.ts';
import type { ContentKind, Records } from './metadata.ts';

export interface EvictionOptions {
  readonly layout: Layout;
  readonly records: Records;
  /** Limit of all content together, in bytes on disk. */
  readonly maxBytes: number;
  /**
   * Limit of the number of contents: each costs memory and a line of the index, however small it is. Default:
   * 200,000.
   */
  readonly maxItems?: number | undefined;
  readonly floor: FreeSpaceFloor;
  /** Wall-clock milliseconds. */
  readonly now: () => number;
  readonly onEvicted: (digest: Digest, sizeBytes: number) => void;
}

/** Tracking as many takes about 60 MB of memory. */
const MAX_ITEMS = 200_000;
/** The last use is written to disk at most this often: the order of eviction needs no more. */
const NOTE_EVERY_MS = 60 * 60 * 1000;
/**
 * How long a derived answer stays: clients request its digest within seconds; a suspended host may take longer.
 */
const DERIVED_KEPT_MS = 24 * 60 * 60 * 1000;
/** The same, when nothing else can be evicted. */
const DERIVED_KEPT_AT_LEAST_MS = 10 * 60 * 1000;
/** Manifests may take this share of the limits before they are evicted: every pull begins with them. */
const MANIFESTS_SHARE = 1 / 4;
/**
 * How many contents are removed concurrently: one at a time, small contents could arrive faster than they are
 * removed.
 */
const EVICTED_AT_ONCE_MAX = 64;

/** Tracks content, its size and its last use; evicts to stay within the bounds. */
export class Eviction {
  readonly #options: EvictionOptions;
  readonly #holdings = new LruIndex();
  /** The readers of each content. Pinned content is not evicted. */
  readonly #pins = new Map<Digest, Set<symbol>>();
  /** The contents whose eviction is running. */
  readonly #evictingNow = new Set<Digest>();
  #evicted: Promise<void> = Promise.resolve();
  /** What the latest eviction skipped because it was pinned. */
  #leftPinned: Digest[] = [];
  /** The latest eviction could not make enough room because of pinned content. */
  #blockedByPins = false;
  /** How many removals failed. After a failure, another attempt whenever a reader leaves would not help. */
  #refusals = 0;
  #reservedBytes = 0;
  #scanned: Promise<void> | undefined;
  #evicting: Promise<void> = Promise.resolve();

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** What all content takes on disk, in bytes. */
  get heldBytes(): number {
    return this.#holdings.diskBytes;
  }

  /** All content, least recently used first. */
  get holdings(): readonly Pick<IndexedContent, 'digest' | 'sizeBytes' | 'usedMs'>[] {
    return this.#holdings.all();
  }

  /** Reads what is on disk, once. Content can be used before this ends. */
  scan(): Promise<void> {
    this.#scanned ??= this.#scan();
    return this.#scanned;
  }

  async #scan(): Promise<void> {
    const { layout, now } = this.#options;
    for (const directory of layout.blobDirectories) {
      for (const name of await readdir(directory).catch(() => [])) {
        const digest = digestOfFile(basename(directory), name);
        if (digest === undefined || this.#holdings.get(digest)) continue;
        const file = await stat(join(directory, name)).catch(() => undefined);
        const record = await stat(layout.record(digest)).catch(() => undefined);
        if (!file?.isFile() || this.#holdings.get(digest)) continue;
        // The clock may have been ahead when the file was written: without this limit the content would never
        // be evicted.
        const usedMs = Math.min(record?.mtimeMs ?? file.mtimeMs, now());
        const sizeBytes = file.size;
        this.#holdings.put({ digest, kind: undefined, sizeBytes, usedMs, notedMs: usedMs });
      }
    }
  }

  /** Reads the kinds of the contents that the scan found. Called only when something must be evicted. */
  async #sort(): Promise<void> {
    const found = [...this.#holdings.byAge('unsorted')];
    for (const { digest } of found) {
      const kind = (await this.#options.records.find(digest))?.kind ?? 'blob';
      const holding = this.#holdings.get(digest);
      if (holding?.kind === undefined && holding) this.#holdings.put({ ...holding, kind });
    }
    if (found.length > 0) this.#holdings.sort();
  }

  /** Records that content of this kind and size exists and was just used. */
  use(digest: Digest, kind: ContentKind, sizeBytes: number): void {
    const usedMs = this.#options.now();
    const knownMs = this.#holdings.get(digest)?.notedMs;
    const isToBeNoted = knownMs !== undefined && Math.abs(usedMs - knownMs) >= NOTE_EVERY_MS;
    const notedMs = isToBeNoted ? usedMs : (knownMs ?? usedMs);
    this.#holdings.put({ digest, kind, sizeBytes, usedMs, notedMs });
    if (!isToBeNoted) return;
    const time = new Date(usedMs);
    utimes(this.#options.layout.record(digest), time, time).catch(() => {
      // After the next start the order of eviction is slightly out of date. Nothing else depends on it.
    });
  }

  /** Keeps content from being evicted until the returned function is called. */
  pin(digest: Digest): () => void {
    const pin = Symbol(digest);
    const pins = this.#pins.get(digest) ?? new Set();
    this.#pins.set(digest, pins.add(pin));
    return () => {
      pins.delete(pin);
      if (pins.size > 0 || this.#pins.get(digest) !== pins) return;
      this.#pins.delete(digest);
      if (this.#blockedByPins) void this.makeRoom();
    };
  }

  /**
   * As `pin`, for content that is about to be opened or committed. Waits until a running eviction of it has
   * ended.
   */
  async pinAfterEviction(digest: Digest): Promise<() => void> {
    const unpin = this.pin(digest);
    if (this.#evictingNow.has(digest)) await this.#evicted;
    return unpin;
  }

  isBeingEvicted(digest: Digest): boolean {
    return this.#evictingNow.has(digest);
  }

  forget(digest: Digest): void {
    this.#holdings.delete(digest);
  }

  /**
   * Reserves room for content that is arriving. Call the returned function when it is committed or abandoned.
   */
  reserve(sizeBytes: number): () => void {
    const bytes = diskBytesOf(sizeBytes);
    this.#reservedBytes += bytes;
    let reserved = true;
    return () => {
      if (reserved) this.#reservedBytes -= bytes;
      reserved = false;
    };
  }

  /** Evicts the least recently used content until all content and all reservations are within the limits. */
  makeRoom(): Promise<void> {
    return this.#evictDownTo(async () => {
      const { maxBytes, floor } = this.#options;
      const shortageBytes = await floor.shortageFor(0);
      return Math.min(maxBytes - this.#reservedBytes, this.heldBytes - shortageBytes);
    });
  }

  /**
   * Evicts at least this many bytes, if there are as many: the disk may be full before the limit is reached.
   */
  freeUp(sizeBytes: number): Promise<void> {
    return this.#evictDownTo(() => this.heldBytes - diskBytesOf(sizeBytes));
  }

  /** Evicts blobs that have not been used for this long. */
  expireBlobs(unusedForMs: number): Promise<void> {
    this.#evicting = this.#evicting.then(async () => {
      await this.scan();
      await this.#sort();
      await this.#evictWhile('blob', (oldest) => this.#isUnusedFor(oldest, unusedForMs));
    });
    return this.#evicting;
  }

  /** Evictions run one after another. `boundBytes` is evaluated when this one begins. */
  #evictDownTo(boundBytes: () => number | Promise<number>): Promise<void> {
    this.#evicting = this.#evicting.then(async () => {
      await this.scan();
      await this.#evictWhatMustGo(await boundBytes());
    });
    return this.#evicting;
  }

  async #evictWhatMustGo(boundBytes: number): Promise<void> {
    const held = this.#holdings;
    const { maxBytes, maxItems = MAX_ITEMS } = this.#options;
    const hasTooMany = () => held.count > maxItems;
    const isOver = () => hasTooMany() || held.diskBytes > boundBytes;
    this.#blockedByPins = false;
    this.#leftPinned = [];
    if (!isOver()) return;
    const refusals = this.#refusals;
    await this.#sort();
    const takesTooMuch = () =>
      held.diskBytesOf('manifest') > maxBytes * MANIFESTS_SHARE ||
      held.countOf('manifest') > maxItems * MANIFESTS_SHARE;
    await this.#evictWhile('manifest', () => isOver() && takesTooMuch());
    await this.#evictWhile('blob', isOver);
    // Manifests stay if removing all of them could not make enough room.
    const canMakeRoom = held.diskBytes - held.diskBytesOf('manifest') <= boundBytes;
    await this.#evictWhile('manifest', canMakeRoom ? isOver : hasTooMany);
    for (const keptMs of [DERIVED_KEPT_MS, DERIVED_KEPT_AT_LEAST_MS])
      await this.#evictWhile('derived', (oldest) => isOver() && this.#isUnusedFor(oldest, keptMs));
    this.#blockedByPins = isOver() && this.#leftPinned.length > 0 && this.#refusals === refusals;
    // A reader may have left after its content was skipped.
    if (this.#blockedByPins && this.#leftPinned.some((digest) => !this.#pins.has(digest)))
      void this.makeRoom();
  }

  /** A use in the future is as long ago: the clock was set back. Otherwise the content would stay until then. */
  #isUnusedFor({ usedMs }: IndexedContent, ms: number): boolean {
    return Math.abs(this.#options.now() - usedMs) >= ms;
  }

  /** Evicts the least recently used content of one kind, except pinned content, while `must` returns true. */
  async #evictWhile(kind: ContentKind, must: (oldest: IndexedContent) => boolean): Promise<void> {
    let left = this.#holdings.countOf(kind);
    let going: IndexedContent[] = [];
    for (const holding of this.#holdings.byAge(kind)) {
      // Content that is used meanwhile appears again at the end of the iteration.
      if (left === 0 || !must(holding)) break;
      left -= 1;
      if (this.#pins.has(holding.digest)) {
        this.#leftPinned.push(holding.digest);
        continue;
      }
      this.forget(holding.digest);
      going.push(holding);
      if (going.length < EVICTED_AT_ONCE_MAX) continue;
      await this.#evict(going);
      going = [];
    }
    await this.#evict(going);
  }

  async #evict(going: readonly IndexedContent[]): Promise<void> {
    for (const { digest } of going) this.#evictingNow.add(digest);
    this.#evicted = this.#removeAll(going).finally(() => this.#evictingNow.clear());
    await this.#evicted;
  }

  async #removeAll(going: readonly IndexedContent[]): Promise<void> {
    const { onEvicted } = this.#options;
    const removals = await Promise.allSettled(going.map(({ digest }) => this.#remove(digest)));
    for (const [index, holding] of going.entries()) {
      const { digest, sizeBytes } = holding;
      // Removal fails on a read-only disk: the content still counts, and is not tried again in this run.
      if (removals[index]?.status === 'rejected') {
        this.#holdings.put(holding);
        this.#refusals += 1;
      } else onEvicted(digest, sizeBytes);
    }
  }

  async #remove(digest: Digest): Promise<void> {
    const { layout, records } = this.#options;
    await rm(layout.blob(digest), { force: true });
    await records.remove(digest);
  }
}
