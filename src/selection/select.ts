import type { HostProfile } from '../host/profile.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { ImageIndex } from '../oci/image-index.ts';
import { isImageManifestType } from '../oci/media-type.ts';
import { type Demand, formatDemand } from './demand.ts';
import { judgeExact } from './exact.ts';
import { type HostView, viewOf } from './host-view.ts';
import type { SelectionPolicy } from './policy.ts';
import { compareRanks, type Rank, rankOf } from './rank.ts';
import { requirementsOf } from './requirement.ts';
import { judge } from './satisfies.ts';
import { canonicalArchitecture } from './variant.ts';

/**
 * `winner`, `eligible` (outranked) and `ineligible`: entries for the host's platform. `foreign`: for another platform.
 * `attestation`: refers to another entry. `unjudged`: an index within the index, an artifact, or without a platform.
 */
export type VerdictStatus = 'winner' | 'eligible' | 'ineligible' | 'foreign' | 'attestation' | 'unjudged';

/** A demand that does not hold on this host, and why. */
export interface Failure {
  readonly demand: Demand;
  readonly why: string;
}

export interface Verdict {
  readonly entry: Descriptor;
  /** In the index, from 0. */
  readonly position: number;
  readonly requirements: readonly Demand[];
  readonly status: VerdictStatus;
  /** A sentence for people; of a failing demand it names the demand, the field it is written in, and why. */
  readonly reason: string;
  readonly failures: readonly Failure[];
}

export interface Selection {
  readonly winner?: Verdict | undefined;
  /** One for each entry, in the order of the index. */
  readonly verdicts: readonly Verdict[];
}

/** More demands of entries, by digest, from outside the index: an image's configuration, the operator's rules. */
export type ExtraDemands = ReadonlyMap<string, readonly Demand[]>;

/** The annotation by which BuildKit's attestations name the entry that they are about. */
export const REFERENCE_DIGEST = 'vnd.docker.reference.digest';
const REFERENCE_TYPE = 'vnd.docker.reference.type';

/** Which entry of this index is the best one that this host can run, with a verdict on every entry. Pure. */
export function select(
  index: ImageIndex,
  profile: HostProfile,
  policy: SelectionPolicy,
  extra?: ExtraDemands,
): Selection {
  const host = viewOf(profile);
  const apart = index.entries.map((entry, position) => judgeEntry(entry, position, host, policy, extra));
  const judged = policy.match === 'exact' ? exactly(apart, host) : apart;
  const best = bestOf(judged);
  if (best === undefined) return { verdicts: judged.map(({ verdict }) => verdict) };
  const runnerUp = bestOf(judged.filter((one) => one !== best));
  const winner: Verdict = { ...best.verdict, status: 'winner', reason: winnerReason(best, runnerUp) };
  const verdicts = judged.map((one) => (one === best ? winner : outranked(one, best)));
  return { winner, verdicts };
}

interface Judged {
  readonly verdict: Verdict;
  /** Of the eligible only. */
  readonly rank?: Rank;
}

function judgeEntry(
  entry: Descriptor,
  position: number,
  host: HostView,
  policy: SelectionPolicy,
  extra: ExtraDemands | undefined,
): Judged {
  const aside = setAside(entry, host);
  if (aside !== undefined) {
    return { verdict: { entry, position, requirements: [], failures: [], ...aside } };
  }
  const own = requirementsOf(entry);
  const requirements = [...own, ...(extra?.get(entry.digest) ?? []), ...baselineDemand(own, host, policy)];
  const failures = failuresOf(requirements, host, policy);
  const [failure] = failures;
  const common = { entry, position, requirements, failures };
  if (failure !== undefined) {
    return { verdict: { ...common, status: 'ineligible', reason: formatFailure(failure) } };
  }
  const verdict: Verdict = { ...common, status: 'eligible', reason: 'every demand holds' };
  return { verdict, rank: rankOf(entry.digest, requirements, host, policy) };
}

