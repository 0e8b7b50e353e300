import type { GpuFacts, HostFacts, SystemFacts } from './facts.ts';

/** A feature `kind:value`. A level (`x86-64-v3`) and a bare flag (`avx2`) have the kind that their form implies. */
export interface Feature {
  /** `cpu`, `level`, `cpuflag`, `nvcap` …, or a kind that an operator defined. */
  readonly kind: string;
  readonly value: string;
}

/** The value is printable, without white space: a feature is one word in files, labels and lists. */
const KIND_AND_VALUE = /^([A-Za-z][\w./-]*)[:=]\s*([!-~]+)$/;
const BARE_FLAG = /^[a-z][a-z0-9_.]*$/;
const X86_LEVEL = /^x86[-_]64[-_]v([1-4])$/;
const ARM_LEVEL = /^arm64[-_]v(\d+(?:\.\d+)?)$/;

/**
 * Parses `cpu:zen4`, `nvcap=9.0` (node-feature-discovery's notation), a level (`x86-64-v3`, `arm64-v8.2`) or a bare
 * CPU flag (`avx2`). Undefined for any other text. Values are not checked: only the family tree knows which
 * microarchitectures exist.
 */
export function parseFeature(text: string): Feature | undefined {
  const written = text.trim();
  const level = canonicalLevel(written);
  if (level !== undefined) return { kind: 'level', value: level };
  const [, kind, value] = KIND_AND_VALUE.exec(written) ?? [];
  if (kind === undefined || value === undefined) {
    return isBareFlag(written) ? { kind: 'cpuflag', value: written } : undefined;
  }
  if (kind !== 'level') return { kind, value };
  const named = canonicalLevel(value);
  return named === undefined ? undefined : { kind, value: named };
}

/** Formats a feature: `cpu:zen4`; a level or flag as a bare word. `parseFeature` returns the same feature again. */
export function formatFeature({ kind, value }: Feature): string {
  return kind === 'level' || (kind === 'cpuflag' && isBareFlag(value)) ? value : `${kind}:${value}`;
}

/** The values of one kind among features as they are written, in the same order. */
export function valuesOf(features: readonly string[], kind: string): readonly string[] {
  return features.flatMap((text) => {
    const feature = parseFeature(text);
    return feature?.kind === kind ? [feature.value] : [];
  });
}

/** True when a word without a kind is this flag. A flag that is spelled like a level needs its kind. */
function isBareFlag(word: string): boolean {
  return BARE_FLAG.test(word) && canonicalLevel(word) === undefined;
}

/** Normalizes a level: archspec's `x86_64_v3` becomes `x86-64-v3`; `arm64-v9` becomes `arm64-v9.0`. */
function canonicalLevel(text: string): string | undefined {
  if (!text.startsWith('x86') && !text.startsWith('arm64')) return undefined;
  const x86 = X86_LEVEL.exec(text)?.[1];
  if (x86 !== undefined) return `x86-64-v${x86}`;
  const arm = ARM_LEVEL.exec(text)?.[1];
  if (arm === undefined) return undefined;
  return `arm64-v${arm.includes('.') ? arm : `${arm}.0`}`;
}

/**
 * The first driver branch that runs each CUDA release without a compatibility package, the newest first. Source:
 * NVIDIA's CUDA Toolkit release notes, table "CUDA Toolkit and Corresponding Driver Versions" (facts only).
 * @see https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/
 */
const CUDA_BY_BRANCH: readonly (readonly [branch: number, cuda: string])[] = [
  [615, '13.4'],
  [610, '13.3'],
  [595, '13.2'],
  [590, '13.1'],
  [580, '13.0'],
  [575, '12.9'],
  [570, '12.8'],
  [565, '12.7'],
  [560, '12.6'],
  [555, '12.5'],
  [550, '12.4'],
  [545, '12.3'],
  [535, '12.2'],
  [530, '12.1'],
  [525, '12.0'],
  [520, '11.8'],
  [515, '11.7'],
  [510, '11.6'],
  [495, '11.5'],
  [470, '11.4'],
  [465, '11.3'],
  [460, '11.2'],
  [455, '11.1'],
  [450, '11.0'],
  [440, '10.2'],
  [418, '10.1'],
  [410, '10.0'],
  [396, '9.2'],
  [390, '9.1'],
  [384, '9.0'],
];

/** True for a driver that is newer than the table. It runs at least the newest CUDA here; nvidia-smi knows more. */
export function isNewerThanTable(driver: string): boolean {
  const [newest] = CUDA_BY_BRANCH[0] ?? [0];
  return Number.parseInt(driver, 10) > newest;
}

/** The highest CUDA version that a driver (`535.104.05`) is known to run. Undefined for drivers older than CUDA 9. */
function greatestCuda(driver: string): string | undefined {
  const branch = Number.parseInt(driver, 10);
  return CUDA_BY_BRANCH.find(([first]) => branch >= first)?.[1];
}

/** The CUDA versions that a host's driver runs: those that its features state, or else those of its driver's branch. */
export function cudaVersionsOf(features: readonly string[]): readonly string[] {
  const stated = valuesOf(features, 'cuda');
  if (stated.length > 0) return stated;
  return valuesOf(features, 'nvdriver')
    .map(greatestCuda)
    .filter((cuda) => cuda !== undefined);
}

/** The parts of a cloud's instance type, which images may demand. */
export interface InstanceType {
  /** `c5`, `n2`, `Standard_D4s_v3`. */
  readonly type: string;
  /** `9xl`, `metal`, `standard-8`. Azure has no separate size. */
  readonly size?: string;
}

