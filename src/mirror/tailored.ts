import type { HostProfile } from '../host/profile.ts';
import type { DerivedAnswers } from '../oci/content-store.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import {
  infoOf,
  type Manifest,
  type ManifestInfo,
  type Registry,
  type RequestOptions,
  turnOf,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Answer, DerivedIndex } from '../selection/answer.ts';
import type { Fit, Note } from '../selection/assessment.ts';
import type { SelectionPolicy } from '../selection/policy.ts';
import type { ExtraDemands } from '../selection/select.ts';
import { type ConnectionTests, TEST_REPOSITORY } from './connection-tests.ts';
import {
  type CachedDecision,
  type Chosen,
  createDecisionCache,
  type DecisionCache,
  withBuffers,
} from './decision-cache.ts';
import { type DerivedSearch, type ForeignDerived, refusalOfForeign } from './derived-search.ts';
import { readAside } from './documents/reading.ts';
import { createDemandReaders, type DemandReaders, joinDemands } from './entry-demands.ts';

/** What was decided for a request by tag, for the log and the status page. */
export interface TailoringDecision {
  readonly repository: Repository;
  readonly tag: Tag;
  readonly answer: Answer['kind'];
  readonly reason: string;
  readonly upstreamDigest: Digest;
  /** The digest that was sent; undefined after an error. */
  readonly servedDigest: Digest | undefined;
  /** The chosen entry, if any. */
  readonly chosen: Chosen | undefined;
  /** What operators should know although nothing failed. */
  readonly notes: readonly Note[];
  /** How close the chosen entry comes to what the host could run; undefined when there was no choice. */
  readonly fit: Fit | undefined;
  /** The host's microarchitecture. */
  readonly host: string;
  readonly profile: HostProfile;
  /** From the request to upstream until the answer was ready. */
  readonly durationMs: number;
  /** True when a program checked what a runtime would get: no pull. */
  readonly isCheck: boolean;
}

export interface TailoredOptions {
  readonly next: Registry;
  readonly profile: HostProfile;
  /** Policies are compared by identity: another object discards the cached decisions. */
  readonly policyFor: (repository: Repository, tag: Tag) => SelectionPolicy;
  readonly derived: DerivedAnswers;
  /** Called for each answer to a tag. */
  readonly decided: (decision: TailoringDecision) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Shared by all views of a mirror. Default: a cache of its own. */
  readonly memory?: DecisionCache;
  /** Finds what other mirrors derived. Undefined: this mirror delivers only what it derived itself. */
  readonly search?: DerivedSearch | undefined;
  /** Answers for {@link TEST_REPOSITORY}; undefined: it is a repository like any other. */
  readonly connectionTests?: ConnectionTests;
  /** Called when an index derived for another kind of host is delivered or refused. */
  readonly foundForeign?: (foreign: ForeignDerived) => void;
}

/** The manifests and indexes of the next registry, as one host sees them. */
class TailoredView {
  readonly #options: TailoredOptions;
  readonly #answers: ReturnType<DecisionCache['view']>;
  #readers: DemandReaders | undefined;

  constructor(options: TailoredOptions) {
    this.#options = options;
    this.#answers = (options.memory ?? createDecisionCache()).view();
  }

  /** The answer for this host, reported to `decided`. */
  async byTag(repository: Repository, tag: Tag, asked: RequestOptions): Promise<Manifest> {
    const { next, profile, now, decided } = this.#options;
    const startMs = now();
    const upstream = await next.manifest(repository, { kind: 'tag', tag }, asked);
    const judged = await this.#decisionOn(repository, tag, upstream, asked);
    const decision = {
      repository,
      tag,
      host: profile.cpu.microarchitecture,
      answer: judged.outcome.kind,
      reason: judged.reason,
      upstreamDigest: upstream.digest,
      chosen: judged.chosen,
      notes: judged.notes,
      fit: judged.fit,
      profile,
      isCheck: asked.isCheck === true,
    };
    const report = (servedDigest: Digest | undefined) =>
      decided({ ...decision, servedDigest, durationMs: now() - startMs });
    try {
      const served = await this.#carryOut(repository, tag, upstream, judged, asked);
      report(served.digest);
      return served;
    } catch (error) {
      report(undefined);
      throw error;
    }
  }

  /** What this mirror derived, otherwise what upstream has, otherwise what another mirror derived. */
  async byDigest<Answer>(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
    askUpstream: () => Promise<Answer>,
  ): Promise<Manifest | Answer> {
    const ours = await this.#options.derived.find(repository, digest, asked.access);
    if (ours) return ours;
    try {
      return await askUpstream();
    } catch (error) {
      const isUnknown = error instanceof RegistryError && error.status === 404;
      const found = isUnknown ? await this.#findForeign(repository, digest, asked) : undefined;
      if (!found) throw error;
      return found;
    }
  }

