import { LRUCache } from 'lru-cache';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Access, ManifestInfo } from '../oci/registry.ts';

const TAGS_MAX = 20_000;
const MOVED_MAX = 1000;

/** What a tag points to. */
export interface TagLookup {
  readonly info: ManifestInfo;
  /** The upstream could not confirm it: this is its last answer. */
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
  /** The same, and who sees it. */
  readonly key: string;
}

export function tagView(repository: Repository, tag: Tag, access: Access | undefined): TagView {
  const name = `${formatRepository(repository)}:${tag}`;
  return { name, key: `${access?.partition ?? ''} ${name}` };
}

/** What tags pointed to a moment ago: a burst of the same request goes upstream once. */
export class TagCache {
  readonly #now: () => number;
  readonly #lookups = new LRUCache<string, CachedLookup>({ max: TAGS_MAX });
  /** When tags were last seen to point elsewhere. */
  readonly #moved = new LRUCache<string, number>({ max: MOVED_MAX });

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Still fresh, and for how many milliseconds. */
  find({ name, key }: TagView): (TagLookup & { readonly maxAgeMs: number }) | undefined {
    const lookup = this.#lookups.get(key);
    if (!lookup || lookup.sinceMs < (this.#moved.get(name) ?? 0)) return undefined;
    const maxAgeMs = lookup.untilMs - this.#now();
    return maxAgeMs > 0 ? { ...lookup, maxAgeMs } : undefined;
  }

  /** A client has pushed the tag: drop every lookup of it, for all clients. */
  expire({ name }: TagView): void {
    this.#moved.set(name, this.#now());
  }

  /** What was kept last, however long ago. */
  latest({ key }: TagView): TagLookup | undefined {
    return this.#lookups.get(key);
  }

  /** Answers whether the tag has moved since: what others were told of it then counts no more. */
  keep({ name, key }: TagView, { info, isStale }: TagLookup, maxAgeMs: number): boolean {
    const before = this.#lookups.get(key);
    const sinceMs = this.#now();
    this.#lookups.set(key, { info, isStale, sinceMs, untilMs: sinceMs + maxAgeMs });
    const hasMoved = before !== undefined && before.info.digest !== info.digest;
    if (hasMoved) this.#moved.set(name, sinceMs);
    return hasMoved;
  }
}
