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
