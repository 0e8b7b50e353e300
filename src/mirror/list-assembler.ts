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

/** The tags of a repository that this mirror has served, before a restart too. */
export interface TagHistory {
  tagsOf(repository: Repository): Promise<readonly Tag[]>;
  keepTag(repository: Repository, tag: Tag, info: ManifestInfo): Promise<void>;
}

export interface ListAssemblerOptions {
  readonly next: Registry;
  readonly history?: TagHistory | undefined;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Called for members that a list does without. */
  readonly onMissing: (list: string, missing: Missing) => void;
}

/** A list's index, and what it consists of. */
export interface Assembled {
  /** The list at that time: a reload replaces it. */
  readonly spec: ListSpec;
  readonly manifest: Manifest;
  readonly members: readonly Reached[];
  readonly expiresMs: number;
}

const LISTS_MAX = 1000;
/** Members whose absence has been reported. */
const REPORTED_MAX = 10_000;
/** @throws {RegistryError} when no member was found. */
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
  // A list without a member that could not be fetched is not kept.
  const isWhole = missing.every((one) => one.isUnknown);
  const maxAgeMs = isWhole ? Math.min(...found.map((one) => one.maxAgeMs)) : 0;
  // A list is no fresher than its members.
  const warning = found.find((one) => one.warning !== undefined)?.warning;
  return {
    ...index,
    isAssembled: true,
    maxAgeMs: Number.isFinite(maxAgeMs) ? maxAgeMs : 0,
    ...(warning === undefined ? {} : { notices: { warning } }),
  };
}

/** Assembles lists from their members, and keeps them for as long as the members' tags may be trusted. */
export class ListAssembler {
  readonly #options: ListAssemblerOptions;
  readonly #assembled = new LRUCache<string, Assembled>({ max: LISTS_MAX });
  /** By their own digests, which no registry has. */
  readonly #indexes = new LRUCache<string, Manifest>({ max: LISTS_MAX });
  readonly #reported = new LRUCache<string, true>({ maxSize: REPORTED_MAX, sizeCalculation: () => 1 });
  /** By the current list: a reloaded list does not get an earlier list's index. */
  readonly #assemblies = new WeakMap<ListSpec, SingleFlight<Assembled>>();

  constructor(options: ListAssemblerOptions) {
    this.#options = options;
  }

  /** The current list; concurrent requests share one assembly. */
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
    // Registries decide about each request with a login of the client's own.
    if (hasOwnLogin(options.access)) return undefined;
    const { mediaType, bytes } = this.#indexes.get(this.#indexKey(repository, digest, options)) ?? {};
    if (mediaType === undefined || bytes === undefined) return undefined;
    return { digest, mediaType, bytes, isAssembled: true, maxAgeMs: Number.POSITIVE_INFINITY };
  }

  #indexKey(repository: Repository, digest: Digest, { access }: RequestOptions): string {
    return JSON.stringify([access?.partition, formatRepository(repository), digest]);
  }

  /** Reports each member once, until it is there again: a list is assembled every few minutes. */
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
    // Members whose request was aborted are not missing.
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
