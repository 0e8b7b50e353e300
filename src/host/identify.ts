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

/** Where a CPU is in the family tree. */
export interface Identification {
  /** The closest node: `zen4`. The architecture's root when nothing more is known. */
  readonly microarchitecture: string;
  /** All nodes whose code the CPU runs, the best first. The first one is `microarchitecture`. */
  readonly compatible: readonly string[];
  /** Says which flags of the CPU's model are missing. */
  readonly warnings: readonly string[];
}

export interface IdentifyOptions {
  /** Answer as archspec does: only its nodes, and all flags that it lists are required. */
  readonly strictArchspec?: boolean | undefined;
}

/** The root of a node's family: `x86_64` for `zen4`. The name itself when it is unknown. */
export function familyOf(name: string): string {
  return rootOf(name);
}

/** The nodes whose code this node runs, without itself, the best first. */
export function ancestorsOf(name: string): readonly string[] {
  return [...ancestorSet(name)].sort(compareMicroarchitectures);
}

/** True when code for `ancestor` runs on `node`. Both are canonical names. */
export function isAncestorOrSelf(ancestor: string, node: string): boolean {
  return ancestor === node || ancestorSet(node).has(ancestor);
}

/**
 * The name that archspec, and tools that use its names, have for a microarchitecture: the best one among it and its
 * ancestors that archspec has. Undefined for a family that archspec does not have.
 */
export function archspecName(microarchitecture: string): string | undefined {
  const line = [microarchitecture, ...ancestorsOf(microarchitecture)];
  return line.find((name) => findNode(name)?.isReference === true);
}

/** The vendor of a node: `GenuineIntel`. `generic` for a level, a root or an unknown name. */
export function vendorOf(name: string): string {
  return findNode(name)?.vendor ?? 'generic';
}

/** All flags of a node's CPU, in the kernel's spelling. Undefined for an unknown name. */
export function flagsOf(name: string): ReadonlySet<string> | undefined {
  return flagSet(name);
}

/**
 * Sorts the better node first: descendants before ancestors; otherwise by the number of ancestors, then of flags,
 * then by name.
 */
export function compareMicroarchitectures(a: string, b: string): number {
  const byAncestors = ancestorSet(b).size - ancestorSet(a).size;
  if (byAncestors !== 0) return byAncestors;
  const byFlags = (flagSet(b)?.size ?? 0) - (flagSet(a)?.size ?? 0);
  if (byFlags !== 0) return byFlags;
  return a === b ? 0 : a < b ? 1 : -1;
}

/**
 * Finds a CPU's node, and all nodes whose code it runs. Flags decide; part and model numbers are additional
 * evidence.
 */
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
    // A core may be based on another vendor's. And what distinguishes sibling nodes does not matter for a
    // descendant.
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

/** The node that a CPU is, among those that it runs: the vendor's own if that is beyond the highest generic one. */
function choose(ranked: readonly string[], { cpu, family, judge, strictArchspec }: Choice): string {
  const generic = ranked.filter((name) => vendorOf(name) === 'generic');
  const greatest = generic[0] ?? family;
  // For ARM the version is no lower limit: a core is identified by its part number, whatever version its flags
  // reach.
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
 * The node of an ARM core: the one whose part number all cores have. If cores differ, one that archspec has,
 * because archspec answers so. Guests and macOS do not see Apple's part numbers; there the flags or the chip's name
 * decide.
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

/** For a core that lacks flags of its own node: the best of that node's ancestors, unless the version says more. */
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

/** Warns when flags of the CPU's model are missing, because a hypervisor hides them or the kernel is old. */
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
 * The CPU with the vendor whose cores it has. Microsoft's Cobalt has Arm's Neoverse cores, with Arm's part numbers.
 * @see Linux, arch/arm64/include/asm/cputype.h (MICROSOFT_CPU_PART_AZURE_COBALT_100)
 */
export function withCoreVendor(cpu: CpuFacts): CpuFacts {
  return cpu.vendor === 'Microsoft' && cpu.parts !== undefined ? { ...cpu, vendor: 'ARM' } : cpu;
}

/** The node by family, model and stepping: evidence in addition to the flags, never against them. */
export function nodeOfModel({ vendor, family, model = Number.NaN, stepping }: CpuFacts): string | undefined {
  const rows = X86_MODELS[`${vendor}/${family}`];
  const found = rows?.find(([first, last]) => first <= model && model <= last)?.[2];
  if (found !== 'skylake_avx512' || stepping === undefined || stepping < 5) return found;
  // One model number for three generations of servers.
  return stepping < 10 ? 'cascadelake' : 'cooperlake';
}

export interface NodeJudge {
  /** True when the CPU runs a node's code, by vendor, flags and evidence. */
  readonly runs: (node: MicroarchitectureNode) => boolean;
  /** The flags that a node's code needs and the CPU lacks. */
  readonly missingFlags: (node: MicroarchitectureNode) => readonly string[];
  /** The missing idle flags that distinguish a node from an ancestor, unless the model number does. */
  readonly missingIdleFlags: (node: MicroarchitectureNode) => readonly string[];
  /** True when part, generation, model or machine agree. Flags are not considered. */
  readonly agrees: (node: MicroarchitectureNode) => boolean;
  /** True when every core of the CPU has the node's part number. */
  readonly isCore: (node: MicroarchitectureNode) => boolean;
  /** True when at least one core has it. */
  readonly hasCore: (node: MicroarchitectureNode) => boolean;
}

/** Creates a judge for one CPU. */
export function createJudge(cpu: CpuFacts, architecture: string, strictArchspec = false): NodeJudge {
  const family = familyOfArchitecture(architecture);
  const has = new Set(cpu.flags);
  // The kernel prints SSE3 as pni. archspec derives it from ssse3 only.
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
    // Of archspec's generic nodes only the root counts: its table gives the ARM versions no flags by which to judge
    // them.
    return !strictArchspec && levelNodes.has(name);
  };

  const runs = (node: MicroarchitectureNode): boolean => {
    if (strictArchspec && !node.isReference) return false;
    if (node.vendor !== 'generic' && node.vendor !== cpu.vendor) return false;
    if (rootOf(node.name) !== family) return false;
    // macOS names the chip and hides nothing, but it does not report every flag.
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
