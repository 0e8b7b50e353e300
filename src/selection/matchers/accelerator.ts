import type { SelectionPolicy } from '../policy.ts';

/** How close code is to a GPU: its place in the vendor's order of preference, then a distance; both smaller for the closer. */
export type GpuCloseness = readonly [place: number, distance: number];

/** Below zero: `a` is closer. */
export function compareCloseness(a: GpuCloseness, b: GpuCloseness): number {
  return a[0] - b[0] || a[1] - b[1];
}

/**
 * How close code comes to a host with these GPUs, undefined where it does not run: with `gpu: any` as close as to the one
 * that it suits best; else as to the one that it suits least, and it must run on all.
 */
export function closenessToAll(
  perGpu: readonly (GpuCloseness | undefined)[],
  { gpu }: SelectionPolicy,
): GpuCloseness | undefined {
  const run = perGpu.filter((found) => found !== undefined).sort(compareCloseness);
  if (gpu === 'any') return run[0];
  return run.length === perGpu.length ? run.at(-1) : undefined;
}
