import { compareVersions, parseVersion, type Version } from '../lib/version.ts';
import { type CodeTarget, machineCodeRunsOn, ptxRunsOn } from './compute-capability.ts';
import { cudaVersionsOf, type Feature, formatFeature, parseFeature, valuesOf } from './features.ts';
import type { HostProfile } from './profile.ts';

/**
 * A property of a wheel variant: `nvidia :: cuda_version_lower_bound :: 12.6`.
 * @see https://peps.python.org/pep-0825/
 */
export interface VariantProperty {
  readonly namespace: string;
  readonly feature: string;
  readonly value: string;
}

export function formatVariantProperty({ namespace, feature, value }: VariantProperty): string {
  return `${namespace} :: ${feature} :: ${value}`;
}

/** The kernel's names of flags, by archspec's, where they differ. */
const KERNEL_FLAG: ReadonlyMap<string, string> = new Map([['sse3', 'pni']]);

function ofNvidia(feature: string, value: string): Feature | undefined {
  // CMake's notation: 90_real is machine code, 90_virtual is PTX, 90a_real is for exactly this GPU.
  const parts = /^(\d+)(\d[af]?)_(real|virtual)$/.exec(value);
  if (feature !== 'sm_arch' || parts === null) return undefined;
  const [, major, minor, form] = parts;
  return { kind: form === 'real' ? 'nvcap' : 'nvptx', value: `${major}.${minor}` };
}

/** The feature that a property demands. Undefined for an unknown namespace, feature or value. */
function featureOfProperty({ namespace, feature, value }: VariantProperty): Feature | undefined {
  switch (namespace) {
    case 'x86_64':
      if (feature === 'level') return parseFeature(`x86-64-${value}`);
      return value === 'on' ? { kind: 'cpuflag', value: KERNEL_FLAG.get(feature) ?? feature } : undefined;
    case 'aarch64':
      if (feature === 'version') {
        return value.endsWith('a') ? parseFeature(`arm64-v${value.slice(0, -1)}`) : undefined;
      }
      return value === 'on' ? { kind: 'cpuflag', value: feature } : undefined;
    case 'nvidia':
      return ofNvidia(feature, value);
    default:
      return undefined;
  }
}

/**
 * The flags that the x86_64 provider has properties for, in its order of preference. Source:
 * wheelnext/provider-variant-x86-64.
 */
const X86_FLAGS =
  'avx_vnni cppc ibrs_enhanced tsc_adjust flush_l1d movdir64b movdiri avx512_bf16 avx512_bitalg avx512_vbmi2 avx512_vnni avx512_vp2intersect avx512_vpopcntdq avx512ifma avx512vbmi rdpid sha_ni vaes vpclmulqdq clwb clzero avx512bw avx512cd avx512dq avx512f avx512vl clflushopt gfni rdseed xsavec xsaveopt adx avx2 avx bmi2 bmi1 abm f16c fma movbe xsave rdrand aes pclmulqdq sse4a fsgsbase sse4_2 sse4_1 ssse3 sse3 cx16 lahf_lm popcnt sse2 sse mmx'.split(
    ' ',
  );

const X86_LEVELS = ['v4', 'v3', 'v2', 'v1'];

function ofX86({ cpu, platform }: HostProfile): readonly VariantProperty[] {
  const namespace = 'x86_64';
  // Without a level, indexOf returns -1, and slice(-1) keeps the last one, v1.
  const own = X86_LEVELS.indexOf(String(platform.variant));
  const levels = X86_LEVELS.slice(own).map((value) => ({ namespace, feature: 'level', value }));
  const flags = new Set(cpu.flags);
  const has = (name: string) => flags.has(name) || flags.has(KERNEL_FLAG.get(name) ?? name);
  return [...levels, ...X86_FLAGS.filter(has).map((feature) => ({ namespace, feature, value: 'on' }))];
}

/** A value of a version feature, and the version that it stands for: `12` stands for 12.0. */
interface VersionValue {
  readonly value: string;
  readonly version: Version;
}

/** All versions of a major version from `minor` down: `2.1`, `2.0` for major 2, minor 1. */
function downFrom(major: number, minor: number): readonly VersionValue[] {
  return Array.from({ length: minor + 1 }, (_, at) => ({
    value: `${major}.${minor - at}`,
    version: [major, minor - at],
  }));
}

