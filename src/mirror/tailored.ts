import { LRUCache } from 'lru-cache';
import type { HostProfile } from '../host/profile.ts';
import type { Digest } from '../oci/digest.ts';
import { parseManifestDocument } from '../oci/image-index.ts';
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Manifest, ManifestInfo, Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { type Answer, answerFor } from '../selection/answer.ts';
import { formatDemand } from '../selection/demand.ts';
import type { SelectionPolicy } from '../selection/policy.ts';
import type { DerivedAnswers } from './derived.ts';
import { createEnvironmentReader } from './image-environment.ts';

/** What was decided for a tag: the line of the log, the row of the status page. */
export interface Decision {
  readonly repository: Repository;
  readonly tag: Tag;
  readonly answer: Answer['kind'];
  readonly reason: string;
  readonly upstreamDigest: Digest;
  /** Of what is sent; undefined when nothing was. */
  readonly servedDigest: Digest | undefined;
  /** The chosen entry, when one was: its digest and what it demands, `cpu:broadwell, nvcap:5.2`. */
  readonly chosen: { readonly digest: Digest; readonly demands: string } | undefined;
  /** The microarchitecture of the host it was decided for. */
  readonly host: string;
  /** From asking upstream to having the answer. */
  readonly durationMs: number;
}

export interface TailoredOptions {
  readonly next: Registry;
  readonly profile: HostProfile;
  /** Equal objects mean equal policies: another object for a repository has its answers judged again. */
  readonly policyFor: (repository: Repository) => SelectionPolicy;
  readonly derived: DerivedAnswers;
  /** Told of every answer by tag. */
  readonly decided: (decision: Decision) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

interface Judged {
  readonly policy: SelectionPolicy;
  readonly answer: Answer;
}

function chosenOf({ selection }: Answer): Decision['chosen'] {
  const winner = selection?.winner;
  if (winner === undefined) return undefined;
  return { digest: winner.entry.digest, demands: winner.requirements.map(formatDemand).join(', ') };
}

/** Answers remembered, so that an index is read and judged once for each upstream digest. */
const ANSWERS_MAX = 1000;

/**
 * A registry as one host should see it: a tag that names an index is answered with what fits the host; everything else,
 * and everything asked for by digest, is passed on byte for byte.
 */
export function tailored(options: TailoredOptions): Registry {
  const { next, profile, policyFor, derived, decided, now } = options;
  const answers = new LRUCache<string, Judged>({ max: ANSWERS_MAX });
  const readEnvironments = createEnvironmentReader(next, profile.platform);

  async function judge(
    repository: Repository,
    upstream: Manifest,
    acceptsIndex: boolean,
    asked: RequestOptions,
  ): Promise<Answer> {
    const key = `${upstream.digest} ${acceptsIndex} ${formatRepository(repository)}`;
    const policy = policyFor(repository);
    const known = answers.get(key);
    if (known?.policy === policy) return known.answer;
    const { bytes, digest, mediaType } = upstream;
    const document = parseManifestDocument(bytes, mediaType);
    const extra = policy.readConfig ? await readEnvironments(repository, document, asked) : undefined;
    const answer = answerFor({ document, bytes, digest }, profile, policy, { acceptsIndex, extra });
    answers.set(key, { policy, answer });
    return answer;
  }

  async function carryOut(
    repository: Repository,
    tag: Tag,
    upstream: Manifest,
    answer: Answer,
    options: RequestOptions,
  ): Promise<Manifest> {
    const { maxAgeMs, notices } = upstream;
    const kept = notices === undefined ? { maxAgeMs } : { maxAgeMs, notices };
    switch (answer.kind) {
      case 'original':
        return upstream;
      case 'derived': {
        const { digest, mediaType, bytes } = answer;
        const manifest = { digest, mediaType, bytes, ...kept };
        await derived.keep(repository, manifest, options.access);
        return manifest;
      }
      case 'entry': {
        const { digest } = answer.entry;
        const manifest = await next.manifest(repository, { kind: 'digest', digest }, options);
        return { ...manifest, ...kept };
      }
      case 'refused': {
        const name = formatReference(repository, { kind: 'tag', tag });
        const { reason, detail } = answer;
        throw new RegistryError('MANIFEST_UNKNOWN', `no entry of ${name} runs on this host: ${reason}`, {
          detail,
        });
      }
    }
  }

  async function byTag(repository: Repository, tag: Tag, options: RequestOptions): Promise<Manifest> {
    const startMs = now();
    const upstream = await next.manifest(repository, { kind: 'tag', tag }, options);
    const answer = await judge(repository, upstream, options.acceptsIndex ?? true, options);
    const decide = (servedDigest: Digest | undefined) =>
      decided({ ...decision, servedDigest, durationMs: now() - startMs });
    const decision = {
      repository,
      tag,
      host: profile.cpu.microarchitecture,
      answer: answer.kind,
      reason: answer.reason,
      upstreamDigest: upstream.digest,
      chosen: chosenOf(answer),
    };
    try {
      const served = await carryOut(repository, tag, upstream, answer, options);
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
