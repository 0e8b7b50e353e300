import type { HostProfile } from '../host/profile.ts';
import { truncateText } from '../lib/text.ts';
import {
  type Descriptor,
  formatPlatform,
  type ImageIndex,
  isImageEntry,
  type Platform,
} from '../oci/manifest.ts';
import { isIndexType } from '../oci/media-type.ts';
import { baselineDemands, parseBaseline } from './baseline.ts';
import { type Demand, demandsText, demandText, requirementsOf, VARIANT_SOURCE } from './demands.ts';
import { type HostView, viewOf } from './host-view.ts';
import { matchDemand } from './match.ts';
import { judgeVariant } from './matchers/cpu.ts';
import { isListed, judgeExact } from './matchers/exact.ts';
import { deniedAnnotation, type SelectionPolicy } from './policy.ts';
import { compareRanks, type Rank, type Ranker, type Ranking, rankerFor } from './rank.ts';

/**
 * `winner`, `eligible` (outranked) and `ineligible` are candidates: images for the host's platform. `denied`: the
 * operator denies an annotation. `foreign`: for another platform. `attestation`: it describes another entry.
 * `unjudged`: a nested index, an artifact, or an entry without a platform.
 */
export type VerdictStatus =
  | 'winner'
  | 'eligible'
  | 'ineligible'
  | 'denied'
  | 'foreign'
  | 'attestation'
  | 'unjudged';

/** A demand that does not hold on this host, and the reason. */
export interface Failure {
  readonly demand: Demand;
  readonly why: string;
}

export interface Verdict {
  readonly entry: Descriptor;
  /** The position in the index, from 0. */
  readonly position: number;
  readonly requirements: readonly Demand[];
  readonly status: VerdictStatus;
  /** A sentence for people. For a demand that fails: the demand, its field, and why it fails. */
  readonly reason: string;
  /** For an eligible entry: why it ranks where it does. It is the last part of `reason`. */
  readonly ranking?: string;
  readonly failures: readonly Failure[];
}

export interface Selection {
  readonly winner?: Verdict | undefined;
  /** One for each entry, in the order of the index. */
  readonly verdicts: readonly Verdict[];
}

/** Further demands of entries, by digest, from an image's configuration or compatibility artifacts. */
export type ExtraDemands = ReadonlyMap<string, readonly Demand[]>;

/** The annotation by which an attestation of BuildKit names its entry. */
export const REFERENCE_DIGEST = 'vnd.docker.reference.digest';
const REFERENCE_TYPE = 'vnd.docker.reference.type';

/** True when the entry describes another entry (BuildKit's attestations). */
export function isAttestation({ annotations }: Descriptor): boolean {
  return REFERENCE_DIGEST in annotations || REFERENCE_TYPE in annotations;
}

/** Selects the best entry that the host can run, with a verdict on every entry. */
export function select(
  index: ImageIndex,
  profile: HostProfile,
  policy: SelectionPolicy,
  extra?: ExtraDemands,
): Selection {
  const host = viewOf(profile);
  const rankOf = rankerFor(host, policy);
  const baseline = policy.baseline ?? baselineOf(index);
  const apart = index.entries.map((entry, position): Judged => {
    const aside = setAside(entry, position, host, policy);
    if (aside !== undefined) return aside;
    const own = demandsOn(entry, host.architecture, baseline, extra);
    const requirements = withImpliedVariant(own, entry, host);
    return judged(entry, position, requirements, failuresOf(requirements, host, policy), rankOf);
  });
  const all = policy.match === 'exact' ? exactly(apart, host) : apart;
  const best = bestOf(all);
  if (best === undefined) return { verdicts: all.map((one) => verdictOf(one)) };
  const winner = { ...verdictOf(best), status: 'winner', ...winnerReason(best, all) } as const;
  return { winner, verdicts: all.map((one) => (one === best ? winner : outranked(one, best))) };
}

interface Judged extends Verdict {
  /** Set for eligible entries only. */
  readonly rank: Rank | undefined;
}

const NO_DEMANDS: readonly Demand[] = [];
const NO_FAILURES: readonly Failure[] = [];

function verdictOf(one: Judged): Verdict {
  const { entry, position, requirements, failures, status, reason } = one;
  return { entry, position, requirements, status, reason, failures };
}

/** An entry's own demands, demands from elsewhere, and those of the baseline. */
export function demandsOn(
  entry: Descriptor,
  architecture: string,
  baseline: readonly string[] | undefined,
  extra?: ExtraDemands,
): readonly Demand[] {
  const own = requirementsOf(entry);
  if (extra === undefined && baseline === undefined) return own;
  return [...own, ...(extra?.get(entry.digest) ?? []), ...baselineDemand(own, architecture, baseline)];
}

/**
 * The baseline that an index states for its entries without a CPU demand, such as `x86-64-v3` when its plain entry
 * is built for v3. An invalid text is ignored.
 */
function baselineOf({ annotations }: ImageIndex): readonly string[] | undefined {
  const written = annotations[BASELINE_ANNOTATION];
  return written === undefined ? undefined : parseBaseline(written.split(/[\s,]+/));
}

const BASELINE_ANNOTATION = 'io.metahub.baseline';

/**
 * Adds the demand `v7` to a 32-bit arm entry without a variant, because every runtime takes it for v7: beside `v6`
 * it is the newer code. Not on hosts below v7, because some publishers name no variant for code that runs
 * everywhere.
 */
