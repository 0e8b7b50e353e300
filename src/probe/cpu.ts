import type { CpuFacts } from '../host/facts.ts';
import type { Diagnostics, HostRoot } from './host-root.ts';

/** The lines of one processor in /proc/cpuinfo, by key. */
export type CpuRecord = ReadonlyMap<string, string>;

const RECORD_END = /\n[ \t]*\n/;

function hasWholeRecord(text: string): boolean {
  return RECORD_END.test(text);
}

function firstCpuRecord(text: string): CpuRecord {
  const end = RECORD_END.exec(text)?.index ?? text.length;
  return parseCpuRecord(text.slice(0, end));
}

/** The first line with a key counts: a truncated record may be followed by the next one. */
function parseCpuRecord(text: string): CpuRecord {
  const record = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const key = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    if (colon > 0 && value !== '' && !record.has(key)) record.set(key, value);
  }
  return record;
}

export interface CpuOptions {
  readonly root: HostRoot;
  /** GOARCH: `amd64`, `arm64`, `loong64`. */
  readonly architecture: string;
  readonly problems: Diagnostics;
}

const UNKNOWN: CpuFacts = { vendor: 'generic', flags: [] };
const CPUINFO = '/proc/cpuinfo';

/** Reads the CPU from /proc/cpuinfo: from its first record, unless cores may differ. */
export function readCpu({ root, architecture, problems }: CpuOptions): CpuFacts {
  const text = readCpuinfo(root, architecture);
  if (text === undefined) {
    problems.fail(`${CPUINFO} cannot be read: the CPU is unknown, and only baseline entries will match`);
    return UNKNOWN;
  }
  const cpu = parseCpuinfo(text, architecture);
  if (cpu.flags.length === 0 && (architecture === 'amd64' || architecture === 'arm64')) {
    const key = architecture === 'amd64' ? 'flags' : 'Features';
    problems.fail(`${CPUINFO} has no “${key}” line: only baseline entries will match`);
  }
  return cpu;
}

/**
 * Reads no more than needed. On x86 all cores have the same flags, and the kernel generates each record while it is
 * read, which takes milliseconds for 512 threads.
 */
function readCpuinfo(root: HostRoot, architecture: string): string | undefined {
  const head = architecture === 'amd64' ? root.head(CPUINFO) : undefined;
  return head !== undefined && hasWholeRecord(head) ? head : root.text(CPUINFO);
}

/** Parses /proc/cpuinfo as the kernel of an architecture (GOARCH) writes it. */
export function parseCpuinfo(text: string, architecture: string): CpuFacts {
  switch (architecture) {
    case 'amd64':
    case '386':
      return parseX86(firstCpuRecord(text));
    case 'arm64':
      return parseArm(text);
    case 'arm':
      return { ...parseArm(text), ...armVersion(text) };
    case 'ppc64':
    case 'ppc64le':
      return parsePower(firstCpuRecord(text));
    case 'riscv64':
      return parseRiscv(text);
    case 's390x':
      return parseS390(text);
    case 'loong64':
      return parseLoongson(text);
    default:
      return UNKNOWN;
  }
}

function parseX86(record: CpuRecord): CpuFacts {
  return withoutGaps({
    vendor: record.get('vendor_id') ?? 'generic',
    flags: flagList(record.get('flags')),
    modelName: record.get('model name'),
    family: number(record.get('cpu family')),
    model: number(record.get('model')),
    stepping: number(record.get('stepping')),
  });
}

/** The implementers of ARM cores, with the names of archspec's table. */
const ARM_VENDORS: Readonly<Record<string, string>> = {
  '0x41': 'ARM',
  '0x42': 'Broadcom',
  '0x43': 'Cavium',
  '0x44': 'DEC',
  '0x46': 'Fujitsu',
  '0x48': 'HiSilicon',
  '0x49': 'Infineon Technologies AG',
  '0x4d': 'Motorola',
  '0x4e': 'Nvidia',
  '0x50': 'APM',
  '0x51': 'Qualcomm',
  '0x53': 'Samsung',
  '0x56': 'Marvell',
  '0x61': 'Apple',
  '0x66': 'Faraday',
  '0x68': 'HXT',
  '0x69': 'Intel',
  '0x6d': 'Microsoft',
  '0xc0': 'Ampere',
};

