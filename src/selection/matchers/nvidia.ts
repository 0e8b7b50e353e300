import { machineCodeRunsOn, parseCodeTarget, ptxRunsOn } from '../../host/compute-capability.ts';
import type { Feature } from '../../host/features.ts';
import {
  compareVersions,
  inRange,
  lowerBound,
  parseVersion,
  parseVersionRange,
  type Version,
} from '../../lib/version.ts';
import { type Demand, REQUIRE_EXPRESSION } from '../demands.ts';
import { type HostView, MATCH, type MatchResult, mismatch } from '../host-view.ts';
import type { SelectionPolicy } from '../policy.ts';
import { closenessToAll, compareCloseness, type GpuCloseness } from './accelerator.ts';

/** How close code is to a GPU, in the order of preference. */
const CLOSENESS = ['own features', 'exact', 'family', 'lower minor', 'PTX'] as const;
type Closeness = (typeof CLOSENESS)[number];

/** The place in {@link CLOSENESS}, and by how much the code's capability is below the GPU's. */
function closeness(kind: Closeness, code: Version, gpu: Version): GpuCloseness {
  const distance = ((gpu[0] ?? 0) - (code[0] ?? 0)) * 100 + (gpu[1] ?? 0) - (code[1] ?? 0);
  return [CLOSENESS.indexOf(kind), distance];
}

/** True for capabilities in any of these forms: `9.0`, `sm_90`, `9.0a`, `9.0+PTX`, `8.0-8.9`, `=7.5`. */
export function isCapability(text: string): boolean {
  const plain = text.replace(/\+ptx$/i, '');
  return parseCodeTarget(plain) !== undefined || parseVersionRange(plain) !== undefined;
}

function sassCloseness(text: string, gpu: Version): GpuCloseness | undefined {
  const code = parseCodeTarget(text);
  if (code === undefined) {
    // A range that the author wrote (`8.0-8.9`, `=9.0`) overrides CUDA's rules.
    const range = parseVersionRange(text);
    if (range === undefined || !inRange(range, gpu)) return undefined;
    return closeness(range.some(({ operator }) => operator === '=') ? 'exact' : 'lower minor', gpu, gpu);
  }
  if (!machineCodeRunsOn(code, gpu)) return undefined;
  const { version, suffix } = code;
  if (suffix === 'a') return closeness('own features', version, gpu);
  if (compareVersions(version, gpu) === 0) return closeness('exact', version, gpu);
  return closeness(suffix === 'f' ? 'family' : 'lower minor', version, gpu);
}

function ptxCloseness(text: string, gpu: Version): GpuCloseness | undefined {
  const code = parseCodeTarget(text);
  if (code === undefined || !ptxRunsOn(code, gpu)) return undefined;
  return closeness('PTX', code.version, gpu);
}

function closenessOf({ kind, value }: Feature, gpu: Version): GpuCloseness | undefined {
  if (kind === 'nvptx') return ptxCloseness(value, gpu);
  // PyTorch's notation for machine code together with PTX.
  const both = /^(.+)\+ptx$/i.exec(value)?.[1];
  if (both === undefined) return sassCloseness(value, gpu);
  return sassCloseness(both, gpu) ?? ptxCloseness(both, gpu);
}

function best(wanted: readonly Feature[], gpu: Version): GpuCloseness | undefined {
  let found: GpuCloseness | undefined;
  for (const feature of wanted) {
    const candidate = closenessOf(feature, gpu);
    if (candidate !== undefined && (found === undefined || compareCloseness(candidate, found) < 0)) {
      found = candidate;
    }
  }
  return found;
}

/** The highest capability that code names; undefined for an open range. */
function lastOf(text: string): Version | undefined {
  const plain = text.replace(/\+ptx$/i, '');
  const bound = parseVersionRange(plain)?.find(({ operator }) => ['=', '<=', '<'].includes(operator));
  return parseCodeTarget(plain)?.version ?? bound?.version;
}

