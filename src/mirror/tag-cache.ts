import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../lib/lru.ts';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Access, ManifestInfo } from '../oci/registry.ts';

const TAGS_MAX = 20_000;
const MOVED_MAX = 1000;

/** What a tag points to. */
export interface TagLookup {
  readonly info: ManifestInfo;
  /** Upstream could not confirm it: this is its last answer. */
  readonly isStale: boolean;
}

interface CachedLookup extends TagLookup {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** A tag as an access sees it. */
export interface TagView {
  /** `docker.io/library/alpine:latest`. */
  readonly name: string;
  /** The name, together with the partition that sees it. */
  readonly key: string;
}

export function tagView(repository: Repository, tag: Tag, access: Access | undefined): TagView {
  const name = `${formatRepository(repository)}:${tag}`;
  return { name, key: `${access?.partition ?? ''} ${name}` };
}

/** What tags pointed to a moment ago: a burst of the same request goes upstream once. */
export class TagCache {
  readonly #now: () => number;
  readonly #lookups = new LRUCache<string, CachedLookup>(entriesAtMost(TAGS_MAX));
  /** When tags were last seen to move. */
  readonly #moved = new LRUCache<string, number>(entriesAtMost(MOVED_MAX));

  #allExpiredMs = Number.NEGATIVE_INFINITY;

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The answer while it is fresh, and for how many more milliseconds. */
  find({ name, key }: TagView): (TagLookup & { readonly maxAgeMs: number }) | undefined {
    const lookup = this.#lookups.get(key);
    if (!lookup || lookup.sinceMs < (this.#moved.get(name) ?? 0)) return undefined;
    if (lookup.sinceMs <= this.#allExpiredMs) return undefined;
    const maxAgeMs = lookup.untilMs - this.#now();
    return maxAgeMs > 0 ? { ...lookup, maxAgeMs } : undefined;
  }

  /** A client pushed the tag: drops every lookup of it, for all clients. */
  expire({ name }: TagView): void {
    this.#moved.set(name, this.#now());
  }

  /** Tags may have been pushed: drop every lookup. */
  expireAll(): void {
    this.#allExpiredMs = this.#now();
  }

  /** The last answer, however old. */
  latest({ key }: TagView): TagLookup | undefined {
    return this.#lookups.get(key);
  }

  /** Stores an answer; true when the tag has moved: earlier answers to other clients no longer count. */
  keep({ name, key }: TagView, { info, isStale }: TagLookup, maxAgeMs: number): boolean {
    const before = this.#lookups.get(key);
    const sinceMs = this.#now();
    this.#lookups.set(key, { info, isStale, sinceMs, untilMs: sinceMs + maxAgeMs });
    const hasMoved = before !== undefined && before.info.digest !== info.digest;
    if (hasMoved) this.#moved.set(name, sinceMs);
    return hasMoved;
  }
}
