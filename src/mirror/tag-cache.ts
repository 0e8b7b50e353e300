import { LRUCache } from 'lru-cache';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Access, ManifestInfo } from '../oci/registry.ts';

const TAGS_MAX = 20_000;

/** What a tag points to. */
export interface TagLookup {
  readonly info: ManifestInfo;
  /** The upstream could not confirm it: this is its last answer. */
  readonly isStale: boolean;
}

interface CachedLookup extends TagLookup {
  readonly untilMs: number;
}

/** A tag as this access sees it. */
export function tagKey(repository: Repository, tag: Tag, access: Access | undefined): string {
  return `${access?.partition ?? ''} ${formatRepository(repository)}:${tag}`;
}

/** What tags pointed to a moment ago: a burst of the same request goes upstream once. */
export class TagCache {
  readonly #now: () => number;
  readonly #lookups = new LRUCache<string, CachedLookup>({ max: TAGS_MAX });

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Still fresh, and for how many milliseconds. */
  find(key: string): (TagLookup & { readonly maxAgeMs: number }) | undefined {
    const lookup = this.#lookups.get(key);
    if (!lookup) return undefined;
    const maxAgeMs = lookup.untilMs - this.#now();
    return maxAgeMs > 0 ? { ...lookup, maxAgeMs } : undefined;
  }

  /** What was kept last, however long ago. */
  latest(key: string): TagLookup | undefined {
    return this.#lookups.get(key);
  }

  keep(key: string, { info, isStale }: TagLookup, maxAgeMs: number): void {
    this.#lookups.set(key, { info, isStale, untilMs: this.#now() + maxAgeMs });
  }
}
