import { parseFeature } from '../host/features.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import type { HostProfile } from '../host/profile.ts';
import { formatSelector } from './account.ts';
import type { MachineList } from './machine-list.ts';

/** The user name by which a host logs in, and what it stands for. */
export interface ChosenLogin {
  readonly login: string;
  readonly kind: 'machine type' | 'selector';
}

/** Kinds that a type must name as the host has them. A type that leaves an accelerator out is another machine. */
const DECISIVE = ['cpu', 'nvcap', 'gfx'];
/**
 * Kinds that a selector names: hardware and its drivers. Levels and the CPU's vendor follow from `cpu`; the kernel's
 * and the C library's versions would change the user name with every update.
 */
const SELECTED = [...DECISIVE, 'nvptx', 'nvdriver', 'fabric', 'smt', 'instType', 'instSize', 'instHT'];

/** Comparable spelling: `cpu:znver4` is `cpu:zen4`. */
function canonical(text: string): string {
  const feature = parseFeature(text);
  if (feature === undefined) return text;
  const value = feature.kind === 'cpu' ? (canonicalName(feature.value) ?? feature.value) : feature.value;
  return `${feature.kind}:${value}`;
}

const kindOf = (feature: string) => feature.slice(0, feature.indexOf(':'));

/**
 * The machine type that is this host (it has everything the type says, and the type names its CPU and accelerators), the most
 * telling one when there are several; else a selector.
 */
export function chooseLogin({ user, types }: MachineList, profile: HostProfile): ChosenLogin {
  const host = new Set(profile.features.map(canonical));
  const decisive = [...host].filter((feature) => DECISIVE.includes(kindOf(feature)));
  const fitting = types
    .map(({ login, features }) => ({ login, features: new Set(features.map(canonical)) }))
    .filter(({ features }) => [...features].every((feature) => host.has(feature)))
    .filter(({ features }) => decisive.length > 0 && decisive.every((feature) => features.has(feature)))
    .sort((a, b) => b.features.size - a.features.size || (a.login < b.login ? -1 : 1));
  const [best] = fitting;
  if (best) return { login: best.login, kind: 'machine type' };
  const selected = [...host].filter((feature) => SELECTED.includes(kindOf(feature)));
  return { login: formatSelector(user, selected), kind: 'selector' };
}
