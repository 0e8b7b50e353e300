import { compareVersions, type Version } from '../lib/version.ts';

/** What CUDA code is compiled for: `9.0`, or with a suffix `9.0a` (this GPU alone) and `10.0f` (its family). */
export interface CodeTarget {
  readonly version: Version;
  readonly suffix: string;
}

/**
 * The compute capabilities of Tegra chips (Jetson, DRIVE). Their machine code and that of discrete GPUs do not run
 * on each other, even with the same major version. Source: NVIDIA's list of CUDA GPUs (facts only).
 * @see https://developer.nvidia.com/cuda-gpus
 */
const TEGRA = new Set(['3.2', '5.3', '6.2', '7.2', '8.7', '10.1', '11.0']);

function isTegra(capability: Version): boolean {
  return TEGRA.has(capability.join('.'));
}

/** Parses `9.0`, `90`, `9.0a`, `sm_90` or `compute_90`. */
export function parseCodeTarget(text: string): CodeTarget | undefined {
  const [, major, minor, suffix = ''] = /^(?:sm_|compute_)?(\d+)\.?(\d)([af]?)$/.exec(text) ?? [];
  return major === undefined ? undefined : { version: [Number(major), Number(minor)], suffix };
}

/** True when the GPU has the code's major version, at least its minor one, and both or neither are Tegra. */
function isOfSameLine(code: Version, gpu: Version): boolean {
  return code[0] === gpu[0] && isTegra(code) === isTegra(gpu) && compareVersions(code, gpu) <= 0;
}

/**
 * Whether machine code runs on a GPU.
 * @see https://docs.nvidia.com/cuda/cuda-c-programming-guide/#binary-compatibility
 */
export function machineCodeRunsOn({ version, suffix }: CodeTarget, gpu: Version): boolean {
  return suffix === 'a' ? compareVersions(version, gpu) === 0 : isOfSameLine(version, gpu);
}

/**
 * Whether the driver compiles PTX for a GPU: any PTX of at most its capability, unless the PTX uses what only one
 * GPU or one family has.
 * @see https://docs.nvidia.com/cuda/cuda-c-programming-guide/#ptx-compatibility
 */
export function ptxRunsOn({ version, suffix }: CodeTarget, gpu: Version): boolean {
  if (suffix !== '') return machineCodeRunsOn({ version, suffix }, gpu);
  return compareVersions(version, gpu) <= 0;
}