/** True when a GPU of this host is newer than all capabilities that these demands name. */
export function isNewerThan(demands: readonly Demand[], host: HostView): boolean {
  const lasts = demands.flatMap(({ anyOf }) => anyOf.map(({ value }) => lastOf(value)));
  return host.nvidia.some((gpu) =>
    lasts.every((last) => last !== undefined && compareVersions(last, gpu) < 0),
  );
}

/** How close the alternatives come to this host's GPUs; undefined when they do not run. */
export function nvidiaCloseness(
  wanted: readonly Feature[],
  host: HostView,
  policy: SelectionPolicy,
): GpuCloseness | undefined {
  return closenessToAll(
    host.nvidia.map((gpu) => best(wanted, gpu)),
    policy,
  );
}

/**
 * Judges NVIDIA machine code (`nvcap:9.0`: the same major version, and at most the GPU's minor version; `9.0a`:
 * exactly this one; `10.0f`: the family) and PTX (`nvptx:8.0`: at most the GPU's version).
 * @see https://docs.nvidia.com/cuda/cuda-c-programming-guide/#binary-compatibility
 */
export function judgeNvidia(
  wanted: readonly Feature[],
  host: HostView,
  policy: SelectionPolicy,
): MatchResult {
  if (host.nvidia.length === 0) return mismatch('this host has no NVIDIA GPU');
  if (nvidiaCloseness(wanted, host, policy) !== undefined) return MATCH;
  const unfit = host.nvidia.filter((gpu) => best(wanted, gpu) === undefined);
  const capabilities = [...new Set(unfit.map((gpu) => gpu.join('.')))].join(' and ');
  if (unfit.length === host.nvidia.length) return mismatch(`this host's GPU is ${capabilities}`);
  return mismatch(`it does not run on every GPU of this host: one is ${capabilities}`);
}

const VARIABLE = /^(NVIDIA_REQUIRE_[A-Z0-9_]+)=(.*)$/s;
const CONSTRAINT = /^([a-z]+)\s*(>=|<=|!=|>|<|=)\s*(.+)$/;

/**
 * The demands in the environment of an image's configuration: each `NVIDIA_REQUIRE_*` variable is one, and all must
 * hold. `NVIDIA_DISABLE_REQUIRE` disables them.
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

/** The versions of a property on this host. Undefined for an unknown property, whose constraints count as met. */
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
  const range = parseVersionRange(`${operator}${wanted}`);
  if (range === undefined || actual.length === 0) return false;
  return actual.every((version) => inRange(range, version));
}

/** Spaces separate alternatives; commas separate constraints that must all hold. */
function alternativesOf(expression: string): readonly (readonly string[])[] {
  const alternatives = expression.split(/\s+/).filter((word) => word !== '');
  return alternatives.map((one) => one.split(',').filter((constraint) => constraint !== ''));
}

/** The minimum versions of one kind (`cuda`, `nvdriver`) in those alternatives that hold here. */
export function expressionBounds(expression: string, kind: string, host: HostView): readonly Version[] {
  const property = kind === 'nvdriver' ? 'driver' : kind;
  return alternativesOf(expression)
    .filter((constraints) => constraints.every((one) => constraintHolds(one, host)))
    .flatMap((constraints) =>
      constraints.flatMap((constraint) => {
        const [, name, operator, wanted] = CONSTRAINT.exec(constraint.trim()) ?? [];
        const range = name === property ? parseVersionRange(`${operator}${wanted}`) : undefined;
        return range === undefined ? [] : [lowerBound(range)];
      }),
    );
}

/** Judges a whole `NVIDIA_REQUIRE_*` expression. */
export function judgeExpression(expression: string, host: HostView): MatchResult {
  const met = alternativesOf(expression).some((constraints) =>
    constraints.every((constraint) => constraintHolds(constraint, host)),
  );
  if (met) return MATCH;
  const has = [
    ...(host.claims.get('cuda') ?? []).map((cuda) => `CUDA ${cuda}`),
    ...(host.claims.get('nvdriver') ?? []).map((driver) => `driver ${driver}`),
  ];
  return mismatch(has.length === 0 ? 'this host has no NVIDIA driver' : `this host has ${has.join(', ')}`);
}
