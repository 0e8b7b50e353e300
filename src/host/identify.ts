import { familyOfArchitecture } from './architecture.ts';
import type { CpuFacts } from './facts.ts';
import { levelsOf } from './levels.ts';
import {
  allNodes,
  ancestorSet,
  findNode,
  flagSet,
  type MicroarchitectureNode,
  rootOf,
  words,
} from './microarchitectures.ts';

type ModelRange = readonly [first: number, last: number, node: string];

/**
 * Vendor and family -> model numbers -> the microarchitecture sold under them.
 *
 * Facts of Linux, arch/x86/include/asm/intel-family.h and arch/x86/kernel/cpu/amd.c.
 */
const MODELS: Readonly<Record<string, readonly ModelRange[]>> = {
  'GenuineIntel/6': [
    ...models('nehalem', 0x1a, 0x1e, 0x1f, 0x2e),
    ...models('westmere', 0x25, 0x2c, 0x2f),
    ...models('sandybridge', 0x2a, 0x2d),
    ...models('ivybridge', 0x3a, 0x3e),
    ...models('haswell', 0x3c, 0x3f, 0x45, 0x46),
    ...models('broadwell', 0x3d, 0x47, 0x4f, 0x56),
    ...models('skylake', 0x4e, 0x5e, 0x8e, 0x9e, 0xa5, 0xa6),
    ...models('skylake_avx512', 0x55),
    ...models('mic_knl', 0x57, 0x85),
    ...models('cannonlake', 0x66),
    ...models('icelake', 0x6a, 0x6c, 0x7d, 0x7e, 0x9d, 0xa7),
    ...models('tigerlake', 0x8c, 0x8d),
    ...models('alderlake', 0x97, 0x9a, 0xaa, 0xac, 0xb7, 0xba, 0xbe, 0xbf),
    ...models('sapphirerapids', 0x8f),
    ...models('emeraldrapids', 0xcf),
    ...models('graniterapids', 0xad),
    ...models('graniterapids_d', 0xae),
    ...models('sierraforest', 0xaf),
    ...models('clearwaterforest', 0xdd),
    ...models('arrowlake', 0xb5, 0xc5),
    ...models('arrowlake_s', 0xbd, 0xc6, 0xcc),
  ],
  'AuthenticAMD/16': [[0x00, 0x0a, 'k10']],
  'AuthenticAMD/21': [
    [0x00, 0x01, 'bulldozer'],
    [0x02, 0x1f, 'piledriver'],
    [0x30, 0x3f, 'steamroller'],
    [0x60, 0x7f, 'excavator'],
  ],
  'AuthenticAMD/23': [
    [0x00, 0x2f, 'zen'],
    [0x30, 0x4f, 'zen2'],
    [0x50, 0x5f, 'zen'],
    [0x60, 0xaf, 'zen2'],
  ],
  'AuthenticAMD/25': [
    [0x00, 0x0f, 'zen3'],
    [0x10, 0x1f, 'zen4'],
    [0x20, 0x5f, 'zen3'],
    [0x60, 0x7f, 'zen4'],
    [0xa0, 0xaf, 'zen4'],
  ],
  'AuthenticAMD/26': [
    [0x00, 0x4f, 'zen5'],
    [0x60, 0x7f, 'zen5'],
  ],
  'HygonGenuine/24': [[0x00, 0xff, 'dhyana']],
};

function models(node: string, ...numbers: readonly number[]): readonly ModelRange[] {
  return numbers.map((number) => [number, number, node]);
}

/** What family, model and stepping say that this CPU is: evidence beside the flags, never above them. */
export function nodeOfModel({ vendor, family, model, stepping }: CpuFacts): string | undefined {
  if (family === undefined || model === undefined) return undefined;
  const found = MODELS[`${vendor}/${family}`]?.find(([first, last]) => first <= model && model <= last)?.[2];
  if (found !== 'skylake_avx512' || stepping === undefined || stepping < 5) return found;
  // One model number, three generations of server.
  return stepping < 10 ? 'cascadelake' : 'cooperlake';
}

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

export interface NodeJudge {
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
export function createJudge(cpu: CpuFacts, architecture: string, strictArchspec = false): NodeJudge {
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
  /** Answer as archspec does: its nodes only, and no allowance for flags that hypervisors hide. */
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

/** `GenuineIntel`; `generic` of a level, a root, and a stranger. */
export function vendorOf(name: string): string {
  return findNode(name)?.vendor ?? 'generic';
}

/** Every flag that code for a node may use, in the kernel's spelling; nothing for an unknown name. */
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
  cpu: CpuFacts,
  architecture: string,
  { strictArchspec = false }: IdentifyOptions = {},
): Identification {
  const family = familyOfArchitecture(architecture);
  const judge = createJudge(cpu, architecture, strictArchspec);
  const held = new Set<string>([family]);
  for (const node of allNodes()) {
    if (!judge.holds(node)) continue;
    held.add(node.name);
    // A core of one vendor may build on another's; and what tells siblings apart does not matter to a descendant.
    if (!strictArchspec) for (const ancestor of ancestorSet(node.name)) held.add(ancestor);
  }
  const ranked = [...held].sort(compareMicroarchitectures);
  const microarchitecture = choose(ranked, { cpu, family, judge });
  return {
    microarchitecture,
    compatible: [microarchitecture, ...ranked.filter((name) => name !== microarchitecture)],
    warnings: strictArchspec ? [] : shortfall(cpu, held, microarchitecture),
  };
}

/** Which of the nodes that hold is the CPU: the vendor's own where it is beyond the greatest generic one. */
function choose(
  ranked: readonly string[],
  { cpu, family, judge }: { cpu: CpuFacts; family: string; judge: NodeJudge },
): string {
  const generic = ranked.filter((name) => vendorOf(name) === 'generic');
  const greatest = generic[0] ?? family;
  // ARM's version numbers are no floor: a core is known by its part number, whatever version its flags add up to.
  const floor = family === 'aarch64' ? family : greatest;
  const ofVendor = ranked.flatMap((name) => {
    const node = findNode(name);
    const isOwn = node !== undefined && node.vendor !== 'generic' && node.vendor === cpu.vendor;
    return isOwn && isAncestorOrSelf(floor, name) ? [node] : [];
  });
  return (ofVendor.find(judge.isPart) ?? ofVendor[0])?.name ?? greatest;
}

/** A CPU that is sold as more than its flags show is a guest whose hypervisor hides some, or runs an old kernel. */
function shortfall(cpu: CpuFacts, held: ReadonlySet<string>, found: string): readonly string[] {
  const sold = nodeOfModel(cpu);
  const node = sold === undefined ? undefined : findNode(sold);
  if (node === undefined || held.has(node.name)) return [];
  const missing = createJudge(cpu, familyOf(node.name)).missingFlags(node);
  if (missing.length === 0) return [];
  const shown =
    missing.slice(0, 4).join(', ') + (missing.length > 4 ? ` and ${missing.length - 4} more` : '');
  return [
    `this CPU's model number is that of ${node.name}, but the kernel does not report ${shown}: ` +
      `it counts as ${found}`,
  ];
}
