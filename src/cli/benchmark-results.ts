import { join } from 'node:path';
import * as v from 'valibot';
import { makeDirectory, replaceFile } from '../lib/atomic-file.ts';
import { whyUnreadable } from '../lib/config-error.ts';
import { readTextFile } from '../lib/regular-file.ts';
import { described } from './document-schema.ts';
import { UserError } from './user-error.ts';

export const BENCHMARK_RESULT = v.object({
  image: described(v.string(), 'the image: docker.io/qnib/bench:latest'),
  entry: described(v.string(), 'the digest of the entry’s manifest'),
  demands: described(v.string(), 'what the entry demands; empty: nothing'),
  permutation: described(v.string(), 'the environment and arguments, in one line'),
  metric: described(v.string(), 'seconds, or the pattern of the number that the program prints'),
  better: described(v.picklist(['lower', 'higher']), 'which number is better'),
  median: described(v.number(), 'the median of the rounds, in seconds or the unit of the program'),
  min: described(v.number(), 'the least number'),
  max: described(v.number(), 'the greatest number'),
  rounds: described(v.number(), 'the number of rounds'),
  timesGeneric: described(
    v.nullable(v.number()),
    'the speed relative to the generic entry; null: there is no generic entry to compare with',
  ),
  cpu: described(v.string(), 'the microarchitecture of the host that ran it'),
  measuredAt: described(v.string(), 'when it was measured: RFC 3339, in UTC'),
});

/** One entry under one permutation, measured on one host. */
export type BenchmarkResult = Readonly<v.InferOutput<typeof BENCHMARK_RESULT>>;

const File = v.object({ version: v.literal(1), results: v.array(BENCHMARK_RESULT) });

/** Maximum number of results. Older ones are dropped. */
const RESULTS_MAX = 2_000;

function fileIn(data: string): string {
  return join(data, 'benchmarks.json');
}

/**
 * Reads the results that were measured on this machine; none when the file is missing.
 * @throws {UserError} when the file is unreadable, or does not contain results
 */
export async function readResults(data: string): Promise<readonly BenchmarkResult[]> {
  const path = fileIn(data);
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new UserError(`${path}: ${whyUnreadable(cause)}`, { cause });
  }
  try {
    return v.parse(File, JSON.parse(text)).results;
  } catch (cause) {
    throw new UserError(`${path} does not hold the results of metahub bench`, {
      cause,
      nextStep: 'Move it away; the next run of metahub bench writes a new one.',
      exitStatus: 2,
    });
  }
}

function keyOf({ image, entry, permutation, metric, cpu }: BenchmarkResult): string {
  return JSON.stringify([image, entry, permutation, metric, cpu]);
}

/**
 * Adds results. A result replaces an older one of the same entry, permutation and metric. Resolves to the
 * file's path.
 */
export async function keepResults(data: string, added: readonly BenchmarkResult[]): Promise<string> {
  const kept = new Map((await readResults(data)).map((one) => [keyOf(one), one]));
  for (const one of added) {
    kept.delete(keyOf(one));
    kept.set(keyOf(one), one);
  }
  await makeDirectory(data, 0o755);
  const results = [...kept.values()].slice(-RESULTS_MAX);
  const path = fileIn(data);
  await replaceFile(path, Buffer.from(`${JSON.stringify({ version: 1, results })}\n`), { mode: 0o644 });
  return path;
}
