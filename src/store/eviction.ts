import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Digest } from '../oci/digest.ts';
import type { FreeSpaceFloor } from './disk-space.ts';
import { digestOfFile, type Layout } from './layout.ts';
import { diskBytesOf, type IndexedContent, LruIndex } from './lru-index.ts';
import type { ContentKind, Records } from './metadata.ts';

export interface EvictionOptions {
  readonly layout: Layout;
  readonly records: Records;
  /** All content together, in bytes on disk. */
  readonly maxBytes: number;
  /** All content together, however small: each costs memory and a line in the index. */
  readonly maxItems: number;
  readonly floor: FreeSpaceFloor;
  /** Wall-clock milliseconds. */
  readonly now: () => number;
  readonly onEvicted: (digest: Digest, sizeBytes: number) => void;
}

/** Uses are written down at most this often: the order of eviction needs no more. */
const NOTE_EVERY_MS = 60 * 60 * 1000;
/** An announced answer of our own is asked for within seconds; a runtime that was suspended may take longer. */
const DERIVED_KEPT_MS = 24 * 60 * 60 * 1000;
/** The same when nothing else is left that could go. */
const DERIVED_KEPT_AT_LEAST_MS = 10 * 60 * 1000;
/** Manifests are what every pull begins with and go after the blobs, up to this share of the room. */
const MANIFESTS_SHARE = 1 / 4;
/** Contents that are removed at the same time: one after the other, small ones would come in faster than they go. */
const EVICTED_AT_ONCE_MAX = 64;

/** What is held, how much room it takes and when it was last used; keeps the whole below its bounds. */
export class Eviction {
  readonly #options: EvictionOptions;
  readonly #holdings = new LruIndex();
  /** One for each reader, during whose reading content is not evicted. */
  readonly #pins = new Map<Digest, Set<symbol>>();
  /** What is being evicted now, and when that is over. */
  readonly #evictingNow = new Set<Digest>();
  #evicted: Promise<void> = Promise.resolve();
  /** More would have gone, had it not been pinned. */
  #blockedByPins = false;
  /** Removals that the disk has refused: trying again whenever a reader leaves would be no use. */
  #refusals = 0;
  #reservedBytes = 0;
  #scanned: Promise<void> | undefined;
  #evicting: Promise<void> = Promise.resolve();

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** What everything takes on disk. */
  get heldBytes(): number {
    return this.#holdings.diskBytes;
  }

  /** What is held, used longest ago first. */
  get holdings(): readonly Pick<IndexedContent, 'digest' | 'sizeBytes' | 'usedMs'>[] {
    return this.#holdings.all();
  }

