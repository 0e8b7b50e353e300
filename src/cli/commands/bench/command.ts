import type { Command } from 'commander';
import { readValue } from '../../../lib/config-source.ts';
import { repeated } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { parseImage } from '../../image-lookup.ts';
import { JsonOption } from '../../json-option.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { LOOKUP_SETTINGS, SERVE_SETTINGS } from '../../settings/table.ts';
import { DurationMs } from '../../settings/values.ts';
import { UserError } from '../../user-error.ts';
import type { BenchFileContent } from './file.ts';
import type { BenchPlan } from './measure.ts';
import { type EntryChoice, type Metric, permutationsOf } from './plan.ts';
import { RUNTIMES } from './runtime.ts';

const BENCH_SETTINGS = { ...LOOKUP_SETTINGS, data: SERVE_SETTINGS.data } as const;

interface BenchFlags {
  readonly runtime?: string;
  readonly rounds?: string;
  readonly warmUp?: string;
  readonly entries?: string;
  readonly metric?: string;
  readonly better?: string;
  readonly env?: readonly string[];
  readonly cpus?: string;
  readonly timeout?: string;
  readonly runtimeArg?: readonly string[];
  readonly file?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
}

const ROUNDS = 5;
const COUNT_MAX = 1_000;
const CASES_MAX = 256;
const TIMEOUT = '10m';

const EXAMPLES = helpText(
  [
    ['metahub bench qnib/bench', 'measure the wall time of every entry that this host can run, in 5 rounds'],
    [
      'metahub bench --entries best app -- --size small',
      'compare the winner with the generic entry; pass arguments to the program',
    ],
    [
      "metahub bench --metric 'GFLOPS: ([0-9.]+)' --better higher --cpus 2-5 app",
      'compare a number that the program prints; run it on four CPUs',
    ],
    ['metahub bench --file bench.yml app', 'measure every permutation in the file'],
  ],
  [
    'bench.yml:',
    '  environment: { OMP_NUM_THREADS: [1, 4] }   # bench runs all combinations',
    '  arguments: [[--size, small], [--size, large]]',
    "  metric: 'GFLOPS: ([0-9.]+)'",
    '  better: higher',
  ].join('\n'),
  'bench pulls and runs the images by digest, as their authors built them: measure only images that you trust. The entries take turns in each round, and each round begins with another entry. With docker and podman, the wall time is the container’s own. With ctr, it includes the set-up of the container.',
  'Exit status: 0 measured, 1 an entry failed or the image could not be fetched, 2 a wrong option.',
);

/** Adds the options and the action of `metahub bench`. */
export function configure(command: Command): void {
  command
    .argument('<image>', 'an image name as in docker pull: alpine, ghcr.io/a/b:v1')
    .argument('[args...]', 'after --: arguments of the program');
  addSettings(command, BENCH_SETTINGS);
  command
    .option('--runtime <name>', `${RUNTIMES.join(', ')}; default: the first that is installed`)
    .option(
      '--entries <which>',
      'all (every entry that this host can run), best (the winner and the generic entry), or numbers: 1,3',
    )
    .option('--rounds <n>', `measured rounds (default: ${ROUNDS})`)
    .option('--warm-up <n>', 'warm-up rounds that do not count (default: 1)')
    .option(
      '--metric <regex>',
      'measure the number that this pattern’s first group matches in the output, instead of the time',
    )
    .option('--better <lower|higher>', 'whether a lower or a higher number is better (default: lower)')
    .option('--env <name=value>', 'a variable of the container; repeatable', repeated)
    .option('--cpus <list>', 'run on these CPUs only: 2-5,7 (docker and podman)')
    .option('--timeout <duration>', `time limit of one run (default: ${TIMEOUT})`)
    .option('--runtime-arg <arg>', 'pass this to the runtime: --runtime-arg=--gpus=all; repeatable', repeated)
    .option('--file <file>', 'permutations: environment × arguments × entries')
    .option('--no-keep', 'do not store the results for metahub explain')
    .addOption(new JsonOption('bench-results'))
    .addHelpText('after', EXAMPLES)
    .action(bench);
}

function wrong(message: string, nextStep?: string): UserError {
  return new UserError(message, { exitStatus: 2, ...(nextStep === undefined ? {} : { nextStep }) });
}

function readCount(written: string | undefined, option: string, min: number, fallback: number): number {
  if (written === undefined) return fallback;
  const count = Number(written);
  if (/^\d+$/.test(written) && count >= min && count <= COUNT_MAX) return count;
  throw wrong(`${option} ${written} is not a number from ${min} to ${COUNT_MAX}`);
}