/**
 * The cores of a chip may differ (big.LITTLE). A program may run on any of them, so only common flags count. Parsed
 * by line and not by record, because old kernels print shared lines once, after the list of processors.
 */
function parseArm(text: string): CpuFacts {
  const [first = '', ...others] = distinctValues(text, 'Features');
  const lists = others.map((list) => new Set(flagList(list)));
  const [implementer] = distinctValues(text, 'CPU implementer');
  const parts = armParts(text, implementer);
  return withoutGaps({
    vendor: ARM_VENDORS[implementer ?? ''] ?? implementer ?? 'generic',
    flags: flagList(first).filter((flag) => lists.every((list) => list.has(flag))),
    modelName: coreName(text),
    parts: parts.length === 0 ? undefined : parts,
  });
}

/** A part number identifies a core together with its implementer. Numbers of the first implementer are without it. */
function armParts(text: string, first: string | undefined): readonly string[] {
  const lines = text.match(/^CPU (?:implementer|part)[ \t]*:.*$/gm) ?? [];
  const parts = new Set<string>();
  let implementer = first;
  for (const line of lines) {
    const value = line.slice(line.indexOf(':') + 1).trim();
    if (line.startsWith('CPU implementer')) implementer = value;
    else parts.add(implementer === first ? value : `${implementer}/${value}`);
  }
  return [...parts];
}

/** The name of the core. Kernels before 3.8 print it as `Processor`. */
function coreName(text: string): string | undefined {
  return distinctValues(text, 'model name')[0] ?? distinctValues(text, 'Processor')[0];
}

/**
 * The version in `CPU architecture`: `7`, `6TEJ`, `AArch64`. An ARM11 prints 7 for its memory model, and ARMv6 in its
 * name. @see https://github.com/containerd/platforms (cpuinfo_linux.go reads the same lines)
 */
function armVersion(text: string): { armVersion?: number } {
  const [printed = ''] = distinctValues(text, 'CPU architecture');
  if (/^AArch64$/i.test(printed)) return { armVersion: 8 };
  if (/ARMv6/i.test(coreName(text) ?? '')) return { armVersion: 6 };
  const version = number(/^\d+/.exec(printed)?.[0]);
  return version === undefined ? {} : { armVersion: version };
}

/** The distinct values of all lines with this key. */
function distinctValues(text: string, key: string): readonly string[] {
  const lines = text.match(new RegExp(`^${key}[ \\t]*:.*$`, 'gm')) ?? [];
  // There may be hundreds of equal lines, so repetitions are removed before lines are parsed.
  return [...new Set(lines)].map((line) => line.slice(line.indexOf(':') + 1).trim());
}

/**
 * Parses `cpu : POWER9, altivec supported`, `POWER8NVL (raw)`, `Power11 (architected)`. The last form names the
 * compatibility mode of a logical partition, not the chip: a POWER10 in POWER9 mode prints `POWER9 (architected)`.
 * @see Linux, arch/powerpc/kernel/prom.c (early_init_dt_scan_cpus, the property `cpu-version`)
 */
function parsePower(record: CpuRecord): CpuFacts {
  const name = record.get('cpu');
  const generation = number(/power(\d+)/i.exec(name ?? '')?.[1]);
  return withoutGaps({
    vendor: generation === undefined ? 'generic' : 'IBM',
    // Every POWER that runs 64-bit Linux has it, and no other line says so.
    flags: name?.includes('altivec supported') ? ['altivec'] : [],
    modelName: name,
    generation,
  });
}

/** The makers of RISC-V cores, by the first word of `uarch` or by `mvendorid` (JEDEC's number). */
const RISCV_VENDORS: Readonly<Record<string, string>> = {
  sifive: 'SiFive',
  // ESWIN's systems on a chip have SiFive's cores.
  eswin: 'SiFive',
  '0x489': 'SiFive',
  spacemit: 'SpacemiT',
  '0x710': 'SpacemiT',
  thead: 'T-Head',
  '0x5b7': 'T-Head',
  starfive: 'StarFive',
};

function parseRiscv(text: string): CpuFacts {
  const record = firstCpuRecord(text);
  const modelName = record.get('model name');
  const uarch = record.get('uarch') ?? riscvUarch(modelName) ?? riscvIds(record);
  return withoutGaps({
    vendor: RISCV_VENDORS[uarch?.split(/[,/]/)[0] ?? ''] ?? 'generic',
    flags: [],
    modelName,
    uarch,
    isa: commonIsa(distinctValues(text, 'isa')),
  });
}

