import { generalAccelerator, VULKAN } from '../host/data/accelerators.ts';
import type { Feature } from '../host/features.ts';
import { ancestorsOf } from '../host/identify.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import type { HostProfile } from '../host/profile.ts';
import { compareVersions } from '../lib/version.ts';
import { type Demand, kindOf } from './demands.ts';
import { type HostView, viewOf } from './host-view.ts';
import { judgeLevel } from './matchers/cpu.ts';
import { isNewerThan } from './matchers/nvidia.ts';
import { isAcceleratorKind } from './rank.ts';
import { formatFailure, type Selection, type Verdict } from './select.ts';

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

const CPU_KEYS = new Set(['cpu', 'level', 'variant', 'cpuflag']);

/** For the levels that are usual for plain entries, the next level. */
const NEXT_LEVEL: ReadonlyMap<string, string> = new Map([
  ['x86-64-v1', 'x86-64-v2'],
  ['x86-64-v2', 'x86-64-v3'],
]);

function levelsIn({ requirements }: Verdict): readonly string[] {
  return requirements.flatMap(({ anyOf }) =>
    anyOf.filter(({ kind }) => kind === 'level').map(({ value }) => value),
  );
}

function isPlain({ requirements, status }: Verdict): boolean {
  return status === 'eligible' && !requirements.some(({ key }) => CPU_KEYS.has(key));
}

/**
 * The text of a suspicion, or undefined. Some distributions build the entry without a level for a higher level than
 * the marked entry beside it: the plain entry of AlmaLinux 10 is x86-64-v3, beside one for `v2`. Then the marked
 * entry wins although it is slower. The index does not show which case it is, so this is a note for people and not
 * a decision.
 */
function suspicionOf({ winner, verdicts }: Selection, host: HostView): string | undefined {
  if (winner === undefined) return undefined;
  // A winner with several levels is not in the table.
  const level = levelsIn(winner).join();
  const next = NEXT_LEVEL.get(level);
  if (next === undefined || !judgeLevel(next, host).holds) return undefined;
  const plain = verdicts.find(isPlain);
  const marksMore = verdicts.some((one) => levelsIn(one).some((other) => other > level));
  if (plain === undefined || marksMore) return undefined;
  return (
    `Entry ${plain.position + 1} names no level, and stands beside ${level}: it may be built for a higher one. ` +
    `If it is, set baseline (such as ${next}) for this repository`
  );
}

/**
 * `accelerator-unused`: the host has an accelerator and the image has entries for accelerators, but none of them
 * runs here. `accelerator-newer`: the host's GPU is newer than those that all entries are built for, and the winner
 * is for any GPU. `baseline-suspected`: an entry for a low level won over a plain one that may be built for a
 * higher level.
 */
export const NOTE_CODES = ['accelerator-unused', 'accelerator-newer', 'baseline-suspected'] as const;

/** Something about a choice that people should know although nothing failed. */
export interface Note {
  readonly code: (typeof NOTE_CODES)[number];
  readonly text: string;
}

function demandsAccelerator({ requirements }: Verdict): boolean {
  return requirements.some((demand) => isAcceleratorKind(kindOf(demand)));
}

/** The vendor of the hardware that a feature is about: `nvidia`, `amd`, `habana`. Undefined when it names none. */
function makerOf({ kind, value }: Feature): string | undefined {
  if (kind === 'gfx' || (kind === 'gpu' && value === 'rocm')) return 'amd';
  if (kind === 'gpu') return value === 'cuda' ? 'nvidia' : value;
  if (kind === 'accel') return generalAccelerator(value) ?? value;
  return isAcceleratorKind(kind) ? 'nvidia' : undefined;
}

/** The vendors of a host's accelerators. Integrated graphics and Vulkan do not count. */
function makersOf(host: HostView): readonly (string | undefined)[] {
  const accelerators = (host.claims.get('accel') ?? []).filter((value) => value !== VULKAN);
  return [
    ...(host.nvidia.length > 0 ? ['nvidia'] : []),
    ...(host.amd.length > 0 ? ['amd'] : []),
    ...accelerators.map((value) => generalAccelerator(value) ?? value),
  ];
}

/** The entry with the smallest distance. Among equals the last one, because publishers list generations in order. */
function nearestBy(
  verdicts: readonly Verdict[],
  distanceOf: (verdict: Verdict) => number,
): Verdict | undefined {
  return verdicts.reduce<Verdict | undefined>(
    (best, one) => (best === undefined || distanceOf(one) <= distanceOf(best) ? one : best),
    undefined,
  );
}

function acceleratorNote({ winner, verdicts }: Selection, host: HostView): Note | undefined {
  const makers = makersOf(host);
  if (makers.length === 0 || winner === undefined || demandsAccelerator(winner)) return undefined;
  const isOwn = ({ anyOf }: Demand) => anyOf.some((feature) => makers.includes(makerOf(feature)));
  const nearest = nearestBy(
    verdicts.filter(demandsAccelerator),
    ({ requirements, failures }) => failures.length + (requirements.some(isOwn) ? 0 : 1000),
  );
  if (nearest === undefined) return undefined;
  const [failure] = nearest.failures;
  // The entry runs here, but the operator's priority or pin prefers another one.
  if (failure === undefined) return undefined;
  const text = `this host's accelerator (${[...new Set(makers)].join(', ')}) is not used: the nearest entry, ${nearest.position + 1}, ${formatFailure(failure)}`;
  return { code: 'accelerator-unused', text };
}

function newerNote({ winner, verdicts }: Selection, host: HostView): Note | undefined {
  if (winner === undefined || !demandsAccelerator(winner)) return undefined;
  const isCapability = (demand: Demand) => kindOf(demand) === 'nvcap';
  const made = verdicts.filter(({ requirements }) => requirements.some(isCapability));
  const nearest = nearestBy(made, ({ failures }) => failures.length);
  if (nearest === undefined) return undefined;
  const failure = nearest.failures.find(({ demand }) => isCapability(demand));
  if (failure === undefined) return undefined;
  const capabilities = made.flatMap(({ requirements }) => requirements.filter(isCapability));
  if (!isNewerThan(capabilities, host)) return undefined;
  const text = `this host's GPU is newer than every GPU that the entries are built for: the nearest entry, ${nearest.position + 1}, ${formatFailure(failure)}`;
  return { code: 'accelerator-newer', text };
}

function baselineNote(selection: Selection, host: HostView): Note | undefined {
  const text = suspicionOf(selection, host);
  return text === undefined ? undefined : { code: 'baseline-suspected', text };
}

/** The notes on a selection. */
export function notesOn(selection: Selection, profile: HostProfile): readonly Note[] {
  const host = viewOf(profile);
  return [acceleratorNote(selection, host), newerNote(selection, host), baselineNote(selection, host)].filter(
    (note) => note !== undefined,
  );
}
