import type { Digest } from '../../../oci/digest.ts';
import { formatDemand } from '../../../selection/demands.ts';
import type { Selection, Verdict } from '../../../selection/select.ts';

/** A measured entry. */
export interface Contender {
  /** Position in the index, from 0. */
  readonly position: number;
  readonly digest: Digest;
  /** `cpu:skylake, nvcap:8.0`; empty: it demands nothing. */
  readonly demands: string;
  readonly isWinner: boolean;
}

/** One permutation of the application: everything that varies besides the entry. */
export interface BenchCase {
  readonly environment: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

/** `best`: the winner and the generic entry. `all`: every entry that this host can run. Else positions, from 1. */
export type EntryChoice = 'all' | 'best' | readonly number[];

/** How to read a sample: the wall time, or a number that the program prints. */
export interface Metric {
  /** Its first group captures the number. Undefined: the metric is the container's wall time in seconds. */
  readonly pattern: RegExp | undefined;
  readonly better: 'lower' | 'higher';
}

function contenderOf({ entry, position, requirements, status }: Verdict): Contender {
  return {
    position,
    digest: entry.digest,
    demands: requirements.map(formatDemand).join(', '),
    isWinner: status === 'winner',
  };
}

/** Returns the entries to measure, in the order of the index. Omits entries that this host cannot run. */
export function contendersOf({ verdicts }: Selection, choice: EntryChoice): readonly Contender[] {
  const able = verdicts
    .filter(({ status }) => status === 'winner' || status === 'eligible')
    .map((verdict) => contenderOf(verdict));
  if (choice === 'all') return able;
  if (choice !== 'best') return able.filter(({ position }) => choice.includes(position + 1));
  const generic = genericOf(able);
  return able.filter((one) => one.isWinner || one === generic);
}

/** Returns the entry that every host of the platform can run. The others are compared with it. */
export function genericOf<T extends { readonly demands: string }>(contenders: readonly T[]): T | undefined {
  return contenders.find(({ demands }) => demands === '');
}

/** Returns every combination of the variables' values with each list of arguments. */
export function permutationsOf(
  environment: Readonly<Record<string, readonly string[]>>,
  args: readonly (readonly string[])[],
): readonly BenchCase[] {
  let environments: readonly Readonly<Record<string, string>>[] = [{}];
  for (const [name, values] of Object.entries(environment)) {
    environments = environments.flatMap((one) => values.map((value) => ({ ...one, [name]: value })));
  }
  return environments.flatMap((one) => args.map((list) => ({ environment: one, args: list })));
}

/** Formats a permutation: `OMP_NUM_THREADS=4 --size small`; empty when it has neither variables nor arguments. */
export function caseText({ environment, args }: BenchCase): string {
  return [...Object.entries(environment).map(([name, value]) => `${name}=${value}`), ...args].join(' ');
}

/**
 * Returns the order of one round. Each round begins one place later, so that drift affects all entries
 * equally.
 */
export function orderOf<T>(items: readonly T[], round: number): readonly T[] {
  const from = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}

/** Returns the number of the last match in the output; undefined when nothing matches. */
export function metricOf(output: string, pattern: RegExp): number | undefined {
  const matches = [...output.matchAll(new RegExp(pattern.source, `${pattern.flags.replace('g', '')}g`))];
  const value = Number(matches.at(-1)?.[1] ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}

/**
 * Minimum duration of a run, in seconds. Runtimes record a container's start some milliseconds late, so the
 * duration of a shorter run says nothing, and can even be negative.
 */
const SECONDS_MIN = 0.01;

/** The value of a run, or why it has none. */
export type Sample =
  | { readonly kind: 'measured'; readonly value: number }
  | { readonly kind: 'unusable'; readonly why: string };

/** Returns the sample of one run: its wall time, or the number that it printed. */
export function sampleOf(
  { seconds, output }: { readonly seconds: number; readonly output: string },
  { pattern }: Metric,
): Sample {
  if (pattern === undefined) {
    if (seconds >= SECONDS_MIN) return { kind: 'measured', value: seconds };
    const why = `it ends within ${SECONDS_MIN * 1000} ms, too soon to measure: give the program more work with -- ARGS`;
    return { kind: 'unusable', why };
  }
  const value = metricOf(output, pattern);
  if (value !== undefined) return { kind: 'measured', value };
  return { kind: 'unusable', why: `the output has no number that matches ${pattern.source}` };
}

export interface Statistics {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Computes the statistics of one sample or more. */
export function statisticsOf(samples: readonly number[]): Statistics {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
  return { median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

/** Returns the speed relative to the generic entry; undefined when a median is not a positive number. */
export function speedFactor(
  median: number,
  generic: number | undefined,
  better: Metric['better'],
): number | undefined {
  if (generic === undefined || !(median > 0) || !(generic > 0)) return undefined;
  return better === 'lower' ? generic / median : median / generic;
}
