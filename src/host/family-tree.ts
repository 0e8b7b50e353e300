import { ARM_NODES } from './arm-nodes.ts';
import { NEWER_NODES } from './newer-nodes.ts';
import type { Evidence, NodeRow } from './node-row.ts';
import { OTHER_NODES } from './other-nodes.ts';
import { X86_NODES } from './x86-nodes.ts';

/** A microarchitecture: what it adds to its parents, and what tells it apart. */
export interface MicroarchitectureNode {
  readonly name: string;
  readonly parents: readonly string[];
  readonly vendor: string;
  readonly addedFlags: readonly string[];
  readonly evidence: Evidence;
  /** archspec has it too. */
  readonly isReference: boolean;
}

const NODES: ReadonlyMap<string, MicroarchitectureNode> = new Map(
  [
    ...[...X86_NODES, ...ARM_NODES, ...OTHER_NODES].map((row) => nodeOf(row, true)),
    ...NEWER_NODES.map((row) => nodeOf(row, false)),
  ].map((node) => [node.name, node]),
);

function nodeOf([name, parents, vendor, flags, evidence = {}]: NodeRow, isReference: boolean) {
  return { name, parents: words(parents), vendor, addedFlags: words(flags), evidence, isReference };
}

/** The words of a space separated list; none of an empty one. */
export function words(list: string): readonly string[] {
  return list === '' ? [] : list.split(' ');
}

/** The node of a canonical name. */
export function findNode(name: string): MicroarchitectureNode | undefined {
  return NODES.get(name);
}

/** Every node, ancestors before their descendants. */
export function allNodes(): Iterable<MicroarchitectureNode> {
  return NODES.values();
}

const ancestorSets = new Map<string, ReadonlySet<string>>();
const flagSets = new Map<string, ReadonlySet<string>>();

/** The nodes above one, itself not among them; empty for a root and for an unknown name. */
export function ancestorSet(name: string): ReadonlySet<string> {
  const known = ancestorSets.get(name);
  if (known !== undefined) return known;
  const found = new Set<string>(NODES.get(name)?.parents);
  for (const ancestor of found) for (const parent of NODES.get(ancestor)?.parents ?? []) found.add(parent);
  ancestorSets.set(name, found);
  return found;
}

/** The node above all others of its family, `x86_64` of `zen4`; the name itself when it is a root or unknown. */
export function rootOf(name: string): string {
  const parent = NODES.get(name)?.parents[0];
  return parent === undefined ? name : rootOf(parent);
}

/** Every flag that code for this node may use, its ancestors' included; nothing for an unknown name. */
export function flagSet(name: string): ReadonlySet<string> | undefined {
  const known = flagSets.get(name);
  if (known !== undefined) return known;
  const node = NODES.get(name);
  if (node === undefined) return undefined;
  const flags = new Set(node.addedFlags);
  for (const ancestor of ancestorSet(name)) {
    for (const flag of NODES.get(ancestor)?.addedFlags ?? []) flags.add(flag);
  }
  // Where the table names ssse3 it leaves sse3 to be implied, as the count of flags decides between equals.
  if (flags.has('ssse3')) flags.delete('sse3');
  flagSets.set(name, flags);
  return flags;
}
