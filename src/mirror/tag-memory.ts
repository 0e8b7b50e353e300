import { LRUCache } from 'lru-cache';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Access, ManifestInfo } from '../oci/registry.ts';

const TAGS_MAX = 20_000;

interface Known {
  readonly info: ManifestInfo;
  readonly untilMs: number;
}

/** A tag as these eyes see it. */
export function tagKey(repository: Repository, tag: Tag, access: Access | undefined): string {
  return `${access?.partition ?? ''} ${formatRepository(repository)}:${tag}`;
}

/** What tags pointed to a moment ago: a burst of the same question is asked upstream once. */
export class TagMemory {
  readonly #now: () => number;
  readonly #known = new LRUCache<string, Known>({ max: TAGS_MAX });

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Still fresh, and for how many milliseconds. */
  find(key: string): { readonly info: ManifestInfo; readonly maxAgeMs: number } | undefined {
    const known = this.#known.get(key);
    if (!known) return undefined;
    const maxAgeMs = known.untilMs - this.#now();
    return maxAgeMs > 0 ? { info: known.info, maxAgeMs } : undefined;
  }

  /** What was kept last, however long ago. */
  latest(key: string): ManifestInfo | undefined {
    return this.#known.get(key)?.info;
  }

  keep(key: string, info: ManifestInfo, maxAgeMs: number): void {
    this.#known.set(key, { info, untilMs: this.#now() + maxAgeMs });
  }
}
