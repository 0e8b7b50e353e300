import { type Feature, formatFeature, VERSION_KINDS } from '../host/features.ts';
import { compareVersions, inRange, parseVersion, parseVersionRange, type Version } from '../lib/version.ts';
import type { HostView } from './host-view.ts';
import { isComparedByEquality, matchDemand } from './match.ts';
import type { SelectionPolicy } from './policy.ts';

/** A set of features that must all hold, and a host on which they do. */
export interface Subject {
  readonly wanted: readonly Feature[];
  readonly host: HostView;
}

type Holders = readonly number[];

/** By claim, the subjects whose host makes it. */
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

/** The versions of one kind that the hosts claim, oldest first. */
function versionsOf(kind: string, subjects: readonly Subject[]): Versioned {
  const versions = subjects.flatMap(({ host }, at) =>
    (host.claims.get(kind) ?? []).flatMap((text) => {
      const version = parseVersion(text);
      return version === undefined ? [] : [[version, at] as const];
    }),
  );
  return versions.sort(([a], [b]) => compareVersions(a, b));
}

/** The hosts within a range; most ranges are a least version, from which on all of a sorted list are within. */
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

/** For every feature that some subject wants: the subjects whose host has it. */
function holdersOf(subjects: readonly Subject[], policy: SelectionPolicy): ReadonlyMap<string, Holders> {
  const wanted = new Map(
    subjects.flatMap((one) => one.wanted.map((feature) => [formatFeature(feature), feature])),
  );
  const claims = claimants(subjects);
  const versions = new Map([...VERSION_KINDS].map((kind) => [kind, versionsOf(kind, subjects)]));
  const all = subjects.map((_, at) => at);
  return new Map(
    [...wanted].map(([text, feature]): [string, Holders] => {
      if (isComparedByEquality(feature.kind)) return [text, claims.get(text) ?? []];
      const ofKind = versions.get(feature.kind);
      if (ofKind !== undefined) return [text, withinRange(feature.value, ofKind)];
      const demand = { key: feature.kind, anyOf: [feature], source: '' };
      return [
        text,
        all.filter((at) => {
          const host = subjects[at]?.host;
          return host !== undefined && matchDemand(demand, host, policy).holds;
        }),
      ];
    }),
  );
}

/**
 * For the host of each subject, the subjects whose features all hold on it, itself among them. Counted feature by feature:
 * to compare every subject with every other takes seconds for some thousand of them.
 */
export function servedHosts(
  subjects: readonly Subject[],
  policy: SelectionPolicy,
): readonly ReadonlySet<number>[] {
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
