import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../lib/single-flight.ts';
import type { StoredManifest } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import {
  formatReference,
  formatRepository,
  type ManifestReference,
  type Repository,
  type Tag,
} from '../oci/reference.ts';
import type { Access, Manifest, ManifestInfo, Notices, Registry, RequestOptions } from '../oci/registry.ts';
import { HostNotAllowedError, RegistryError } from '../oci/registry-error.ts';
import { isLoopError } from '../oci/via.ts';
import type { CacheOptions } from './cache-options.ts';

/** Says that an answer could not be confirmed upstream. @see https://www.rfc-editor.org/rfc/rfc7234#section-5.5.1 */
export const STALE_NOTICES: Notices = { warning: '110 - "Response is Stale"' };

/**
 * Has the upstream failed, as opposed to having answered? A tag that is gone (404) or a registry this mirror may not ask
 * is an answer. A refusal of our own login (401, 403) is a failure, since it says nothing about the image; to somebody
 * who came with a login of their own it is the answer.
 */
export function isFailure(error: unknown, access: Access | undefined): boolean {
  if (!(error instanceof RegistryError)) return true;
  if (isLoopError(error) || error instanceof HostNotAllowedError) return false;
  switch (error.code) {
    case 'UNAVAILABLE':
    case 'TOOMANYREQUESTS':
    case 'UNKNOWN':
    case 'MANIFEST_INVALID':
      return true;
    case 'UNAUTHORIZED':
    case 'DENIED':
      return access === undefined;
    default:
      return false;
  }
}

/** Has the upstream let us wait in vain? */
export function isTimeout(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 504;
}

const TAGS_MAX = 20_000;

interface Known {
  readonly info: ManifestInfo;
  readonly untilMs: number;
}

/** A tag as this access sees it. */
export function tagKey(repository: Repository, tag: Tag, access: Access | undefined): string {
  return `${access?.partition ?? ''} ${formatRepository(repository)}:${tag}`;
}

