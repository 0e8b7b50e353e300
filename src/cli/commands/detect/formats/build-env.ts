import { flagsForHost } from '../../../../host/compiler-flags.ts';
import { parseFeature } from '../../../../host/features.ts';
import type { HostProfile } from '../../../../host/profile.ts';

/** A compiler new enough to know every microarchitecture that has a name in it. */
const GCC = { name: 'gcc', version: '99' } as const;
const CLANG = { name: 'clang', version: '99' } as const;

/** Go's variable for the level of an architecture. @see https://go.dev/wiki/MinimumRequirements#microarchitecture-support */
const GO_LEVELS: ReadonlyMap<string, string> = new Map([
  ['amd64', 'GOAMD64'],
  ['arm64', 'GOARM64'],
  ['ppc64le', 'GOPPC64'],
  ['riscv64', 'GORISCV64'],
]);

function goLevel({ architecture, variant }: HostProfile['platform']): readonly string[] {
  const name = GO_LEVELS.get(architecture);
  if (name === undefined || variant === undefined) return [];
  // Go knows v8.0 to v9.5 of arm64.
  return [`${name}=${architecture === 'arm64' && !variant.includes('.') ? `${variant}.0` : variant}`];
}

function quoted(value: string): string {
  return value.includes(' ') || value.includes(';') ? `"${value}"` : value;
}

/** Variables by which a build is made for this host, for a shell to source. */
export function renderBuildEnv(profile: HostProfile): string {
  const { cpu, platform, features } = profile;
  const values = (kind: string) =>
    features
      .map(parseFeature)
      .filter((feature) => feature?.kind === kind)
      .map((feature) => feature?.value ?? '');
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
    // CMake reads these where CMAKE_CUDA_ARCHITECTURES and CMAKE_HIP_ARCHITECTURES are not set.
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
