import { printable, tableText, timesText } from '../../../lib/text.ts';
import { formatPlatform } from '../../../oci/manifest.ts';
import type { BenchmarkResult } from '../../benchmark-results.ts';
import { documentText } from '../../output.ts';
import type { BenchFailure, BenchReport } from './measure.ts';
import { type Contender, caseText } from './plan.ts';

function figure(value: number, metric: string): string {
  const text = value.toPrecision(4).replace(/e\+?/, 'e');
  return metric === 'seconds' ? `${text} s` : text;
}

function rowOf(
  { position, demands, isWinner }: Contender,
  result: BenchmarkResult | undefined,
): readonly string[] {
  const head = [`${isWinner ? '>' : ' '} ${position + 1}`, printable(demands) || 'nothing'];
  if (result === undefined) return [...head, 'failed', '', ''];
  const { median, min, max, metric, timesGeneric } = result;
  const spread = `${figure(min, metric)} to ${figure(max, metric)}`;
  return [...head, figure(median, metric), spread, timesGeneric === null ? '-' : timesText(timesGeneric)];
}

/** Returns a line for each entry and reason, with the permutations that failed unless all of them did. */
function failureLines(failures: readonly BenchFailure[], cases: number): readonly string[] {
  const lines = new Map<string, string[]>();
  for (const { contender, permutation, why } of failures) {
    const line = `entry ${contender.position + 1} failed: ${printable(why)}`;
    lines.set(line, [...(lines.get(line) ?? []), permutation]);
  }
  return [...lines].map(([line, permutations]) =>
    permutations.length === cases ? `${line}\n` : `${line} (${printable(permutations.join('; '))})\n`,
  );
}

/** Formats the results for people: a table for each permutation. `file` is where the results are stored. */
export function renderText(report: BenchReport, file: string | undefined): string {
  const { name, profile, plan, runtime, contenders, results, failures } = report;
  const { metric, rounds, warmUps, options } = plan;
  const what =
    metric.pattern === undefined ? 'wall time' : `${metric.pattern.source}, ${metric.better} is better`;
  const pinned = options.cpus === undefined ? '' : `, on CPUs ${options.cpus}`;
  const head = [
    printable(name),
    `${what}; ${rounds} rounds after ${warmUps} to warm up, with ${runtime}${pinned}`,
    `on this host: ${formatPlatform(profile.platform)}, cpu:${profile.cpu.microarchitecture}`,
  ];
  const tables = plan.cases.map((one) => {
    const permutation = caseText(one);
    const of = (contender: Contender) =>
      results.find((result) => result.entry === contender.digest && result.permutation === permutation);
    const rows = contenders.map((contender) => rowOf(contender, of(contender)));
    const title = permutation === '' ? '' : `${printable(permutation)}\n`;
    return `\n${title}${tableText([['  #', 'DEMANDS', 'MEDIAN', 'SPREAD', 'SPEED'], ...rows])}`;
  });
  const failed = failureLines(failures, plan.cases.length);
  const isCompared = results.some(({ timesGeneric }) => timesGeneric !== null);
  const notes = [
    isCompared
      ? 'SPEED: relative to the entry that demands no hardware\n'
      : 'SPEED: unknown, because no measured entry is without demands\n',
    ...(file === undefined || results.length === 0
      ? []
      : [`the results are stored in ${file}; metahub explain shows them\n`]),
  ];
  return `${head.join('\n')}\n${tables.join('')}\n${[...failed, ...notes].join('')}`;
}

/** Formats the results for programs. */
export function renderJson({
  name,
  profile,
  plan,
  runtime,
  contenders,
  results,
  failures,
}: BenchReport): string {
  return documentText<'bench-results'>({
    image: name,
    platform: profile.platform,
    features: profile.features,
    runtime,
    rounds: plan.rounds,
    warmUps: plan.warmUps,
    cpus: plan.options.cpus ?? null,
    entries: contenders.map(({ position, digest, demands, isWinner }) => ({
      position,
      digest,
      demands,
      isWinner,
    })),
    results,
    failures: failures.map(({ contender, permutation, why }) => ({
      entry: contender.digest,
      permutation,
      why,
    })),
  });
}
