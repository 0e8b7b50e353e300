import { generalAccelerator, VULKAN } from '../host/data/accelerators.ts';
import type { HostProfile } from '../host/profile.ts';
import { type Demand, kindOf } from './demands.ts';
import { type HostView, viewOf } from './host-view.ts';
import { judgeLevel } from './matchers/cpu.ts';
import { isNewerThan } from './matchers/nvidia.ts';
import { isAcceleratorKind } from './rank.ts';
import { formatFailure, type Selection, type Verdict } from './select.ts';

const CPU_KEYS = new Set(['cpu', 'level', 'variant', 'cpuflag']);

/** The levels that a plain entry is usually built for, and the next one. */
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
 * Some distributions build the entry that names no level for a higher one than the entry beside it: plain AlmaLinux 10 is
 * x86-64-v3 and stands beside `v2`. Then the marked entry wins and is the slower one. Nothing in the index shows it, so
 * this is a sentence for a person, not a decision; undefined when there is no such suspicion.
 */
export function suspicionOf({ winner, verdicts }: Selection, host: HostView): string | undefined {
  if (winner === undefined) return undefined;
  const [level, ...others] = levelsIn(winner);
  const next = level === undefined ? undefined : NEXT_LEVEL.get(level);
  if (level === undefined || next === undefined || others.length > 0) return undefined;
  if (!judgeLevel(next, host).holds) return undefined;
  const plain = verdicts.find(isPlain);
  const marksMore = verdicts.some((one) => levelsIn(one).some((other) => other > level));
  if (plain === undefined || marksMore) return undefined;
  return (
    `Entry ${plain.position + 1} names no level, and stands beside ${level}: it may be built for a higher one. ` +
    `If it is, set baseline (such as ${next}) for this repository`
  );
}

/**
 * `accelerator-unused`: the host has an accelerator, the image has entries for accelerators, and none of them runs here.
 * `accelerator-newer`: its GPU is newer than all that entries are made for, and what it gets is for GPUs in general.
 * `baseline-suspected`: an entry for a low level was chosen before a plain one that may be built for a higher.
 */
export const NOTE_CODES = ['accelerator-unused', 'accelerator-newer', 'baseline-suspected'] as const;

/** Something about a choice that its reader should know although nothing failed. */
export interface Note {
  readonly code: (typeof NOTE_CODES)[number];
  readonly text: string;
}

function demandsAccelerator({ requirements }: Verdict): boolean {
  return requirements.some((demand) => isAcceleratorKind(kindOf(demand)));
}

/** Whose hardware a demand is about: `nvidia`, `amd`, `habana`; undefined for one that tells no maker. */
function makerOf(demand: Demand): string | undefined {
  const kind = kindOf(demand);
  const value = demand.anyOf[0]?.value ?? '';
  if (kind === 'gfx' || (kind === 'gpu' && value === 'rocm')) return 'amd';
  if (kind === 'gpu') return value === 'cuda' ? 'nvidia' : value;
  if (kind === 'accel') return generalAccelerator(value) ?? value;
  return isAcceleratorKind(kind) ? 'nvidia' : undefined;
}

/** Makers of the accelerators of a host; the graphics of a processor and Vulkan are none. */
function makersOf(host: HostView): readonly string[] {
  const accelerators = (host.claims.get('accel') ?? []).filter((value) => value !== VULKAN);
  return [
    ...(host.nvidia.length > 0 ? ['nvidia'] : []),
    ...(host.amd.length > 0 ? ['amd'] : []),
    ...accelerators.map((value) => generalAccelerator(value) ?? value),
  ];
}

/** Of the entries for accelerators that do not run here, the one that comes closest: of the host's maker, with the fewest failures. */
function nearestMiss(missed: readonly Verdict[], makers: readonly string[]): Verdict | undefined {
  const distance = ({ requirements, failures }: Verdict): number => {
    const isOwn = requirements.some((demand) => makers.includes(makerOf(demand) ?? ''));
    return failures.length + (isOwn ? 0 : 1000);
  };
  return missed.reduce<Verdict | undefined>(
    // Of equals the later: publishers list generations in their order.
    (best, one) => (best === undefined || distance(one) <= distance(best) ? one : best),
    undefined,
  );
}

function acceleratorNote({ winner, verdicts }: Selection, host: HostView): Note | undefined {
  const makers = makersOf(host);
  if (makers.length === 0 || winner === undefined || demandsAccelerator(winner)) return undefined;
  const missed = verdicts.filter((one) => one.status === 'ineligible' && demandsAccelerator(one));
  const nearest = nearestMiss(missed, makers);
  const [failure] = nearest?.failures ?? [];
  if (nearest === undefined || failure === undefined) return undefined;
  const text = `this host's accelerator (${[...new Set(makers)].join(', ')}) is not used: the nearest entry, ${nearest.position + 1}, ${formatFailure(failure)}`;
  return { code: 'accelerator-unused', text };
}

function newerNote({ winner, verdicts }: Selection, host: HostView): Note | undefined {
  if (winner === undefined || !demandsAccelerator(winner)) return undefined;
  const candidates = [
    winner,
    ...verdicts.filter(({ status }) => status === 'eligible' || status === 'ineligible'),
  ];
  const isCapability = (demand: Demand) => kindOf(demand) === 'nvcap';
  const made = candidates.filter(({ requirements }) => requirements.some(isCapability));
  const nearest = nearestMiss(made, ['nvidia']);
  const failure = nearest?.failures.find(({ demand }) => isCapability(demand));
  if (nearest === undefined || failure === undefined) return undefined;
  const capabilities = made.flatMap(({ requirements }) => requirements.filter(isCapability));
  if (!isNewerThan(capabilities, host)) return undefined;
  const text = `this host's GPU is newer than all that entries are made for: the nearest entry, ${nearest.position + 1}, ${formatFailure(failure)}`;
  return { code: 'accelerator-newer', text };
}

function baselineNote(selection: Selection, host: HostView): Note | undefined {
  const text = suspicionOf(selection, host);
  return text === undefined ? undefined : { code: 'baseline-suspected', text };
}

/** What a choice should not pass over in silence. */
export function notesOn(selection: Selection, profile: HostProfile): readonly Note[] {
  const host = viewOf(profile);
  return [acceleratorNote(selection, host), newerNote(selection, host), baselineNote(selection, host)].filter(
    (note) => note !== undefined,
  );
}
