import type { Digest } from '../oci/digest.ts';
import type { ContentKind } from './metadata.ts';

/** One content in the store. */
export interface IndexedContent {
  readonly digest: Digest;
  /** Undefined until an eviction needs it. */
  readonly kind: ContentKind | undefined;
  readonly sizeBytes: number;
  /** Last use, in wall-clock milliseconds. */
  readonly usedMs: number;
  /** The last use as recorded on disk, in wall-clock milliseconds. */
  readonly notedMs: number;
}

/** The usual block size of file systems. */
const BLOCK_BYTES = 4096;

/** What content of this size takes on disk, in bytes: whole blocks, and one block for its record. */
export function diskBytesOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES + BLOCK_BYTES;
}

/** Contents of one kind, least recently used first: a `Map` keeps its keys in the order of insertion. */
class AgeOrder {
  readonly byAge = new Map<Digest, IndexedContent>();
  diskBytes = 0;

  put(holding: IndexedContent): void {
    this.byAge.set(holding.digest, holding);
    this.diskBytes += diskBytesOf(holding.sizeBytes);
  }

  take(holding: IndexedContent): void {
    if (this.byAge.delete(holding.digest)) this.diskBytes -= diskBytesOf(holding.sizeBytes);
  }
}

type OrderName = ContentKind | 'unsorted';

/**
 * All content by digest, and by kind in the order of use, so that the next content to evict is found at once.
 */
export class LruIndex {
  readonly #byDigest = new Map<Digest, IndexedContent>();
  readonly #orders: Readonly<Record<OrderName, AgeOrder>> = {
    blob: new AgeOrder(),
    manifest: new AgeOrder(),
    derived: new AgeOrder(),
    unsorted: new AgeOrder(),
  };

  get count(): number {
    return this.#byDigest.size;
  }

  /** What all content takes on disk, in bytes. */
  get diskBytes(): number {
    return Object.values(this.#orders).reduce((sum, { diskBytes }) => sum + diskBytes, 0);
  }

  countOf(kind: ContentKind): number {
    return this.#orders[kind].byAge.size;
  }

  diskBytesOf(kind: ContentKind): number {
    return this.#orders[kind].diskBytes;
  }

  get(digest: Digest): IndexedContent | undefined {
    return this.#byDigest.get(digest);
  }

  /** Adds or replaces an entry, and makes it the most recently used one. */
  put(holding: IndexedContent): void {
    this.delete(holding.digest);
    this.#byDigest.set(holding.digest, holding);
    this.#orders[holding.kind ?? 'unsorted'].put(holding);
  }

  delete(digest: Digest): void {
    const holding = this.#byDigest.get(digest);
    if (!holding) return;
    this.#byDigest.delete(digest);
    this.#orders[holding.kind ?? 'unsorted'].take(holding);
  }

  /** Entries of one kind, least recently used first. They may change during the iteration. */
  byAge(kind: OrderName): Iterable<IndexedContent> {
    return this.#orders[kind].byAge.values();
  }

  /** All entries, least recently used first. */
  all(): readonly IndexedContent[] {
    return [...this.#byDigest.values()].sort((a, b) => a.usedMs - b.usedMs);
  }

  /** Restores the order by last use, after entries from disk were added in any order. */
  sort(): void {
    for (const holding of this.all()) this.put(holding);
  }
}
