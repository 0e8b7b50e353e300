import type { Digest } from '../../../oci/digest.ts';
import { formatDemand } from '../../../selection/demands.ts';
import type { Selection, Verdict } from '../../../selection/select.ts';

/** An entry that takes part. */
export interface Contender {
  /** In the index, from 0. */
  readonly position: number;
  readonly digest: Digest;
  /** `cpu:skylake, nvcap:8.0`; empty: it demands nothing. */
  readonly demands: string;
  readonly isWinner: boolean;
}

/** One permutation of the application: what varies beside the entry. */
export interface BenchCase {
  readonly environment: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

/** `best`: the winner and the generic entry; `all`: every entry that this host can run; else positions, from 1. */
export type EntryChoice = 'all' | 'best' | readonly number[];

/** How a sample is read: the wall time, or a number that the program prints. */
export interface Metric {
  /** Its first group is the number; undefined: the container's wall time in seconds. */
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

/** The entries that take part, in the order of the index; only those that this host can run. */
export function contendersOf({ verdicts }: Selection, choice: EntryChoice): readonly Contender[] {
  const able = verdicts
    .filter(({ status }) => status === 'winner' || status === 'eligible')
    .map((verdict) => contenderOf(verdict));
  if (choice === 'all') return able;
  if (choice !== 'best') return able.filter(({ position }) => choice.includes(position + 1));
  const generic = genericOf(able);
  return able.filter((one) => one.isWinner || one === generic);
}

/** The entry that every host of the platform runs: what the others are compared with. */
export function genericOf<T extends { readonly demands: string }>(contenders: readonly T[]): T | undefined {
  return contenders.find(({ demands }) => demands === '');
}

/** Every combination of the values of each variable with each list of arguments. */
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

/** `OMP_NUM_THREADS=4 --size small`; empty for a program that is run as it is. */
export function caseText({ environment, args }: BenchCase): string {
  return [...Object.entries(environment).map(([name, value]) => `${name}=${value}`), ...args].join(' ');
}

/** The order of one round: each round begins one place later, so that drift meets every contender alike. */
export function orderOf<T>(items: readonly T[], round: number): readonly T[] {
  const from = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}

/** The number in what a program printed: that of the last match; undefined when there is none. */
export function metricOf(output: string, pattern: RegExp): number | undefined {
  const matches = [...output.matchAll(new RegExp(pattern.source, `${pattern.flags.replace('g', '')}g`))];
  const value = Number(matches.at(-1)?.[1] ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}

export interface Statistics {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of at least one sample. */
export function statisticsOf(samples: readonly number[]): Statistics {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
  return { median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

/** How many times as fast as the generic entry; undefined where a median is no positive number. */
export function speedFactor(
  median: number,
  generic: number | undefined,
  better: Metric['better'],
): number | undefined {
  if (generic === undefined || !(median > 0) || !(generic > 0)) return undefined;
  return better === 'lower' ? generic / median : median / generic;
}
