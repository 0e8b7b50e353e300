import type { HostProfile } from '../host/profile.ts';
import { type Descriptor, formatPlatform, type ImageIndex, type Platform } from '../oci/manifest.ts';
import { isImageManifestType } from '../oci/media-type.ts';
import { baselineDemands } from './baseline.ts';
import { canonicalArchitecture, type Demand, requirementsOf } from './demands.ts';
import { type HostView, viewOf } from './host-view.ts';
import { matchDemand } from './match.ts';
import { judgeExact } from './matchers/exact.ts';
import type { SelectionPolicy } from './policy.ts';
import { compareRanks, type Rank, type Ranker, rankerFor } from './rank.ts';
import { demandsText, demandText, truncateText } from './truncate.ts';

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
  const rankOf = rankerFor(host, policy);
  const apart = index.entries.map((entry, position): Judged => {
    const aside = setAside(entry, position, host);
    if (aside !== undefined) return aside;
    const requirements = demandsOn(entry, host.architecture, policy, extra);
    return judged(entry, position, requirements, failuresOf(requirements, host, policy), rankOf);
  });
  const all = policy.match === 'exact' ? exactly(apart, host) : apart;
  const best = bestOf(all);
  if (best === undefined) return { verdicts: all.map((one) => verdictOf(one)) };
  const winner = { ...verdictOf(best), status: 'winner', reason: winnerReason(best, all) } as const;
  return { winner, verdicts: all.map((one) => (one === best ? winner : outranked(one, best))) };
}

interface Judged extends Verdict {
  /** Of the eligible only. */
  readonly rank: Rank | undefined;
}

const NO_DEMANDS: readonly Demand[] = [];
const NO_FAILURES: readonly Failure[] = [];

function verdictOf(one: Judged, reason = one.reason): Verdict {
  const { entry, position, requirements, failures, status } = one;
  return { entry, position, requirements, status, reason, failures };
}

/** What an entry says itself, what is said about it elsewhere, and what the operator takes for granted. */
export function demandsOn(
  entry: Descriptor,
  architecture: string,
  policy: SelectionPolicy,
  extra?: ExtraDemands,
): readonly Demand[] {
  const own = requirementsOf(entry);
  if (extra === undefined && policy.baseline === undefined) return own;
  return [...own, ...(extra?.get(entry.digest) ?? []), ...baselineDemand(own, architecture, policy)];
}

function judged(
  entry: Descriptor,
  position: number,
  requirements: readonly Demand[],
  failures: readonly Failure[],
  rankOf: Ranker,
): Judged {
  const [failure] = failures;
  const status = failure === undefined ? 'eligible' : 'ineligible';
  const reason = failure === undefined ? 'every demand holds' : formatFailure(failure);
  const rank = failure === undefined ? rankOf(entry.digest, requirements) : undefined;
  return { entry, position, requirements, failures, status, reason, rank };
}

/** Entries that are no candidates for this host, whatever they demand. */
function setAside(entry: Descriptor, position: number, host: HostView): Judged | undefined {
  const { platform, annotations } = entry;
  const aside = (status: VerdictStatus, reason: string): Judged => ({
    entry,
    position,
    requirements: NO_DEMANDS,
    failures: NO_FAILURES,
    status,
    reason,
    rank: undefined,
  });
  if (REFERENCE_DIGEST in annotations || REFERENCE_TYPE in annotations) {
    return aside('attestation', 'an attestation; it goes where its image goes');
  }
  if (platform === undefined) return aside('unjudged', 'it names no platform; kept as it is');
  if (!isHostPlatform(platform, host)) {
    return aside('foreign', `for ${truncateText(formatPlatform(platform))}; kept for pulls that ask for it`);
  }
  if (isImageManifestType(entry.mediaType)) return undefined;
  return aside('unjudged', `${truncateText(entry.mediaType)} is no image manifest; it cannot be chosen`);
}

/** For the host's operating system and architecture, whatever it demands beyond. */
function isHostPlatform({ os, architecture }: Platform, host: HostView): boolean {
  if (os !== host.os) return false;
  return architecture === host.architecture || canonicalArchitecture(architecture) === host.architecture;
}

const CPU_KINDS = new Set(['cpu', 'level', 'variant']);

/** What entries without a CPU demand need by the operator's word: in some repositories "plain" is x86-64-v3. */
function baselineDemand(
  own: readonly Demand[],
  architecture: string,
  { baseline }: SelectionPolicy,
): readonly Demand[] {
  if (baseline === undefined || own.some(({ key }) => CPU_KINDS.has(key))) return [];
  return baselineDemands(baseline, architecture);
}

function failuresOf(demands: readonly Demand[], host: HostView, policy: SelectionPolicy): readonly Failure[] {
  let failures: Failure[] | undefined;
  for (const demand of demands) {
    const judgement = matchDemand(demand, host, policy);
    if (judgement.holds) continue;
    failures ??= [];
    failures.push({ demand, why: judgement.why });
  }
  return failures ?? NO_FAILURES;
}

/** The rule of 2019 on top, unless no entry for this platform demands anything: then it is an ordinary image. */
function exactly(all: readonly Judged[], host: HostView): readonly Judged[] {
  const demanding = all.some(({ requirements }) => requirements.length > 0);
  return demanding ? all.map((one) => exactlyOne(one, host)) : all;
}

function exactlyOne(one: Judged, host: HostView): Judged {
  const exact = one.rank === undefined ? undefined : judgeExact(one.requirements, host);
  if (exact === undefined || exact.holds) return one;
  const anyOf = one.requirements.flatMap((demand) => demand.anyOf);
  const failure = { demand: { key: 'exact', anyOf, source: 'platform.features' }, why: exact.why };
  return {
    ...one,
    status: 'ineligible',
    failures: [failure],
    reason: formatFailure(failure),
    rank: undefined,
  };
}

/** `demands cpu:skylake (platform.features): this host is broadwell and lacks clflushopt`. */
export function formatFailure({ demand, why }: Failure): string {
  const wanted = demand.anyOf.length === 0 ? 'nothing' : demandText(demand);
  return `demands ${wanted} (${truncateText(demand.source)}): ${why}`;
}

function bestOf(all: readonly Judged[], except?: Judged): Judged | undefined {
  let best: Judged | undefined;
  for (const one of all) {
    if (one.rank === undefined || one === except) continue;
    if (best?.rank === undefined || compareRanks(one.rank, best.rank).order < 0) best = one;
  }
  return best;
}

function winnerReason(best: Judged, all: readonly Judged[]): string {
  const demands = demandsText(best.requirements);
  const what = demands === '' ? 'demands nothing' : `demands ${demands}, which this host has`;
  const runnerUp = bestOf(all, best);
  if (best.rank === undefined || runnerUp?.rank === undefined) return `${what}; no other entry is eligible`;
  return `${what}; before entry ${runnerUp.position + 1} because ${compareRanks(best.rank, runnerUp.rank).rule}`;
}

function outranked(one: Judged, best: Judged): Verdict {
  if (one.rank === undefined || best.rank === undefined) return verdictOf(one);
  const place = `entry ${best.position + 1}`;
  const reason =
    one.entry.digest === best.entry.digest
      ? `the same image as ${place}`
      : `runs here, but ${place} goes first: ${compareRanks(best.rank, one.rank).rule}`;
  return verdictOf(one, reason);
}
