import { ancestorsOf } from '../host/identify.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import type { HostProfile } from '../host/profile.ts';
import { compareVersions } from '../lib/version.ts';
import type { Demand } from './demands.ts';
import { type HostView, viewOf } from './host-view.ts';
import type { Selection, Verdict } from './select.ts';

/**
 * How close the best entry of an image comes to a host. `exact`: no variant of the image could fit better. `older`:
 * built for an earlier microarchitecture, level or GPU. `generic`: it demands no hardware. `refused`: no entry runs
 * here.
 */
export type FitKind = 'exact' | 'older' | 'generic' | 'refused';

export const FIT_KINDS: readonly FitKind[] = ['exact', 'older', 'generic', 'refused'];

export interface Fit {
  readonly kind: FitKind;
  /** What the missing entry would demand: `cpu:zen4`, `variant:v4`, `nvcap:9.0`. Empty when the fit is exact. */
  readonly wanted: readonly string[];
  /** True when some entry for the platform demands hardware, so that the publisher builds variants. */
  readonly isMarked: boolean;
}

const CANDIDATES = new Set(['winner', 'eligible', 'ineligible']);
/** A microarchitecture is finer than a level. When the image names both, the microarchitecture counts. */
const CPU_KINDS = new Set(['cpu', 'cpuflag', 'cpuvendor']);
const LEVEL_KINDS = new Set(['level', 'variant']);

/** One property in which entries differ: the host's own value, and whether the winner is built for it. */
interface Dimension {
  readonly wanted: string;
  readonly isMet: boolean;
}

function alternatives(demands: readonly Demand[]) {
  return demands.flatMap(({ anyOf }) => anyOf);
}

function cpuDimension(
  kinds: ReadonlySet<string>,
  winner: readonly Demand[],
  host: HostView,
): Dimension | undefined {
  const { microarchitecture } = host.profile.cpu;
  const own = canonicalName(microarchitecture);
  const usesLevelsOnly = !hasAny(kinds, CPU_KINDS) && hasAny(kinds, LEVEL_KINDS);
  if (usesLevelsOnly) {
    const { variant } = host;
    if (variant === undefined) return undefined;
    // A level is written `x86-64-v3`, a variant `v3`.
    const isMet = alternatives(winner).some(
      ({ kind, value }) => LEVEL_KINDS.has(kind) && (value === variant || value.endsWith(`-${variant}`)),
    );
    return { wanted: `variant:${variant}`, isMet };
  }
  // The host is known by its architecture only, so no entry could fit better.
  if (own === undefined || ancestorsOf(microarchitecture).length === 0) return undefined;
  const isMet = alternatives(winner).some(
    ({ kind, value }) => kind === 'cpu' && canonicalName(value) === own,
  );
  return { wanted: `cpu:${microarchitecture}`, isMet };
}

function hasAny(kinds: ReadonlySet<string>, of: ReadonlySet<string>): boolean {
  return [...kinds].some((kind) => of.has(kind));
}

const NVIDIA_KINDS = new Set(['nvcap', 'nvptx', 'cuda', 'nvdriver', 'gpu']);

/** Of several GPUs the lowest counts, because the others of its generation also run its code. */
function gpuDimension(
  kinds: ReadonlySet<string>,
  winner: readonly Demand[],
  host: HostView,
): Dimension | undefined {
  const [least] = host.nvidia.toSorted(compareVersions);
  if (least !== undefined && hasAny(kinds, NVIDIA_KINDS)) {
    const value = least.join('.');
    const isMet = alternatives(winner).some((one) => one.kind === 'nvcap' && one.value === value);
    return { wanted: `nvcap:${value}`, isMet };
  }
  const target = host.amd[0]?.split(':')[0];
  if (target === undefined || !kinds.has('gfx')) return undefined;
  const isMet = alternatives(winner).some(
    ({ kind, value }) => kind === 'gfx' && value.split(':')[0] === target,
  );
  return { wanted: `gfx:${target}`, isMet };
}

/** How close a selection comes to the host. Undefined for an image without a candidate for the host's platform. */
export function fitOf({ verdicts, winner }: Selection, profile: HostProfile): Fit | undefined {
  const candidates = verdicts.filter(({ status }) => CANDIDATES.has(status));
  if (candidates.length === 0) return undefined;
  const host = viewOf(profile);
  const kinds = new Set(candidates.flatMap(kindsOf));
  const demands = winner?.requirements ?? [];
  const dimensions = [cpuDimension(kinds, demands, host), gpuDimension(kinds, demands, host)].filter(
    (dimension) => dimension !== undefined,
  );
  const isMarked = kinds.size > 0;
  const wanted = dimensions.map((dimension) => dimension.wanted);
  if (winner === undefined) return { kind: 'refused', wanted, isMarked };
  if (dimensions.every(({ isMet }) => isMet)) return { kind: 'exact', wanted: [], isMarked };
  return { kind: demands.length === 0 ? 'generic' : 'older', wanted, isMarked };
}

function kindsOf({ requirements }: Verdict): readonly string[] {
  return alternatives(requirements).map(({ kind }) => kind);
}
