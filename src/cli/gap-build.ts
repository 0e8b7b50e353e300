import { flagsForHost } from '../host/compiler-flags.ts';
import { ancestorsOf } from '../host/identify.ts';
import type { Gap } from '../selection/gap-schema.ts';

/** How the image that is missing is built, pushed and listed. */
export interface BuildTarget {
  /** Where it is pushed to: `docker.io/qnib/bench:latest-zen4`. */
  readonly image: string;
  /** The tag of the list that it belongs to. */
  readonly list: string;
  readonly platform: string;
  /** What its entry demands: features, and the variant of the platform. */
  readonly features: readonly string[];
  readonly variant: string | undefined;
  /** For gcc and clang; empty when they know no flag for it. */
  readonly cflags: string;
  /** `90` of capability 9.0, for CMAKE_CUDA_ARCHITECTURES; empty without a GPU. */
  readonly cudaArchitectures: string;
  /** `gfx90a`, for CMAKE_HIP_ARCHITECTURES. */
  readonly hipArchitectures: string;
}

/** gcc's newest, which knows every microarchitecture that has a name in it. */
const GCC = { name: 'gcc' } as const;

function wantedValue(wanted: readonly string[], kind: string): string | undefined {
  return wanted.find((one) => one.startsWith(`${kind}:`))?.slice(kind.length + 1);
}

/** The flags of a level: `-march=x86-64-v3`; of other architectures the compilers have none under that name. */
function flagsOfVariant(platform: string, variant: string): string {
  return platform === 'linux/amd64' ? `-march=x86-64-${variant}` : '';
}

/** A gap as something to build. Names of features become part of the tag: `latest-zen4-nvcap9.0`. */
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
