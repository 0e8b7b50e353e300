import { flagsForHost } from '../../../host/compiler-flags.ts';
import { cudaVersionsOf, parseFeature, valuesOf } from '../../../host/features.ts';
import { archspecName, familyOf } from '../../../host/identify.ts';
import type { HostProfile } from '../../../host/profile.ts';
import { formatVariantProperty, propertiesOfHost } from '../../../host/variant-properties.ts';
import { compareVersions, parseVersion } from '../../../lib/version.ts';
import { NFD_NAMESPACE } from '../../../probe/local-features.ts';
import type { DetectedHost } from '../../detect-host.ts';
import { UserError } from '../../user-error.ts';

/** A compiler that is new enough to have a name for every microarchitecture that any version names. */
const GCC = { name: 'gcc', version: '99' } as const;
const CLANG = { name: 'clang', version: '99' } as const;

/**
 * The variables of Go for the level of an architecture.
 * @see https://go.dev/wiki/MinimumRequirements#microarchitecture-support
 */
const GO_LEVELS: ReadonlyMap<string, string> = new Map([
  ['amd64', 'GOAMD64'],
  ['arm64', 'GOARM64'],
  ['ppc64le', 'GOPPC64'],
  ['riscv64', 'GORISCV64'],
]);

function goLevel({ architecture, variant }: HostProfile['platform']): readonly string[] {
  const name = GO_LEVELS.get(architecture);
  if (name === undefined || variant === undefined) return [];
  // Go's names for arm64 have a minor version: v8.0 to v9.5.
  return [`${name}=${architecture === 'arm64' && !variant.includes('.') ? `${variant}.0` : variant}`];
}

function quoted(value: string): string {
  return value.includes(' ') || value.includes(';') ? `"${value}"` : value;
}

/** Formats shell variables for builds on this host. */
export function renderBuildEnv(profile: HostProfile): string {
  const { cpu, platform, features } = profile;
  const values = (kind: string) => valuesOf(features, kind);
  const flags = flagsForHost(cpu.compatible, GCC)?.flags;
  const target = /-m(?:arch|cpu)=(\S+)/.exec(flagsForHost(cpu.compatible, CLANG)?.flags ?? '')?.[1];
  const cuda = values('nvcap').map((capability) => `${capability.replace('.', '')}-real`);
  const targets = values('gfx').map((one) => one.replace(/:.*/, ''));
  const lines: readonly (readonly [name: string, value: string] | undefined)[] = [
    ['GOARCH', platform.architecture],
    ...goLevel(platform).map((one) => one.split('=') as [string, string]),
    flags === undefined ? undefined : ['CFLAGS', flags],
    flags === undefined ? undefined : ['CXXFLAGS', flags],
    target === undefined ? undefined : ['RUSTFLAGS', `-C target-cpu=${target}`],
    // CMake reads these when CMAKE_CUDA_ARCHITECTURES and CMAKE_HIP_ARCHITECTURES are not set.
    cuda.length === 0 ? undefined : ['CUDAARCHS', cuda.join(';')],
    cuda.length === 0 ? undefined : ['CMAKE_CUDA_ARCHITECTURES', cuda.join(';')],
    cuda.length === 0 ? undefined : ['TORCH_CUDA_ARCH_LIST', values('nvcap').join(';')],
    targets.length === 0 ? undefined : ['HIPARCHS', targets.join(';')],
    targets.length === 0 ? undefined : ['PYTORCH_ROCM_ARCH', targets.join(';')],
  ];
  return lines
    .filter((line) => line !== undefined)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('');
}

/**
 * Formats the variables with which conda, mamba and pixi resolve packages for this host.
 * @see https://conda.org/learn/ceps/cep-0030/
 * @see https://conda.org/learn/ceps/cep-0046/ `__cuda_arch`
 */
