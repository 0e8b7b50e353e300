import type { Feature } from '../host/features.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import { type Demand, kindOf, REQUIRE_EXPRESSION, readFeature } from './demands.ts';
import type { HostView } from './host-view.ts';
import {
  acceleratorCloseness,
  BY_MAKER,
  compareCloseness,
  type GpuCloseness,
} from './matchers/accelerator.ts';
import { amdCloseness } from './matchers/amd.ts';
import { nvidiaCloseness } from './matchers/nvidia.ts';
import type { SelectionPolicy } from './policy.ts';
import {
  type CpuReach,
  compareDefined,
  compareReaches,
  compareVersionBounds,
  cpuReaches,
  NO_BOUNDS,
  newestVariant,
  type VersionBounds,
  versionBounds,
} from './reach.ts';

/** Groups of kinds of features, the most significant first. Kinds in no group belong to the group `site`. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  accelerator: ['nvcap', 'nvptx', 'gfx', 'accel', 'jetson', 'gpu', 'cuda', 'nvdriver', REQUIRE_EXPRESSION],
  cpu: ['cpu', 'level', 'variant', 'cpuflag', 'cpuvendor'],
  site: [],
  system: ['os', 'osfeature', 'kernel', 'glibc', 'smt'],
};
const USUAL_PRIORITY = Object.keys(GROUPS);

function groupOf(kind: string): string {
  return USUAL_PRIORITY.find((group) => GROUPS[group]?.includes(kind)) ?? 'site';
}

/** True for a kind that says what accelerator code is built for, or what drives the accelerator. */
export function isAcceleratorKind(kind: string): boolean {
  return groupOf(kind) === 'accelerator';
}

/** How close the demands of one group come to the host. The fields are compared in this order. */
interface Standing {
  readonly demands: number;
  readonly gpu: GpuCloseness | undefined;
  readonly cpu: readonly CpuReach[];
  /** The rank of the demanded variant, higher for newer; -1 for none. */
  readonly variant: number;
  readonly versions: VersionBounds;
}

/** What an eligible entry is ranked by, besides its position. */
export interface Rank {
  readonly pinned: boolean;
  readonly standings: readonly Standing[];
}

/** The groups and single kinds in the order in which they count. For duplicates, the first place counts. */
function priorityOf({ priority = [] }: SelectionPolicy): readonly string[] {
  return [...priority, ...USUAL_PRIORITY];
}

/** Ranks an eligible entry. */
export type Ranker = (digest: string, demands: readonly Demand[]) => Rank;

/** Creates the ranker for a host and a policy, which computes once what is the same for all entries. */
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
    };
  };
}

function isPinned(digest: string, demands: readonly Demand[], pin: string | undefined): boolean {
  if (pin === undefined) return false;
  if (digest === pin) return true;
  const pinned = readFeature(pin);
  return demands.some(({ anyOf }) => anyOf.some((feature) => isSameFeature(feature, pinned)));
}

function isSameFeature(a: Feature, b: Feature): boolean {
  if (a.kind !== b.kind) return false;
  if (a.value === b.value) return true;
  return a.kind === 'cpu' && canonicalName(a.value) === canonicalName(b.value);
}

const NOTHING: Standing = {
  demands: 0,
  gpu: undefined,
  cpu: [],
  variant: -1,
  versions: NO_BOUNDS,
};

function standingOf(demands: readonly Demand[], host: HostView, policy: SelectionPolicy): Standing {
  if (demands.length === 0) return NOTHING;
  return {
    demands: demands.length,
    gpu: gpuCloseness(demands, host, policy),
    cpu: cpuReaches(demands, host, policy),
    variant: newestVariant(demands, host),
    versions: versionBounds(demands, host),
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

/** How two entries are ordered, and the rule that decided, as text for people. */
export interface Ranking {
  /** Negative when the first entry is better. */
  readonly order: number;
  readonly rule: string;
}

const STANDING_RULES: readonly (readonly [(a: Standing, b: Standing) => number, string])[] = [
  [(a, b) => Math.sign(b.demands) - Math.sign(a.demands), 'it is made for such hardware'],
  [(a, b) => compareDefined(a.gpu, b.gpu, compareCloseness), 'its GPU code is closer'],
  [(a, b) => compareReaches(a.cpu, b.cpu), 'its CPU code is closer'],
  [(a, b) => b.variant - a.variant, 'its variant is newer'],
  [(a, b) => compareVersionBounds(a.versions, b.versions), 'it asks for a newer version'],
  [(a, b) => b.demands - a.demands, 'it demands more'],
];

/**
 * Compares two eligible entries rule by rule, not by weights: the pin, then each group of kinds by priority; within
 * a group, the number of demands comes last. A strict superset has more demands, and unlike set inclusion,
 * comparing numbers is transitive. An order of 0 means that the position in the index decides.
 */
export function compareRanks(a: Rank, b: Rank): Ranking {
  if (a.pinned !== b.pinned) return { order: a.pinned ? -1 : 1, rule: 'the operator pinned it' };
  for (const [at, left] of a.standings.entries()) {
    const right = b.standings[at] ?? NOTHING;
    for (const [compare, rule] of STANDING_RULES) {
      const order = compare(left, right);
      if (order !== 0) return { order, rule };
    }
  }
  return { order: 0, rule: 'it comes first in the index' };
}
