import type { Feature } from '../host/features.ts';
import { compareMicroarchitectures, flagsOf } from '../host/identify.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import { compareVersions, lowerBound, parseVersionRange, type Version } from '../lib/version.ts';
import { type Demand, formatDemand, REQUIRE_EXPRESSION } from './demands.ts';
import type { HostView } from './host-view.ts';
import {
  acceleratorCloseness,
  BY_MAKER,
  compareCloseness,
  type GpuCloseness,
} from './matchers/accelerator.ts';
import { amdCloseness } from './matchers/amd.ts';
import { type CpuFit, fitOf, nodeOfLevel } from './matchers/cpu.ts';
import { nvidiaCloseness } from './matchers/nvidia.ts';
import type { SelectionPolicy } from './policy.ts';

/** Groups of feature kinds, the most telling first. A kind that stands nowhere is the site's own. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  accelerator: ['nvcap', 'nvptx', 'gfx', 'accel', 'jetson', 'gpu', 'cuda', 'nvdriver', REQUIRE_EXPRESSION],
  cpu: ['cpu', 'level', 'variant', 'cpuflag', 'cpuvendor'],
  site: [],
  system: ['os', 'osfeature', 'kernel', 'glibc', 'smt'],
};
const USUAL_PRIORITY = Object.keys(GROUPS);
const VERSION_KINDS = ['cuda', 'nvdriver', 'kernel', 'glibc'];

function groupOf(kind: string): string {
  return USUAL_PRIORITY.find((group) => GROUPS[group]?.includes(kind)) ?? 'site';
}

/** The CPU that a set of demands is for: the best microarchitecture, and whether it was named or told by flags. */
interface CpuReach {
  readonly fit: CpuFit;
  readonly node: string | undefined;
  readonly named: boolean;
}

/** How close the demands of one group come to the host. Compared member by member, in this order. */
interface Standing {
  readonly demands: number;
  readonly gpu: GpuCloseness | undefined;
  readonly cpu: CpuReach;
  readonly versions: readonly (Version | undefined)[];
}

/** An eligible entry as it is ranked: its place depends on this and on its position only. */
export interface Rank {
  readonly pinned: boolean;
  readonly standings: readonly Standing[];
  readonly demands: number;
}

/** The groups, and single kinds, in the order in which they count. */
function priorityOf(policy: SelectionPolicy): readonly string[] {
  const first = policy.priority ?? [];
  return first.length === 0
    ? USUAL_PRIORITY
    : [...first, ...USUAL_PRIORITY.filter((name) => !first.includes(name))];
}

function kindOf(demand: Demand): string {
  return demand.anyOf[0]?.kind ?? demand.key;
}

/** Where an eligible entry stands. */
export type Ranker = (digest: string, demands: readonly Demand[]) => Rank;

/** The ranker of a host and a policy: what does not change from entry to entry is worked out once. */
export function rankerFor(host: HostView, policy: SelectionPolicy): Ranker {
  const priority = priorityOf(policy);
  const places = new Map<string, number>();
  const placeOf = (demand: Demand): number => {
    const kind = kindOf(demand);
    const known = places.get(kind);
    if (known !== undefined) return known;
    const place = priority.indexOf(priority.includes(kind) ? kind : groupOf(kind));
    places.set(kind, place);
    return place;
  };
  return (digest, demands) => {
    const placed: Demand[][] = priority.map(() => []);
    for (const demand of demands) placed[placeOf(demand)]?.push(demand);
    return {
      pinned: isPinned(digest, demands, policy.pin),
      standings: placed.map((group) => standingOf(group, host, policy)),
      demands: demands.length,
    };
  };
}

function isPinned(digest: string, demands: readonly Demand[], pin: string | undefined): boolean {
  if (pin === undefined) return false;
  return digest === pin || demands.some((demand) => formatDemand(demand).split(' or ').includes(pin));
}

const NOTHING: Standing = {
  demands: 0,
  gpu: undefined,
  cpu: { fit: 'none', node: undefined, named: false },
  versions: [],
};

function standingOf(demands: readonly Demand[], host: HostView, policy: SelectionPolicy): Standing {
  if (demands.length === 0) return NOTHING;
  return {
    demands: demands.length,
    gpu: gpuCloseness(demands, host, policy),
    cpu: cpuReach(demands, host, policy),
    versions: demands.some(({ key }) => VERSION_KINDS.includes(key)) ? boundsOf(demands) : NOTHING.versions,
  };
}

function gpuCloseness(
  demands: readonly Demand[],
  host: HostView,
  policy: SelectionPolicy,
): GpuCloseness | undefined {
  let closest: GpuCloseness | undefined;
  for (const { key, anyOf } of demands) {
    const closeness = closenessOfDemand(key, anyOf, host, policy);
    if (closeness !== undefined && (closest === undefined || compareCloseness(closeness, closest) < 0)) {
      closest = closeness;
    }
  }
  return closest;
}

