import { normalizeArchitecture } from '../lib/platform.ts';

/** The root of each architecture's family tree, by GOARCH (as in OCI platforms). */
const FAMILIES: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  ppc64le: 'ppc64le',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  loong64: 'loongarch64',
  '386': 'x86',
  arm: 'arm',
};

/** Normalizes an architecture (`uname -m`, archspec, Node.js, GOARCH) to GOARCH. Undefined when it is unknown. */
export function canonicalArchitecture(written: string): string | undefined {
  const name = normalizeArchitecture(written);
  return Object.hasOwn(FAMILIES, name) ? name : undefined;
}

/** The root of an architecture's family tree: `x86_64` for `amd64`. The architecture itself when it has no tree. */
export function familyOfArchitecture(architecture: string): string {
  return FAMILIES[architecture] ?? architecture;
}

/** The GOARCH of a family tree's root: `amd64` for `x86_64`. */
export function architectureOfFamily(family: string): string {
  return Object.keys(FAMILIES).find((goarch) => FAMILIES[goarch] === family) ?? family;
}

/** All values that `canonicalArchitecture` can return. */
export const KNOWN_ARCHITECTURES: readonly string[] = Object.keys(FAMILIES).sort();

interface Level {
  readonly name: string;
  /** The node of the family tree for this level. */
  readonly node: string;
  /** The flags that it adds to the level before, in the kernel's spelling. */
  readonly adds: readonly string[];
}

/**
 * The levels of each architecture. Each includes the one before.
 *
 * amd64: the microarchitecture levels of the x86-64 psABI. arm64: those mandatory features of each version that
 * Linux prints.
 * @see https://gitlab.com/x86-psABIs/x86-64-ABI
 * @see https://docs.kernel.org/arch/arm64/elf_hwcaps.html
 */
const LEVELS: Readonly<Record<string, readonly Level[]>> = {
  amd64: [
    level('x86-64-v1', 'x86_64', 'cmov cx8 fpu fxsr mmx syscall sse sse2'),
    level('x86-64-v2', 'x86_64_v2', 'cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3'),
    level('x86-64-v3', 'x86_64_v3', 'avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'),
    level('x86-64-v4', 'x86_64_v4', 'avx512f avx512bw avx512cd avx512dq avx512vl'),
  ],
  arm64: [
    level('arm64-v8.0', 'aarch64', ''),
    level('arm64-v8.1', 'armv8.1a', 'atomics asimdrdm'),
    level('arm64-v8.2', 'armv8.2a', 'dcpop'),
    level('arm64-v8.3', 'armv8.3a', 'jscvt fcma lrcpc'),
    level('arm64-v8.4', 'armv8.4a', 'dit uscat ilrcpc flagm'),
    level('arm64-v8.5', 'armv8.5a', 'flagm2 frint sb'),
    level('arm64-v8.6', 'armv8.6a', 'i8mm bf16'),
  ],
};
/** Armv9.0 is Armv8.5 with SVE2; Armv9.2 is Armv8.7 with SVE2. */
const V9_LEVELS: readonly (Level & { readonly after: string })[] = [
  { ...level('arm64-v9.0', 'armv9.0a', 'sve2'), after: 'arm64-v8.5' },
  { ...level('arm64-v9.2', 'armv9.2a', 'sve2 afp wfxt'), after: 'arm64-v8.6' },
];
const ALL_LEVELS: readonly Level[] = [...Object.values(LEVELS).flat(), ...V9_LEVELS];

function level(name: string, node: string, adds: string): Level {
  return { name, node, adds: adds === '' ? [] : adds.split(' ') };
}

/** All levels whose flags are present, the lowest first. Empty for an architecture without levels. */
export function levelsOf(architecture: string, flags: Iterable<string>): readonly string[] {
  const has = new Set(flags);
  // Linux prints SSE3 as pni, other systems as sse3 or not at all. SSSE3, which the same level requires, implies
  // it.
  if (has.has('ssse3')) has.add('pni');
  const reached: string[] = [];
  for (const { name, adds } of LEVELS[architecture] ?? []) {
    if (!adds.every((flag) => has.has(flag))) break;
    reached.push(name);
  }
  if (architecture !== 'arm64') return reached;
  const ninth = V9_LEVELS.filter(
    ({ after, adds }) => reached.includes(after) && adds.every((flag) => has.has(flag)),
  );
  return [...reached, ...ninth.map(({ name }) => name)];
}

