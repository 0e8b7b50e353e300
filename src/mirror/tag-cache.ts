import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../lib/lru.ts';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Access, ManifestInfo } from '../oci/registry.ts';

const TAGS_MAX = 20_000;
const MOVED_MAX = 1000;

/** Where a tag points. */
export interface TagLookup {
  readonly info: ManifestInfo;
  /** True when upstream could not confirm it. */
  readonly isStale: boolean;
}

interface CachedLookup extends TagLookup {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** A tag, as the clients of one partition see it. */
export interface TagView {
  /** `docker.io/library/alpine:latest`. */
  readonly name: string;
  /** The name and the partition. */
  readonly key: string;
}

export function tagView(repository: Repository, tag: Tag, access: Access | undefined): TagView {
  const name = `${formatRepository(repository)}:${tag}`;
  return { name, key: `${access?.partition ?? ''} ${name}` };
}

/** Where tags pointed a moment ago, so that a burst of equal requests asks upstream once. */
export class TagCache {
  readonly #now: () => number;
  readonly #lookups = new LRUCache<string, CachedLookup>(entriesAtMost(TAGS_MAX));
  /** When each tag was last seen to have moved. Those that this forgets expire all earlier lookups instead. */
  readonly #moved = new LRUCache<string, number>({
    ...entriesAtMost(MOVED_MAX),
    dispose: (movedMs, _name, reason) => {
      if (reason === 'evict') this.#allExpiredMs = Math.max(this.#allExpiredMs, movedMs);
    },
  });
  /** Lookups up to this time no longer count, in monotonic milliseconds. */
  #allExpiredMs = Number.NEGATIVE_INFINITY;

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The answer while it is fresh, and for how many milliseconds more it is. */
  find({ name, key }: TagView): (TagLookup & { readonly maxAgeMs: number }) | undefined {
    const lookup = this.#lookups.get(key);
    if (!lookup || lookup.sinceMs < (this.#moved.get(name) ?? 0)) return undefined;
    if (lookup.sinceMs <= this.#allExpiredMs) return undefined;
    const maxAgeMs = lookup.untilMs - this.#now();
    return maxAgeMs > 0 ? { ...lookup, maxAgeMs } : undefined;
  }

  /** Discards all lookups of a tag, for all clients, because it was pushed. */
  expire({ name }: TagView): void {
    this.#moved.set(name, this.#now());
  }

  /** Discards all lookups, because any tag may have been pushed. */
  expireAll(): void {
    this.#allExpiredMs = this.#now();
  }

  /** The last answer, however old. */
  latest({ key }: TagView): TagLookup | undefined {
    return this.#lookups.get(key);
  }

  /** Stores an answer. True when the tag has moved; then earlier answers to other partitions no longer count. */
  keep({ name, key }: TagView, { info, isStale }: TagLookup, maxAgeMs: number): boolean {
    const before = this.#lookups.get(key);
    const sinceMs = this.#now();
    this.#lookups.set(key, { info, isStale, sinceMs, untilMs: sinceMs + maxAgeMs });
    const hasMoved = before !== undefined && before.info.digest !== info.digest;
    if (hasMoved) this.#moved.set(name, sinceMs);
    return hasMoved;
  }
}