function closenessOfDemand(
  key: string,
  anyOf: readonly Feature[],
  host: HostView,
  policy: SelectionPolicy,
): GpuCloseness | undefined {
  switch (key) {
    case 'nvcap':
      return nvidiaCloseness(anyOf, host, policy);
    case 'gfx':
      return amdCloseness(anyOf, host, policy);
    case 'accel':
      return acceleratorCloseness(anyOf, host);
    case 'jetson':
    case 'gpu':
      return BY_MAKER;
    default:
      return undefined;
  }
}

/** For each of {@link VERSION_KINDS} the least version that is asked for. */
function boundsOf(demands: readonly Demand[]): readonly (Version | undefined)[] {
  return VERSION_KINDS.map((kind) => {
    const wanted = demands.find(({ key }) => key === kind)?.anyOf[0];
    const range = wanted && parseVersionRange(wanted.value);
    return range && lowerBound(range);
  });
}

/** The least generic microarchitecture that brings a flag: `avx2` counts as x86_64_v3. */
function nodeOfFlag(flag: string): string | undefined {
  return ['x86_64', 'x86_64_v2', 'x86_64_v3', 'x86_64_v4'].find((name) => flagsOf(name)?.has(flag) === true);
}

function reachOf({ kind, value }: Feature, host: HostView, policy: SelectionPolicy): CpuReach | undefined {
  if (kind === 'cpu') {
    const node = canonicalName(value);
    return node === undefined ? undefined : { fit: fitOf(node, host, policy), node, named: true };
  }
  if (kind === 'level') return { fit: 'native', node: nodeOfLevel(value), named: true };
  if (kind === 'cpuflag') return { fit: 'native', node: nodeOfFlag(value), named: false };
  return undefined;
}

function cpuReach(demands: readonly Demand[], host: HostView, policy: SelectionPolicy): CpuReach {
  let best = NOTHING.cpu;
  for (const { anyOf } of demands) {
    for (const feature of anyOf) {
      const reach = reachOf(feature, host, policy);
      if (reach !== undefined && reach.fit !== 'none' && compareReach(reach, best) < 0) best = reach;
    }
  }
  return best;
}

const FIT_ORDER: readonly CpuFit[] = ['native', 'foreign', 'none'];

function compareReach(a: CpuReach, b: CpuReach): number {
  return (
    FIT_ORDER.indexOf(a.fit) - FIT_ORDER.indexOf(b.fit) ||
    comparePresence(a.node, b.node) ||
    (a.node !== undefined && b.node !== undefined ? compareMicroarchitectures(a.node, b.node) : 0) ||
    Number(b.named) - Number(a.named)
  );
}

/** What is there before what is not. */
function comparePresence(a: unknown, b: unknown): number {
  return Number(a === undefined) - Number(b === undefined);
}

/** By which rule one entry ranks before another, in words for people. */
export interface Ranking {
  /** Below zero: the first one is better. */
  readonly order: number;
  readonly rule: string;
}

function compareVersionBounds(a: Standing, b: Standing): number {
  for (let at = 0; at < VERSION_KINDS.length; at += 1) {
    const [left, right] = [a.versions[at], b.versions[at]];
    const order = comparePresence(left, right) || (left && right ? compareVersions(right, left) : 0);
    if (order !== 0) return order;
  }
  return 0;
}

const STANDING_RULES: readonly (readonly [(a: Standing, b: Standing) => number, string])[] = [
  [(a, b) => Math.sign(b.demands) - Math.sign(a.demands), 'it is made for such hardware'],
  [
    (a, b) => comparePresence(a.gpu, b.gpu) || (a.gpu && b.gpu ? compareCloseness(a.gpu, b.gpu) : 0),
    'its GPU code is closer',
  ],
  [(a, b) => compareReach(a.cpu, b.cpu), 'its CPU code is closer'],
  [compareVersionBounds, 'it asks for a newer version'],
  [(a, b) => b.demands - a.demands, 'it demands more'],
];

/**
 * Ranks two eligible entries, rule after rule and never by weights: the pin, then each group of kinds by priority, then
 * the number of demands (a strict superset has more, and unlike set inclusion a number keeps the order transitive).
 * Order 0 leaves it to their place in the index.
 */
export function compareRanks(a: Rank, b: Rank): Ranking {
  if (a.pinned !== b.pinned) return { order: a.pinned ? -1 : 1, rule: 'the operator pinned it' };
  for (let at = 0; at < a.standings.length; at += 1) {
    const [left, right] = [a.standings[at] ?? NOTHING, b.standings[at] ?? NOTHING];
    for (const [compare, rule] of STANDING_RULES) {
      const order = compare(left, right);
      if (order !== 0) return { order, rule };
    }
  }
  return a.demands === b.demands
    ? { order: 0, rule: 'it comes first in the index' }
    : { order: b.demands - a.demands, rule: 'it demands more' };
}
