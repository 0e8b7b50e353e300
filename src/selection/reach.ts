import { familyOfArchitecture, LEVEL_NODES } from '../host/architecture.ts';
import { type Feature, VERSION_KINDS } from '../host/features.ts';
import { compareMicroarchitectures, familyOf, flagsOf } from '../host/identify.ts';
import { allNodes, canonicalName } from '../host/microarchitectures.ts';
import {
  compareVersions,
  inRange,
  lowerBound,
  parseVersion,
  parseVersionRange,
  type Version,
} from '../lib/version.ts';
import { type Demand, kindOf, REQUIRE_EXPRESSION } from './demands.ts';
import type { HostView } from './host-view.ts';
import {
  type CpuFit,
  compareLevels,
  fitOf,
  judgeFlag,
  judgeLevel,
  judgeVariant,
  placeOfVariant,
  treeNodeOfLevel,
} from './matchers/cpu.ts';
import { expressionBounds } from './matchers/nvidia.ts';
import type { SelectionPolicy } from './policy.ts';

/** Orders defined values before undefined ones. */
function comparePresence(a: unknown, b: unknown): number {
  return Number(a === undefined) - Number(b === undefined);
}

/** Orders defined values before undefined ones, and two defined values by `compare`. */
export function compareDefined<Value>(
  a: Value | undefined,
  b: Value | undefined,
  compare: (a: Value, b: Value) => number,
): number {
  return a === undefined || b === undefined ? comparePresence(a, b) : compare(a, b);
}

/** How new a CPU must be to have a flag. */
interface FlagReach {
  /** The most generic microarchitecture that has it: x86_64_v3 for `avx2`. */
  readonly node: string | undefined;
  /** How many known microarchitectures have it. A flag that depends on another one is never in more of them. */
  readonly carriers: number;
}

/** The levels of x86 as microarchitectures, the lowest first. */
const GENERIC_X86 = LEVEL_NODES.filter((node) => familyOf(node) === 'x86_64').reverse();

function reachOfCarriers(carriers: readonly string[]): FlagReach {
  const generic = GENERIC_X86.find((name) => carriers.includes(name));
  return { node: generic ?? carriers.toSorted(compareMicroarchitectures).at(-1), carriers: carriers.length };
}

const reachesOfFamilies = new Map<string, ReadonlyMap<string, FlagReach>>();

/** The reach of each flag that some CPU of a family (`x86_64`, `aarch64`) has. */
function reachesOfFlags(family: string): ReadonlyMap<string, FlagReach> {
  const known = reachesOfFamilies.get(family);
  if (known !== undefined) return known;
  const carriers = new Map<string, string[]>();
  for (const { name } of allNodes()) {
    if (familyOf(name) !== family) continue;
    for (const flag of flagsOf(name) ?? []) carriers.set(flag, [...(carriers.get(flag) ?? []), name]);
  }
  const reaches = new Map([...carriers].map(([flag, names]) => [flag, reachOfCarriers(names)]));
  reachesOfFamilies.set(family, reaches);
  return reaches;
}

/** The CPU that a demand is for. */
export interface CpuReach {
  readonly fit: CpuFit;
  readonly node: string | undefined;
  /** The level that is demanded, to distinguish levels with the same node of the family tree. */
  readonly level: string | undefined;
  readonly named: boolean;
  /** For a flag: how many microarchitectures have it. Fewer means newer. */
  readonly carriers: number;
}

const NO_REACH: CpuReach = {
  fit: 'none',
  node: undefined,
  level: undefined,
  named: false,
  carriers: 0,
};

function reachOf({ kind, value }: Feature, host: HostView, policy: SelectionPolicy): CpuReach | undefined {
  if (kind === 'cpu') {
    const node = canonicalName(value);
    const fit = node === undefined ? 'none' : fitOf(node, host, policy);
    return { ...NO_REACH, fit, node, named: true };
  }
  if (kind === 'level') {
    const fit = judgeLevel(value, host).holds ? 'native' : 'none';
    return { ...NO_REACH, fit, node: treeNodeOfLevel(value), level: value, named: true };
  }
  if (kind === 'cpuflag') {
    const fit = judgeFlag(value, host).holds ? 'native' : 'none';
    const reach = reachesOfFlags(familyOfArchitecture(host.architecture)).get(value);
    return { ...NO_REACH, fit, node: reach?.node, carriers: reach?.carriers ?? 0 };
  }
  return undefined;
}