/** The highest level whose flags are present: `x86-64-v3`, `arm64-v8.2`. Undefined when there is none. */
export function levelOf(architecture: string, flags: Iterable<string>): string | undefined {
  return levelsOf(architecture, flags).at(-1);
}

/** The node of the family tree for a level: `x86_64_v3` for `x86-64-v3`. Undefined for an unknown level. */
export function nodeOfLevel(name: string): string | undefined {
  return ALL_LEVELS.find((one) => one.name === name)?.node;
}

/** The level of a node of the family tree. Undefined when the node is not a level. */
export function levelOfNode(node: string): string | undefined {
  return ALL_LEVELS.find((one) => one.node === node)?.name;
}

/** All nodes that are levels. Within each architecture, the highest is first. */
export const LEVEL_NODES: readonly string[] = [...ALL_LEVELS].reverse().map(({ node }) => node);

export interface VariantSubject {
  readonly architecture: string;
  readonly microarchitecture: string;
  /** The level: `x86-64-v3`, `arm64-v8.2`. */
  readonly level: string | undefined;
  /** RISC-V: the `isa` line of /proc/cpuinfo. */
  readonly isa?: string | undefined;
  /** 32-bit ARM: the version of the architecture, 6 or 7. */
  readonly armVersion?: number | undefined;
}

/** The application profiles of RISC-V. Each includes the one before. */
export const RISCV_PROFILES: readonly string[] = ['rva20u64', 'rva22u64', 'rva23u64'];

/**
 * The extensions that each profile adds, as far as Linux prints them.
 * @see https://github.com/riscv/riscv-profiles
 */
const PROFILE_EXTENSIONS: readonly string[] = [
  'i m a f d c',
  'zba zbb zbs zicbom zicboz zfhmin zkt',
  'v zvfhmin zvbb zvkt zicond zcb zfa zawrs',
];

/** Extensions that include others. */
const IMPLIED_EXTENSIONS: Readonly<Record<string, string>> = {
  g: 'i m a f d',
  b: 'zba zbb zbs',
  zfh: 'zfhmin',
  zvfh: 'zvfhmin',
  zk: 'zkt',
  zvkn: 'zvkt',
  zvks: 'zvkt',
};

/** The OCI platform variant for a host's level, as Go toolchains and buildx write it. */
export function platformVariant(subject: VariantSubject): string | undefined {
  const { architecture, microarchitecture, level, isa, armVersion } = subject;
  switch (architecture) {
    case 'amd64':
      return /^x86-64-(v\d)$/.exec(level ?? '')?.[1] ?? 'v1';
    case 'arm64':
      // Every arm64 image without a variant is v8, so the first level is v8 and not v8.0.
      return (/^arm64-(v[\d.]+)$/.exec(level ?? '')?.[1] ?? 'v8').replace(/^v8\.0$/, 'v8');
    case 'arm':
      return armVersion === undefined ? undefined : `v${armVersion}`;
    case 'ppc64le':
    case 'ppc64':
      return /^(power\d+)(?:le)?$/.exec(microarchitecture)?.[1];
    case 'riscv64':
      return isa === undefined ? undefined : riscvProfile(isa);
    default:
      return undefined;
  }
}

/** The profile for an `isa` such as `rv64imafdc_zicsr_zba…`: single letters, then words. */
function riscvProfile(isa: string): string | undefined {
  const [base = '', ...words] = isa.toLowerCase().replace(/^rv64/, '').split('_');
  const written = [...base, ...words];
  const has = new Set(written.flatMap((one) => [one, ...(IMPLIED_EXTENSIONS[one]?.split(' ') ?? [])]));
  const missing = PROFILE_EXTENSIONS.findIndex((list) => !list.split(' ').every((one) => has.has(one)));
  return RISCV_PROFILES[(missing === -1 ? RISCV_PROFILES.length : missing) - 1];
}
