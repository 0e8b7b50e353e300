import type { Registry } from '../oci/registry.ts';
import type { CacheOptions } from './cache-options.ts';
import { CachedBlobs } from './cached-blobs.ts';
import { CachedManifests } from './cached-manifests.ts';

/** A cache, and the downloads that it has under way. */
export interface CachedRegistry extends Registry {
  /** Cancels every download that is under way. */
  close(): Promise<void>;
}

/**
 * A registry that keeps what it delivers. It never fetches a digest again that it holds; it looks up a tag each time, and
 * serves it as it was when the upstream fails.
 */
export function cached(options: CacheOptions): CachedRegistry {
  const { next } = options;
  const manifests = new CachedManifests(options);
  const blobs = new CachedBlobs(options);
  return {
    resolve: (repository, reference, asked) => manifests.resolve(repository, reference, asked),
    manifest: (repository, reference, asked) => manifests.manifest(repository, reference, asked),
    statBlob: (repository, digest, asked) => blobs.statBlob(repository, digest, asked),
    blob: (repository, digest, asked) => blobs.blob(repository, digest, asked),
    tags: (repository, asked) => next.tags(repository, asked),
    referrers: (repository, digest, asked) => next.referrers(repository, digest, asked),
    close: () => blobs.close(),
  };
}