/** Converts `Spacemit(R) X60` to `spacemit,x60`, the form of device trees. */
function riscvUarch(modelName: string | undefined): string | undefined {
  const named = /^(\w+)(?:\(R\))? (\w+)$/.exec(modelName ?? '');
  return named === null ? undefined : `${named[1]},${named[2]}`.toLowerCase();
}

/** The ids in the core's registers, when the kernel does not name the core: `0x489/0x8000000000000008`. */
function riscvIds(record: CpuRecord): string | undefined {
  const [vendor, core] = [record.get('mvendorid'), record.get('marchid')];
  return vendor === undefined || core === undefined || vendor === '0x0' ? undefined : `${vendor}/${core}`;
}

/** What all harts have in common, because a program may run on any of them. */
function commonIsa(lines: readonly string[]): string | undefined {
  const [first, ...others] = lines;
  if (first === undefined || others.length === 0) return first;
  const split = (isa: string) => {
    const [base = '', ...words] = isa.split('_');
    return [...base.slice(4), ...words];
  };
  const lists = others.map((isa) => new Set(split(isa)));
  const common = split(first).filter((one) => lists.every((list) => list.has(one)));
  const letters = common.filter((one) => one.length === 1).join('');
  return [first.slice(0, 4) + letters, ...common.filter((one) => one.length > 1)].join('_');
}

/** The features come before the processors, one per line: `processor 0: version = FF, …, machine = 8561`. */
function parseS390(text: string): CpuFacts {
  return withoutGaps({
    vendor: /^vendor_id\s*:\s*IBM/m.test(text) ? 'IBM' : 'generic',
    flags: flagList(/^features\s*:\s*(.*)$/m.exec(text)?.[1]),
    uarch: /\bmachine = (\w+)/.exec(text)?.[1] ?? /^machine\s*:\s*(\w+)/m.exec(text)?.[1],
  });
}

/** The system's type comes before the first processor. Newer kernels name the core: `PRID : LA664 (0014d010)`. */
function parseLoongson(text: string): CpuFacts {
  const value = (key: string) => new RegExp(`^${key}\\s*:\\s*(\\S.*)$`, 'im').exec(text)?.[1]?.trim();
  const modelName = value('model name');
  return withoutGaps({
    vendor: modelName?.startsWith('Loongson') ? 'Loongson' : 'generic',
    flags: flagList(value('features')),
    modelName,
    uarch: /^(LA\d+) /.exec(value('PRID') ?? '')?.[1] ?? modelName,
  });
}

function flagList(line: string | undefined): readonly string[] {
  return line?.split(/\s+/).filter((flag) => flag !== '') ?? [];
}

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Removes members without a value: an absent fact is a missing key. */
function withoutGaps(facts: { [Key in keyof CpuFacts]: CpuFacts[Key] | undefined }): CpuFacts {
  const { vendor = 'generic', flags = [], ...rest } = facts;
  const known = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  return { vendor, flags, ...known };
}

/** Lines of /proc/cpuinfo, or of sysctl on a Mac, that only one architecture has; the most reliable first. */
const SIGNS: readonly (readonly [sign: RegExp, architecture: string])[] = [
  // Flags that only the 32-bit architecture has.
  [/^Features\s*:.*\b(?:half|thumb)\b/m, 'arm'],
  [/^CPU implementer\s*:/m, 'arm64'],
  [/^vendor_id\s*:\s*IBM\/S390/m, 's390x'],
  [/^vendor_id\s*:/m, 'amd64'],
  [/^isa\s*:\s*rv64/m, 'riscv64'],
  // Big-endian POWER is rare today, and needs --arch.
  [/^cpu\s*:\s*power|^timebase\s*:/im, 'ppc64le'],
  [/^CPU Family\s*:\s*Loongson/im, 'loong64'],
  [/^hw\.optional\.arm64: 1$|^machdep\.cpu\.brand_string: Apple/m, 'arm64'],
  [/^machdep\.cpu\.vendor:/m, 'amd64'],
];

/** The GOARCH of a captured host, by the form of its CPU description. Undefined when there is none. */
export function capturedArchitecture(root: HostRoot): string | undefined {
  const text = root.head('/proc/cpuinfo') ?? root.text('/sysctl.txt') ?? '';
  return SIGNS.find(([sign]) => sign.test(text))?.[1];
}
