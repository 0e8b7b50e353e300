import type { HostProfile } from '../host/profile.ts';
import type { DerivedAnswers } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { parseManifestDocument } from '../oci/manifest.ts';
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Manifest, ManifestInfo, Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Answer, DerivedIndex } from '../selection/answer.ts';
import type { Note } from '../selection/notes.ts';
import type { SelectionPolicy } from '../selection/policy.ts';
import {
  type CachedDecision,
  type Chosen,
  createDecisionCache,
  type DecisionCache,
} from './decision-cache.ts';
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
  /** The microarchitecture of the host it was decided for. */
  readonly host: string;
  /** From asking upstream to having the answer. */
  readonly durationMs: number;
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
}

/**
 * A registry as one host should see it: a tag that names an index is answered with what fits the host; everything else,
 * and everything asked for by digest, is passed on byte for byte.
 */
export function tailored(options: TailoredOptions): Registry {
  const { next, profile, policyFor, derived, decided, now } = options;
  const answers = (options.memory ?? createDecisionCache()).view();
  const judge = options.judge ?? createJudge();
  const readEnvironments = createEnvironmentReader(next, profile.platform);

  async function decisionOn(
    repository: Repository,
    tag: Tag,
    upstream: Manifest,
    acceptsIndex: boolean,
    asked: RequestOptions,
  ): Promise<CachedDecision> {
    const key = `${upstream.digest} ${acceptsIndex} ${formatRepository(repository)}`;
    const policy = policyFor(repository, tag);
    const known = answers.get(key);
    if (known?.policy === policy) return known;
    const { bytes, mediaType } = upstream;
    const extra = policy.readConfig
      ? await readEnvironments(repository, parseManifestDocument(bytes, mediaType), asked)
      : undefined;
    const decision = await judge.judge({ bytes, mediaType, profile, policy, acceptsIndex, extra });
    const judged = { ...decision, policy };
    answers.set(key, judged);
    return judged;
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

  return {
    ...next,
    async manifest(repository, reference, options = {}) {
      if (reference.kind === 'tag') return byTag(repository, reference.tag, options);
      const ours = await derived.find(repository, reference.digest, options.access);
      return ours ?? next.manifest(repository, reference, options);
    },
    async resolve(repository, reference, options = {}): Promise<ManifestInfo> {
      // One code path for HEAD and GET: what is announced is what will be sent.
      const ours =
        reference.kind === 'tag'
          ? await byTag(repository, reference.tag, options)
          : await derived.find(repository, reference.digest, options.access);
      if (ours === undefined) return next.resolve(repository, reference, options);
      const { digest, mediaType, bytes, notices } = ours;
      return { digest, mediaType, sizeBytes: bytes.length, ...(notices === undefined ? {} : { notices }) };
    },
  };
}
