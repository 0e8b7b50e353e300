import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { type JsonBounds, shapeOf, USUAL_BOUNDS } from '../lib/bounded-json.ts';
import { SingleFlight } from '../lib/single-flight.ts';
import type { Digest } from '../oci/digest.ts';
import { type ImageIndex, parseManifestDocument } from '../oci/manifest.ts';
import {
  formatRepository,
  type ManifestReference,
  parseTag,
  type Repository,
  type Tag,
} from '../oci/reference.ts';
import type { Manifest, Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { type DerivedForm, derivedForms } from '../selection/derived-forms.ts';
import type { SelectionPolicy } from '../selection/policy.ts';

/** An index that was derived somewhere else, and what it was derived from. */
export interface FoundDerived {
  readonly form: DerivedForm;
  readonly tag: Tag;
  /** The index that the tag names. */
  readonly upstream: Manifest;
}

export interface DerivedSearchOptions {
  readonly next: Registry;
  /** The tags of a repository that this mirror has served. */
  readonly tagsOf: (repository: Repository) => Promise<readonly Tag[]>;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly limits?: Partial<DerivedSearchLimits> | undefined;
}

/** What searches may cost. */
export interface DerivedSearchLimits {
  /** Tags of a repository that an exploration goes through. */
  readonly tags: number;
  /** Bytes of derived indexes that one index is tried with. */
  readonly formBytes: number;
  /** For how long an exploration asks for further tags, in milliseconds. */
  readonly timeMs: number;
  /** For how long an exploration counts: a digest that it has not found is not looked for again, in milliseconds. */
  readonly maxAgeMs: number;
  /** Explorations a minute, of all repositories together. */
  readonly perMinute: number;
}

export const DERIVED_SEARCH_LIMITS: DerivedSearchLimits = {
  tags: 64,
  formBytes: 64 * 1024 * 1024,
  timeMs: 10_000,
  maxAgeMs: 15_000,
  perMinute: 60,
};

const MINUTE_MS = 60_000;
/** Explorations that are remembered: each is a list of digests. */
const EXPLORED_MAX = 200;
/** Tags asked for at the same time. */
const TAGS_AT_ONCE = 4;

/** A registry's failure, or that it took too long: the search goes on with what there is. */
function isOrdinary(error: unknown, { signal }: RequestOptions): boolean {
  return error instanceof RegistryError || (signal?.reason as Error | undefined)?.name === 'TimeoutError';
}

/** A larger index would hold up other requests while it is written again and again: some 600 entries. */
const INDEX_BOUNDS: JsonBounds = { ...USUAL_BOUNDS, values: 20_000 };

/** The index; undefined for anything else, and for one that costs too much. */
function readIndex(bytes: Buffer, mediaType: string): ImageIndex | undefined {
  try {
    if (shapeOf(bytes, INDEX_BOUNDS).values > INDEX_BOUNDS.values) return undefined;
    const document = parseManifestDocument(bytes, mediaType);
    return document.kind === 'index' ? document : undefined;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return undefined;
  }
}

/** Where a derived form comes from. */
interface FormSource {
  readonly tag: Tag;
  readonly upstreamDigest: Digest;
}

/** All derived forms of the indexes that a repository's tags name. */
interface Explored {
  readonly untilMs: number;
  readonly forms: ReadonlyMap<Digest, FormSource>;
}

/** Which tags are gone through: first those that this mirror has served, then those that the registry lists. */
type Phase = 'served' | 'listed';
const PHASES: readonly Phase[] = ['served', 'listed'];

/**
 * Finds what another mirror has derived. An index of n candidates has at most n + 1 derived forms, so a digest that this
 * mirror does not know is looked for among those of the repository's indexes. A repository is explored once for all who
 * ask meanwhile, that counts for a while, and there is a budget for all repositories: random digests cost no more.
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

  /** Undefined: it is derived from no index that was found, or the budget is used up. */
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
      // One slow tag must not make a client wait for ever.
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

  /** The registry's own list: `latest` first, then the last in its order, which are the newest where versions are tags. */
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
      // Many registries list no tags for those who may only pull: what was served has been tried.
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
        for await (const { digest } of this.#formsOfIndex(upstream, policyFor(tag))) {
          if (!forms.has(digest)) forms.set(digest, { tag, upstreamDigest: upstream.digest });
        }
      }
    }
    return forms;
  }

  async *#formsOfIndex({ bytes, mediaType }: Manifest, policy: SelectionPolicy): AsyncGenerator<DerivedForm> {
    const document = readIndex(bytes, mediaType);
    if (document === undefined) return;
    let left = this.#limits.formBytes;
    for (const form of derivedForms(document, policy)) {
      left -= form.bytes.length;
      if (left < 0) return;
      yield form;
      // Each takes as long as writing an index: others have their turn between two.
      await nextTurn();
    }
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
    for await (const form of this.#formsOfIndex(upstream, policyFor(tag))) {
      if (form.digest === digest) return { form, tag, upstream };
    }
    return undefined;
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
      // What cannot be had is no index that anything was derived from.
      return undefined;
    }
  }
}
