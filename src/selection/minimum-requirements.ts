import { profileOfFeatures } from '../host/assumed-features.ts';
import { type Feature, formatFeature, VERSION_KINDS } from '../host/features.ts';
import { isAncestorOrSelf } from '../host/identify.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import type { HostProfile } from '../host/profile.ts';
import {
  compareVersions,
  inRange,
  lowerBound,
  parseVersion,
  parseVersionRange,
  type Version,
} from '../lib/version.ts';
import { type Descriptor, type ImageIndex, isImageEntry, type Platform } from '../oci/manifest.ts';
import type { Demand } from './demands.ts';
import { type HostView, viewOf } from './host-view.ts';
import { isComparedByEquality, matchDemand } from './match.ts';
import { nodeNameOfLevel } from './matchers/cpu.ts';
import type { SelectionPolicy } from './policy.ts';
import { demandsOn } from './select.ts';

/** A set of features that must all hold, and a host on which they do. */
export interface Subject {
  readonly wanted: readonly Feature[];
  readonly host: HostView;
}

type Holders = readonly number[];

/** For each feature of the hosts: the subjects whose host has it. */
function claimants(subjects: readonly Subject[]): ReadonlyMap<string, Holders> {
  const found = new Map<string, number[]>();
  for (const [at, { host }] of subjects.entries()) {
    for (const [kind, values] of host.claims) {
      for (const value of values) {
        const claim = formatFeature({ kind, value });
        const others = found.get(claim);
        if (others === undefined) found.set(claim, [at]);
        else others.push(at);
      }
    }
  }
  return found;
}

type Versioned = readonly (readonly [version: Version, at: number])[];

/** The versions of one kind that the hosts have, the oldest first. */
function versionsOf(kind: string, subjects: readonly Subject[]): Versioned {
  const versions = subjects.flatMap(({ host }, at) =>
    (host.claims.get(kind) ?? []).flatMap((text) => {
      const version = parseVersion(text);
      return version === undefined ? [] : [[version, at] as const];
    }),
  );
  return versions.sort(([a], [b]) => compareVersions(a, b));
}

/** The hosts within a range. Most ranges are a minimum version, for which a binary search is enough. */
function withinRange(text: string, versions: Versioned): Holders {
  const range = parseVersionRange(text) ?? [];
  const [first] = range;
  if (first === undefined) return [];
  const isLeast = range.length === 1 && first.operator === '>=';
  if (!isLeast)
    return [...new Set(versions.flatMap(([version, at]) => (inRange(range, version) ? [at] : [])))];
  let [low, high] = [0, versions.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareVersions(versions[middle]?.[0] ?? [], first.version) < 0) low = middle + 1;
    else high = middle;
  }
  return [...new Set(versions.slice(low).map(([, at]) => at))];
}

/** For each feature that some subject wants: the subjects whose host has it. */
function holdersOf(subjects: readonly Subject[], policy: SelectionPolicy): ReadonlyMap<string, Holders> {
  const wanted = new Map(
    subjects.flatMap((one) => one.wanted.map((feature) => [formatFeature(feature), feature])),
  );
  const claims = claimants(subjects);
  const versions = new Map([...VERSION_KINDS].map((kind) => [kind, versionsOf(kind, subjects)]));
  return new Map(
    [...wanted].map(([text, feature]): [string, Holders] => {
      if (isComparedByEquality(feature.kind)) return [text, claims.get(text) ?? []];
      const ofKind = versions.get(feature.kind);
      if (ofKind !== undefined) return [text, withinRange(feature.value, ofKind)];
      const demand = { key: feature.kind, anyOf: [feature], source: '' };
      return [
        text,
        subjects.flatMap(({ host }, at) => (matchDemand(demand, host, policy).holds ? [at] : [])),
      ];
    }),
  );
}

/**
 * For the host of each subject, the subjects whose features all hold on it, itself included. It counts feature by
 * feature, because comparing all pairs takes seconds for some thousands of subjects.
 */
function servedHosts(subjects: readonly Subject[], policy: SelectionPolicy): readonly ReadonlySet<number>[] {
  const holders = holdersOf(subjects, policy);
  const served = subjects.map(() => new Set<number>());
  const counts = new Uint32Array(subjects.length);
  for (const [at, { wanted }] of subjects.entries()) {
    const texts = [...new Set(wanted.map(formatFeature))];
    counts.fill(0);
    for (const text of texts) {
      for (const host of holders.get(text) ?? []) counts[host] = (counts[host] ?? 0) + 1;
    }
    for (let host = 0; host < counts.length; host += 1)
      if (counts[host] === texts.length) served[host]?.add(at);
  }
  return served;
}

/** Minimum hardware on one platform that runs some entry. No features: any host. */
export interface MinimumRequirements {
  /** The platform: `linux/amd64`. */
  readonly platform: string;
  readonly features: readonly string[];
  /** The positions of the entries that demand exactly this, from 0. */
  readonly positions: readonly number[];
}

/** One way to meet all demands of an entry, and the minimal host for it. */
interface Way {
  readonly position: number;
  readonly wanted: readonly Feature[];
  readonly features: readonly string[];
  readonly host: HostProfile;
}

/** Limit of an entry's combinations of alternatives. Beyond it, the first alternative of each demand counts. */
const WAYS_MAX = 64;

