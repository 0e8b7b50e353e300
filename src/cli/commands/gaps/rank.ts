import type { Gap } from '../../../selection/gap-schema.ts';
import type { BenchmarkResult } from '../../benchmark-results.ts';

/** A gap, and the benefit of a build for it. */
export interface RankedGap extends Omit<Gap, 'hosts'> {
  /** Number of kinds of hosts that pulled the image. */
  readonly hosts: number;
  /**
   * The measured speed, relative to the generic entry, of a build for the same hardware in the same
   * repository.
   */
  readonly timesGeneric: number | null;
}

/** `docker.io/qnib/bench:latest` without its tag. */
function repositoryOf(image: string): string {
  return image.slice(0, image.lastIndexOf(':'));
}

function measured({ image, wanted }: Gap, results: readonly BenchmarkResult[]): number | null {
  const demands = wanted.join(', ');
  const same = results.filter(
    (result) => repositoryOf(result.image) === repositoryOf(image) && result.demands === demands,
  );
  return same.at(-1)?.timesGeneric ?? null;
}

/** Sorts the missing builds, the most wanted first: by pulls times kinds of hosts. */
export function rankGaps(
  gaps: readonly Gap[],
  results: readonly BenchmarkResult[],
  { image, all }: { readonly image: string | undefined; readonly all: boolean },
): readonly RankedGap[] {
  return gaps
    .filter((gap) => (image === undefined ? all || gap.isMarked : gap.image === image))
    .map((gap): RankedGap => ({ ...gap, hosts: gap.hosts.length, timesGeneric: measured(gap, results) }))
    .toSorted((a, b) => b.pulls * b.hosts - a.pulls * a.hosts || a.image.localeCompare(b.image));
}