function withImpliedVariant(own: readonly Demand[], { platform }: Descriptor, host: HostView) {
  if (host.architecture !== 'arm' || platform?.variant !== undefined) return own;
  if (own.some(({ key }) => CPU_KINDS.has(key)) || !judgeVariant('v7', host).holds) return own;
  return [...own, { key: 'variant', anyOf: [{ kind: 'variant', value: 'v7' }], source: VARIANT_SOURCE }];
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

/** The verdict on an entry that is no candidate for this host, whatever it demands. */
function setAside(
  entry: Descriptor,
  position: number,
  host: HostView,
  policy: SelectionPolicy,
): Judged | undefined {
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
  const denied = deniedAnnotation(annotations, policy);
  if (denied !== undefined)
    return aside('denied', `the operator denies its annotation ${truncateText(denied)}`);
  if (isAttestation(entry)) {
    return aside('attestation', 'an attestation; it stays with its image');
  }
  if (platform === undefined) return aside('unjudged', 'it names no platform; it stays');
  if (!isHostPlatform(platform, host)) {
    return aside('foreign', `for ${truncateText(formatPlatform(platform))}; kept for pulls that ask for it`);
  }
  if (isImageEntry(entry)) return undefined;
  if (isIndexType(entry.mediaType)) return aside('unjudged', 'an index within the index; it stays');
  const type = entry.artifactType || entry.mediaType;
  return aside('unjudged', `${truncateText(type)} is not an image; it cannot be chosen`);
}

/** True for an entry for the host's operating system and architecture. */
function isHostPlatform({ os, architecture }: Platform, host: HostView): boolean {
  return os === host.os && architecture === host.architecture;
}

const CPU_KINDS = new Set(['cpu', 'level', 'variant']);

/** The demands of the baseline, for an entry without a CPU demand: in some repositories "plain" means x86-64-v3. */
function baselineDemand(
  own: readonly Demand[],
  architecture: string,
  baseline: readonly string[] | undefined,
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

/** Also requires equal sets of features, unless no entry for the platform lists any: then it is an ordinary image. */
function exactly(all: readonly Judged[], host: HostView): readonly Judged[] {
  const demanding = all.some(({ requirements }) => requirements.some((demand) => isListed(demand)));
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

/** Formats a failure: `demands cpu:skylake (platform.features): this host is broadwell and lacks clflushopt`. */
export function formatFailure({ demand, why }: Failure): string {
  const wanted = demand.anyOf.length === 0 ? 'nothing' : demandText(demand);
  return `demands ${wanted} (${truncateText(demand.source)}): ${why}`;
}

function bestOf(all: readonly Judged[], except?: Judged): Judged | undefined {
  let best: Judged | undefined;
  for (const one of all) {
    if (one.rank === undefined || one === except) continue;
    if (best?.rank === undefined || compareJudged(one, one.rank, best, best.rank).order < 0) best = one;
  }
  return best;
}

/** Among entries of equal rank, one that every runtime can unpack comes first. */
function compareJudged(a: Judged, rankOfA: Rank, b: Judged, rankOfB: Rank): Ranking {
  const ranking = compareRanks(rankOfA, rankOfB);
  const byEncoding = Number(isSpecialEncoding(a.entry)) - Number(isSpecialEncoding(b.entry));
  if (ranking.order !== 0 || byEncoding === 0) return ranking;
  return { order: byEncoding, rule: 'every runtime can unpack it' };
}

const COMPRESSION_ANNOTATION = 'io.github.containers.compression.';

/**
 * True for an encoding that not every runtime can unpack: zstd layers, which podman marks by an annotation, or what
 * `os.features` names.
 * @see https://github.com/containers/image (internal/manifest, OCI1InstanceAnnotationCompressionZSTD)
 */
function isSpecialEncoding({ platform, annotations }: Descriptor): boolean {
  if (platform?.os === 'linux' && platform.osFeatures.length > 0) return true;
  for (const name in annotations) if (name.startsWith(COMPRESSION_ANNOTATION)) return true;
  return false;
}

type Reasons = Required<Pick<Verdict, 'reason' | 'ranking'>>;

function winnerReason(best: Judged, all: readonly Judged[]): Reasons {
  const demands = demandsText(best.requirements);
  const what = demands === '' ? 'demands nothing' : `demands ${demands}, which this host has`;
  const runnerUp = bestOf(all, best);
  const ranking =
    best.rank === undefined || runnerUp?.rank === undefined
      ? 'no other entry is eligible'
      : `before entry ${runnerUp.position + 1} because ${compareJudged(best, best.rank, runnerUp, runnerUp.rank).rule}`;
  return { reason: `${what}; ${ranking}`, ranking };
}

function outranked(one: Judged, best: Judged): Verdict {
  if (one.rank === undefined || best.rank === undefined) return verdictOf(one);
  const place = `entry ${best.position + 1}`;
  if (one.entry.digest === best.entry.digest) {
    const ranking = `the same image as ${place}`;
    return { ...verdictOf(one), reason: ranking, ranking };
  }
  const ranking = `${place} goes first: ${compareJudged(best, best.rank, one, one.rank).rule}`;
  return { ...verdictOf(one), reason: `runs here, but ${ranking}`, ranking };
}
