import { compareVersions, parseVersion } from '../lib/version.ts';
import { type Feature, formatFeature, parseFeature } from './features.ts';
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

const PROPERTY = /^([a-z0-9_]+)\s*::\s*([a-z0-9_]+)\s*::\s*([a-z0-9_.]+)$/;

/** Reads `x86_64 :: level :: v3`; nothing for any other text. */
export function parseVariantProperty(text: string): VariantProperty | undefined {
  const [, namespace, feature, value] = PROPERTY.exec(text.trim()) ?? [];
  if (namespace === undefined || feature === undefined || value === undefined) return undefined;
  return { namespace, feature, value };
}

export function formatVariantProperty({ namespace, feature, value }: VariantProperty): string {
  return `${namespace} :: ${feature} :: ${value}`;
}

/** archspec's name of a flag -> the kernel's, where they differ. */
const KERNEL_FLAG: ReadonlyMap<string, string> = new Map([['sse3', 'pni']]);

function ofNvidia(feature: string, value: string): Feature | undefined {
  // CMake's: 90_real is machine code, 90_virtual is PTX, 90a_real is for that very part.
  const [, major, minor, suffix = '', form] = /^(\d+)(\d)([af]?)_(real|virtual)$/.exec(value) ?? [];
  if (feature !== 'sm_arch' || major === undefined) return undefined;
  return { kind: form === 'real' ? 'nvcap' : 'nvptx', value: `${major}.${minor}${suffix}` };
}

/** What a property demands, as a feature; nothing for a namespace, feature or value that is not known. */
export function featureOfProperty({ namespace, feature, value }: VariantProperty): Feature | undefined {
  switch (namespace) {
    case 'x86_64':
      if (feature === 'level') return /^v[1-4]$/.test(value) ? parseFeature(`x86-64-${value}`) : undefined;
      return value === 'on' ? { kind: 'cpuflag', value: KERNEL_FLAG.get(feature) ?? feature } : undefined;
    case 'aarch64':
      if (feature === 'version') {
        const version = /^(\d+(?:\.\d+)?)a$/.exec(value)?.[1];
        return version === undefined ? undefined : parseFeature(`arm64-v${version}`);
      }
      return value === 'on' ? { kind: 'cpuflag', value: feature } : undefined;
    case 'nvidia':
      return ofNvidia(feature, value);
    default:
      return undefined;
  }
}

/** The flags that the x86_64 provider has properties for, in its order of preference. Source: wheelnext/provider-variant-x86-64. */
const X86_FLAGS =
  'avx_vnni cppc ibrs_enhanced tsc_adjust flush_l1d movdir64b movdiri avx512_bf16 avx512_bitalg avx512_vbmi2 avx512_vnni avx512_vp2intersect avx512_vpopcntdq avx512ifma avx512vbmi rdpid sha_ni vaes vpclmulqdq clwb clzero avx512bw avx512cd avx512dq avx512f avx512vl clflushopt gfni rdseed xsavec xsaveopt adx avx2 avx bmi2 bmi1 abm f16c fma movbe xsave rdrand aes pclmulqdq sse4a fsgsbase sse4_2 sse4_1 ssse3 sse3 cx16 lahf_lm popcnt sse2 sse mmx'.split(
    ' ',
  );

function ofX86({ cpu, platform }: HostProfile): readonly VariantProperty[] {
  const namespace = 'x86_64';
  const greatest = Number(/^v([1-4])$/.exec(platform.variant ?? '')?.[1] ?? 1);
  const levels = Array.from({ length: greatest }, (_, at) => ({
    namespace,
    feature: 'level',
    value: `v${greatest - at}`,
  }));
  const flags = new Set(cpu.flags);
  const has = (name: string) => flags.has(name) || flags.has(KERNEL_FLAG.get(name) ?? name);
  return [...levels, ...X86_FLAGS.filter(has).map((feature) => ({ namespace, feature, value: 'on' }))];
}

function ofArm({ cpu, features }: HostProfile): readonly VariantProperty[] {
  const namespace = 'aarch64';
  const level =
    features.map(parseFeature).find((feature) => feature?.kind === 'level')?.value ?? 'arm64-v8.0';
  const [major = 8, minor = 0] = level.slice('arm64-v'.length).split('.').map(Number);
  // Armv9.N holds Armv8.(N+5).
  const nines = major === 9 ? Array.from({ length: minor + 1 }, (_, at) => `9.${minor - at}`) : [];
  const ofEight = major === 9 ? minor + 5 : minor;
  const eights = Array.from({ length: ofEight + 1 }, (_, at) => `8.${ofEight - at}`);
  const versions = [...nines, ...eights].map((version) => ({
    namespace,
    feature: 'version',
    value: `${version}a`,
  }));
  return [
    ...versions,
    ...cpu.flags
      .filter((flag) => /^[a-z0-9_]+$/.test(flag))
      .map((feature) => ({ namespace, feature, value: 'on' })),
  ];
}

/** The CUDA that the driver runs bounds from below; machine code of the GPU's own major, and PTX of anything before. */
function ofCuda({ features }: HostProfile): readonly VariantProperty[] {
  const namespace = 'nvidia';
  const values = (kind: string) =>
    features
      .map(parseFeature)
      .filter((feature) => feature?.kind === kind)
      .map((feature) => feature?.value ?? '');
  const [cuda] = values('cuda');
  const [major = 0, minor = 0] = cuda?.split('.').map(Number) ?? [];
  const bounds = Array.from({ length: minor + 1 }, (_, at) => `${major}.${minor - at}`);
  const arches = values('nvcap').flatMap((capability) => {
    const [gpu = 0, step = 0] = capability.split('.').map(Number);
    const names = Array.from({ length: step + 1 }, (_, at) => `${gpu}${step - at}`);
    return [...names.map((name) => `${name}_real`), ...names.map((name) => `${name}_virtual`)];
  });
  return [
    ...(cuda === undefined
      ? []
      : bounds.map((value) => ({ namespace, feature: 'cuda_version_lower_bound', value }))),
    ...(cuda === undefined
      ? []
      : [{ namespace, feature: 'cuda_version_upper_bound', value: String(major + 1) }]),
    ...[...new Set(arches)].map((value) => ({ namespace, feature: 'sm_arch', value })),
  ];
}

/** The properties that a host supports, as the providers list them: by feature, the best value first. */
export function propertiesOfHost(profile: HostProfile): readonly VariantProperty[] {
  const { architecture } = profile.platform;
  const cpu = architecture === 'amd64' ? ofX86(profile) : architecture === 'arm64' ? ofArm(profile) : [];
  return [...ofCuda(profile), ...cpu];
}

const BOUND = /^cuda_version_(lower|upper)_bound$/;

/** Both bounds of CUDA have to hold, and of several of one kind any: one range says so. */
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

/** Writes properties in a list of features as features; a property that is not known stays, so that no host satisfies it. */
export function replaceProperties(text: string): string {
  const bounds: VariantProperty[] = [];
  const replaced = text.replaceAll(/[a-z0-9_]+\s*::\s*[a-z0-9_]+\s*::\s*[a-z0-9_.]+/g, (written) => {
    const property = parseVariantProperty(written);
    if (property?.namespace === 'nvidia' && BOUND.test(property.feature)) {
      bounds.push(property);
      return '';
    }
    const feature = property && featureOfProperty(property);
    return feature === undefined ? written.replaceAll(/\s+/g, '') : formatFeature(feature);
  });
  return [replaced, ...cudaRange(bounds)].join(' ');
}
