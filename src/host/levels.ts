interface Level {
  readonly name: string;
  /** What it adds to the level before it, in the kernel's spelling. */
  readonly adds: readonly string[];
}

/**
 * The levels of an architecture, each containing the one before it.
 *
 * amd64: the microarchitecture levels of the x86-64 psABI. arm64: of each version's mandatory features, those that Linux
 * prints; 9.0 is 8.5 with SVE2.
 * @see https://gitlab.com/x86-psABIs/x86-64-ABI
 * @see https://docs.kernel.org/arch/arm64/elf_hwcaps.html
 */
const LEVELS: Readonly<Record<string, readonly Level[]>> = {
  amd64: [
    level('x86-64-v1', 'cmov cx8 fpu fxsr mmx syscall sse sse2'),
    level('x86-64-v2', 'cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3'),
    level('x86-64-v3', 'avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'),
    level('x86-64-v4', 'avx512f avx512bw avx512cd avx512dq avx512vl'),
  ],
  arm64: [
    level('arm64-v8.0', ''),
    level('arm64-v8.1', 'atomics asimdrdm'),
    level('arm64-v8.2', 'dcpop'),
    level('arm64-v8.3', 'jscvt fcma lrcpc'),
    level('arm64-v8.4', 'dit uscat ilrcpc flagm'),
    level('arm64-v8.5', 'flagm2 frint sb'),
    level('arm64-v8.6', 'i8mm bf16'),
  ],
};
const V9 = { after: 'arm64-v8.5', name: 'arm64-v9.0', flag: 'sve2' };

function level(name: string, adds: string): Level {
  return { name, adds: adds === '' ? [] : adds.split(' ') };
}

/** Every level that the flags reach, lowest first; empty where an architecture has none. */
export function levelsOf(architecture: string, flags: Iterable<string>): readonly string[] {
  const has = new Set(flags);
  // Kernels print SSE3 as pni; other systems, and ssse3 alone, say the same thing.
  if (has.has('sse3') || has.has('ssse3')) has.add('pni');
  const reached: string[] = [];
  for (const { name, adds } of LEVELS[architecture] ?? []) {
    if (!adds.every((flag) => has.has(flag))) break;
    reached.push(name);
  }
  if (architecture === 'arm64' && reached.includes(V9.after) && has.has(V9.flag)) reached.push(V9.name);
  return reached;
}

/** The greatest level that the flags reach, `x86-64-v3` or `arm64-v8.2`; nothing where there is none. */
export function levelOf(architecture: string, flags: Iterable<string>): string | undefined {
  return levelsOf(architecture, flags).at(-1);
}

export interface VariantSubject {
  readonly architecture: string;
  readonly microarchitecture: string;
  /** `x86-64-v3`, `arm64-v8.2`. */
  readonly level: string | undefined;
  /** RISC-V: the `isa` line. */
  readonly isa?: string | undefined;
}

/**
 * Extensions of RISC-V's application profiles, greatest first, as far as Linux tells them.
 * @see https://github.com/riscv/riscv-profiles
 */
const RVA20 = ['i', 'm', 'a', 'f', 'd', 'c'];
const RVA22 = [...RVA20, 'zba', 'zbb', 'zbs', 'zicbom', 'zicboz', 'zfhmin', 'zkt'];
const RVA23 = [...RVA22, 'v', 'zvfhmin', 'zvbb', 'zvkt', 'zicond', 'zcb', 'zfa', 'zawrs'];
const RISCV_PROFILES: readonly (readonly [name: string, extensions: readonly string[]])[] = [
  ['rva23u64', RVA23],
  ['rva22u64', RVA22],
  ['rva20u64', RVA20],
];

/** The OCI platform variant that names this host's level, as Go toolchains and buildx publish it. */
export function platformVariant({
  architecture,
  microarchitecture,
  level,
  isa,
}: VariantSubject): string | undefined {
  switch (architecture) {
    case 'amd64':
      return /^x86-64-(v\d)$/.exec(level ?? '')?.[1] ?? 'v1';
    case 'arm64':
      // The first level has no minor in a variant: every arm64 image without one says v8.
      return (/^arm64-(v[\d.]+)$/.exec(level ?? '')?.[1] ?? 'v8').replace(/^v8\.0$/, 'v8');
    case 'ppc64le':
    case 'ppc64':
      return /^(power\d+)(?:le)?$/.exec(microarchitecture)?.[1];
    case 'riscv64':
      return isa === undefined ? undefined : riscvProfile(isa);
    default:
      return undefined;
  }
}

/** `rv64imafdc_zicsr_zba…`: single letters, then words. */
function riscvProfile(isa: string): string | undefined {
  const [base = '', ...words] = isa.toLowerCase().replace(/^rv64/, '').split('_');
  // `g` stands for the general-purpose set.
  const has = new Set([...base.replace('g', 'imafd'), ...words]);
  return RISCV_PROFILES.find(([, extensions]) => extensions.every((one) => has.has(one)))?.[0];
}