/** The best reach of each demand that holds on the host, the closest first. */
export function cpuReaches(
  demands: readonly Demand[],
  host: HostView,
  policy: SelectionPolicy,
): readonly CpuReach[] {
  const reaches: CpuReach[] = [];
  for (const { anyOf } of demands) {
    let best = NO_REACH;
    for (const feature of anyOf) {
      const reach = reachOf(feature, host, policy);
      if (reach !== undefined && reach.fit !== 'none' && compareReach(reach, best) < 0) best = reach;
    }
    if (best !== NO_REACH) reaches.push(best);
  }
  return reaches.sort(compareReach);
}

/**
 * Negative when `a` is closer to the host, by the closest demand in which they differ. If one list is a
 * continuation of the other, the longer one is closer.
 */
export function compareReaches(a: readonly CpuReach[], b: readonly CpuReach[]): number {
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const order = compareReach(a[at] ?? NO_REACH, b[at] ?? NO_REACH);
    if (order !== 0) return order;
  }
  return 0;
}

const FIT_ORDER: readonly CpuFit[] = ['native', 'foreign', 'none'];

/** Negative when `a` is closer to the host. */
function compareReach(a: CpuReach, b: CpuReach): number {
  return (
    FIT_ORDER.indexOf(a.fit) - FIT_ORDER.indexOf(b.fit) ||
    compareDefined(a.node, b.node, compareMicroarchitectures) ||
    compareDefined(a.level, b.level, compareLevels) ||
    Number(b.named) - Number(a.named) ||
    a.carriers - b.carriers
  );
}

/** The rank of the newest variant that is demanded and that the host has; -1 for none. */
export function newestVariant(demands: readonly Demand[], host: HostView): number {
  let newest = -1;
  for (const { anyOf } of demands) {
    for (const { kind, value } of anyOf) {
      if (kind !== 'variant' || !judgeVariant(value, host).holds) continue;
      newest = Math.max(newest, placeOfVariant(value, host.architecture));
    }
  }
  return newest;
}

/** For each kind with versions, the newest demanded version; undefined when none is demanded. */
export type VersionBounds = readonly (Version | undefined)[];

export const NO_BOUNDS: VersionBounds = [];
const KINDS = [...VERSION_KINDS];

function namesVersion(demand: Demand): boolean {
  const kind = kindOf(demand);
  return VERSION_KINDS.has(kind) || kind === REQUIRE_EXPRESSION;
}

/** The minimum versions that the demands require, of those demands that hold on the host. */
export function versionBounds(demands: readonly Demand[], host: HostView): VersionBounds {
  if (!demands.some(namesVersion)) return NO_BOUNDS;
  const expressions = demands.filter((demand) => kindOf(demand) === REQUIRE_EXPRESSION);
  return KINDS.map((kind) => {
    const ofFeatures = demands
      .flatMap(({ anyOf }) => anyOf.filter((one) => one.kind === kind))
      .flatMap(({ value }) => metBound(value, host.claims.get(kind) ?? []) ?? []);
    const ofExpressions = expressions.flatMap(({ anyOf }) =>
      anyOf.flatMap(({ value }) => expressionBounds(value, kind, host)),
    );
    return newest([...ofFeatures, ...ofExpressions]);
  });
}

/** Returned in a list, so that flatMap does not flatten the version, which is itself a list. */
function metBound(wanted: string, claimed: readonly string[]): readonly [Version] | undefined {
  const range = parseVersionRange(wanted);
  if (range === undefined) return undefined;
  const isMet = claimed.some((text) => {
    const version = parseVersion(text);
    return version !== undefined && inRange(range, version);
  });
  return isMet ? [lowerBound(range)] : undefined;
}

function newest(versions: readonly Version[]): Version | undefined {
  return versions.reduce<Version | undefined>(
    (best, one) => (best === undefined || compareVersions(one, best) > 0 ? one : best),
    undefined,
  );
}

/** Negative when `a` demands the newer version. */
export function compareVersionBounds(a: VersionBounds, b: VersionBounds): number {
  for (let at = 0; at < KINDS.length; at += 1) {
    const order = compareDefined(a[at], b[at], (left, right) => compareVersions(right, left));
    if (order !== 0) return order;
  }
  return 0;
}
