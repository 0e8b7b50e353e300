import type { HostProfile } from '../host/profile.ts';
import type { DerivedAnswers } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { parseManifestDocument } from '../oci/manifest.ts';
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Manifest, ManifestInfo, Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Answer, DerivedIndex } from '../selection/answer.ts';
import type { DerivedForm } from '../selection/derived-forms.ts';
import type { Fit } from '../selection/fit.ts';
import type { Note } from '../selection/notes.ts';
import type { SelectionPolicy } from '../selection/policy.ts';
import { type ExtraDemands, select } from '../selection/select.ts';
import { COMPATIBILITY_TTL_MS, createCompatibilityReader } from './compatibility-artifact.ts';
import {
  type CachedDecision,
  type Chosen,
  createDecisionCache,
  type DecisionCache,
} from './decision-cache.ts';
import type { DerivedSearch } from './derived-search.ts';
import { joinDemands } from './entry-demands.ts';
import { createEnvironmentReader } from './image-config.ts';
import { createJudge, type Judge } from './judge.ts';

/** What was decided for a tag: the line of the log, the row of the status page. */
export interface TailoringDecision {
  readonly repository: Repository;
  readonly tag: Tag;
  readonly answer: Answer['kind'];
  readonly reason: string;
  readonly upstreamDigest: Digest;
  /** Of what is sent; undefined when nothing was. */
  readonly servedDigest: Digest | undefined;
  /** When one was. */
  readonly chosen: Chosen | undefined;
  /** What its reader should know although nothing failed. */
  readonly notes: readonly Note[];
  /** How close it comes to what the host could run; undefined: nothing was chosen from. */
  readonly fit: Fit | undefined;
  /** The microarchitecture of the host it was decided for. */
  readonly host: string;
  readonly profile: HostProfile;
  /** From asking upstream to having the answer. */
  readonly durationMs: number;
}

/** What another kind of host was given, asked for by its digest. */
export interface ForeignDerived {
  readonly repository: Repository;
  readonly digest: Digest;
  /** The tag that it was derived from, and the digest of the index there. */
  readonly tag: Tag;
  readonly upstreamDigest: Digest;
  /** `linux/amd64`, and what its entry demands; undefined: no entry of this platform is left in it. */
  readonly platform: string;
  readonly demands: string | undefined;
  readonly runsHere: boolean;
  readonly isDelivered: boolean;
  /** The microarchitecture of this host. */
  readonly host: string;
}

export interface TailoredOptions {
  readonly next: Registry;
  readonly profile: HostProfile;
  /** Equal objects mean equal policies: another object for a repository has its answers judged again. */
  readonly policyFor: (repository: Repository, tag: Tag) => SelectionPolicy;
  readonly derived: DerivedAnswers;
  /** Told of every answer by tag. */
  readonly decided: (decision: TailoringDecision) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Shared by the views of a mirror; one of its own when not given. */
  readonly memory?: DecisionCache;
  /** Shared by the views of a mirror; one of its own when not given. */
  readonly judge?: Judge;
  /** Finds what other mirrors derived; undefined: only what this one has derived is delivered. */
  readonly search?: DerivedSearch | undefined;
  /** Called for every delivery of what was derived for another kind of host, and for every refusal of it. */
  readonly foundForeign?: (foreign: ForeignDerived) => void;
}

function infoOf({ digest, mediaType, bytes, notices }: Manifest): ManifestInfo {
  return { digest, mediaType, sizeBytes: bytes.length, ...(notices === undefined ? {} : { notices }) };
}

/** Does this host run the entry that is left in the form? */
function runs(
  { bytes, mediaType }: Manifest,
  { position }: DerivedForm,
  profile: HostProfile,
  policy: SelectionPolicy,
): boolean {
  const document = parseManifestDocument(bytes, mediaType);
  if (document.kind !== 'index' || position === undefined) return false;
  const status = select(document, profile, policy).verdicts[position]?.status;
  return status === 'winner' || status === 'eligible';
}

function refusalOfForeign({ repository, digest, tag, demands, host }: ForeignDerived): RegistryError {
  const name = formatReference(repository, { kind: 'digest', digest });
  const kind = demands === undefined ? 'hosts that run none of its entries' : demands || 'any host';
  return new RegistryError(
    'MANIFEST_UNKNOWN',
    `${name} was derived from :${tag} for ${kind}; this host is ${host}, and the policy refuses foreign-derived digests`,
  );
}

/**
 * A registry as one host should see it: a tag that names an index is answered with what fits the host; everything else,
 * and everything asked for by digest, is passed on byte for byte.
 */
