import { familyOfArchitecture, levelsOf, nodeOfLevel } from './architecture.ts';
import { X86_MODELS } from './data/x86.ts';
import type { CpuFacts } from './facts.ts';
import {
  allNodes,
  ancestorSet,
  findNode,
  flagSet,
  isDistinguishedByIdleFlags,
  type MicroarchitectureNode,
  referenceFlagSet,
  requiredFlagSet,
  rootOf,
  words,
} from './microarchitectures.ts';

/** Where a CPU stands in the family tree. */
export interface Identification {
  /** The closest node: `zen4`. The architecture's root when nothing more is known. */
  readonly microarchitecture: string;
  /** Every node whose code the CPU runs, best first, beginning with `microarchitecture`. */
  readonly compatible: readonly string[];
  /** Flags that the CPU's model has but that are missing. */
  readonly warnings: readonly string[];
}

export interface IdentifyOptions {
  /** Answer as archspec does: only its nodes, and every flag that it lists is required. */
  readonly strictArchspec?: boolean | undefined;
}

/** The root of a node's family, `x86_64` of `zen4`; the name itself when unknown. */
export function familyOf(name: string): string {
  return rootOf(name);
}

/** The nodes whose code this one runs, without itself, best first and the root last. */
export function ancestorsOf(name: string): readonly string[] {
  return [...ancestorSet(name)].sort(compareMicroarchitectures);
}

/** True when code for `ancestor` runs on `node`; both are canonical names. */
export function isAncestorOrSelf(ancestor: string, node: string): boolean {
  return ancestor === node || ancestorSet(node).has(ancestor);
}

/**
 * What archspec calls a microarchitecture, in whose names other tools speak: of it and its ancestors the best that archspec has.
 * Undefined of a family that it lacks.
 */
export function archspecName(microarchitecture: string): string | undefined {
  const line = [microarchitecture, ...ancestorsOf(microarchitecture)];
  return line.find((name) => findNode(name)?.isReference === true);
}

/** `GenuineIntel`; `generic` of a level, a root and an unknown name. */
export function vendorOf(name: string): string {
  return findNode(name)?.vendor ?? 'generic';
}

/** Every flag of a CPU of a node, in the kernel's spelling; undefined for an unknown name. */
export function flagsOf(name: string): ReadonlySet<string> | undefined {
  return flagSet(name);
}

/**
 * Sorts the better node first: a descendant before its ancestor; otherwise the one with more ancestors, then with more
 * flags, then the later name.
 */
export function compareMicroarchitectures(a: string, b: string): number {
  const byAncestors = ancestorSet(b).size - ancestorSet(a).size;
  if (byAncestors !== 0) return byAncestors;
  const byFlags = (flagSet(b)?.size ?? 0) - (flagSet(a)?.size ?? 0);
  if (byFlags !== 0) return byFlags;
  return a === b ? 0 : a < b ? 1 : -1;
}

/** The node of a CPU, and all nodes whose code it runs: its flags decide, part and model numbers are evidence. */
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
    return node?.vendor === cpu.vendor && isAncestorOrSelf(floor, name) ? [node] : [];
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

/**
 * A CPU under the vendor whose cores it has: Microsoft's Cobalt is ARM's Neoverse, and has ARM's part numbers.
 * @see Linux, arch/arm64/include/asm/cputype.h (MICROSOFT_CPU_PART_AZURE_COBALT_100)
 */
export function withCoreVendor(cpu: CpuFacts): CpuFacts {
  return cpu.vendor === 'Microsoft' && cpu.parts !== undefined ? { ...cpu, vendor: 'ARM' } : cpu;
}

/** What family, model and stepping say that this CPU is: evidence beside the flags, never above them. */
export function nodeOfModel({ vendor, family, model = Number.NaN, stepping }: CpuFacts): string | undefined {
  const rows = X86_MODELS[`${vendor}/${family}`];
  const found = rows?.find(([first, last]) => first <= model && model <= last)?.[2];
  if (found !== 'skylake_avx512' || stepping === undefined || stepping < 5) return found;
  // One model number, three generations of server.
  return stepping < 10 ? 'cascadelake' : 'cooperlake';
}

