import { familyOfArchitecture } from './architecture.ts';
import { X86_MODELS } from './data/x86-models.ts';
import type { CpuFacts } from './facts.ts';
import { levelsOf, nodeOfLevel } from './levels.ts';
import {
  ancestorSet,
  flagSet,
  isDistinguishedByIdleFlags,
  type MicroarchitectureNode,
  referenceFlagSet,
  requiredFlagSet,
  rootOf,
  words,
} from './microarchitectures.ts';

/**
 * A CPU under the vendor whose cores it has: Microsoft's Cobalt is ARM's Neoverse, and has ARM's part numbers.
 * @see Linux, arch/arm64/include/asm/cputype.h (MICROSOFT_CPU_PART_AZURE_COBALT_100)
 */
export function withCoreVendor(cpu: CpuFacts): CpuFacts {
  return cpu.vendor === 'Microsoft' && cpu.parts !== undefined ? { ...cpu, vendor: 'ARM' } : cpu;
}

/** What family, model and stepping say that this CPU is: evidence beside the flags, never above them. */
export function nodeOfModel({ vendor, family, model, stepping }: CpuFacts): string | undefined {
  if (family === undefined || model === undefined) return undefined;
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
  const apple = cpu.vendor === 'Apple' ? /^Apple (M\d+)/.exec(cpu.modelName ?? '')?.[1] : undefined;
  const demanded = strictArchspec ? referenceFlagSet : requiredFlagSet;

  const missingFlags = ({ name }: MicroarchitectureNode): readonly string[] =>
    [...(demanded(name) ?? [])].filter((flag) => !has.has(flag));

  const missingIdleFlags = (node: MicroarchitectureNode): readonly string[] => {
    if (strictArchspec || !isDistinguishedByIdleFlags(node)) return [];
    if (model !== undefined && (model === node.name || ancestorSet(model).has(node.name))) return [];
    return [...(flagSet(node.name) ?? [])].filter(
      (flag) => !has.has(flag) && demanded(node.name)?.has(flag) !== true,
    );
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
    if (rootOf(node.name) !== family) return false;
    if (node.vendor !== 'generic' && node.vendor !== cpu.vendor) return false;
    // macOS names the chip and hides nothing, but does not name every flag.
    if (apple !== undefined && node.vendor === 'Apple') return isAppleAtMost(node.name, apple);
    return agrees(node) && missingFlags(node).length === 0;
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
