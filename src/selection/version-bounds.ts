import { VERSION_KINDS } from '../host/features.ts';
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
import { expressionBounds } from './matchers/nvidia.ts';
import { comparePresence } from './presence.ts';

/** For each version kind the newest version that is asked for; undefined where none is. */
export type VersionBounds = readonly (Version | undefined)[];

export const NO_BOUNDS: VersionBounds = [];
const KINDS = [...VERSION_KINDS];

function namesVersion(demand: Demand): boolean {
  const kind = kindOf(demand);
  return VERSION_KINDS.has(kind) || kind === REQUIRE_EXPRESSION;
}

/** What the demands ask for at least, of what the host has. */
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

/** In a list, so that a version, itself a list, stays whole. */
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

/** Below zero: `a` asks for the newer version. */
export function compareVersionBounds(a: VersionBounds, b: VersionBounds): number {
  for (let at = 0; at < KINDS.length; at += 1) {
    const [left, right] = [a[at], b[at]];
    const order = comparePresence(left, right) || (left && right ? compareVersions(right, left) : 0);
    if (order !== 0) return order;
  }
  return 0;
}
