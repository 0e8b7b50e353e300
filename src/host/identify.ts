import { familyOfArchitecture } from './architecture.ts';
import type { CpuFacts } from './facts.ts';
import {
  allNodes,
  ancestorSet,
  findNode,
  flagSet,
  type MicroarchitectureNode,
  rootOf,
} from './microarchitectures.ts';
import { createJudge, type NodeJudge, nodeOfModel, withCoreVendor } from './node-judge.ts';

/** What a CPU is, by the family tree. */
export interface Identification {
  /** The closest node: `zen4`. The architecture's root when nothing more is known. */
  readonly microarchitecture: string;
  /** Every node whose code the CPU runs, best first, `microarchitecture` itself leading. */
  readonly compatible: readonly string[];
  /** Where the flags fall short of what the CPU is sold as. */
  readonly warnings: readonly string[];
}

export interface IdentifyOptions {
  /** Answer as archspec does: its nodes only, and every flag that it names is demanded. */
  readonly strictArchspec?: boolean | undefined;
}

/** The root of a node's family, `x86_64` of `zen4`; the name itself when unknown. */
export function familyOf(name: string): string {
  return rootOf(name);
}

/** The nodes whose code this one runs, itself not among them, best first and the root last. */
export function ancestorsOf(name: string): readonly string[] {
  return [...ancestorSet(name)].sort(compareMicroarchitectures);
}

/** Whether code for `ancestor` runs on `node`; both canonical names. */
export function isAncestorOrSelf(ancestor: string, node: string): boolean {
  return ancestor === node || ancestorSet(node).has(ancestor);
}

/** `GenuineIntel`; `generic` of a level, a root and an unknown name. */
export function vendorOf(name: string): string {
  return findNode(name)?.vendor ?? 'generic';
}

/** Every flag that a CPU of a node has, in the kernel's spelling; nothing for an unknown name. */
export function flagsOf(name: string): ReadonlySet<string> | undefined {
  return flagSet(name);
}

/**
 * Sorts the better first: a descendant before its ancestor; of the incomparable the one with more ancestors, then with
 * more flags, then the later name.
 */
export function compareMicroarchitectures(a: string, b: string): number {
  const byAncestors = ancestorSet(b).size - ancestorSet(a).size;
  if (byAncestors !== 0) return byAncestors;
  const byFlags = (flagSet(b)?.size ?? 0) - (flagSet(a)?.size ?? 0);
  if (byFlags !== 0) return byFlags;
  return a === b ? 0 : a < b ? 1 : -1;
}

/** The node that a CPU is, and all that it runs: judged by its flags, with part and model numbers as evidence. */
export function identify(
  facts: CpuFacts,
  architecture: string,
  { strictArchspec = false }: IdentifyOptions = {},
): Identification {
  const cpu = strictArchspec ? facts : withCoreVendor(facts);
  const family = familyOfArchitecture(architecture);
  const judge = createJudge(cpu, architecture, strictArchspec);
  const compatible = new Set<string>([family]);
  for (const node of allNodes()) {
    if (!judge.runs(node)) continue;
    compatible.add(node.name);
    // A core of one vendor may build on another's; and what distinguishes siblings does not matter to a descendant.
    if (!strictArchspec) for (const ancestor of ancestorSet(node.name)) compatible.add(ancestor);
  }
  const ranked = [...compatible].sort(compareMicroarchitectures);
  const microarchitecture = choose(ranked, { cpu, family, judge, strictArchspec });
  return {
    microarchitecture,
    compatible: [microarchitecture, ...ranked.filter((name) => name !== microarchitecture)],
    warnings: strictArchspec ? [] : shortfall(cpu, compatible, microarchitecture),
  };
}

interface Choice {
  readonly cpu: CpuFacts;
  readonly family: string;
  readonly judge: NodeJudge;
  readonly strictArchspec: boolean;
}

/** Which of the nodes that it runs the CPU is: the vendor's own where it is beyond the greatest generic one. */
function choose(ranked: readonly string[], { cpu, family, judge, strictArchspec }: Choice): string {
  const generic = ranked.filter((name) => vendorOf(name) === 'generic');
  const greatest = generic[0] ?? family;
  // ARM's version numbers are no floor: a core is known by its part number, whatever version its flags add up to.
  const floor = family === 'aarch64' ? family : greatest;
  const ofVendor = ranked.flatMap((name) => {
    const node = findNode(name);
    const isOwn = node !== undefined && node.vendor !== 'generic' && node.vendor === cpu.vendor;
    return isOwn && isAncestorOrSelf(floor, name) ? [node] : [];
  });
  if (strictArchspec) return (ofVendor.find(judge.hasCore) ?? ofVendor[0])?.name ?? greatest;
  if (family !== 'aarch64') return ofVendor[0]?.name ?? greatest;
  return (coreOf(ofVendor, cpu, judge) ?? ancestorCore(ofVendor, cpu, greatest, judge))?.name ?? greatest;
}

/**
 * The node of an ARM core: the one whose part number all cores have. Where cores differ, one that archspec knows, as
 * archspec answers. Apple's part numbers are hidden from guests and on macOS: there the flags or the chip's name decide.
 */
function coreOf(
  ofVendor: readonly MicroarchitectureNode[],
  cpu: CpuFacts,
  judge: NodeJudge,
): MicroarchitectureNode | undefined {
  const core =
    ofVendor.find(judge.isCore) ?? ofVendor.find((node) => node.isReference && judge.hasCore(node));
  if (core !== undefined) return core;
  return cpu.vendor === 'Apple' ? ofVendor[0] : undefined;
}

/** Of a core that lacks flags of its own node: the best that this node descends from, where the version says no more. */
function ancestorCore(
  ofVendor: readonly MicroarchitectureNode[],
  { vendor }: CpuFacts,
  greatest: string,
  judge: NodeJudge,
): MicroarchitectureNode | undefined {
  const sold = [...allNodes()].find((node) => node.vendor === vendor && judge.isCore(node));
  if (sold === undefined) return undefined;
  return ofVendor.find(({ name }) => ancestorSet(sold.name).has(name) && isAncestorOrSelf(greatest, name));
}

/** A CPU that is sold as more than its flags show is a guest whose hypervisor hides some, or runs an old kernel. */
function shortfall(cpu: CpuFacts, compatible: ReadonlySet<string>, found: string): readonly string[] {
  const sold = nodeOfModel(cpu);
  const node = sold === undefined ? undefined : findNode(sold);
  if (node === undefined || compatible.has(node.name)) return [];
  const missing = createJudge(cpu, familyOf(node.name)).missingFlags(node);
  if (missing.length === 0) return [];
  const shown =
    missing.slice(0, 4).join(', ') + (missing.length > 4 ? ` and ${missing.length - 4} more` : '');
  return [
    `this CPU's model number is that of ${node.name}, but the kernel does not report ${shown}: ` +
      `it counts as ${found}`,
  ];
}