export function tailored(options: TailoredOptions): Registry {
  const { next, profile, policyFor, derived, decided, now, search, foundForeign = () => {} } = options;
  const answers = (options.memory ?? createDecisionCache()).view();
  const judge = options.judge ?? createJudge();
  const readEnvironments = createEnvironmentReader(next, profile.platform);
  const readCompatibility = createCompatibilityReader(next, profile.platform, now);

  async function decisionOn(
    repository: Repository,
    tag: Tag,
    upstream: Manifest,
    acceptsIndex: boolean,
    asked: RequestOptions,
  ): Promise<CachedDecision> {
    const policy = policyFor(repository, tag);
    // An artifact may be attached to an index that was decided on: such a decision is made again after a while.
    const period = policy.readCompatibility ? Math.floor(now() / COMPATIBILITY_TTL_MS) : '';
    const key = `${upstream.digest} ${acceptsIndex} ${formatRepository(repository)} ${period}`;
    const known = answers.get(key);
    if (known?.policy === policy) return known;
    const { bytes, mediaType } = upstream;
    const extra = await extraDemands(repository, upstream, policy, asked);
    const decision = await judge.judge({ bytes, mediaType, profile, policy, acceptsIndex, extra });
    const judged = { ...decision, policy };
    answers.set(key, judged);
    return judged;
  }

  /** What stands in the registry about the entries beside the index, where the policy asks for it. */
  async function extraDemands(
    repository: Repository,
    { bytes, mediaType, digest }: Manifest,
    policy: SelectionPolicy,
    asked: RequestOptions,
  ): Promise<ExtraDemands | undefined> {
    if (!policy.readConfig && !policy.readCompatibility) return undefined;
    const document = parseManifestDocument(bytes, mediaType);
    const [environments, artifacts] = await Promise.all([
      policy.readConfig ? readEnvironments(repository, document, asked) : undefined,
      policy.readCompatibility ? readCompatibility(repository, document, digest, asked) : undefined,
    ]);
    return joinDemands(environments, artifacts);
  }

  async function carryOut(
    repository: Repository,
    tag: Tag,
    upstream: Manifest,
    { outcome, reason }: CachedDecision,
    options: RequestOptions,
  ): Promise<Manifest> {
    const { maxAgeMs, notices } = upstream;
    const kept = notices === undefined ? { maxAgeMs } : { maxAgeMs, notices };
    const keepDerived = async ({ digest, mediaType, bytes }: DerivedIndex): Promise<Manifest> => {
      const manifest = { digest, mediaType, bytes, ...kept };
      await derived.keep(repository, manifest, options.access);
      return manifest;
    };
    switch (outcome.kind) {
      case 'original':
        return upstream;
      case 'derived':
        return keepDerived(outcome);
      case 'entry': {
        const { digest } = outcome;
        const manifest = await next.manifest(repository, { kind: 'digest', digest }, options);
        return { ...manifest, ...kept };
      }
      case 'refused': {
        if (outcome.index !== undefined) return keepDerived(outcome.index);
        const name = formatReference(repository, { kind: 'tag', tag });
        const { detail } = outcome;
        throw new RegistryError('MANIFEST_UNKNOWN', `no entry of ${name} runs on this host: ${reason}`, {
          detail,
        });
      }
    }
  }

  async function byTag(repository: Repository, tag: Tag, options: RequestOptions): Promise<Manifest> {
    const startMs = now();
    const upstream = await next.manifest(repository, { kind: 'tag', tag }, options);
    const judged = await decisionOn(repository, tag, upstream, options.acceptsIndex ?? true, options);
    const decide = (servedDigest: Digest | undefined) =>
      decided({ ...decision, servedDigest, durationMs: now() - startMs });
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
    };
    try {
      const served = await carryOut(repository, tag, upstream, judged, options);
      decide(served.digest);
      return served;
    } catch (error) {
      decide(undefined);
      throw error;
    }
  }

  /** What this mirror derived, what upstream has, or what another mirror derived: in this order. */
  async function byDigest<Answer>(
    repository: Repository,
    digest: Digest,
    options: RequestOptions,
    askUpstream: () => Promise<Answer>,
  ): Promise<Manifest | Answer> {
    const ours = await derived.find(repository, digest, options.access);
    if (ours) return ours;
    try {
      return await askUpstream();
    } catch (error) {
      const isUnknown = error instanceof RegistryError && error.status === 404;
      const found = isUnknown ? await findForeign(repository, digest, options) : undefined;
      if (!found) throw error;
      return found;
    }
  }

  async function findForeign(
    repository: Repository,
    digest: Digest,
    options: RequestOptions,
  ): Promise<Manifest | undefined> {
    const found = await search?.find(repository, digest, (tag) => policyFor(repository, tag), options);
    if (!found) return undefined;
    const { form, tag, upstream } = found;
    const policy = policyFor(repository, tag);
    const { outcome } = await decisionOn(repository, tag, upstream, true, options);
    const isOwn = outcome.kind === 'derived' && outcome.digest === digest;
    const isDelivered = isOwn || policy.foreignDerived === 'deliver';
    const { platform, demands } = form;
    const upstreamDigest = upstream.digest;
    const runsHere = isOwn || runs(upstream, form, profile, policy);
    const host = profile.cpu.microarchitecture;
    const event = { repository, digest, tag, upstreamDigest, platform, demands, runsHere, isDelivered, host };
    if (!isOwn) foundForeign(event);
    if (!isDelivered) throw refusalOfForeign(event);
    const { bytes, mediaType } = form;
    const manifest = { digest, mediaType, bytes, maxAgeMs: Number.POSITIVE_INFINITY };
    await derived.keep(repository, manifest, options.access);
    return manifest;
  }

  return {
    ...next,
    async manifest(repository, reference, options = {}) {
      if (reference.kind === 'tag') return byTag(repository, reference.tag, options);
      return byDigest(repository, reference.digest, options, () =>
        next.manifest(repository, reference, options),
      );
    },
    async resolve(repository, reference, options = {}): Promise<ManifestInfo> {
      // One code path for HEAD and GET: what is announced is what will be sent.
      if (reference.kind === 'tag') return infoOf(await byTag(repository, reference.tag, options));
      const ask = () => next.resolve(repository, reference, options);
      if (options.beforePush) return ask();
      const found = await byDigest(repository, reference.digest, options, ask);
      return 'bytes' in found ? infoOf(found) : found;
    },
  };
}
