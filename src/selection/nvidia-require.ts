import { parseVersion, type Version } from '../host/version.ts';
import { type Demand, REQUIRE_EXPRESSION } from './demand.ts';
import type { HostView } from './host-view.ts';
import { fails, HOLDS, type Judgement } from './judgement.ts';
import { inRange, parseRange } from './version-range.ts';

const VARIABLE = /^(NVIDIA_REQUIRE_[A-Z0-9_]+)=(.*)$/s;
const CONSTRAINT = /^([a-z]+)\s*(>=|<=|!=|>|<|=)\s*(.+)$/;

/**
 * What the environment of an image's configuration demands: each `NVIDIA_REQUIRE_*` variable one demand, all of them to
 * be met; `NVIDIA_DISABLE_REQUIRE` switches them off.
 * @see https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html#constraints
 */
export function environmentDemands(environment: readonly string[]): readonly Demand[] {
  const disabled = environment.some((line) => /^NVIDIA_DISABLE_REQUIRE=(1|true)$/i.test(line));
  if (disabled) return [];
  return environment.flatMap((line): readonly Demand[] => {
    const [, name, expression] = VARIABLE.exec(line) ?? [];
    if (name === undefined || expression === undefined || expression.trim() === '') return [];
    return [
      {
        key: `${REQUIRE_EXPRESSION}:${name}`,
        anyOf: [{ kind: REQUIRE_EXPRESSION, value: expression.trim() }],
        source: `config env ${name}`,
      },
    ];
  });
}

/** The property's versions on this host; undefined for a property that is not known, which counts as met. */
function propertyOf(name: string, host: HostView): readonly Version[] | undefined {
  const versions = (kind: string) =>
    (host.claims.get(kind) ?? []).map(parseVersion).filter((version) => version !== undefined);
  switch (name) {
    case 'cuda':
      return versions('cuda');
    case 'driver':
      return versions('nvdriver');
    case 'arch':
      return host.nvidia;
    default:
      return undefined;
  }
}

function constraintHolds(constraint: string, host: HostView): boolean {
  const [, name, operator, wanted] = CONSTRAINT.exec(constraint.trim()) ?? [];
  if (name === undefined) return false;
  const actual = propertyOf(name, host);
  if (actual === undefined) return true;
  const range = parseRange(`${operator}${wanted}`);
  if (range === undefined || actual.length === 0) return false;
  return actual.every((version) => inRange(range, version));
}

/** A space separates alternatives, a comma what must hold together. */
export function judgeExpression(expression: string, host: HostView): Judgement {
  const alternatives = expression.split(/\s+/).filter((word) => word !== '');
  const met = alternatives.some((alternative) =>
    alternative
      .split(',')
      .filter((constraint) => constraint !== '')
      .every((constraint) => constraintHolds(constraint, host)),
  );
  if (met) return HOLDS;
  const has = [
    ...(host.claims.get('cuda') ?? []).map((cuda) => `CUDA ${cuda}`),
    ...(host.claims.get('nvdriver') ?? []).map((driver) => `driver ${driver}`),
  ];
  return fails(has.length === 0 ? 'this host has no NVIDIA driver' : `this host has ${has.join(', ')}`);
}
