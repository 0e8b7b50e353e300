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
import {
  type Access,
  hasOwnLogin,
  infoOf,
  type Manifest,
  type ManifestInfo,
  type Notices,
  type RequestOptions,
} from '../oci/registry.ts';
import { HostNotAllowedError, isLoopError, RegistryError } from '../oci/registry-error.ts';
import type { CacheOptions, CacheResult } from './cache-options.ts';
import { TagCache, type TagLookup, type TagView, tagView } from './tag-cache.ts';

/**
 * The warning for an answer that upstream could not confirm. @see
 * https://www.rfc-editor.org/rfc/rfc7234#section-5.5.1
 */
const STALE_NOTICES: Notices = { warning: '110 - "Response is Stale"' };

/**
 * True when upstream failed, so that a stale answer is better. A missing tag (404) and a registry that is not
 * allowed are answers. A refusal (401, 403) of the mirror's own login is a failure, because it says nothing about
 * the image; a refusal of a client's own login is the answer.
 */
export function isFailure(error: unknown, access: Access | undefined): boolean {
  if (!(error instanceof RegistryError)) return true;
  if (isLoopError(error) || error instanceof HostNotAllowedError) return false;
  switch (error.code) {
    case 'UNAVAILABLE':
    case 'TOOMANYREQUESTS':
    case 'UNKNOWN':
    case 'UNSUPPORTED':
    case 'MANIFEST_INVALID':
      return true;
    case 'UNAUTHORIZED':
    case 'DENIED':
      return access === undefined;
    default:
      return false;
  }
}

/** True when upstream did not answer in time. */
function isTimeout(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 504;
}

/** Long enough for a burst of pulls to ask once; short enough for a tag that was just pushed to appear. */
const TAG_MAX_AGE_MS = 1000;
const RETRY_MS = 5000;

interface Request {
  readonly repository: Repository;
  readonly options: RequestOptions;
}

interface TagRequest extends Request {
  readonly tag: Tag;
}

interface DigestRequest extends Request {
  readonly digest: Digest;
}

function viewOf({ repository, tag, options }: TagRequest): TagView {
  return tagView(repository, tag, options.access);
}

function manifestOf(
  { bytes, mediaType, ageMs }: StoredManifest,
  digest: Digest,
  maxAgeMs: number,
  notices?: Notices,
): Manifest {
  return { digest, mediaType, bytes, maxAgeMs, ageMs, ...(notices ? { notices } : {}) };
}

/**
 * The part of the cache for manifests. A digest comes from the store. A tag is revalidated, unless that has just
 * been done; when upstream fails, the last known digest is served.
 */
export class CachedManifests {
  readonly #options: CacheOptions;
  readonly #tagMaxAgeMs: number;
  readonly #retryMs: number;
  readonly #tags: TagCache;
  readonly #lookups = new SingleFlight<TagLookup>(isLoopError);
  readonly #fetches = new SingleFlight<Manifest>(isLoopError);

  constructor(options: CacheOptions, tags = new TagCache(options.now)) {
    this.#options = options;
    this.#tagMaxAgeMs = options.tagMaxAgeMs ?? TAG_MAX_AGE_MS;
    this.#retryMs = options.retryMs ?? RETRY_MS;
    this.#tags = tags;
  }

  async resolve(
    repository: Repository,
    reference: ManifestReference,
    options: RequestOptions = {},
  ): Promise<ManifestInfo> {
    if (reference.kind === 'tag') {
      return (await this.#lookUp({ repository, tag: reference.tag, options })).info;
    }
    const { digest } = reference;
    const stored = options.beforePush ? undefined : await this.#findStored({ repository, digest, options });
    if (!stored) return this.#options.next.resolve(repository, reference, options);
    return { digest, mediaType: stored.mediaType, sizeBytes: stored.bytes.length };
  }

  async manifest(
    repository: Repository,
    reference: ManifestReference,
    options: RequestOptions = {},
  ): Promise<Manifest> {
    return reference.kind === 'tag'
      ? this.#byTag({ repository, tag: reference.tag, options })
      : this.#byDigest({ repository, digest: reference.digest, options });
  }

  #count(result: CacheResult): void {
    this.#options.onResult?.('manifest', result);
  }

  // By digest.

