import type { ContentStore } from '../oci/content-store.ts';
import type { Log } from '../oci/log.ts';
import type { Registry } from '../oci/registry.ts';
import { createCachedBlobs } from './cached-blobs.ts';
import { createCachedManifests } from './cached-manifests.ts';

/**
 * How a request was answered: from what is held, from a fetch of its own, from one that was under way, from what a failing
 * upstream last said, or past the cache.
 */
export type CacheUse = 'held' | 'fetched' | 'joined' | 'stale' | 'passed';

export interface CachedOptions {
  readonly next: Registry;
  readonly store: ContentStore;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly log: Log;
  /** Told of every answer, for those who count. */
  readonly used?: (kind: 'manifest' | 'blob', how: CacheUse) => void;
  /** For how long a tag that was just looked up is not looked up again, in milliseconds. */
  readonly tagMaxAgeMs?: number;
  /** For how long an upstream that failed is not asked again about a tag that can be served stale, in milliseconds. */
  readonly retryMs?: number;
  /** For how long a blob is fetched on when everybody who wanted it has left, in milliseconds. */
  readonly lingerMs?: number;
}

/** A cache, and the fetches that it has under way. */
export interface CachedRegistry extends Registry {
  /** Gives up every fetch that is under way. */
  close(): Promise<void>;
}

/**
 * A registry that keeps what it was asked for. A digest that is held is never asked for upstream again; a tag is looked up
 * each time, and served as it was when the upstream fails.
 */
export function cached(options: CachedOptions): CachedRegistry {
  const { next } = options;
  const { resolve, manifest } = createCachedManifests(options);
  const { statBlob, blob, close } = createCachedBlobs(options);
  return {
    resolve,
    manifest,
    statBlob,
    blob,
    tags: (repository, asked) => next.tags(repository, asked),
    referrers: (repository, digest, asked) => next.referrers(repository, digest, asked),
    close,
  };
}
