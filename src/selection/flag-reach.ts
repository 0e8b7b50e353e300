import { compareMicroarchitectures, familyOf, flagsOf } from '../host/identify.ts';
import { allNodes } from '../host/microarchitectures.ts';

/** How new the CPUs are that a flag asks for. */
export interface FlagReach {
  /** The most generic microarchitecture that has it: `avx2` counts as x86_64_v3. */
  readonly node: string;
  /** Known microarchitectures that have it. A flag that needs another one is never in more of them than that one. */
  readonly carriers: number;
}

const GENERIC_X86 = ['x86_64', 'x86_64_v2', 'x86_64_v3', 'x86_64_v4'];

const known = new Map<string, FlagReach>();

/** The reach of a flag in a family of CPUs (`x86_64`, `aarch64`); undefined for a flag that none of them has. */
export function reachOfFlag(flag: string, family: string): FlagReach | undefined {
  const key = `${family} ${flag}`;
  const remembered = known.get(key);
  if (remembered !== undefined) return remembered;
  const carriers = [...allNodes()]
    .map(({ name }) => name)
    .filter((name) => familyOf(name) === family && flagsOf(name)?.has(flag) === true);
  const generic = GENERIC_X86.find((name) => carriers.includes(name));
  const node = generic ?? carriers.sort(compareMicroarchitectures).at(-1);
  const reach = node === undefined ? undefined : { node, carriers: carriers.length };
  // Only flags of the tables are remembered: an index may name any number of others.
  if (reach !== undefined) known.set(key, reach);
  return reach;
}
