import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../lib/single-flight.ts';
import { assembleIndex } from '../oci/build-index.ts';
import type { Digest } from '../oci/digest.ts';
import type { ListSpec } from '../oci/image-list.ts';
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import {
  hasOwnLogin,
  type Manifest,
  type ManifestInfo,
  type Registry,
  type RequestOptions,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Reached } from './list-reach.ts';
import { type Missing, type ResolveOptions, resolveMembers } from './resolve-members.ts';

/** The tags of a repository that this mirror has served, those before a restart included. */
export interface TagHistory {
  tagsOf(repository: Repository): Promise<readonly Tag[]>;
  keepTag(repository: Repository, tag: Tag, info: ManifestInfo): Promise<void>;
}

export interface ListAssemblerOptions {
  readonly next: Registry;
  readonly history?: TagHistory | undefined;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Called for each member that a list had to leave out. */
  readonly onMissing: (list: string, missing: Missing) => void;
}

/** The index of a list, with what it was assembled from. */
export interface Assembled {
  /** The list as it was then. A reload replaces it. */
  readonly spec: ListSpec;
  readonly manifest: Manifest;
  readonly members: readonly Reached[];
  readonly expiresMs: number;
}

const LISTS_MAX = 1000;
/** Limit of members whose absence was reported. */
const REPORTED_MAX = 10_000;
/** @throws {RegistryError} when no member was found */
function toManifest({ found, missing }: ResolveOptions, list: string): Manifest {
  if (found.length === 0) {
    const hasFailed = missing.some((one) => !one.isUnknown);
    const reasons = missing.map(({ image, reason }) => `${image}: ${reason}`).join('; ');
    throw new RegistryError(
      hasFailed ? 'UNAVAILABLE' : 'MANIFEST_UNKNOWN',
      `MetaHub could not get any member of ${list} (${reasons})`,
    );
  }
  const index = assembleIndex(found.map(({ member }) => member));
  // Not reused when a member could not be fetched, because it may be there next time.
  const isWhole = missing.every((one) => one.isUnknown);
  const maxAgeMs = isWhole ? Math.min(...found.map((one) => one.maxAgeMs)) : 0;
  // One stale member makes the list stale.
  const warning = found.find((one) => one.warning !== undefined)?.warning;
  return {
    ...index,
    isAssembled: true,
    maxAgeMs: Number.isFinite(maxAgeMs) ? maxAgeMs : 0,
    ...(warning === undefined ? {} : { notices: { warning } }),
  };
}

/** Assembles lists from their members, and reuses them while the members' tags are fresh. */
export class ListAssembler {
  readonly #options: ListAssemblerOptions;
  readonly #assembled = new LRUCache<string, Assembled>({ max: LISTS_MAX });
  /** Assembled indexes by their digest, which no registry has. */
  readonly #indexes = new LRUCache<string, Manifest>({ max: LISTS_MAX });
  readonly #reported = new LRUCache<string, true>({ maxSize: REPORTED_MAX, sizeCalculation: () => 1 });
  /** Running assemblies for each list object, so that a reloaded list never gets an earlier list's index. */
  readonly #assemblies = new WeakMap<ListSpec, SingleFlight<Assembled>>();

  constructor(options: ListAssemblerOptions) {
    this.#options = options;
  }

  /** Assembles the list, or returns the known one. Concurrent requests share one assembly. */
  assemble(spec: ListSpec, tag: Tag, options: RequestOptions): Promise<Assembled> {
    const { now } = this.#options;
    const key = JSON.stringify([options.access?.partition, formatRepository(spec.repository), tag]);
    const known = options.revalidate ? undefined : this.#assembled.get(key);
    if (known?.spec === spec && known.expiresMs > now()) return Promise.resolve(known);
    const flight = options.revalidate ? `${key} revalidated` : key;
    return this.#assembliesOf(spec).share(flight, options.signal, async (signal) => {
      const list = await this.#assembleNow(spec, tag, { ...options, signal });
      this.#assembled.set(key, list);
      this.#indexes.set(this.#indexKey(spec.repository, list.manifest.digest, options), list.manifest);
      return list;
    });
  }

  /** The index of a list as it was assembled for this access, now or earlier. */
  index(repository: Repository, digest: Digest, options: RequestOptions): Manifest | undefined {
    // For a client's own login the registries must be asked each time.
    if (hasOwnLogin(options.access)) return undefined;
    const { mediaType, bytes } = this.#indexes.get(this.#indexKey(repository, digest, options)) ?? {};
    if (mediaType === undefined || bytes === undefined) return undefined;
    return { digest, mediaType, bytes, isAssembled: true, maxAgeMs: Number.POSITIVE_INFINITY };
  }

  #indexKey(repository: Repository, digest: Digest, { access }: RequestOptions): string {
    return JSON.stringify([access?.partition, formatRepository(repository), digest]);
  }

  /** Reports each missing member once, until it is there again: a list is assembled every few minutes. */
  #reportMissing(spec: ListSpec, name: string, { found, missing }: ResolveOptions): void {
    const keyOf = (image: string) => `${formatRepository(spec.repository)} ${image}`;
    for (const { image } of found) {
      this.#reported.delete(keyOf(formatReference(image.repository, image.reference)));
    }
    for (const one of missing) {
      if (this.#reported.has(keyOf(one.image))) continue;
      this.#reported.set(keyOf(one.image), true);
      this.#options.onMissing(name, one);
    }
  }

  #assembliesOf(spec: ListSpec): SingleFlight<Assembled> {
    const known = this.#assemblies.get(spec);
    if (known) return known;
    const created = new SingleFlight<Assembled>();
    this.#assemblies.set(spec, created);
    return created;
  }

  async #assembleNow(spec: ListSpec, tag: Tag, options: RequestOptions): Promise<Assembled> {
    const { next, now, history } = this.#options;
    const name = formatReference(spec.repository, { kind: 'tag', tag });
    const resolved = await resolveMembers(spec, tag, next, options);
    // An aborted request does not mean that members are missing.
    options.signal?.throwIfAborted();
    this.#reportMissing(spec, name, resolved);
    const manifest = toManifest(resolved, name);
    const { digest, mediaType, bytes } = manifest;
    await history?.keepTag(spec.repository, tag, { digest, mediaType, sizeBytes: bytes.length });
    const members = resolved.found.map(({ member, image }) => ({
      digest: member.digest,
      mediaType: member.mediaType,
      home: image.repository,
    }));
    return { spec, manifest, members, expiresMs: now() + manifest.maxAgeMs };
  }
}