function ofArm(profile: HostProfile): readonly VariantProperty[] {
  const namespace = 'aarch64';
  const [level = 'arm64-v8.0'] = valuesOf(profile.features, 'level');
  const [major = 8, minor = 0] = level.slice('arm64-v'.length).split('.').map(Number);
  // Armv9.N includes Armv8.(N+5).
  const held = major === 9 ? [...downFrom(9, minor), ...downFrom(8, minor + 5)] : downFrom(8, minor);
  return [
    ...held.map(({ value }) => ({ namespace, feature: 'version', value: `${value}a` })),
    ...profile.cpu.flags
      .filter((flag) => /^[a-z0-9_]+$/.test(flag))
      .map((feature) => ({ namespace, feature, value: 'on' })),
  ];
}

/** The versions of CUDA that NVIDIA's provider knows. Source: wheelnext/nvidia-variant-provider. */
function cudaVersions(): readonly VersionValue[] {
  return [15, 14, 13, 12, 11].flatMap((major) => [
    ...downFrom(major, 20),
    { value: String(major), version: [major] },
  ]);
}

/** The compute capabilities that it knows. */
function codeTargets(): readonly (CodeTarget & { readonly name: string })[] {
  return [12, 11, 10, 9, 8, 7, 6, 5].flatMap((major) =>
    downFrom(major, 9).map(({ value, version }) => ({ name: value.replace('.', ''), version, suffix: '' })),
  );
}

/** The bounds of CUDA that the driver meets, and the machine code and PTX that run on one of the GPUs. */
function ofCuda(profile: HostProfile): readonly VariantProperty[] {
  const [cuda] = cudaVersionsOf(profile.features).map(parseVersion);
  const bounds = (name: string, isMet: (order: number) => boolean) =>
    cudaVersions()
      .filter(({ version }) => cuda !== undefined && isMet(compareVersions(version, cuda)))
      .map(({ value }) => ({ namespace: 'nvidia', feature: `cuda_version_${name}_bound`, value }));
  const gpus = valuesOf(profile.features, 'nvcap')
    .map(parseVersion)
    .filter((capability) => capability !== undefined);
  const code = (form: string, runsOn: (target: CodeTarget, gpu: Version) => boolean) =>
    codeTargets()
      .filter((target) => gpus.some((gpu) => runsOn(target, gpu)))
      .map(({ name }) => ({
        namespace: 'nvidia',
        feature: 'sm_arch',
        value: `${name}_${form}`,
      }));
  return [
    ...bounds('lower', (order) => order <= 0),
    ...bounds('upper', (order) => order > 0),
    ...code('real', machineCodeRunsOn),
    ...code('virtual', ptxRunsOn),
  ];
}

/** The properties that a host supports, in the providers' form: for each feature, the best value first. */
export function propertiesOfHost(profile: HostProfile): readonly VariantProperty[] {
  const { architecture } = profile.platform;
  const cpu = architecture === 'amd64' ? ofX86(profile) : architecture === 'arm64' ? ofArm(profile) : [];
  return [...ofCuda(profile), ...cpu];
}

const BOUND = /^cuda_version_(lower|upper)_bound$/;

/**
 * Combines the bounds of CUDA into one range, because both must hold, while properties of one kind are
 * alternatives.
 */
function cudaRange(bounds: readonly VariantProperty[]): readonly string[] {
  const sorted = (name: string) =>
    bounds
      .filter(({ feature }) => feature === `cuda_version_${name}_bound`)
      .map(({ value }) => value)
      .sort((a, b) => compareVersions(parseVersion(a) ?? [], parseVersion(b) ?? []));
  const [least, most] = [sorted('lower')[0], sorted('upper').at(-1)];
  const range = [...(least === undefined ? [] : [`>=${least}`]), ...(most === undefined ? [] : [`<${most}`])];
  return range.length === 0 ? [] : [`cuda:${range.join(',')}`];
}

/**
 * A property in a text of a publisher. It is looked for where a word begins only: from every character of a word of
 * 60,000, which fits into a small index, the search would take half a minute.
 */
const WRITTEN = /(?<![a-z0-9_])([a-z0-9_]+)\s*::\s*([a-z0-9_]+)\s*::\s*([a-z0-9_.]+)/g;

/** Replaces properties in a list of features. An unknown property stays, so that no host satisfies it. */
export function replaceProperties(text: string): string {
  const bounds: VariantProperty[] = [];
  const replaced = text.replaceAll(
    WRITTEN,
    (written: string, namespace: string, feature: string, value: string) => {
      if (namespace === 'nvidia' && BOUND.test(feature)) {
        bounds.push({ namespace, feature, value });
        return '';
      }
      const found = featureOfProperty({ namespace, feature, value });
      return found === undefined ? written.replaceAll(/\s+/g, '') : formatFeature(found);
    },
  );
  return [replaced, ...cudaRange(bounds)].join(' ');
}
