import type { CpuFacts } from '../host/facts.ts';

/** macOS's spelling, lower case -> the kernel flags of Linux that say the same. */
const X86_SPELLINGS: Readonly<Record<string, string>> = {
  'sse4.1': 'sse4_1',
  'sse4.2': 'sse4_2',
  'avx1.0': 'avx',
  lahf: 'lahf_lm',
  sha: 'sha_ni',
  lzcnt: 'abm',
  clfsopt: 'clflushopt',
  sse3: 'pni',
  em64t: 'lm',
  xsave: 'xsave xsavec xsaveopt',
};

/** `hw.optional.arm.FEAT_…` -> the hardware capabilities of Linux. */
const ARM_FEATURES: Readonly<Record<string, string>> = {
  AES: 'aes',
  PMULL: 'pmull',
  SHA1: 'sha1',
  SHA256: 'sha2',
  SHA512: 'sha512',
  SHA3: 'sha3',
  LSE: 'atomics',
  LSE2: 'uscat',
  RDM: 'asimdrdm',
  FP16: 'fphp asimdhp',
  FHM: 'asimdfhm',
  DotProd: 'asimddp',
  JSCVT: 'jscvt',
  FCMA: 'fcma',
  LRCPC: 'lrcpc',
  LRCPC2: 'ilrcpc',
  DPB: 'dcpop',
  DPB2: 'dcpodp',
  DIT: 'dit',
  FlagM: 'flagm',
  FlagM2: 'flagm2',
  FRINTTS: 'frint',
  SB: 'sb',
  SSBS: 'ssbs',
  PAuth: 'paca pacg',
  BTI: 'bti',
  ECV: 'ecv',
  AFP: 'afp',
  WFxT: 'wfxt',
  BF16: 'bf16',
  I8MM: 'i8mm',
  SME: 'sme',
  SME2: 'sme2',
};

/** Parses what `sysctl machdep.cpu hw.optional` prints on macOS; flags in the spelling of Linux. */
export function parseSysctl(text: string): CpuFacts {
  const values = new Map(
    text.split('\n').map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    }),
  );
  const modelName = values.get('machdep.cpu.brand_string');
  const isApple = modelName?.startsWith('Apple') || values.get('hw.optional.arm64') === '1';
  const named = modelName === undefined ? {} : { modelName };
  if (isApple) return { vendor: 'Apple', flags: armFlags(values), ...named };
  return { vendor: values.get('machdep.cpu.vendor') ?? 'generic', flags: x86Flags(values), ...named };
}

function armFlags(values: ReadonlyMap<string, string>): readonly string[] {
  // Of every 64-bit ARM that macOS runs on; no key names them.
  const flags = ['fp', 'asimd', 'evtstrm', 'crc32', 'cpuid'];
  for (const [feature, spelling] of Object.entries(ARM_FEATURES)) {
    if (values.get(`hw.optional.arm.FEAT_${feature}`) === '1') flags.push(...spelling.split(' '));
  }
  return flags;
}

function x86Flags(values: ReadonlyMap<string, string>): readonly string[] {
  const lines = ['features', 'leaf7_features', 'extfeatures'].map((key) => values.get(`machdep.cpu.${key}`));
  const printed = lines
    .join(' ')
    .toLowerCase()
    .split(' ')
    .filter((flag) => flag !== '');
  const spelled = printed.flatMap((flag) => (X86_SPELLINGS[flag] ?? flag).split(' '));
  return [...new Set(spelled)];
}