export function renderConda(profile: HostProfile): string {
  const values = (kind: string) => valuesOf(profile.features, kind);
  // With several GPUs, the least capable one counts.
  const capabilities = values('nvcap').toSorted((a, b) =>
    compareVersions(parseVersion(a) ?? [], parseVersion(b) ?? []),
  );
  const variables: readonly (readonly [name: string, value: string | undefined])[] = [
    ['ARCHSPEC', archspecName(profile.cpu.microarchitecture)],
    ['CUDA', cudaVersionsOf(profile.features)[0]],
    ['CUDA_ARCH', capabilities[0]],
    ['GLIBC', values('glibc')[0]],
    ['LINUX', profile.platform.os === 'linux' ? values('kernel')[0] : undefined],
  ];
  return variables
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `export CONDA_OVERRIDE_${name}=${value}\n`)
    .join('');
}

/**
 * archspec's names -> the folders that EESSI builds for.
 * Source: software-layer-scripts, eessi_arch_*.spec (facts only).
 */
const TARGETS: ReadonlyMap<string, string> = new Map([
  ['haswell', 'x86_64/intel/haswell'],
  ['skylake_avx512', 'x86_64/intel/skylake_avx512'],
  ['cascadelake', 'x86_64/intel/cascadelake'],
  ['icelake', 'x86_64/intel/icelake'],
  ['sapphirerapids', 'x86_64/intel/sapphirerapids'],
  ['zen2', 'x86_64/amd/zen2'],
  ['zen3', 'x86_64/amd/zen3'],
  ['zen4', 'x86_64/amd/zen4'],
  ['neoverse_n1', 'aarch64/neoverse_n1'],
  ['neoverse_v1', 'aarch64/neoverse_v1'],
  ['neoverse_v2', 'aarch64/nvidia/grace'],
  ['a64fx', 'aarch64/a64fx'],
]);
const GENERIC: ReadonlyMap<string, string> = new Map([
  ['amd64', 'x86_64/generic'],
  ['arm64', 'aarch64/generic'],
  ['riscv64', 'riscv64/generic'],
]);

function acceleratorOf(profile: HostProfile): string | undefined {
  const [capability] = valuesOf(profile.features, 'nvcap');
  if (capability !== undefined) return `accel/nvidia/cc${capability.replace('.', '')}`;
  const [target] = valuesOf(profile.features, 'gfx');
  return target === undefined ? undefined : `accel/amd/${target.replace(/:.*/, '')}`;
}

/**
 * Formats the variables with which EESSI selects its software for this host: the best folder whose code the
 * CPU runs.
 * @throws {UserError} when EESSI has no folder for the host.
 */
export function renderEessi(profile: HostProfile): string {
  const { cpu, platform } = profile;
  const best = cpu.compatible.map((name) => TARGETS.get(name)).find((target) => target !== undefined);
  const folder = best ?? GENERIC.get(platform.architecture);
  if (folder === undefined) throw new UserError(`EESSI has no software for ${platform.architecture}`);
  const accelerator = acceleratorOf(profile);
  return [
    `export EESSI_SOFTWARE_SUBDIR_OVERRIDE=${folder}\n`,
    ...(accelerator === undefined ? [] : [`export EESSI_ACCELERATOR_TARGET_OVERRIDE=${accelerator}\n`]),
  ].join('');
}

/** Kinds of features that a job may request. */
const KINDS: ReadonlySet<string> = new Set(['nvcap', 'gfx', 'gpu', 'accel', 'jetson', 'fabric']);

/**
 * Returns all names that this host satisfies: microarchitectures, levels, accelerators and fabric, with
 * everything they imply.
 */
function namesOf({ cpu, platform, features }: HostProfile): readonly string[] {
  const others = features
    .map(parseFeature)
    .filter((feature) => feature !== undefined && KINDS.has(feature.kind))
    .map((feature) => `${feature?.kind}${feature?.value}`);
  return [...new Set([...cpu.compatible, ...levelsUpTo(platform.variant), ...others])];
}

/**
 * Formats `Feature=` of a NodeName line of slurm.conf, for `sbatch --constraint=zen3`. Replaces characters
 * that `--constraint` reads as operators.
 * @see https://slurm.schedmd.com/slurm.conf.html#OPT_Features
 */
export function renderSlurm(profile: HostProfile): string {
  const names = namesOf(profile).map((name) => name.replaceAll(/[^\w.-]/g, '_'));
  return `Feature=${names.join(',')}\n`;
}