/** Splits `c5.9xlarge` into `c5` and `9xl` (MetaHub's names for sizes), `n2-standard-8` into `n2` and `standard-8`. */
export function parseInstanceType(name: string): InstanceType {
  const amazon = /^([a-z][a-z0-9-]*)\.([a-z0-9-]+)$/.exec(name);
  if (amazon?.[1] !== undefined && amazon[2] !== undefined) {
    return { type: amazon[1], size: amazon[2].replace(/^(\d*x?)large$/, '$1l') };
  }
  const google = /^([a-z]\d[a-z]?)-(\S+)$/.exec(name);
  if (google?.[1] !== undefined && google[2] !== undefined) return { type: google[1], size: google[2] };
  return { type: name };
}

/** Kinds of features that detection can find, in the order of a list of features. Kinds of an operator come last. */
export const DETECTED_KINDS: readonly string[] = [
  'cpu',
  'level',
  'cpuvendor',
  'cpuflag',
  'nvcap',
  'nvptx',
  'gfx',
  'gpu',
  'accel',
  'jetson',
  'nvdriver',
  'cuda',
  'fabric',
  'smt',
  'os',
  'kernel',
  'glibc',
  'instType',
  'instSize',
  'instHT',
];

/** True when detection can find features of this kind. Any other kind is defined by an operator. */
export function isDetectedKind(kind: string): boolean {
  return DETECTED_KINDS.includes(kind);
}

/** Kinds whose values are versions. An image demands a minimum version or a range. */
export const VERSION_KINDS: ReadonlySet<string> = new Set(['cuda', 'nvdriver', 'kernel', 'glibc']);

/** Kinds that only the CPU itself determines. A file that stated otherwise could bring code that does not run. */
const MEASURED_KINDS: ReadonlySet<string> = new Set(['cpu', 'level', 'cpuvendor', 'cpuflag']);

/** The features that follow from facts, except the microarchitecture and its level. */
export function hostFeatures({ os, cpu, gpus, system }: HostFacts): readonly string[] {
  return [
    ...(cpu.vendor === 'generic' ? [] : [`cpuvendor:${cpu.vendor.replaceAll(/\s+/g, '-')}`]),
    ...gpus.flatMap(({ computeCapability }) => feature('nvcap', computeCapability)).sort(newestFirst),
    ...gpus.flatMap(({ gfxTarget }) => feature('gfx', gfxTarget)),
    ...acceleratorFeatures(gpus, system),
    ...driverFeatures(system.nvidiaDriver, system.cuda),
    ...(system.fabrics ?? []).map((fabric) => `fabric:${fabric}`),
    ...feature('smt', onOff(system.smt)),
    `os:${os}`,
    ...feature('kernel', /^\d+(\.\d+){1,2}/.exec(system.kernel ?? '')?.[0]),
    ...feature('glibc', system.glibc),
    ...instanceFeatures(system),
  ];
}

/** The vendors in `gpu:`. Accelerators of other vendors are in `accel:`. */
const GPU_MAKERS: ReadonlySet<string> = new Set(['nvidia', 'amd', 'intel']);

/** `gpu:intel`, `accel:intel-battlemage`, `jetson:jp6`. The general kind of a device (`intel-xpu`) is implied. */
function acceleratorFeatures(gpus: readonly GpuFacts[], system: SystemFacts): readonly string[] {
  const { accelerators = [], graphics = [], jetpack } = system;
  const makers = gpus.map(({ vendor }) => vendor).filter((vendor) => GPU_MAKERS.has(vendor));
  return [
    ...[...new Set([...makers, ...graphics])].map((vendor) => `gpu:${vendor}`),
    ...gpus.flatMap(({ accel }) => feature('accel', accel)),
    ...accelerators.map((value) => `accel:${value}`),
    ...feature('jetson', jetpack),
  ];
}

/** `nvdriver:535.104.05`, and `cuda:` with the highest version that the driver runs. */
export function driverFeatures(driver: string | undefined, cuda?: string): readonly string[] {
  if (driver === undefined) return [];
  return [`nvdriver:${driver}`, ...feature('cuda', cuda ?? greatestCuda(driver))];
}

function instanceFeatures({ instanceType, smt }: SystemFacts): readonly string[] {
  if (instanceType === undefined) return [];
  const { type, size } = parseInstanceType(instanceType);
  return [`instType:${type}`, ...feature('instSize', size), ...feature('instHT', onOff(smt))];
}

/** The operator's own features, normalized. A line that is malformed, or states what is measured, becomes a warning. */
export function claimedFeatures(lines: readonly string[]): {
  readonly features: readonly string[];
  readonly warnings: readonly string[];
} {
  const features: string[] = [];
  const warnings: string[] = [];
  for (const line of lines) {
    const claimed = parseFeature(line);
    if (claimed === undefined) {
      warnings.push(`the local feature ${JSON.stringify(line)} is not key=value: it is left out`);
    } else if (MEASURED_KINDS.has(claimed.kind)) {
      warnings.push(`the local feature ${line} is left out: the CPU was measured; --set overrides it`);
    } else {
      features.push(formatFeature(claimed));
    }
  }
  return { features, warnings };
}

/** Each feature once, sorted by kind; within a kind in the given order. */
export function uniqueFeatures(features: readonly string[]): readonly string[] {
  const ranked = [...new Set(features)].map((text) => {
    const at = DETECTED_KINDS.indexOf(parseFeature(text)?.kind ?? '');
    return { text, rank: at === -1 ? DETECTED_KINDS.length : at };
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ text }) => text);
}

function feature(kind: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [`${kind}:${value}`];
}

function onOff(value: boolean | undefined): string | undefined {
  return value === undefined ? undefined : value ? 'on' : 'off';
}

function newestFirst(a: string, b: string): number {
  return b.localeCompare(a, 'en', { numeric: true });
}
