import type { CpuFacts, SystemFacts } from '../host/facts.ts';
import type { Diagnostics, HostRoot } from './host-root.ts';
import { runBounded } from './run-program.ts';

/** The kernel flags of Linux for macOS's names, in lower case. */
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

/** The hardware capabilities of Linux for `hw.optional.arm.FEAT_…`. */
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

/** Parses the output of `sysctl machdep.cpu hw.optional` on macOS. Flags get the spelling of Linux. */
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
  // Every 64-bit ARM that macOS runs on has these, and no key reports them.
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

/** The facts of a host without /proc. */
export interface NonLinuxFacts {
  readonly os: 'darwin' | 'windows';
  readonly cpu: CpuFacts;
  readonly system: SystemFacts;
}

/** The output of `sysctl machdep.cpu hw kern` on a Mac, as a file in a captured folder. */
const SYSCTL_CAPTURE = '/sysctl.txt';
const SYSCTL_LIMIT_MS = 2000;

/** Reads a Mac or a Windows machine, live or captured. Undefined for Linux. */
export async function readNonLinux(
  root: HostRoot,
  platform: string,
  problems: Diagnostics,
): Promise<NonLinuxFacts | undefined> {
  const other = root.isLive ? await readLive(platform, problems) : readCapture(root);
  if (other !== undefined) {
    problems.warn(
      `containers run in a Linux machine beside ${other.os}: --set os:linux asks what they are given`,
    );
  }
  return other;
}

function readCapture(root: HostRoot): NonLinuxFacts | undefined {
  const sysctl = root.text(SYSCTL_CAPTURE);
  return sysctl === undefined ? undefined : parseMac(sysctl);
}

async function readLive(platform: string, problems: Diagnostics): Promise<NonLinuxFacts | undefined> {
  if (platform === 'win32') return parseWindows(await (await import('systeminformation')).cpu(), problems);
  if (platform !== 'darwin') return undefined;
  const outcome = await runBounded('sysctl', ['machdep.cpu', 'hw', 'kern'], { limitMs: SYSCTL_LIMIT_MS });
  if (outcome.kind !== 'ended') problems.fail('sysctl did not answer: the CPU is unknown');
  return parseMac(outcome.kind === 'ended' ? outcome.stdout : '');
}

/** Parses the output of `sysctl machdep.cpu hw kern`. */
function parseMac(text: string): NonLinuxFacts {
  const value = (key: string) => new RegExp(`^${key.replaceAll('.', '\\.')}: (\\S.*)$`, 'm').exec(text)?.[1];
  const [kernel, version, memory] = ['kern.osrelease', 'kern.osproductversion', 'hw.memsize'].map(value);
  return {
    os: 'darwin',
    cpu: parseSysctl(text),
    system: {
      osId: 'macos',
      ...(version === undefined ? {} : { osVersion: version }),
      ...(kernel === undefined ? {} : { kernel }),
      ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
    },
  };
}

/** What systeminformation reports about a CPU. On Windows it knows only the flags of the first 64-bit CPUs. */
export interface WindowsCpu {
  readonly vendor: string;
  readonly brand: string;
  readonly family: string;
  readonly model: string;
  readonly stepping: string;
  readonly flags: string;
}

/** The facts of Windows, as far as it reports them, and warnings about the rest. */
export function parseWindows(cpu: WindowsCpu, problems: Diagnostics): NonLinuxFacts {
  const number = (text: string) => (/^\d+$/.test(text) ? Number(text) : undefined);
  const [family, model, stepping] = [cpu.family, cpu.model, cpu.stepping].map(number);
  problems.warn('Windows does not report what the CPU can do: state it with --set cpu:NAME');
  return {
    os: 'windows',
    cpu: {
      vendor: /intel/i.test(cpu.vendor)
        ? 'GenuineIntel'
        : /amd/i.test(cpu.vendor)
          ? 'AuthenticAMD'
          : 'generic',
      flags: cpu.flags
        .toLowerCase()
        .split(/\s+/)
        .filter((flag) => flag !== ''),
      ...(cpu.brand === '' ? {} : { modelName: cpu.brand }),
      ...(family === undefined ? {} : { family }),
      ...(model === undefined ? {} : { model }),
      ...(stepping === undefined ? {} : { stepping }),
    },
    system: { osId: 'windows' },
  };
}
