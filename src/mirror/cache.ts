import type { ContentStore } from '../oci/content-store.ts';
import type { Repository, Tag } from '../oci/reference.ts';
import { hasOwnLogin, type Registry, type RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { CacheOptions } from './cache-options.ts';
import { CachedBlobs } from './cached-blobs.ts';
import { CachedManifests } from './cached-manifests.ts';

/** A cache, and the downloads that it has under way. */
export interface CachedRegistry extends Registry {
  /** Has every later request look the tag up: it was pushed through this mirror. */
  expireTag(repository: Repository, tag: Tag): void;
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
    resolve: (repository, reference, asked) =>
      asked?.beforePush && reference.kind === 'digest'
        ? next.resolve(repository, reference, asked)
        : manifests.resolve(repository, reference, asked),
    manifest: (repository, reference, asked) => manifests.manifest(repository, reference, asked),
    statBlob: (repository, digest, asked) =>
      (asked?.beforePush ? next : blobs).statBlob(repository, digest, asked),
    blob: (repository, digest, asked) => blobs.blob(repository, digest, asked),
    tags: (repository, asked) => next.tags(repository, asked),
    referrers: (repository, digest, asked) => next.referrers(repository, digest, asked),
    expireTag: (repository, tag) => manifests.expireTag(repository, tag),
    close: () => blobs.close(),
  };
}

/** A registry may hide what a login must not see (any longer) by 404. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  return error.code === 'UNAUTHORIZED' || error.code === 'DENIED' || error.status === 404;
}

/**
 * The upstream, which can revoke a client's own login at any time: when it refuses one, what that login was granted before
 * counts no more, and no answer to one is repeated without asking.
 */
export function revokeRefused(next: Registry, store: Pick<ContentStore, 'revoke'>): Registry {
  async function ask<Answer>(
    repository: Repository,
    options: RequestOptions | undefined,
    answer: Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await answer;
    } catch (error) {
      // That a digest is not there yet is what a client that pushes asks.
      const isExpected = options?.beforePush && error instanceof RegistryError && error.status === 404;
      if (isRefusal(error) && !isExpected) store.revoke({ repository, access: options?.access });
      throw error;
    }
  }
  return {
    resolve: (repository, reference, options) =>
      ask(repository, options, next.resolve(repository, reference, options)),
    manifest: async (repository, reference, options) => {
      const manifest = await ask(repository, options, next.manifest(repository, reference, options));
      return hasOwnLogin(options?.access) && reference.kind === 'digest'
        ? { ...manifest, maxAgeMs: 0 }
        : manifest;
    },
    statBlob: (repository, digest, options) =>
      ask(repository, options, next.statBlob(repository, digest, options)),
    blob: (repository, digest, options) => ask(repository, options, next.blob(repository, digest, options)),
    tags: (repository, options) => ask(repository, options, next.tags(repository, options)),
    referrers: (repository, digest, options) =>
      ask(repository, options, next.referrers(repository, digest, options)),
  };
}
