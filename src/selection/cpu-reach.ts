import { familyOfArchitecture } from '../host/architecture.ts';
import type { Feature } from '../host/features.ts';
import { compareMicroarchitectures } from '../host/identify.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import type { Demand } from './demands.ts';
import { reachOfFlag } from './flag-reach.ts';
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
import type { SelectionPolicy } from './policy.ts';
import { comparePresence } from './presence.ts';

/** The CPU that a demand is for: the microarchitecture, and whether the demand names it or a flag implies it. */
export interface CpuReach {
  readonly fit: CpuFit;
  readonly node: string | undefined;
  /** Of a level: its name, for levels that share a node of the family tree. */
  readonly level: string | undefined;
  readonly named: boolean;
  /** Of a flag: how many microarchitectures have it, the fewer the newer. */
  readonly carriers: number;
}

export const NO_REACH: CpuReach = {
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
    const reach = reachOfFlag(value, familyOfArchitecture(host.architecture));
    return { ...NO_REACH, fit, node: reach?.node, carriers: reach?.carriers ?? 0 };
  }
  return undefined;
}

/** The best reach among the demands that the host meets. */
export function cpuReach(demands: readonly Demand[], host: HostView, policy: SelectionPolicy): CpuReach {
  let best = NO_REACH;
  for (const { anyOf } of demands) {
    for (const feature of anyOf) {
      const reach = reachOf(feature, host, policy);
      if (reach !== undefined && reach.fit !== 'none' && compareReach(reach, best) < 0) best = reach;
    }
  }
  return best;
}

const FIT_ORDER: readonly CpuFit[] = ['native', 'foreign', 'none'];

/** Below zero: `a` is closer to the host. */
export function compareReach(a: CpuReach, b: CpuReach): number {
  return (
    FIT_ORDER.indexOf(a.fit) - FIT_ORDER.indexOf(b.fit) ||
    comparePresence(a.node, b.node) ||
    (a.node !== undefined && b.node !== undefined ? compareMicroarchitectures(a.node, b.node) : 0) ||
    comparePresence(a.level, b.level) ||
    (a.level !== undefined && b.level !== undefined ? compareLevels(a.level, b.level) : 0) ||
    Number(b.named) - Number(a.named) ||
    a.carriers - b.carriers
  );
}

/** The place of the newest variant that is demanded and that the host reaches; -1 for none. */
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
