import type { Registry } from '../oci/registry.ts';
import type { CacheOptions } from './cache-options.ts';
import { createCachedBlobs } from './cached-blobs.ts';
import { createCachedManifests } from './cached-manifests.ts';

/** A cache, and the fetches that it has under way. */
export interface CachedRegistry extends Registry {
  /** Gives up every fetch that is under way. */
  close(): Promise<void>;
}

/**
 * A registry that keeps what it was asked for. A digest that is held is never asked for upstream again; a tag is looked up
 * each time, and served as it was when the upstream fails.
 */
export function cached(options: CacheOptions): CachedRegistry {
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