/**
 * Formats the `meta` block of a Nomad client, for constraints on `${meta.metahub_cpu}`.
 * @see https://developer.hashicorp.com/nomad/docs/configuration/client#meta
 */
export function renderNomad(profile: HostProfile): string {
  const best = new Map<string, string[]>();
  for (const text of profile.features) {
    const feature = parseFeature(text);
    if (feature === undefined) continue;
    best.set(feature.kind, [...(best.get(feature.kind) ?? []), feature.value]);
  }
  best.set('runs', [...profile.cpu.compatible]);
  const lines = [...best].map(([kind, values]) => {
    const name = `metahub_${kind.replaceAll(/\W/g, '_')}`;
    return `    ${name} = ${JSON.stringify([...new Set(values)].join(','))}\n`;
  });
  return `client {\n  meta {\n${lines.join('')}  }\n}\n`;
}

/** Distributions whose minor releases Spack does not distinguish. Source: spack's linux_distro.py (facts only). */
const MAJOR_ONLY: ReadonlySet<string> = new Set([
  'centos',
  'almalinux',
  'rocky',
  'rhel',
  'ol',
  'debian',
  'amzn',
  'sles',
]);

function osOf({ osId, osVersion }: DetectedHost['facts']['system']): string | undefined {
  if (osId === undefined) return undefined;
  const version = MAJOR_ONLY.has(osId) ? osVersion?.split('.', 1)[0] : osVersion;
  return `${osId}${version ?? ''}`;
}

/** Formats the constraints of a spec for this host: its architecture, and the variants of its GPUs. */
export function renderSpack({ profile, facts }: DetectedHost): string {
  const { cpu, platform } = profile;
  const values = (kind: string) => valuesOf(profile.features, kind);
  const os = osOf(facts.system);
  const target = archspecName(cpu.microarchitecture) ?? familyOf(cpu.microarchitecture);
  const arch = os === undefined ? `target=${target}` : `arch=${platform.os}-${os}-${target}`;
  const cuda = values('nvcap').map((capability) => capability.replace('.', ''));
  const amd = values('gfx');
  const parts = [
    arch,
    ...(cuda.length === 0 ? [] : [`+cuda cuda_arch=${cuda.join(',')}`]),
    ...(amd.length === 0
      ? []
      : [`+rocm amdgpu_target=${amd.map((one) => one.replace(/:.*/, '')).join(',')}`]),
  ];
  return `${parts.join(' ')}\n`;
}

/** Formats every variant property of Python wheels that this host supports, the best of each feature first. */
export function renderVariants(profile: HostProfile): string {
  return propertiesOfHost(profile)
    .map((property) => `${formatVariantProperty(property)}\n`)
    .join('');
}

/** The form of a Kubernetes label's value, and of its name without the prefix. */
const LABEL = /^(?=.{1,63}$)[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/;

/**
 * Formats the profile as a feature file of node-feature-discovery: `kind=value` for the best of each kind,
 * and `kind.value=true` for everything that the host runs, so that a node selector can name an ancestor.
 * Omits features that are not valid as labels.
 * @see https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/customization-guide.html#local-feature-source
 */
export function renderNfd(profile: HostProfile): string {
  const labels = new Map<string, string>();
  const add = (name: string, value: string): void => {
    if (LABEL.test(name) && LABEL.test(value) && !labels.has(name)) labels.set(name, value);
  };
  for (const text of profile.features) {
    const feature = parseFeature(text);
    if (feature === undefined) continue;
    add(feature.kind, feature.value);
    add(`${feature.kind}.${feature.value}`, 'true');
  }
  for (const name of profile.cpu.compatible) add(`cpu.${name}`, 'true');
  for (const level of levelsUpTo(profile.platform.variant)) add(`level.${level}`, 'true');
  return [...labels].map(([name, value]) => `${NFD_NAMESPACE}${name}=${value}\n`).join('');
}

/** Returns the level of this variant and those below it, the highest first; none for other architectures. */
function levelsUpTo(variant: string | undefined): readonly string[] {
  const greatest = Number(/^v([1-4])$/.exec(variant ?? '')?.[1] ?? 0);
  return Array.from({ length: greatest }, (_, at) => `x86-64-v${greatest - at}`);
}
