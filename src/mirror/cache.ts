import type { ContentStore } from '../oci/content-store.ts';
import type { Repository, Tag } from '../oci/reference.ts';
import { hasOwnLogin, type Registry, type RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { CacheOptions } from './cache-options.ts';
import { CachedBlobs } from './cached-blobs.ts';
import { CachedManifests } from './cached-manifests.ts';
import { readSmallBlob } from './small-blobs.ts';
import { TagCache, tagView } from './tag-cache.ts';

/** A cache, with its running downloads. */
export interface CachedRegistry extends Registry {
  /** Makes every later request ask upstream for the tag, because it was pushed through this mirror. */
  expireTag(repository: Repository, tag: Tag): void;
  /** The same for all tags, because other mirrors may have forwarded pushes. */
  expireTags(): void;
  /** Cancels all running downloads. */
  close(): Promise<void>;
}

/**
 * A registry that stores what it delivers. A stored digest is never fetched again. A tag is revalidated; when
 * upstream fails, its last known digest is served.
 */
export function cached(options: CacheOptions): CachedRegistry {
  const { next } = options;
  const lookups = new TagCache(options.now);
  const manifests = new CachedManifests(options, lookups);
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
    smallBlob: (repository, digest, asked) => readSmallBlob(options, repository, digest, asked),
    tags: (repository, asked) => next.tags(repository, asked),
    referrers: (repository, digest, asked) => next.referrers(repository, digest, asked),
    expireTag: (repository, tag) => {
      lookups.expire(tagView(repository, tag, undefined));
      options.onTagMoved?.(repository, tag);
    },
    expireTags: () => lookups.expireAll(),
    close: () => blobs.close(),
  };
}

/** True for a refusal of a login. A registry may answer 404 for what that login must not see. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  return error.code === 'UNAUTHORIZED' || error.code === 'DENIED' || error.status === 404;
}

/**
 * Handles revocation, because a registry can revoke a client's own login at any time. When it refuses a login,
 * earlier grants to that login no longer count. Answers for a client's own login always have a maximum age of 0.
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
      // A client that pushes asks whether a digest exists, so it expects 404.
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
