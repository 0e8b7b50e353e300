import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../lib/single-flight.ts';
import type { Digest } from '../oci/digest.ts';
import {
  formatReference,
  formatRepository,
  type ManifestReference,
  parseTag,
  type Repository,
  type Tag,
} from '../oci/reference.ts';
import { type Manifest, type Registry, type RequestOptions, turnOf } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { DerivedForm } from '../selection/derived-forms.ts';
import type { SelectionPolicy } from '../selection/policy.ts';
import { readAside } from './documents/reading.ts';

/** An index that another mirror derived, and what it was derived from. */
export interface FoundDerived {
  readonly form: DerivedForm;
  readonly tag: Tag;
  /** The index that the tag points to. */
  readonly upstream: Manifest;
}

/** An index that was derived for another kind of host, and is requested here by its digest. */
export interface ForeignDerived {
  readonly repository: Repository;
  readonly digest: Digest;
  /** The tag that it was derived from, and the digest of that tag's index. */
  readonly tag: Tag;
  readonly upstreamDigest: Digest;
  /** The platform (`linux/amd64`), and the demands of the entry that is left for it; undefined when none is left. */
  readonly platform: string;
  readonly demands: string | undefined;
  readonly runsHere: boolean;
  readonly isDelivered: boolean;
  /** The microarchitecture of this host. */
  readonly host: string;
}

/** The error for the client when the policy refuses the index. */
export function refusalOfForeign({ repository, digest, tag, demands, host }: ForeignDerived): RegistryError {
  const name = formatReference(repository, { kind: 'digest', digest });
  const kind = demands === undefined ? 'hosts that run none of its entries' : demands || 'any host';
  return new RegistryError(
    'MANIFEST_UNKNOWN',
    `${name} was derived from :${tag} for ${kind}; this host is ${host}, and the policy refuses foreign-derived digests`,
  );
}

export interface DerivedSearchOptions {
  readonly next: Registry;
  /** The tags of a repository that this mirror has served. */
  readonly tagsOf: (repository: Repository) => Promise<readonly Tag[]>;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly limits?: Partial<DerivedSearchLimits> | undefined;
}

/** Limits of a search. */
export interface DerivedSearchLimits {
  /** How many tags of a repository one exploration reads. */
  readonly tags: number;
  /** How many bytes of derived indexes are computed for one index. */
  readonly formBytes: number;
  /** How long an exploration requests further tags, in milliseconds. */
  readonly timeMs: number;
  /**
   * How long the result of an exploration is used, in milliseconds. Digests that it lacks are not searched
   * meanwhile.
   */
  readonly maxAgeMs: number;
  /** How many explorations may start in a minute, for all repositories together. */
  readonly perMinute: number;
}

const DERIVED_SEARCH_LIMITS: DerivedSearchLimits = {
  tags: 64,
  formBytes: 64 * 1024 * 1024,
  timeMs: 10_000,
  maxAgeMs: 15_000,
  perMinute: 60,
};

const MINUTE_MS = 60_000;
/** Limit of exploration results in memory. Each is a list of digests. */
const EXPLORED_MAX = 200;
/** Concurrent tag requests. */
const TAGS_AT_ONCE = 4;

/** True when a registry failed or took too long. The search then continues with what it has. */
function isOrdinary(error: unknown, { signal }: RequestOptions): boolean {
  return error instanceof RegistryError || (signal?.reason as Error | undefined)?.name === 'TimeoutError';
}

/** What an index was derived from. */
interface FormSource {
  readonly tag: Tag;
  readonly upstreamDigest: Digest;
}

/** All derived forms of the indexes that a repository's tags point to. */
interface Explored {
  readonly untilMs: number;
  readonly forms: ReadonlyMap<Digest, FormSource>;
}

/** Which tags to explore: first those that this mirror has served, then those that the registry lists. */
type Phase = 'served' | 'listed';
const PHASES: readonly Phase[] = ['served', 'listed'];

/**
 * Finds indexes that another mirror derived. An index of n candidates has at most n + 1 derived forms, so an
 * unknown digest is looked up among the forms of the repository's indexes. Concurrent requests share one
 * exploration of a repository, its result is reused for a while, and the number of explorations is limited: so
 * requests for random digests cost no more.
 */
export class DerivedSearch {
  readonly #options: DerivedSearchOptions;
  readonly #limits: DerivedSearchLimits;
  readonly #explorations = new SingleFlight<Explored | undefined>();
  readonly #explored = new LRUCache<string, Explored>({ max: EXPLORED_MAX });
  #minuteStartMs = Number.NEGATIVE_INFINITY;
  #startedInMinute = 0;

  constructor(options: DerivedSearchOptions) {
    this.#options = options;
    this.#limits = { ...DERIVED_SEARCH_LIMITS, ...options.limits };
  }