  async #decisionOn(
    repository: Repository,
    tag: Tag,
    upstream: Manifest,
    asked: RequestOptions,
  ): Promise<CachedDecision> {
    const { profile, policyFor } = this.#options;
    const { acceptsIndex = true } = asked;
    const policy = policyFor(repository, tag);
    const extra = await this.#extraDemands(repository, upstream, policy, asked);
    // These demands may change, and differ between logins: a decision counts only for those that it was made with.
    const demands = extra && digestOf(Buffer.from(JSON.stringify([...extra])));
    const key = `${upstream.digest} ${acceptsIndex} ${formatRepository(repository)} ${demands ?? ''}`;
    const known = this.#answers.get(key);
    if (known?.policy === policy) return known;
    const details = { profile, policy, acceptsIndex, extra };
    const turn = turnOf(repository, asked);
    const decision = withBuffers(await readAside('answer for a host', upstream, details, turn));
    const judged = { ...decision, policy };
    this.#answers.set(key, judged);
    return judged;
  }

  /** The entries' demands that are outside the index, if the policy asks for them. */
  async #extraDemands(
    repository: Repository,
    upstream: Manifest,
    policy: SelectionPolicy,
    asked: RequestOptions,
  ): Promise<ExtraDemands | undefined> {
    if (!policy.readConfig && !policy.readCompatibility) return undefined;
    const { digest } = upstream;
    const { next, profile, now } = this.#options;
    this.#readers ??= createDemandReaders(next, profile.platform, now);
    const { readEnvironments, readCompatibility } = this.#readers;
    const [environments, artifacts] = await Promise.all([
      policy.readConfig ? readEnvironments(repository, upstream, asked) : undefined,
      policy.readCompatibility ? readCompatibility(repository, upstream, digest, asked) : undefined,
    ]);
    return joinDemands(environments, artifacts);
  }

  async #carryOut(
    repository: Repository,
    tag: Tag,
    upstream: Manifest,
    { outcome, reason }: CachedDecision,
    asked: RequestOptions,
  ): Promise<Manifest> {
    const { maxAgeMs, notices } = upstream;
    const kept = notices === undefined ? { maxAgeMs } : { maxAgeMs, notices };
    const keep = ({ digest, mediaType, bytes }: DerivedIndex) =>
      this.#keepDerived(repository, { digest, mediaType, bytes, ...kept }, asked);
    switch (outcome.kind) {
      case 'original':
        return upstream.isAssembled ? this.#keepDerived(repository, upstream, asked) : upstream;
      case 'derived':
        return keep(outcome);
      case 'entry': {
        const { digest } = outcome;
        const manifest = await this.#options.next.manifest(repository, { kind: 'digest', digest }, asked);
        return { ...manifest, ...kept };
      }
      case 'refused': {
        if (outcome.index !== undefined) return keep(outcome.index);
        const name = formatReference(repository, { kind: 'tag', tag });
        const { detail } = outcome;
        const message = `no entry of ${name} runs on this host: ${reason}`;
        throw new RegistryError('MANIFEST_UNKNOWN', message, { detail });
      }
    }
  }

  /** Stores an index that no registry has before it is sent, because the runtime requests its digest next. */
  async #keepDerived(repository: Repository, manifest: Manifest, asked: RequestOptions): Promise<Manifest> {
    await this.#options.derived.keep(repository, manifest, asked.access);
    return manifest;
  }

  /** An index that another mirror derived from a tag of this repository; undefined when there is none. */
  async #findForeign(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
  ): Promise<Manifest | undefined> {
    const { profile, policyFor, search, foundForeign = () => {} } = this.#options;
    const found = await search?.find(repository, digest, (tag) => policyFor(repository, tag), asked);
    if (!found) return undefined;
    const { form, tag, upstream } = found;
    const policy = policyFor(repository, tag);
    const { outcome } = await this.#decisionOn(repository, tag, upstream, { ...asked, acceptsIndex: true });
    const isOwn = outcome.kind === 'derived' && outcome.digest === digest;
    const isDelivered = isOwn || policy.foreignDerived === 'deliver';
    const { platform, demands } = form;
    const upstreamDigest = upstream.digest;
    const details = { position: form.position, profile, policy };
    const turn = turnOf(repository, asked);
    const runsHere = isOwn || (await readAside('runs on a host', upstream, details, turn));
    const host = profile.cpu.microarchitecture;
    const event = { repository, digest, tag, upstreamDigest, platform, demands, runsHere, isDelivered, host };
    if (!isOwn) foundForeign(event);
    if (!isDelivered) throw refusalOfForeign(event);
    const { bytes, mediaType } = form;
    const manifest = { digest, mediaType, bytes, maxAgeMs: Number.POSITIVE_INFINITY };
    return this.#keepDerived(repository, manifest, asked);
  }
}

/**
 * A registry as one host sees it. A tag of an index gets the answer for this host; everything else, and every
 * request by digest, passes through unchanged. A runtime's connection test ends here.
 */
export function tailored(options: TailoredOptions): Registry {
  const { next, connectionTests } = options;
  const view = new TailoredView(options);
  return {
    ...next,
    async manifest(repository, reference, asked = {}) {
      if (repository.name === TEST_REPOSITORY) connectionTests?.answer(reference);
      if (reference.kind === 'tag') return view.byTag(repository, reference.tag, asked);
      return view.byDigest(repository, reference.digest, asked, () =>
        next.manifest(repository, reference, asked),
      );
    },
    async resolve(repository, reference, asked = {}): Promise<ManifestInfo> {
      if (repository.name === TEST_REPOSITORY) connectionTests?.answer(reference);
      // One code path for HEAD and GET, so that GET sends what HEAD announced.
      if (reference.kind === 'tag') return infoOf(await view.byTag(repository, reference.tag, asked));
      const ask = () => next.resolve(repository, reference, asked);
      if (asked.beforePush) return ask();
      const found = await view.byDigest(repository, reference.digest, asked, ask);
      return 'bytes' in found ? infoOf(found) : found;
    },
  };
}
