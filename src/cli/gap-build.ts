import { flagsForHost } from '../host/compiler-flags.ts';
import { ancestorsOf } from '../host/identify.ts';
import type { Gap } from '../selection/gap-schema.ts';

/** How to build, push and list the missing image. */
export interface BuildTarget {
  /** The image to push: `docker.io/qnib/bench:latest-zen4`. */
  readonly image: string;
  /** The tag of the list to which it belongs. */
  readonly list: string;
  readonly platform: string;
  /** The demands of its entry: features, and the variant of the platform. */
  readonly features: readonly string[];
  readonly variant: string | undefined;
  /** Flags for gcc and clang; empty when they have no flag for it. */
  readonly cflags: string;
  /** For CMAKE_CUDA_ARCHITECTURES: `90` for capability 9.0; empty without a GPU. */
  readonly cudaArchitectures: string;
  /** For CMAKE_HIP_ARCHITECTURES: `gfx90a`. */
  readonly hipArchitectures: string;
}

/** Without a version: the newest gcc, which knows the most microarchitectures. */
const GCC = { name: 'gcc' } as const;

function wantedValue(wanted: readonly string[], kind: string): string | undefined {
  return wanted.find((one) => one.startsWith(`${kind}:`))?.slice(kind.length + 1);
}

/** Returns the flag of a level: `-march=x86-64-v3`. For other architectures, compilers have no such flag. */
function flagsOfVariant(platform: string, variant: string): string {
  return platform === 'linux/amd64' ? `-march=x86-64-${variant}` : '';
}

/** Returns what to build for a gap. Names of features become part of the tag: `latest-zen4-nvcap9.0`. */
export function buildTargetOf({
  image,
  platform,
  wanted,
}: Pick<Gap, 'image' | 'platform' | 'wanted'>): BuildTarget {
  const cpu = wantedValue(wanted, 'cpu');
  const variant = wantedValue(wanted, 'variant');
  const capability = wantedValue(wanted, 'nvcap');
  const target = wantedValue(wanted, 'gfx');
  const suffix = [cpu, variant, capability && `nvcap${capability}`, target].filter(Boolean).join('-');
  const ofVariant = variant === undefined ? '' : flagsOfVariant(platform, variant);
  const cflags = cpu === undefined ? ofVariant : (flagsForHost([cpu, ...ancestorsOf(cpu)], GCC)?.flags ?? '');
  return {
    image: `${image}-${suffix}`,
    list: image,
    platform,
    features: wanted.filter((one) => !one.startsWith('variant:')),
    variant,
    cflags,
    cudaArchitectures: capability?.replace('.', '') ?? '',
    hipArchitectures: target ?? '',
  };
}