  /** Reads what is on disk, once; content can be used before this is done. */
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
        // A clock that was ahead once must not make content immortal.
        const usedMs = Math.min(record?.mtimeMs ?? file.mtimeMs, now());
        const sizeBytes = file.size;
        this.#holdings.put({ digest, kind: undefined, sizeBytes, usedMs, notedMs: usedMs });
      }
    }
  }

  /** Finds out what kind the content is that was found on disk: not before something must go. */
  async #sort(): Promise<void> {
    const found = [...this.#holdings.byAge('unsorted')];
    for (const { digest } of found) {
      const kind = (await this.#options.records.find(digest))?.kind ?? 'blob';
      const holding = this.#holdings.get(digest);
      if (holding?.kind === undefined && holding) this.#holdings.put({ ...holding, kind });
    }
    if (found.length > 0) this.#holdings.sort();
  }

  /** Content of this kind and size is held, and has just been used. */
  use(digest: Digest, kind: ContentKind, sizeBytes: number): void {
    const usedMs = this.#options.now();
    const knownMs = this.#holdings.get(digest)?.notedMs;
    const isToBeNoted = knownMs !== undefined && Math.abs(usedMs - knownMs) >= NOTE_EVERY_MS;
    const notedMs = isToBeNoted ? usedMs : (knownMs ?? usedMs);
    this.#holdings.put({ digest, kind, sizeBytes, usedMs, notedMs });
    if (!isToBeNoted) return;
    const time = new Date(usedMs);
    utimes(this.#options.layout.record(digest), time, time).catch(() => {
      // Only the order of eviction after the next start is a little older for it.
    });
  }

  /** Keeps content from being evicted until the function that is returned is called. */
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

  /** As `pin`, for content that is about to be opened or put in its place: an eviction of it that has begun is over first. */
  async pinAfterEviction(digest: Digest): Promise<() => void> {
    const unpin = this.pin(digest);
    if (this.#evictingNow.has(digest)) await this.#evicted;
    return unpin;
  }

  forget(digest: Digest): void {
    this.#holdings.delete(digest);
  }

  /** Sets room aside for what is on its way in; call what is returned when it has come in or been given up. */
  reserve(sizeBytes: number): () => void {
    const bytes = diskBytesOf(sizeBytes);
    this.#reservedBytes += bytes;
    let reserved = true;
    return () => {
      if (reserved) this.#reservedBytes -= bytes;
      reserved = false;
    };
  }

  /** Evicts what has not been used for longest until everything, with what is on its way in, is within the bounds. */
  makeRoom(): Promise<void> {
    return this.#evictDownTo(async () => {
      const { maxBytes, floor } = this.#options;
      const shortageBytes = await floor.shortageFor(0);
      return Math.min(maxBytes - this.#reservedBytes, this.heldBytes - shortageBytes);
    });
  }

  /** Evicts at least so many bytes, if they are there: the disk is full before the bound is reached. */
  freeUp(sizeBytes: number): Promise<void> {
    return this.#evictDownTo(() => this.heldBytes - diskBytesOf(sizeBytes));
  }

  /** Evicts blobs that nobody has used for so long. */
  expireBlobs(unusedForMs: number): Promise<void> {
    this.#evicting = this.#evicting.then(async () => {
      await this.scan();
      await this.#sort();
      await this.#evictWhile('blob', ({ usedMs }) => this.#options.now() - usedMs >= unusedForMs);
    });
    return this.#evicting;
  }

  /** One eviction after the other; `boundBytes` is asked when it begins. */
  #evictDownTo(boundBytes: () => number | Promise<number>): Promise<void> {
    this.#evicting = this.#evicting.then(async () => {
      await this.scan();
      await this.#evictWhatMustGo(await boundBytes());
    });
    return this.#evicting;
  }

  async #evictWhatMustGo(boundBytes: number): Promise<void> {
    const held = this.#holdings;
    const { maxBytes, maxItems } = this.#options;
    const hasTooMany = () => held.count > maxItems;
    const isOver = () => hasTooMany() || held.diskBytes > boundBytes;
    this.#blockedByPins = false;
    if (!isOver()) return;
    const refusals = this.#refusals;
    await this.#sort();
    const takesTooMuch = () =>
      held.diskBytesOf('manifest') > maxBytes * MANIFESTS_SHARE ||
      held.countOf('manifest') > maxItems * MANIFESTS_SHARE;
    await this.#evictWhile('manifest', () => isOver() && takesTooMuch());
    await this.#evictWhile('blob', isOver);
    // They are not given up for room that they cannot make.
    const canMakeRoom = held.diskBytes - held.diskBytesOf('manifest') <= boundBytes;
    await this.#evictWhile('manifest', canMakeRoom ? isOver : hasTooMany);
    const isUnusedFor = (holding: IndexedContent, ms: number) => this.#options.now() - holding.usedMs >= ms;
    await this.#evictWhile('derived', (oldest) => isOver() && isUnusedFor(oldest, DERIVED_KEPT_MS));
    await this.#evictWhile('derived', (oldest) => isOver() && isUnusedFor(oldest, DERIVED_KEPT_AT_LEAST_MS));
    this.#blockedByPins = isOver() && this.#pins.size > 0 && this.#refusals === refusals;
  }

  /** Evicts what was used longest ago of one kind and is not being read, as long as it `must` go. */
  async #evictWhile(kind: ContentKind, must: (oldest: IndexedContent) => boolean): Promise<void> {
    let left = this.#holdings.countOf(kind);
    let going: IndexedContent[] = [];
    for (const holding of this.#holdings.byAge(kind)) {
      // What is used meanwhile comes again at the end.
      if (left === 0 || !must(holding)) break;
      left -= 1;
      if (this.#pins.has(holding.digest)) continue;
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
      // A read-only disk gives nothing back; what cannot be removed stays counted, and is not tried in a loop.
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