/** The minimal feature of a host on which a demanded feature holds. Undefined when no host can have it. */
function leastClaim({ kind, value }: Feature): string | undefined {
  if (kind === 'cpu') return `cpu:${canonicalName(value) ?? value}`;
  if (kind === 'nvcap' || kind === 'nvptx') {
    const [, major, minor] = /^\D*(\d+)\.?(\d)/.exec(value) ?? [];
    return major === undefined ? undefined : `nvcap:${major}.${minor}`;
  }
  if (VERSION_KINDS.has(kind)) {
    const range = parseVersionRange(value) ?? [];
    const bound = lowerBound(range);
    // "Newer than 5.10" has no lowest version, so 5.10.1 represents it.
    const least = range.length === 0 ? undefined : [bound, [...bound, 1]].find((one) => inRange(range, one));
    return least && `${kind}:${least.length === 0 ? '0' : least.join('.')}`;
  }
  return formatFeature({ kind, value });
}

function nodeOf(claim: string): string | undefined {
  return claim.startsWith('cpu:') ? claim.slice('cpu:'.length) : nodeNameOfLevel(claim);
}

/** Removes the CPUs and levels that another one implies, because a host has one CPU. */
function withoutImplied(claims: readonly string[]): readonly string[] {
  const nodes = new Set(claims.map(nodeOf).filter((node) => node !== undefined));
  return [...new Set(claims)].filter((claim) => {
    const node = nodeOf(claim);
    return node === undefined || ![...nodes].some((other) => other !== node && isAncestorOrSelf(node, other));
  });
}

/** All choices of one alternative for each demand. The last one varies fastest, as in an odometer. */
function choicesOf(demands: readonly Demand[]): readonly (readonly Feature[])[] {
  const count = demands.reduce((product, { anyOf }) => product * anyOf.length, 1);
  if (count > WAYS_MAX) return [demands.flatMap(({ anyOf }) => anyOf.slice(0, 1))];
  return Array.from({ length: count }, (_, choice) => {
    let turn = count;
    return demands.flatMap(({ anyOf }) => {
      turn /= anyOf.length;
      return anyOf[Math.floor(choice / turn) % anyOf.length] ?? [];
    });
  });
}

/** A host with only these features. Undefined when no host can have them together. */
function leastHost(features: readonly string[], { os, architecture }: Platform): HostProfile | undefined {
  try {
    const host = profileOfFeatures(features, { platform: { os, architecture } });
    return host.platform.architecture === architecture ? host : undefined;
  } catch {
    // Two different CPUs, or an architecture without a family tree.
    return undefined;
  }
}

function holdsOn(wanted: readonly Feature[], host: HostProfile, policy: SelectionPolicy): boolean {
  const view = viewOf(host);
  return wanted.every(
    (feature) => matchDemand({ key: feature.kind, anyOf: [feature], source: '' }, view, policy).holds,
  );
}

function waysOf(
  entry: Descriptor,
  platform: Platform,
  position: number,
  policy: SelectionPolicy,
): readonly Way[] {
  const demands = demandsOn(entry, platform.architecture, policy.baseline);
  return choicesOf(demands).flatMap((wanted) => {
    // What no host can have fails on every host.
    const claims = wanted.map(leastClaim).filter((claim) => claim !== undefined);
    const features = withoutImplied(claims);
    const host = leastHost(features, platform);
    return host !== undefined && holdsOn(wanted, host, policy) ? [{ position, wanted, features, host }] : [];
  });
}

function keyOf({ features }: Way): string {
  return [...features].sort().join(' ');
}

/** The ways that demand least. Equal ways are merged. */
function leastOf(
  platform: string,
  ways: readonly Way[],
  policy: SelectionPolicy,
): readonly MinimumRequirements[] {
  const byFeatures = new Map<string, Way[]>();
  for (const way of ways) {
    const key = keyOf(way);
    const same = byFeatures.get(key);
    if (same === undefined) byFeatures.set(key, [way]);
    else same.push(way);
  }
  const distinct = [...byFeatures.values()].flatMap((same) => same.slice(0, 1));
  const served = servedHosts(
    distinct.map(({ wanted, host }) => ({ wanted, host: viewOf(host) })),
    policy,
  );
  // If another way holds on this way's host, but not vice versa, the other one demands less. If each holds on the
  // other's host, they demand the same.
  const least = distinct.filter((_, at) => [...(served[at] ?? [])].every((other) => served[other]?.has(at)));
  return least.map((way) => {
    const positions = byFeatures.get(keyOf(way))?.map(({ position }) => position);
    return { platform, features: way.features, positions: [...new Set(positions)] };
  });
}

/**
 * The minimum hardware that runs the image: for each platform, the sets of features of which no other set demands
 * less. Entries whose demands no host can meet are left out.
 */
export function minimumRequirements(
  index: ImageIndex,
  policy: SelectionPolicy,
): readonly MinimumRequirements[] {
  const byPlatform = new Map<string, Way[]>();
  for (const [position, entry] of index.entries.entries()) {
    const { platform } = entry;
    if (platform === undefined || platform.os === 'unknown' || !isImageEntry(entry)) continue;
    const name = `${platform.os}/${platform.architecture}`;
    const ways = byPlatform.get(name) ?? [];
    ways.push(...waysOf(entry, platform, position, policy));
    byPlatform.set(name, ways);
  }
  return [...byPlatform].flatMap(([platform, ways]) => leastOf(platform, ways, policy));
}
