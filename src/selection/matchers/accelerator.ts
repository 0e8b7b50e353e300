import { generalAccelerator, VULKAN } from '../../host/data/accelerators.ts';
import type { Feature } from '../../host/features.ts';
import { type HostView, MATCH, type MatchResult, mismatch } from '../host-view.ts';
import type { SelectionPolicy } from '../policy.ts';
/** How close code is to a GPU: first by the vendor's order of preference, then by a distance. Smaller is closer. */
export type GpuCloseness = readonly [place: number, distance: number];

/** Negative when `a` is closer. */
export function compareCloseness(a: GpuCloseness, b: GpuCloseness): number {
  return a[0] - b[0] || a[1] - b[1];
}

/**
 * How close code comes to a host with these GPUs; undefined when it does not run. With `gpu: any`, the GPU that it
 * fits best counts. Otherwise it must run on all, and the GPU that it fits worst counts.
 */
export function closenessToAll(
  perGpu: readonly (GpuCloseness | undefined)[],
  { gpu }: SelectionPolicy,
): GpuCloseness | undefined {
  const run = perGpu.filter((found) => found !== undefined).sort(compareCloseness);
  if (gpu === 'any') return run[0];
  return run.length === perGpu.length ? run.at(-1) : undefined;
}

/** The vendors of a host's GPUs: the detected ones and those that the operator added. */
function makersOf(host: HostView): ReadonlySet<string> {
  return new Set([
    ...(host.claims.get('gpu') ?? []),
    ...(host.nvidia.length > 0 ? ['nvidia'] : []),
    ...(host.amd.length > 0 ? ['amd'] : []),
  ]);
}

/** The vendors whose GPUs support each interface. */
const MAKERS_OF_INTERFACE: ReadonlyMap<string, readonly string[]> = new Map([
  ['cuda', ['nvidia']],
  ['rocm', ['amd']],
  ['opencl', ['nvidia', 'amd', 'intel']],
]);

/** `gpu:nvidia`: a GPU of this vendor. `gpu:cuda`: a GPU that supports this interface. */
export function judgeGpu(wanted: string, host: HostView): MatchResult {
  const makers = makersOf(host);
  if (makers.has(wanted) || MAKERS_OF_INTERFACE.get(wanted)?.some((maker) => makers.has(maker))) return MATCH;
  return mismatch(
    makers.size === 0 ? 'this host has no GPU' : `this host's GPU is ${[...makers].join(' and ')}`,
  );
}

/**
 * How close `accel:` code comes: the exact device, or its general kind. Vulkan runs on any device and is not
 * ranked.
 */
export function acceleratorCloseness(wanted: readonly Feature[], host: HostView): GpuCloseness | undefined {
  const claimed = host.claims.get('accel') ?? [];
  const values = wanted.map(({ value }) => value).filter((value) => value !== VULKAN);
  if (values.some((value) => claimed.includes(value))) return [1, 0];
  return values.some((value) => claimed.some((own) => generalAccelerator(own) === value))
    ? [4, 0]
    : undefined;
}

/** Judges `accel:`. A host with `accel:intel-battlemage` also satisfies `accel:intel-xpu`. */
export function judgeAccelerator(wanted: readonly Feature[], host: HostView): MatchResult {
  const claimed = host.claims.get('accel') ?? [];
  const has = new Set(claimed.flatMap((own) => [own, generalAccelerator(own) ?? own]));
  if (wanted.some(({ value }) => has.has(value))) return MATCH;
  if (claimed.length === 0) return mismatch('this host has no such accelerator');
  return mismatch(`this host has ${claimed.map((value) => `accel:${value}`).join(' and ')}`);
}

/** An entry that names only a vendor ranks behind every entry that names the exact GPU. */
export const BY_MAKER: GpuCloseness = [5, 0];
