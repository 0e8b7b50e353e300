import { allNodes, ancestorSet, findNode } from '../host/microarchitectures.ts';

/** A microarchitecture in the family tree of a host. */
export interface TreeNode {
  readonly name: string;
  /** `host`: what this host is; `runs`: its code runs here; `beyond`: its code does not. */
  readonly role: 'host' | 'runs' | 'beyond';
}

/** The longest way from a root. */
function generationOf(name: string): number {
  const parents = findNode(name)?.parents ?? [];
  return parents.length === 0 ? 0 : 1 + Math.max(...parents.map(generationOf));
}

/** The ancestors of a host, the host and its children, in generations from the root; empty for an unknown name. */
export function familyTree(host: string): readonly (readonly TreeNode[])[] {
  if (findNode(host) === undefined) return [];
  const generations: TreeNode[][] = [];
  for (const name of [...ancestorSet(host), host]) {
    const generation = generationOf(name);
    generations[generation] ??= [];
    generations[generation].push({ name, role: name === host ? 'host' : 'runs' });
  }
  const children = [...allNodes()].filter(({ parents }) => parents.includes(host));
  if (children.length > 0) generations.push(children.map(({ name }) => ({ name, role: 'beyond' })));
  return generations.filter((generation) => generation !== undefined);
}
