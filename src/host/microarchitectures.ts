import { ARM_NODES } from './data/arm.ts';
import { BEYOND_ARCHSPEC_NODES, FLAGS_BEYOND_ARCHSPEC } from './data/beyond-archspec.ts';
import { OTHER_NODES } from './data/other.ts';
import type { Evidence, NodeRow } from './data/rows.ts';
import { IDLE_FLAGS, IDLE_FLAGS_BY_VENDOR, X86_NODES } from './data/x86.ts';

/** A microarchitecture: what it adds to its parents, and what distinguishes it. */
export interface MicroarchitectureNode {
  readonly name: string;
  readonly parents: readonly string[];
  readonly vendor: string;
  /** The flags that it adds to its parents', as archspec lists them. */
  readonly addedFlags: readonly string[];
  /** Flags that its code uses although archspec does not list them. */
  readonly extraFlags: readonly string[];
  readonly evidence: Evidence;
  /** True when archspec has it. */
  readonly isReference: boolean;
}

/** A row of the tables. Its lists are split when they are looked at: few of the nodes are of this host's family. */
class RowNode implements MicroarchitectureNode {
  readonly name: string;
  readonly vendor: string;
  readonly evidence: Evidence;
  readonly isReference: boolean;
  readonly row: NodeRow;

  constructor(row: NodeRow, isReference: boolean) {
    const [name, , vendor, , evidence = {}] = row;
    this.name = name;
    this.vendor = vendor;
    this.evidence = evidence;
    this.isReference = isReference;
    this.row = row;
  }

  get parents(): readonly string[] {
    return words(this.row[1]);
  }

  get addedFlags(): readonly string[] {
    return words(this.row[3]);
  }

  get extraFlags(): readonly string[] {
    return words(FLAGS_BEYOND_ARCHSPEC[this.name] ?? '');
  }
}

const NODES = new Map<string, MicroarchitectureNode>();
for (const rows of [X86_NODES, ARM_NODES, OTHER_NODES, BEYOND_ARCHSPEC_NODES]) {
  for (const row of rows) NODES.set(row[0], new RowNode(row, rows !== BEYOND_ARCHSPEC_NODES));
}

/** Splits a list that is separated by spaces. Empty for an empty text. */
export function words(list: string): readonly string[] {
  return list === '' ? [] : list.split(' ');
}

/** The node with this canonical name. */
export function findNode(name: string): MicroarchitectureNode | undefined {
  return NODES.get(name);
}

/** All nodes, ancestors before descendants. */
export function allNodes(): Iterable<MicroarchitectureNode> {
  return NODES.values();
}

/** Makes a function of a node's name that computes each result once. Undefined for an unknown name. */
function ofNode<Value>(compute: (node: MicroarchitectureNode) => Value): (name: string) => Value | undefined {
  const answers = new Map<string, Value>();
  return (name) => {
    const known = answers.get(name);
    if (known !== undefined) return known;
    const node = NODES.get(name);
    if (node === undefined) return undefined;
    const answer = compute(node);
    answers.set(name, answer);
    return answer;
  };
}

const NOTHING: ReadonlySet<string> = new Set();

const ancestorsOfNode = ofNode(({ parents }) => {
  const found = new Set(parents);
  for (const ancestor of found) for (const parent of NODES.get(ancestor)?.parents ?? []) found.add(parent);
  return found;
});

/** The ancestors of a node, without itself. Empty for a root or an unknown name. */
export function ancestorSet(name: string): ReadonlySet<string> {
  return ancestorsOfNode(name) ?? NOTHING;
}

const rootOfNode = ofNode(({ name, parents: [parent] }): string =>
  parent === undefined ? name : rootOf(parent),
);

/** The root of a node's family: `x86_64` for `zen4`. The name itself for a root or an unknown name. */
export function rootOf(name: string): string {
  return rootOfNode(name) ?? name;
}

/** All flags of a node's CPU, those of its ancestors included. Undefined for an unknown name. */
export const flagSet = ofNode((node) =>
  collect(node, ({ addedFlags, extraFlags }) => [...addedFlags, ...extraFlags]),
);

/** The flags that archspec requires for a node. */
export const referenceFlagSet = ofNode((node) => collect(node, ({ addedFlags }) => addedFlags));

/** The flags that a node's code needs: all but the idle ones. Undefined for an unknown name. */
export const requiredFlagSet = ofNode((node): ReadonlySet<string> => {
  const idle = idleFlags(node);
  return new Set([...(flagSet(node.name) ?? [])].filter((flag) => !idle.has(flag)));
});

function collect(
  node: MicroarchitectureNode,
  flagsOfNode: (node: MicroarchitectureNode) => readonly string[],
): ReadonlySet<string> {
  const line = [node.name, ...ancestorSet(node.name)].map(findNode).filter((one) => one !== undefined);
  const flags = new Set(line.flatMap(flagsOfNode));
  // With ssse3, archspec's table leaves sse3 out. It is left out here too, because the number of flags breaks ties.
  if (flags.has('ssse3')) flags.delete('sse3');
  return flags;
}

