import { type ContentStore, SMALL_PART_BYTES, type StoredBlob } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { type ByteRange, resolveRange } from '../oci/range.ts';
import type { Repository, Tag } from '../oci/reference.ts';
import {
  type BlobOptions,
  hasOwnLogin,
  type Registry,
  type RequestOptions,
  type SmallBlob,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { CacheOptions } from './cache-options.ts';
import { CachedBlobs } from './cached-blobs.ts';
import { CachedManifests } from './cached-manifests.ts';
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

/** The requested part of a blob of this size. Undefined when it is empty, too large or not in the blob. */
function smallPart({ range }: Pick<BlobOptions, 'range'>, sizeBytes: number): ByteRange | undefined {
  const part = range ? resolveRange(range, sizeBytes) : { start: 0, end: sizeBytes };
  if (part === 'unsatisfiable') return undefined;
  const partBytes = part.end - part.start;
  return partBytes > 0 && partBytes <= SMALL_PART_BYTES ? part : undefined;
}

/**
 * The cache's fast path for small parts of blobs: one lookup in memory and one read. Everything else (opening a
 * file, asking upstream, answering 416) is left to `CachedBlobs`.
 */
function readSmallBlob(
  { store, onResult }: Pick<CacheOptions, 'store' | 'onResult'>,
  repository: Repository,
  digest: Digest,
  options: Pick<BlobOptions, 'access' | 'range'>,
): Promise<SmallBlob | undefined> | undefined {
  const stored = store.openBlob(digest);
  if (stored === undefined) return undefined;
  const part = smallPart(options, stored.sizeBytes);
  if (part === undefined || !stored.isVisibleTo(options.access, repository)) {
    stored.close();
    return undefined;
  }
  return readPart(stored, part, digest, options.range && part, onResult);
}

async function readPart(
  stored: StoredBlob,
  part: ByteRange,
  digest: Digest,
  range: ByteRange | undefined,
  onResult: CacheOptions['onResult'],
): Promise<SmallBlob | undefined> {
  const reading = stored.read(part);
  // Its file stays open during the read.
  stored.close();
  const lent = await reading;
  if (lent === undefined) return undefined;
  onResult?.('blob', 'hit');
  return { digest, sizeBytes: stored.sizeBytes, ageMs: stored.ageMs, range, lent };
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
    resolve: (repository, reference, asked) => manifests.resolve(repository, reference, asked),
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
