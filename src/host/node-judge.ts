import { familyOfArchitecture } from './architecture.ts';
import type { CpuFacts } from './facts.ts';
import { flagSet, type MicroarchitectureNode, rootOf, words } from './family-tree.ts';
import { levelsOf } from './levels.ts';
import { nodeOfModel } from './x86-models.ts';

/**
 * Flags that some hypervisors hide from guests and no compiler makes code for: Azure's Milan guests lack the first, its
 * Genoa guests both.
 */
const OFTEN_HIDDEN = ['pku', 'flush_l1d'];
/**
 * Linux takes RDSEED away from Zen 5 whose microcode returns zeros (AMD-SB-7055). No compiler emits it unasked.
 * @see https://www.amd.com/en/resources/product-security/bulletin/amd-sb-7055.html
 */
const HIDDEN_ON_ZEN5 = [...OFTEN_HIDDEN, 'rdseed'];

function notRequiredOf({ vendor, family }: CpuFacts): ReadonlySet<string> {
  return new Set(vendor === 'AuthenticAMD' && family === 26 ? HIDDEN_ON_ZEN5 : OFTEN_HIDDEN);
}

export interface Judge {
  /** Whether the CPU runs a node's code, by vendor, flags and evidence. */
  readonly holds: (node: MicroarchitectureNode) => boolean;
  /** The flags of a node that the CPU lacks. */
  readonly missingFlags: (node: MicroarchitectureNode) => readonly string[];
  /** Whether part, generation, model or machine agree, flags aside. */
  readonly agrees: (node: MicroarchitectureNode) => boolean;
  /** Whether a part number of the CPU is that of a node's core. */
  readonly isPart: (node: MicroarchitectureNode) => boolean;
}

/** Judges nodes for one CPU; what a family demands is looked at once per node. */
export function createJudge(cpu: CpuFacts, architecture: string, strictArchspec = false): Judge {
  const family = familyOfArchitecture(architecture);
  const has = new Set(cpu.flags);
  // As archspec has it: the kernel's own word for SSE3, pni, is not taken for it, so that a kvm64 guest is no Nocona.
  if (has.has('ssse3')) has.add('sse3');
  const levels = new Set(levelsOf(architecture, has));
  const notRequired = strictArchspec ? new Set<string>() : notRequiredOf(cpu);
  const model = nodeOfModel(cpu);
  const apple = cpu.vendor === 'Apple' ? /^Apple (M\d+)/.exec(cpu.modelName ?? '')?.[1] : undefined;

  const missingFlags = (node: MicroarchitectureNode): readonly string[] =>
    [...(flagSet(node.name) ?? [])].filter((flag) => !has.has(flag) && !notRequired.has(flag));

  const agrees = ({ name, evidence, vendor }: MicroarchitectureNode): boolean => {
    if (evidence.generation !== undefined && !(evidence.generation <= (cpu.generation ?? 0))) return false;
    if (evidence.byModel && model !== name) return false;
    if (evidence.machines !== undefined && !isMachine(cpu.uarch, evidence.machines)) return false;
    if (family !== 'aarch64' || vendor !== 'generic' || name === family) return true;
    // Of the reference's generics only the root counts; its table gives the versions no flags to be judged by.
    return !strictArchspec && levels.has(levelNameOf(name));
  };

  const holds = (node: MicroarchitectureNode): boolean => {
    if (strictArchspec && !node.isReference) return false;
    if (rootOf(node.name) !== family) return false;
    if (node.vendor !== 'generic' && node.vendor !== cpu.vendor) return false;
    // macOS tells the chip and hides nothing, but does not name every flag.
    if (apple !== undefined && node.vendor === 'Apple') return isAppleAtMost(node.name, apple);
    return agrees(node) && missingFlags(node).length === 0;
  };
  const isPart = ({ evidence: { part = '', otherParts = '' } }: MicroarchitectureNode): boolean => {
    const known = strictArchspec ? [part] : [part, ...words(otherParts)];
    return cpu.parts?.some((one) => known.includes(one)) ?? false;
  };
  return { holds, missingFlags, agrees, isPart };
}

/** `armv8.2a` -> `arm64-v8.2`. */
function levelNameOf(node: string): string {
  return node.replace(/^armv(.*)a$/, 'arm64-v$1');
}

function isMachine(uarch: string | undefined, machines: string): boolean {
  return uarch !== undefined && words(machines).some((machine) => uarch.startsWith(machine));
}

function isAppleAtMost(name: string, chip: string): boolean {
  return Number(name.slice(1)) <= Number(chip.slice(1));
}