/**
 * ARM flags that describe the kernel (`cpuid`, `evtstrm`), a control bit (`ssbs`) or a hint (`dgh`). Compilers do
 * not use them.
 */
const IDLE_ARM_FLAGS = ['cpuid', 'evtstrm', 'ssbs', 'dgh'];
const ALL_IDLE: Readonly<Record<string, readonly string[]>> = {
  x86_64: IDLE_FLAGS,
  aarch64: IDLE_ARM_FLAGS,
};

/** The flags that no code for a node uses. */
function idleFlags({ name, vendor }: MicroarchitectureNode): ReadonlySet<string> {
  return new Set([...(ALL_IDLE[rootOf(name)] ?? []), ...(IDLE_FLAGS_BY_VENDOR[vendor] ?? [])]);
}

/**
 * True when a node differs from a parent only by idle flags. A CPU that does not print them is this node only if
 * its model number says so.
 */
export function isDistinguishedByIdleFlags({ name, parents }: MicroarchitectureNode): boolean {
  const [all, required] = [flagSet(name) ?? NOTHING, requiredFlagSet(name) ?? NOTHING];
  return parents.some((parent) => {
    const inherited = flagSet(parent) ?? NOTHING;
    const adds = [...all].filter((flag) => !inherited.has(flag));
    return adds.length > 0 && !adds.some((flag) => required.has(flag));
  });
}

/**
 * The nodes for other names that authors and compilers use. GCC names that differ only by `-` for `_` are not
 * listed.
 * @see https://gcc.gnu.org/onlinedocs/gcc/x86-Options.html
 * @see https://gcc.gnu.org/onlinedocs/gcc/AArch64-Options.html
 */
const ALIASES: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  x64: 'x86_64',
  x86_64_v1: 'x86_64',
  i386: 'x86',

  corei7: 'nehalem',
  corei7_avx: 'sandybridge',
  core_avx_i: 'ivybridge',
  core_avx2: 'haswell',
  kabylake: 'skylake',
  coffeelake: 'skylake',
  // The spelling in MetaHub's first machine types.
  coffelake: 'skylake',
  whiskeylake: 'skylake',
  amberlake: 'skylake',
  cometlake: 'skylake',
  skx: 'skylake_avx512',
  skylake_server: 'skylake_avx512',
  clx: 'cascadelake',
  knl: 'mic_knl',
  icelake_client: 'icelake',
  icelake_server: 'icelake',
  rocketlake: 'icelake',
  raptorlake: 'alderlake',
  meteorlake: 'alderlake',
  gracemont: 'alderlake',
  lunarlake: 'arrowlake_s',
  pantherlake: 'arrowlake_s',
  wildcatlake: 'arrowlake_s',
  bartlettlake: 'alderlake',
  grandridge: 'sierraforest',

  amdfam10: 'k10',
  barcelona: 'k10',
  bdver1: 'bulldozer',
  bdver2: 'piledriver',
  bdver3: 'steamroller',
  bdver4: 'excavator',
  znver1: 'zen',
  zen1: 'zen',
  znver2: 'zen2',
  znver3: 'zen3',
  znver4: 'zen4',
  znver5: 'zen5',
  znver6: 'zen6',
  hygon: 'dhyana',

  arm64: 'aarch64',
  armv8_a: 'aarch64',
  'armv8.0_a': 'aarch64',
  'armv8.0a': 'aarch64',
  armv9_a: 'armv9.0a',
  thunderx2t99: 'thunderx2',
  apple_m1: 'm1',
  apple_m2: 'm2',
  apple_m3: 'm3',
  apple_m4: 'm4',
  kunpeng920: 'tsv110',
  graviton: 'cortex_a72',
  graviton2: 'neoverse_n1',
  graviton3: 'neoverse_v1',
  graviton4: 'neoverse_v2',
  graviton5: 'neoverse_v3',
  grace: 'neoverse_v2',
  axion: 'neoverse_v2',
  cobalt100: 'neoverse_n2',

  arch11: 'z13',
  arch12: 'z14',
  arch13: 'z15',
  arch14: 'z16',
  arch15: 'z17',
  loong64: 'loongarch64',
  sifive_u74: 'u74mc',
  sifive_p550: 'p550',
  spacemit_x60: 'x60',
};

/**
 * The table's name for a name that an author wrote (`znver3`, `skylake-avx512`, `x86-64-v3`). Undefined when
 * unknown.
 */
export function canonicalName(written: string): string | undefined {
  const name = written.trim().toLowerCase();
  const plain = name.replaceAll('-', '_');
  // GCC writes armv8.2-a for armv8.2a.
  const versioned = name.replace('-a', 'a');
  const node = [name, plain, versioned].find((spelling) => findNode(spelling) !== undefined);
  return node ?? (Object.hasOwn(ALIASES, plain) ? ALIASES[plain] : undefined);
}

/** All aliases that `canonicalName` knows. */
export const ALIAS_NAMES: readonly string[] = Object.keys(ALIASES);
