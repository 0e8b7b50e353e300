import { parseFeature } from '../host/features.ts';
import { canonicalName } from '../host/microarchitectures.ts';
import type { HostProfile } from '../host/profile.ts';
import { formatSelector } from './account.ts';
import type { MachineList } from './machine-list.ts';

/** The user name with which a host logs in, and whether it is a machine type's or a selector. */
export interface ChosenLogin {
  readonly login: string;
  readonly kind: 'machine type' | 'selector';
}

/**
 * Kinds of features in which the type and the host must agree. A type without the host's accelerator
 * describes another machine.
 */
const DECISIVE = ['cpu', 'nvcap', 'gfx'];
/**
 * Kinds of features that a selector contains: hardware and its drivers. `cpu` implies the levels and the
 * vendor. The versions of the kernel and the C library are left out, because each update would change the
 * user name.
 */
const SELECTED = [...DECISIVE, 'nvptx', 'nvdriver', 'fabric', 'smt', 'instType', 'instSize', 'instHT'];

/** Replaces an alias by its canonical name: `cpu:znver4` -> `cpu:zen4`. */
function canonical(text: string): string {
  const feature = parseFeature(text);
  if (feature === undefined) return text;
  const value = feature.kind === 'cpu' ? (canonicalName(feature.value) ?? feature.value) : feature.value;
  return `${feature.kind}:${value}`;
}

const kindOf = (feature: string) => feature.slice(0, feature.indexOf(':'));

/**
 * Chooses the machine type that describes this host: the host has all features of the type, and the type
 * names the CPU and the accelerators of the host. Of several such types, takes the one with the most
 * features. Builds a selector when no type matches.
 */
export function chooseLogin({ user, types }: MachineList, profile: HostProfile): ChosenLogin {
  const host = new Set(profile.features.map(canonical));
  const decisive = [...host].filter((feature) => DECISIVE.includes(kindOf(feature)));
  const matches = types
    .map(({ login, features }) => ({ login, features: new Set(features.map(canonical)) }))
    .filter(({ features }) => [...features].every((feature) => host.has(feature)))
    .filter(({ features }) => decisive.length > 0 && decisive.every((feature) => features.has(feature)))
    .sort((a, b) => b.features.size - a.features.size || (a.login < b.login ? -1 : 1));
  const [best] = matches;
  if (best) return { login: best.login, kind: 'machine type' };
  const selected = [...host].filter((feature) => SELECTED.includes(kindOf(feature)));
  return { login: formatSelector(user, selected), kind: 'selector' };
}
