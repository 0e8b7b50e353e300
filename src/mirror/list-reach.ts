import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../lib/lru.ts';
import { SingleFlight } from '../lib/single-flight.ts';
import type { Digest } from '../oci/digest.ts';
import { isImageManifestType, isIndexType } from '../oci/media-type.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import { type Manifest, type Registry, type RequestOptions, turnOf } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { readAside } from './documents/reading.ts';

/** Limit of digests whose repository is known, of all lists together. */
const HOMES_MAX = 100_000;
/** How long an exploration counts, in milliseconds. Requests for random digests start no other one meanwhile. */
const EXPLORED_FOR_MS = 5000;
/** Limit of manifests that one exploration reads. */
const MANIFESTS_MAX = 256;
/** Limit of nested indexes. */
const DEPTH_MAX = 3;

/** Content that a list refers to, directly or not, and the repository that has it. */
export interface Reached {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly home: Repository;
}

export interface ListReachOptions {
  readonly next: Registry;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The members of all lists of this repository, for each known tag. */
  readonly membersOf: (repository: Repository, options: RequestOptions) => Promise<readonly Reached[]>;
}

/** What a manifest refers to: the entries of an index; the configuration and layers of an image. */
async function childrenOf(
  manifest: Manifest,
  home: Repository,
  options: RequestOptions,
): Promise<readonly Reached[]> {
  const children = await readAside('children', manifest, undefined, turnOf(home, options));
  return children.map((child) => ({ ...child, home }));
}

const isManifest = ({ mediaType }: Reached): boolean =>
  isIndexType(mediaType) || isImageManifestType(mediaType);

/**
 * What lists refer to: their members, and the content of those. Only for these digests does a request for a list's
 * name go to a member's repository, because access to a list is no access to everything in its members'
 * repositories.
 */
export class ListReach {
  readonly #options: ListReachOptions;
  readonly #homes = new LRUCache<string, Repository>(entriesAtMost(HOMES_MAX));
  readonly #explorations = new SingleFlight<void>();
  /** Until when each exploration counts, in monotonic milliseconds. */
  readonly #exploredUntilMs = new LRUCache<string, number>(entriesAtMost(1000));

  constructor(options: ListReachOptions) {
    this.#options = options;
  }

  /** The repository that has the digest; undefined when no list of this name refers to it. */
  async find(
    repository: Repository,
    digest: Digest,
    options: RequestOptions,
  ): Promise<Repository | undefined> {
    const key = this.#key(repository, digest);
    const known = this.#homes.get(key);
    if (known) return known;
    await this.#explore(repository, options);
    return this.#homes.get(key);
  }

  add(repository: Repository, reached: readonly Reached[]): void {
    for (const { digest, home } of reached) this.#homes.set(this.#key(repository, digest), home);
  }

  /** Adds what a delivered manifest refers to. */
  async addChildren(
    repository: Repository,
    manifest: Manifest,
    home: Repository,
    options: RequestOptions,
  ): Promise<void> {
    this.add(repository, await childrenOf(manifest, home, options));
  }

  #key(repository: Repository, digest: Digest): string {
    return `${formatRepository(repository)} ${digest}`;
  }

  async #explore(repository: Repository, options: RequestOptions): Promise<void> {
    const { now, membersOf } = this.#options;
    const key = `${options.access?.partition ?? ''} ${formatRepository(repository)}`;
    if ((this.#exploredUntilMs.get(key) ?? 0) > now()) return;
    await this.#explorations.share(key, options.signal, async (signal) => {
      await this.#walk(repository, await membersOf(repository, { ...options, signal }), {
        ...options,
        signal,
      });
      this.#exploredUntilMs.set(key, now() + EXPLORED_FOR_MS);
    });
  }

  /** Reads the members, then what they refer to, level by level. */
  async #walk(repository: Repository, members: readonly Reached[], options: RequestOptions): Promise<void> {
    let level = members;
    let left = MANIFESTS_MAX;
    for (let depth = 0; depth < DEPTH_MAX && level.length > 0; depth += 1) {
      this.add(repository, level);
      const manifests = level.filter(isManifest).slice(0, left);
      left -= manifests.length;
      level = (await Promise.all(manifests.map((one) => this.#read(one, options)))).flat();
    }
    this.add(repository, level);
  }

  async #read({ home, digest }: Reached, options: RequestOptions): Promise<readonly Reached[]> {
    try {
      const manifest = await this.#options.next.manifest(home, { kind: 'digest', digest }, options);
      return await childrenOf(manifest, home, options);
    } catch (error) {
      // A missing member refers to nothing.
      if (error instanceof RegistryError && error.status === 404) return [];
      throw error;
    }
  }
}
