import { ARM_NODES } from './data/arm.ts';
import { BEYOND_ARCHSPEC_NODES, FLAGS_BEYOND_ARCHSPEC } from './data/beyond-archspec.ts';
import { OTHER_NODES } from './data/other.ts';
import type { Evidence, NodeRow } from './data/rows.ts';
import { IDLE_FLAGS, IDLE_FLAGS_BY_VENDOR, X86_NODES } from './data/x86.ts';

/** A microarchitecture: what it adds to its parents, and what distinguishes it from others. */
export interface MicroarchitectureNode {
  readonly name: string;
  readonly parents: readonly string[];
  readonly vendor: string;
  /** The flags that it adds to its parents', as archspec lists them. */
  readonly addedFlags: readonly string[];
  /** Flags that its code uses though archspec does not name them. */
  readonly extraFlags: readonly string[];
  readonly evidence: Evidence;
  /** True when archspec has it too. */
  readonly isReference: boolean;
}

const NODES: ReadonlyMap<string, MicroarchitectureNode> = new Map(
  [
    ...[...X86_NODES, ...ARM_NODES, ...OTHER_NODES].map((row) => nodeOf(row, true)),
    ...BEYOND_ARCHSPEC_NODES.map((row) => nodeOf(row, false)),
  ].map((node) => [node.name, node]),
);

function nodeOf([name, parents, vendor, flags, evidence = {}]: NodeRow, isReference: boolean) {
  const extraFlags = words(FLAGS_BEYOND_ARCHSPEC[name] ?? '');
  return {
    name,
    parents: words(parents),
    vendor,
    addedFlags: words(flags),
    extraFlags,
    evidence,
    isReference,
  };
}

/** The words of a space-separated list; an empty list for an empty text. */
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

/** A function of nodes, by name, that works each answer out once; undefined for an unknown name. */
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

/** The nodes above one, without itself; empty for a root and for an unknown name. */
export function ancestorSet(name: string): ReadonlySet<string> {
  return ancestorsOfNode(name) ?? NOTHING;
}

const rootOfNode = ofNode(({ name, parents: [parent] }): string =>
  parent === undefined ? name : rootOf(parent),
);

/** The node above all others of its family, `x86_64` of `zen4`; the name itself when it is a root or unknown. */
export function rootOf(name: string): string {
  return rootOfNode(name) ?? name;
}

/** Every flag of a CPU of this node, its ancestors' included; undefined for an unknown name. */
export const flagSet = ofNode((node) =>
  collect(node, ({ addedFlags, extraFlags }) => [...addedFlags, ...extraFlags]),
);

/** The flags that archspec demands of a node. */
export const referenceFlagSet = ofNode((node) => collect(node, ({ addedFlags }) => addedFlags));

/** The flags without which a CPU cannot run a node's code: all but the idle ones. Undefined for an unknown name. */
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
  // Where the table names ssse3 it leaves sse3 to be implied, as the count of flags decides between equals.
  if (flags.has('ssse3')) flags.delete('sse3');
  return flags;
}

/**
 * ARM: flags that describe the kernel (`cpuid`, `evtstrm`), a control bit (`ssbs`) or a hint (`dgh`). Compilers emit
 * nothing for them.
 */
const IDLE_ARM_FLAGS = ['cpuid', 'evtstrm', 'ssbs', 'dgh'];
const ALL_IDLE: Readonly<Record<string, readonly string[]>> = {
  x86_64: IDLE_FLAGS,
  aarch64: IDLE_ARM_FLAGS,
};

/** The flags that no code built for a node uses. */
function idleFlags({ name, vendor }: MicroarchitectureNode): ReadonlySet<string> {
  return new Set([...(ALL_IDLE[rootOf(name)] ?? []), ...(IDLE_FLAGS_BY_VENDOR[vendor] ?? [])]);
}

/**
 * Whether idle flags alone distinguish a node from a parent. Then a CPU that does not print them is this node only when
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
 * What authors and compilers write -> the node that the code is for. A GCC name that differs from the table's only by
 * `-` for `_` needs no line here.
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
  // The spelling of MetaHub's first machine types.
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
 * The table's name for what an author wrote (`znver3`, `skylake-avx512`, `x86-64-v3`); undefined for an unknown name.
 */
export function canonicalName(written: string): string | undefined {
  const name = written.trim().toLowerCase();
  const plain = name.replaceAll('-', '_');
  // GCC writes armv8.2-a where the table has armv8.2a.
  const versioned = name.replace('-a', 'a');
  const node = [name, plain, versioned].find((spelling) => findNode(spelling) !== undefined);
  return node ?? (Object.hasOwn(ALIASES, plain) ? ALIASES[plain] : undefined);
}

/** Every alias that `canonicalName` has in its table. */
export const ALIAS_NAMES: readonly string[] = Object.keys(ALIASES);