export interface NodeJudge {
  /** Whether the CPU runs a node's code, by vendor, flags and evidence. */
  readonly runs: (node: MicroarchitectureNode) => boolean;
  /** The flags that a node's code needs and the CPU lacks. */
  readonly missingFlags: (node: MicroarchitectureNode) => readonly string[];
  /** The idle flags that would distinguish a node from an ancestor, where the model number does not. */
  readonly missingIdleFlags: (node: MicroarchitectureNode) => readonly string[];
  /** Whether part, generation, model or machine agree, flags aside. */
  readonly agrees: (node: MicroarchitectureNode) => boolean;
  /** Whether every core of the CPU is the node's, by part number. */
  readonly isCore: (node: MicroarchitectureNode) => boolean;
  /** Whether one core of the CPU is the node's. */
  readonly hasCore: (node: MicroarchitectureNode) => boolean;
}

/** Judges nodes for one CPU; what a family demands is looked at once per node. */
export function createJudge(cpu: CpuFacts, architecture: string, strictArchspec = false): NodeJudge {
  const family = familyOfArchitecture(architecture);
  const has = new Set(cpu.flags);
  // Kernels print SSE3 as pni. archspec takes only ssse3 for it.
  if (has.has('ssse3') || (has.has('pni') && !strictArchspec)) has.add('sse3');
  const levelNodes = new Set(levelsOf(architecture, has).map(nodeOfLevel));
  const model = nodeOfModel(cpu);
  const apple = /^Apple (M\d+)/.exec(cpu.modelName ?? '')?.[1];
  const demanded = strictArchspec ? referenceFlagSet : requiredFlagSet;

  const missingFlags = ({ name }: MicroarchitectureNode): readonly string[] =>
    [...(demanded(name) ?? [])].filter((flag) => !has.has(flag));

  const hasFlags = ({ name }: MicroarchitectureNode): boolean => {
    for (const flag of demanded(name) ?? []) if (!has.has(flag)) return false;
    return true;
  };

  const missingIdleFlags = (node: MicroarchitectureNode): readonly string[] => {
    if (strictArchspec) return [];
    if (model !== undefined && (model === node.name || ancestorSet(model).has(node.name))) return [];
    const required = demanded(node.name);
    const missing = [...(flagSet(node.name) ?? [])].filter(
      (flag) => !has.has(flag) && required?.has(flag) !== true,
    );
    return missing.length > 0 && isDistinguishedByIdleFlags(node) ? missing : [];
  };

  const agrees = (node: MicroarchitectureNode): boolean => {
    const { name, evidence, vendor } = node;
    if (evidence.generation !== undefined && !(evidence.generation <= (cpu.generation ?? 0))) return false;
    if (evidence.byModel && model !== name) return false;
    if (evidence.byPart && !strictArchspec && !isCore(node)) return false;
    if (evidence.machines !== undefined && !isMachine(cpu.uarch, evidence.machines)) return false;
    if (missingIdleFlags(node).length > 0) return false;
    if (family !== 'aarch64' || vendor !== 'generic' || name === family) return true;
    // Of the reference's generics only the root counts; its table gives the versions no flags to be judged by.
    return !strictArchspec && levelNodes.has(name);
  };

  const runs = (node: MicroarchitectureNode): boolean => {
    if (strictArchspec && !node.isReference) return false;
    if (node.vendor !== 'generic' && node.vendor !== cpu.vendor) return false;
    if (rootOf(node.name) !== family) return false;
    // macOS names the chip and hides nothing, but does not name every flag.
    if (apple !== undefined && node.vendor === 'Apple') return isAppleAtMost(node.name, apple);
    return hasFlags(node) && agrees(node);
  };

  const partsOf = ({ evidence: { part, otherParts = '' } }: MicroarchitectureNode): readonly string[] => [
    ...(part === undefined ? [] : [part]),
    ...(strictArchspec ? [] : words(otherParts)),
  ];
  const parts = cpu.parts ?? [];
  const isCore = (node: MicroarchitectureNode): boolean =>
    parts.length > 0 && parts.every((part) => partsOf(node).includes(part));
  const hasCore = (node: MicroarchitectureNode): boolean =>
    parts.some((part) => partsOf(node).includes(part));
  return { runs, missingFlags, missingIdleFlags, agrees, isCore, hasCore };
}

function isMachine(uarch: string | undefined, machines: string): boolean {
  return uarch !== undefined && words(machines).some((machine) => uarch.startsWith(machine));
}

function isAppleAtMost(name: string, chip: string): boolean {
  return Number(name.slice(1)) <= Number(chip.slice(1));
}