/** What tags pointed to a moment ago: a burst of the same question is asked upstream once. */
export class TagCache {
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

/** Long enough that a burst of pulls asks once, short enough that nobody waits for a tag they have just pushed. */
const TAG_MAX_AGE_MS = 1000;
const RETRY_MS = 5000;

function infoOf({ digest, mediaType, bytes, notices }: Manifest): ManifestInfo {
  return { digest, mediaType, sizeBytes: bytes.length, ...(notices ? { notices } : {}) };
}

function manifestOf(held: StoredManifest, { digest, notices }: ManifestInfo, maxAgeMs: number): Manifest {
  const { bytes, mediaType } = held;
  return { digest, mediaType, bytes, maxAgeMs, ...(notices ? { notices } : {}) };
}

/** The half of the cache that answers for manifests. */
export function createCachedManifests(options: CacheOptions): Pick<Registry, 'resolve' | 'manifest'> {
  const { next, store, log, onResult = () => {}, tagMaxAgeMs = TAG_MAX_AGE_MS, retryMs = RETRY_MS } = options;
  const memory = new TagCache(options.now);
  const lookups = new SingleFlight<ManifestInfo>(isLoopError);
  const fetches = new SingleFlight<Manifest>(isLoopError);

  /** Stored content that this access may see: what was fetched for another is served only if upstream admits this one. */
  async function held(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
  ): Promise<StoredManifest | undefined> {
    const found = await store.manifest(digest);
    const { access } = asked;
    if (!found || found.isVisibleTo(access)) return found;
    await next.resolve(repository, { kind: 'digest', digest }, asked);
    await store.grant(digest, { repository, access });
    return found;
  }

  async function byDigest(repository: Repository, digest: Digest, asked: RequestOptions): Promise<Manifest> {
    const found = await held(repository, digest, asked);
    if (found) {
      onResult('manifest', 'hit');
      const info = { digest, mediaType: found.mediaType, sizeBytes: found.bytes.length };
      return manifestOf(found, info, Number.POSITIVE_INFINITY);
    }
    const { access } = asked;
    const key = `${access?.partition ?? ''} ${formatRepository(repository)}@${digest}`;
    return fetches.share(key, asked.signal, async (signal) => {
      const fetched = await next.manifest(repository, { kind: 'digest', digest }, { ...asked, signal });
      onResult('manifest', 'miss');
      await store.keepManifest(fetched, { repository, access });
      return fetched;
    });
  }

  /** What the tag pointed to when upstream last answered, if the manifest is stored and visible to this access. */
  async function staleTag(
    repository: Repository,
    tag: Tag,
    access: Access | undefined,
  ): Promise<ManifestInfo | undefined> {
    const record = await store.tag(repository, tag);
    const found = record && (await store.manifest(record.digest));
    return record && found?.isVisibleTo(access) ? { ...record, notices: STALE_NOTICES } : undefined;
  }

  /** Answers stale, or throws the error when that is not for it or there is nothing to answer with. */
  async function fallBack(
    repository: Repository,
    tag: Tag,
    { access }: RequestOptions,
    error: unknown,
  ): Promise<ManifestInfo> {
    const stale = isFailure(error, access) ? await staleTag(repository, tag, access) : undefined;
    if (!stale) throw error;
    memory.keep(tagKey(repository, tag, access), stale, retryMs);
    onResult('manifest', 'stale');
    const reference = formatReference(repository, { kind: 'tag', tag });
    const reason = error instanceof Error ? error.message : String(error);
    log('warning', 'served-stale', 'served stale', { reference, digest: stale.digest, reason });
    return stale;
  }

  /** Where the tag points: as of a moment ago, as upstream says, or as it last said. */
  async function lookUp(repository: Repository, tag: Tag, asked: RequestOptions): Promise<ManifestInfo> {
    const key = tagKey(repository, tag, asked.access);
    const fresh = memory.find(key);
    if (fresh) return fresh.info;
    return lookups.share(key, asked.signal, async (signal) => {
      try {
        const info = await next.resolve(repository, { kind: 'tag', tag }, { ...asked, signal });
        memory.keep(key, info, tagMaxAgeMs);
        return info;
      } catch (error) {
        if (signal.aborted) throw error;
        return fallBack(repository, tag, asked, error);
      }
    });
  }

  /** The manifest itself, when what a HEAD announced cannot be had: its bytes decide what the tag points to. */
  async function byTagItself(repository: Repository, tag: Tag, asked: RequestOptions): Promise<Manifest> {
    const key = `${tagKey(repository, tag, asked.access)} itself`;
    return fetches.share(key, asked.signal, async (signal) => {
      const fetched = await next.manifest(repository, { kind: 'tag', tag }, { ...asked, signal });
      onResult('manifest', 'miss');
      await store.keepManifest(fetched, { repository, access: asked.access });
      memory.keep(tagKey(repository, tag, asked.access), infoOf(fetched), tagMaxAgeMs);
      return fetched;
    });
  }

  async function fetchTagged(
    repository: Repository,
    tag: Tag,
    info: ManifestInfo,
    asked: RequestOptions,
  ): Promise<Manifest> {
    try {
      return await byDigest(repository, info.digest, asked);
    } catch (error) {
      // Who did not answer in time is not waited for once more: a runtime waits for both.
      if (asked.signal?.aborted || isTimeout(error)) throw error;
      return await byTagItself(repository, tag, asked);
    }
  }

  async function byTag(repository: Repository, tag: Tag, asked: RequestOptions): Promise<Manifest> {
    const { access } = asked;
    const info = await lookUp(repository, tag, asked);
    const key = tagKey(repository, tag, access);
    const maxAgeMs = () => memory.find(key)?.maxAgeMs ?? 0;
    /** Has upstream said another since? A slow pull must not have the last word. */
    const hasMoved = (from: Digest) => {
      const latest = memory.latest(key);
      return latest !== undefined && latest.notices !== STALE_NOTICES && latest.digest !== from;
    };
    try {
      const found = await fetchTagged(repository, tag, info, asked);
      const isStale = info.notices === STALE_NOTICES;
      // Only now, with the bytes held: a tag that points to nothing we have is of no use when the upstream is gone.
      if (!isStale && !hasMoved(found.digest)) await store.keepTag(repository, tag, infoOf(found));
      const notices = found.digest === info.digest ? info.notices : found.notices;
      return { ...found, maxAgeMs: maxAgeMs(), ...(notices ? { notices } : {}) };
    } catch (error) {
      if (asked.signal?.aborted) throw error;
      const stale = await fallBack(repository, tag, asked, error);
      const found = await store.manifest(stale.digest);
      if (!found) throw error;
      return manifestOf(found, stale, maxAgeMs());
    }
  }

  return {
    resolve: async (repository: Repository, reference: ManifestReference, asked = {}) => {
      if (reference.kind === 'tag') return lookUp(repository, reference.tag, asked);
      const found = await held(repository, reference.digest, asked);
      if (!found) return next.resolve(repository, reference, asked);
      return { digest: reference.digest, mediaType: found.mediaType, sizeBytes: found.bytes.length };
    },
    manifest: async (repository: Repository, reference: ManifestReference, asked = {}) =>
      reference.kind === 'tag'
        ? byTag(repository, reference.tag, asked)
        : byDigest(repository, reference.digest, asked),
  };
}