  /** Undefined when no index was found that it is derived from, or when the limit of explorations is reached. */
  async find(
    repository: Repository,
    digest: Digest,
    policyFor: (tag: Tag) => SelectionPolicy,
    options: RequestOptions,
  ): Promise<FoundDerived | undefined> {
    for (const phase of PHASES) {
      const explored = await this.#explore(repository, phase, policyFor, options);
      const source = explored?.forms.get(digest);
      if (source) return this.#deriveAgain(repository, digest, source, policyFor, options);
    }
    return undefined;
  }

  async #explore(
    repository: Repository,
    phase: Phase,
    policyFor: (tag: Tag) => SelectionPolicy,
    options: RequestOptions,
  ) {
    const key = `${options.access?.partition ?? ''} ${formatRepository(repository)} ${phase}`;
    const known = this.#explored.get(key);
    if (known && known.untilMs > this.#options.now()) return known;
    return this.#explorations.share(key, options.signal, async (signal) => {
      if (!this.#mayStart()) return undefined;
      // Without a deadline, one slow tag could make a client wait forever.
      const deadline = AbortSignal.timeout(this.#limits.timeMs);
      const shared = { ...options, signal: AbortSignal.any([signal, deadline]) };
      const tags = await this.#tagsOf(repository, phase, shared);
      const forms = await this.#formsOf(repository, tags, policyFor, shared);
      const explored = { forms, untilMs: this.#options.now() + this.#limits.maxAgeMs };
      this.#explored.set(key, explored);
      return explored;
    });
  }

  #mayStart(): boolean {
    const nowMs = this.#options.now();
    if (nowMs - this.#minuteStartMs >= MINUTE_MS) {
      this.#minuteStartMs = nowMs;
      this.#startedInMinute = 0;
    }
    this.#startedInMinute += 1;
    return this.#startedInMinute <= this.#limits.perMinute;
  }

  async #tagsOf(repository: Repository, phase: Phase, options: RequestOptions): Promise<readonly Tag[]> {
    const served = await this.#options.tagsOf(repository);
    if (phase === 'served') return served.slice(0, this.#limits.tags);
    const listed = await this.#listedTags(repository, served.length, options);
    return listed.filter((tag) => !served.includes(tag)).slice(0, this.#limits.tags);
  }

  /**
   * The tags that the registry lists: `latest` first, then the last ones of the list, which are the newest where
   * tags are versions.
   */
  async #listedTags(
    repository: Repository,
    served: number,
    options: RequestOptions,
  ): Promise<readonly Tag[]> {
    try {
      const { tags } = await this.#options.next.tags(repository, {
        ...options,
        last: this.#limits.tags + served,
      });
      const newestFirst = ['latest', ...tags.toReversed()].flatMap((tag) => parseTag(tag) ?? []);
      return [...new Set(newestFirst)];
    } catch (error) {
      if (!isOrdinary(error, options)) throw error;
      // Many registries list no tags for a login that may only pull. The served tags were tried before.
      return [];
    }
  }

  async #formsOf(
    repository: Repository,
    tags: readonly Tag[],
    policyFor: (tag: Tag) => SelectionPolicy,
    options: RequestOptions,
  ): Promise<ReadonlyMap<Digest, FormSource>> {
    const untilMs = this.#options.now() + this.#limits.timeMs;
    const forms = new Map<Digest, FormSource>();
    const seen = new Set<Digest>();
    for (let at = 0; at < tags.length && this.#options.now() < untilMs; at += TAGS_AT_ONCE) {
      const batch = tags.slice(at, at + TAGS_AT_ONCE);
      const manifests = await Promise.all(
        batch.map((tag) => this.#get(repository, { kind: 'tag', tag }, options)),
      );
      for (const [position, tag] of batch.entries()) {
        const upstream = manifests[position];
        if (!upstream || seen.has(upstream.digest)) continue;
        seen.add(upstream.digest);
        const details = { policy: policyFor(tag), formBytes: this.#limits.formBytes };
        const turn = turnOf(repository, options);
        for (const digest of await readAside('derived forms', upstream, details, turn)) {
          if (!forms.has(digest)) forms.set(digest, { tag, upstreamDigest: upstream.digest });
        }
      }
    }
    return forms;
  }

  async #deriveAgain(
    repository: Repository,
    digest: Digest,
    { tag, upstreamDigest }: FormSource,
    policyFor: (tag: Tag) => SelectionPolicy,
    options: RequestOptions,
  ): Promise<FoundDerived | undefined> {
    const upstream = await this.#get(repository, { kind: 'digest', digest: upstreamDigest }, options);
    if (!upstream) return undefined;
    const { formBytes } = this.#limits;
    const details = { policy: policyFor(tag), formBytes, digest };
    const form = await readAside('derived form', upstream, details, turnOf(repository, options));
    return form && { form: { ...form, bytes: Buffer.from(form.bytes) }, tag, upstream };
  }

  async #get(
    repository: Repository,
    reference: ManifestReference,
    options: RequestOptions,
  ): Promise<Manifest | undefined> {
    try {
      return await this.#options.next.manifest(repository, reference, options);
    } catch (error) {
      if (!isOrdinary(error, options)) throw error;
      // An index that cannot be fetched has no derived forms.
      return undefined;
    }
  }
}