  /**
   * The stored manifest, if the request may see it. Otherwise a repository that delivered it decides that, by a
   * HEAD request. Undefined when the bytes must come from upstream.
   */
  async #findStored({ repository, digest, options }: DigestRequest): Promise<StoredManifest | undefined> {
    const { next, store } = this.#options;
    const { access } = options;
    const stored = await store.manifest(digest);
    if (!stored || stored.isVisibleTo(access, repository)) return stored;
    if (!stored.isFrom(repository)) return undefined;
    await next.resolve(repository, { kind: 'digest', digest }, options);
    await store.grant(digest, { repository, access });
    return { ...stored, ageMs: 0 };
  }

  async #byDigest(request: DigestRequest): Promise<Manifest> {
    const { repository, digest, options } = request;
    const stored = await this.#findStored(request);
    if (stored) {
      this.#count('hit');
      // The registry can revoke what a client's own login may see, so it is asked each time.
      const maxAgeMs = hasOwnLogin(options.access) ? 0 : Number.POSITIVE_INFINITY;
      return manifestOf(stored, digest, maxAgeMs);
    }
    const key = `${options.access?.partition ?? ''} ${formatRepository(repository)}@${digest}`;
    return this.#fetch(key, repository, { kind: 'digest', digest }, options);
  }

  /** Fetches a manifest and stores it, once for all concurrent requests. */
  #fetch(key: string, repository: Repository, reference: ManifestReference, options: RequestOptions) {
    const { next, store } = this.#options;
    return this.#fetches.share(key, options.signal, async (signal) => {
      const fetched = await next.manifest(repository, reference, { ...options, signal });
      this.#count('miss');
      await store.keepManifest(fetched, { repository, access: options.access });
      return fetched;
    });
  }

  // By tag.

  /** Where the tag points: as found a moment ago, as upstream answers now, or as it answered last. */
  async #lookUp(request: TagRequest): Promise<TagLookup> {
    const { repository, tag, options } = request;
    const view = viewOf(request);
    const fresh = options.revalidate ? undefined : this.#tags.find(view);
    if (fresh) return fresh;
    // A client that asks for the current digest must not join a lookup that began before.
    const key = options.revalidate ? `${view.key} revalidated` : view.key;
    return this.#lookups.share(key, options.signal, async (signal) => {
      try {
        const info = await this.#options.next.resolve(
          repository,
          { kind: 'tag', tag },
          { ...options, signal },
        );
        return this.#remember(request, info);
      } catch (error) {
        if (signal.aborted) throw error;
        return this.#fallBack(request, error);
      }
    });
  }

  #remember(request: TagRequest, info: ManifestInfo): TagLookup {
    const lookup = { info, isStale: false };
    const hasMoved = this.#tags.keep(viewOf(request), lookup, this.#tagMaxAgeMs);
    if (hasMoved) this.#options.onTagMoved?.(request.repository, request.tag);
    return lookup;
  }

  /** Falls back to the last answer. Rethrows the error when upstream did answer, or when there is no earlier answer. */
  async #fallBack(request: TagRequest, error: unknown): Promise<TagLookup> {
    const { repository, tag, options } = request;
    const last = isFailure(error, options.access) ? await this.#lastAnswer(request) : undefined;
    if (!last) throw error;
    this.#tags.keep(viewOf(request), last, this.#retryMs);
    this.#count('stale');
    const { digest } = last.info;
    const reference = formatReference(repository, { kind: 'tag', tag });
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log('warning', 'served-stale', 'served stale', { reference, digest, reason });
    return last;
  }

  /** Where the tag pointed in upstream's last answer, if that manifest is stored and this access may see it. */
  async #lastAnswer({ repository, tag, options }: TagRequest): Promise<TagLookup | undefined> {
    const { store } = this.#options;
    const record = await store.tag(repository, tag);
    const stored = record && (await store.manifest(record.digest));
    if (!record || !stored?.isVisibleTo(options.access, repository)) return undefined;
    return { info: { ...record, notices: STALE_NOTICES }, isStale: true };
  }

  async #byTag(request: TagRequest): Promise<Manifest> {
    const lookup = await this.#lookUp(request);
    try {
      return await this.#deliver(request, lookup);
    } catch (error) {
      if (request.options.signal?.aborted) throw error;
      const { info } = await this.#fallBack(request, error);
      const stored = await this.#options.store.manifest(info.digest);
      if (!stored) throw error;
      return manifestOf(stored, info.digest, this.#maxAgeMs(request), info.notices);
    }
  }

  /** Gets the manifest that the lookup found, and then records where the tag points. */
  async #deliver(request: TagRequest, { info, isStale }: TagLookup): Promise<Manifest> {
    const { repository, tag } = request;
    const found = await this.#fetchTagged(request, info.digest);
    // Only now that the bytes are stored: without them, the tag would be useless while upstream is down.
    if (!isStale && !this.#hasMoved(request, found.digest)) {
      await this.#options.store.keepTag(repository, tag, infoOf(found));
    }
    const notices = found.digest === info.digest ? info.notices : found.notices;
    const { ageMs, ...fresh } = found;
    // The tag was confirmed just now, and with it the manifest.
    const age = isStale && ageMs !== undefined ? { ageMs } : {};
    return { ...fresh, ...age, maxAgeMs: this.#maxAgeMs(request), ...(notices ? { notices } : {}) };
  }

  async #fetchTagged(request: TagRequest, digest: Digest): Promise<Manifest> {
    const { repository, options } = request;
    try {
      return await this.#byDigest({ repository, digest, options });
    } catch (error) {
      // After a timeout upstream is not asked again, because the runtime would wait for both.
      if (options.signal?.aborted || isTimeout(error)) throw error;
      return await this.#fetchByTag(request);
    }
  }

  /**
   * Fetches the tag's manifest, when the digest that HEAD announced cannot be fetched. Its bytes are what the tag
   * means.
   */
  async #fetchByTag(request: TagRequest): Promise<Manifest> {
    const { repository, tag, options } = request;
    const fetched = await this.#fetch(
      `${viewOf(request).key} itself`,
      repository,
      { kind: 'tag', tag },
      options,
    );
    this.#remember(request, infoOf(fetched));
    return fetched;
  }

  /** How long the answer may be reused, in milliseconds. */
  #maxAgeMs(request: TagRequest): number {
    return this.#tags.find(viewOf(request))?.maxAgeMs ?? 0;
  }

  /** True when upstream has named another digest meanwhile, which a slow pull must not overwrite. */
  #hasMoved(request: TagRequest, from: Digest): boolean {
    const latest = this.#tags.latest(viewOf(request));
    return latest !== undefined && !latest.isStale && latest.info.digest !== from;
  }
}