/** Entries that are no candidates for this host, whatever they demand. */
function setAside(entry: Descriptor, host: HostView): Pick<Verdict, 'status' | 'reason'> | undefined {
  const { platform, annotations } = entry;
  if (annotations[REFERENCE_TYPE] !== undefined || annotations[REFERENCE_DIGEST] !== undefined) {
    return { status: 'attestation', reason: 'an attestation; it goes where its image goes' };
  }
  if (platform === undefined) return { status: 'unjudged', reason: 'it names no platform; kept as it is' };
  if (!isHostPlatform(entry, host)) {
    const name = [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
    return { status: 'foreign', reason: `for ${name}; kept for pulls that ask for it` };
  }
  return isImageManifestType(entry.mediaType)
    ? undefined
    : { status: 'unjudged', reason: `${entry.mediaType} is no image manifest; it cannot be chosen` };
}

/** For the host's operating system and architecture, whatever it demands beyond. */
export function isHostPlatform({ platform }: Descriptor, host: HostView): boolean {
  return (
    platform !== undefined &&
    platform.os === host.os &&
    canonicalArchitecture(platform.architecture) === host.architecture
  );
}

const CPU_KINDS = new Set(['cpu', 'level', 'variant']);

/** What entries without a CPU demand need by the operator's word: in some repositories "plain" is x86-64-v3. */
function baselineDemand(
  own: readonly Demand[],
  host: HostView,
  { baseline }: SelectionPolicy,
): readonly Demand[] {
  if (baseline === undefined) return [];
  const architecture = baseline.startsWith('x86-64') ? 'amd64' : 'arm64';
  if (architecture !== host.architecture || own.some(({ key }) => CPU_KINDS.has(key))) return [];
  return [
    { key: 'level', anyOf: [{ kind: 'level', value: baseline }], source: 'the baseline of this repository' },
  ];
}

function failuresOf(demands: readonly Demand[], host: HostView, policy: SelectionPolicy): readonly Failure[] {
  const failures: Failure[] = [];
  for (const demand of demands) {
    const judgement = judge(demand, host, policy);
    if (!judgement.holds) failures.push({ demand, why: judgement.why });
  }
  return failures;
}

/** The rule of 2019 on top, unless no entry for this platform demands anything: then it is an ordinary image. */
function exactly(judged: readonly Judged[], host: HostView): readonly Judged[] {
  const demanding = judged.some(({ verdict }) => verdict.requirements.length > 0);
  return demanding ? judged.map((one) => exactlyOne(one, host)) : judged;
}

function exactlyOne(one: Judged, host: HostView): Judged {
  const { verdict, rank } = one;
  const exact = rank === undefined ? undefined : judgeExact(verdict.requirements, host);
  if (exact === undefined || exact.holds) return one;
  const anyOf = verdict.requirements.flatMap((demand) => demand.anyOf);
  const failure = { demand: { key: 'exact', anyOf, source: 'platform.features' }, why: exact.why };
  return {
    verdict: { ...verdict, status: 'ineligible', failures: [failure], reason: formatFailure(failure) },
  };
}

/** `demands cpu:skylake (platform.features): this host is broadwell and lacks clflushopt`. */
export function formatFailure({ demand, why }: Failure): string {
  const wanted = demand.anyOf.length === 0 ? 'nothing' : formatDemand(demand);
  return `demands ${wanted} (${demand.source}): ${why}`;
}

function bestOf(judged: readonly Judged[]): Judged | undefined {
  let best: Judged | undefined;
  for (const one of judged) {
    if (one.rank === undefined) continue;
    if (best?.rank === undefined || compareRanks(one.rank, best.rank).order < 0) best = one;
  }
  return best;
}

function winnerReason({ verdict, rank }: Judged, runnerUp: Judged | undefined): string {
  const demands = verdict.requirements.map(formatDemand).join(', ');
  const what = demands === '' ? 'demands nothing' : `demands ${demands}, which this host has`;
  if (rank === undefined || runnerUp?.rank === undefined) return `${what}; no other entry is eligible`;
  return `${what}; before entry ${runnerUp.verdict.position + 1} because ${compareRanks(rank, runnerUp.rank).rule}`;
}

function outranked({ verdict, rank }: Judged, best: Judged): Verdict {
  if (rank === undefined || best.rank === undefined) return verdict;
  const place = `entry ${best.verdict.position + 1}`;
  const reason =
    verdict.entry.digest === best.verdict.entry.digest
      ? `the same image as ${place}`
      : `runs here, but ${place} goes first: ${compareRanks(best.rank, rank).rule}`;
  return { ...verdict, reason };
}