function readOneOf<T extends string>(
  written: string | undefined,
  option: string,
  words: readonly T[],
): T | undefined {
  if (written === undefined) return undefined;
  const found = words.find((word) => word === written);
  if (found === undefined) throw wrong(`${option} ${written} is not one of ${words.join(', ')}`);
  return found;
}

function readChoice(written: string | undefined): EntryChoice | undefined {
  if (written === undefined || written === 'all' || written === 'best') return written;
  if (/^[1-9]\d{0,5}(,[1-9]\d{0,5})*$/.test(written)) return written.split(',').map(Number);
  throw wrong(
    `--entries ${written} is neither all, best nor a list of numbers`,
    'metahub explain numbers the entries.',
  );
}

function readMetric(pattern: string | undefined, better: Metric['better'] | undefined): Metric {
  if (pattern === undefined) {
    if (better === 'higher') throw wrong('--better higher needs a --metric: for the time, lower is better');
    return { pattern: undefined, better: 'lower' };
  }
  try {
    // The empty alternative always matches, so the match has as many groups as the pattern.
    const groups = (new RegExp(`${pattern}|`).exec('')?.length ?? 1) - 1;
    if (groups > 0) return { pattern: new RegExp(pattern), better: better ?? 'lower' };
  } catch (cause) {
    throw wrong(`--metric ${pattern}: ${(cause as Error).message}`);
  }
  throw wrong(`--metric ${pattern} has no group`, "Put the number in parentheses: 'GFLOPS: ([0-9.]+)'.");
}

function readEnvironment(written: readonly string[]): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    written.map((one) => {
      const at = one.indexOf('=');
      if (at < 1) throw wrong(`--env ${one} is not NAME=VALUE`);
      return [one.slice(0, at), [one.slice(at + 1)]];
    }),
  );
}

function readTimeout(written: string): number {
  const timeoutMs = readValue(DurationMs, written, ['--timeout']);
  if (timeoutMs > 0 && timeoutMs < 2 ** 31) return timeoutMs;
  throw wrong(`--timeout ${written} is not a time limit of a run`);
}

/**
 * Builds the plan. Options replace values of the file; arguments after `--` replace its lists.
 * @throws {UserError} status 2
 */
function planOf(flags: BenchFlags, args: readonly string[], file: BenchFileContent | undefined): BenchPlan {
  const { cpus } = flags;
  if (cpus !== undefined && !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(cpus))
    throw wrong(`--cpus ${cpus} is not a list of CPUs`);
  const environment = { ...file?.environment, ...readEnvironment(flags.env ?? []) };
  const cases = permutationsOf(environment, args.length > 0 ? [args] : (file?.arguments ?? [[]]));
  if (cases.length > CASES_MAX) throw wrong(`${cases.length} permutations are more than ${CASES_MAX}`);
  return {
    runtime: readOneOf(flags.runtime, '--runtime', RUNTIMES),
    choice: readChoice(flags.entries) ?? file?.entries ?? 'all',
    cases,
    metric: readMetric(
      flags.metric ?? file?.metric,
      readOneOf(flags.better, '--better', ['lower', 'higher'] as const) ?? file?.better,
    ),
    rounds: readCount(flags.rounds, '--rounds', 1, file?.rounds ?? ROUNDS),
    warmUps: readCount(flags.warmUp, '--warm-up', 0, 1),
    options: { cpus, runtimeArgs: flags.runtimeArg ?? [], timeoutMs: readTimeout(flags.timeout ?? TIMEOUT) },
  };
}

async function bench(written: string, args: readonly string[], flags: BenchFlags): Promise<void> {
  const image = parseImage(written);
  const file =
    flags.file === undefined ? undefined : await (await import('./file.ts')).readBenchFile(flags.file);
  const plan = planOf(flags, args, file);
  const settings = await loadSettings(BENCH_SETTINGS, { ...flags });
  const { measure, selectionOf } = await import('./measure.ts');
  const { keepResults } = await import('../../benchmark-results.ts');
  const { renderJson, renderText } = await import('./render.ts');
  const subject = await selectionOf(image, settings);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const report = await measure(subject, plan, stop.signal);
    const { data } = settings.values;
    const file = flags.keep === false ? undefined : await keepResults(data, report.results);
    process.stdout.write(flags.json ? renderJson(report) : renderText(report, file));
    if (report.failures.length > 0) process.exitCode = 1;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw new UserError('interrupted: the containers are removed, nothing is stored');
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
