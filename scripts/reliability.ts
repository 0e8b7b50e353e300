import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type FaultResults,
  type FaultState,
  identify,
  readFaultResults,
  resultsOf,
  writeFaultResults,
} from './fault-results.ts';
import { collectFaultTests, type FaultTest } from './fault-tests.ts';
import { FAULT_GROUPS, type Fault } from './faults.ts';
import { wilsonInterval } from './mutation-sample.mjs';

// `npm run reliability` writes docs/reliability.md from the results of the faults' tests. It runs the files
// with tests that no run has reported as passed; `npm run reliability -- --all` runs all files.

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const INTRODUCTION = `# Reliability

<!-- Written by \`npm run reliability\` from the results of the tests. -->

What MetaHub promises whatever goes wrong: **never a wrong byte, never a lost pull that could have been served, never a
credential to the wrong host.**

A digest is immutable: once its content is stored, MetaHub never requests it again. When a tag cannot be looked up, MetaHub serves
its last known state, with a \`Warning\` header and a line in the log. When nothing is stored, the client gets an error at once, so
that it can ask the registry itself.

Each of these faults has tests that provoke it for real: with hostile servers on real sockets, a full file system, a killed
process, real dockerd, containerd and podman. The tables are followed by the names of the tests, as a run has reported them. A test
that was skipped, has failed or is missing does not count.

\`npm run soak -- --minutes 10\` combines the faults: many clients check every digest, a registry resets, truncates, stalls and sends
wrong bytes, and meanwhile the mirror is killed, stopped and reloaded. The run reports what was served, and the memory and file handles
of the mirror at the end.

\`npm run soak -- --minutes 10 --attacks\` pulls from a site while a client with a valid login attacks it: that client requests hostile
indexes, keeps hundreds of large documents open, sends attacks in \`Via\` and describes more and more machines. The run fails when a pull
is lost or stale, a first login is refused, one turn of the event loop takes more than 250 ms of CPU time, or the mirror uses more
memory than the 768 MiB of its unit's \`MemoryHigh\`.

Every parser of foreign input (request lines, headers, challenges, references, ranges, indexes, configuration) is tested with random
input: 500 times with the tests, and 10,000 times with \`npm run fuzz\`, which is meant for every night. \`METAHUB_FUZZ_RUNS\` sets
another number. A failure names the seed for \`METAHUB_FUZZ_SEED\`, and the smallest input that shows it.
`;

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

function linkTo(file: string): string {
  const name = file.replace(/^test\//, '').replace(/\.test\.ts$/, '');
  return `[${name}](../${file})`;
}

/** A test with the result of its last run. */
export interface ProvenTest extends FaultTest {
  readonly state: FaultState;
}

export function withStates(tests: readonly FaultTest[], results: FaultResults): readonly ProvenTest[] {
  return tests.map((test) => ({ ...test, state: results[test.file]?.[identify(test)] ?? 'missing' }));
}

/** `12 passed, 1 skipped`; `missing` for a fault without a test. */
function countStates(tests: readonly ProvenTest[]): string {
  const counts = (['passed', 'skipped', 'failed', 'missing'] as const).map(
    (state) => [tests.filter((test) => test.state === state).length, state] as const,
  );
  const shown = counts.filter(([count]) => count > 0).map(([count, state]) => `${count} ${state}`);
  return shown.join(', ') || 'missing';
}

function row({ number, name, whatHappens }: Fault, tests: readonly ProvenTest[]): string {
  const files = [...new Set(tests.map(({ file }) => file))];
  const where = files.map(linkTo).join(', ');
  const cells = [String(number), escapeCell(name), escapeCell(whatHappens), countStates(tests), where];
  return `| ${cells.join(' | ')} |`;
}

/** Returns the name of a test without that of its fault, which is the heading. */
function shownName(fault: Fault, shown: string): string {
  const rest = shown.startsWith(`${fault.name}: `) ? shown.slice(fault.name.length + 2) : shown;
  return rest === '…' ? 'each of a table' : rest;
}

function proof(fault: Fault, tests: readonly ProvenTest[]): string {
  const lines = tests.map(
    ({ file, name, state }) =>
      `- ${escapeCell(shownName(fault, name))} (${linkTo(file)})${state === 'passed' ? '' : `: **${state}**`}`,
  );
  return `### ${fault.number}: ${escapeCell(fault.name)}\n\n${[...new Set(lines)].join('\n')}\n`;
}

interface MutationCounts {
  /** As 2026-01-31. */
  readonly date: string;
  readonly noticed: number;
  readonly missed: number;
}

/** The result of a mutation test, in the format of scripts/mutation.mjs. */
interface MutationRun extends MutationCounts {
  /** The files that were changed; undefined: all files of the room. */
  readonly files?: readonly string[];
  /** Number of changes without an effect that a test could notice. */
  readonly equivalent: number;
  /** The counts of the first run of this file; absent when this is the first. */
  readonly first?: MutationCounts;
}

/** The first counts of a room or file. `of`: the number of changes from which a sample was drawn. */
interface FirstCounts extends MutationCounts {
  readonly of?: number;
}

/** The result for a random sample of a room's changes. */
interface MutationSample extends MutationCounts {
  readonly seed: number;
  /** Number of changes from which the sample was drawn. */
  readonly of: number;
  /** The counts of the first sample; absent when this is the first. */
  readonly first?: FirstCounts;
}

/** The last mutation tests of a room, one for each file. */
export interface MutationScore {
  readonly leastPercent: number;
  readonly runs: readonly MutationRun[];
  readonly sample?: MutationSample;
}

export type MutationScores = Readonly<Record<string, MutationScore>>;

export function readMutationScores(root: string): MutationScores {
  return JSON.parse(readFileSync(`${root}scripts/mutation-scores.json`, 'utf8'));
}

const MUTATION = `## Which changes of the code the tests notice

\`npm run mutation\` changes the code of a room in every small way that [Stryker](https://stryker-mutator.io) knows: an inverted
condition, a bound moved by one, a call left out. Each change must make a test of the room fail. Changes without a visible effect are
marked in the code, each with the reason, and do not count. A room that is not in the table has no score yet; of some rooms, only the
named files have one. A file that contains only types has nothing to change.

All changes of a large room would take many hours. \`npm run mutation -- ROOM --sample 150\` tries a random sample, and prints its seed.
The interval next to the sample's share contains the share of all changes with a probability of 95 %.

| room | files | noticed | of | share | at least | equivalent | date |
| - | - | -: | -: | -: | -: | -: | - |
`;

const MUTATION_FILES = `
By file or sample; \`first\` is the share of the first run, when tests were added since then. Some files and samples were tried with a part of
the room's tests, which takes minutes instead of hours: all tests of the room notice at least as much. The first sample of \`site\` was
drawn from all of its directories, each of which is a room of its own now.

| file | first | now | noticed | of | equivalent | date |
| - | -: | -: | -: | -: | -: | - |
`;

const shareOf = ({ noticed, missed }: Omit<MutationCounts, 'date'>) =>
  `${((100 * noticed) / (noticed + missed)).toFixed(1)} %`;

const shownSample = ({ noticed, missed, of, seed }: MutationSample) =>
  `sampled: ${noticed + missed} of ${of} (seed ${seed})`;

/** Formats the share of a sample, and the confidence interval of the share of all changes. */
function shareOfSample(sample: MutationSample): string {
  const { low, high } = wilsonInterval(sample);
  return `${shareOf(sample)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %)`;
}

function sampleRow(room: string, { leastPercent, sample }: MutationScore): string {
  if (sample === undefined) return '';
  const { noticed, missed, date } = sample;
  const least = `${leastPercent} %`;
  const cells = [
    room,
    shownSample(sample),
    noticed,
    noticed + missed,
    shareOfSample(sample),
    least,
    '',
    date,
  ];
  return `| ${cells.join(' | ')} |\n`;
}

function runsRow(room: string, { leastPercent, runs }: MutationScore): string {
  if (runs.length === 0) return '';
  const sum = (count: (run: MutationRun) => number) => runs.reduce((all, run) => all + count(run), 0);
  const noticed = sum((run) => run.noticed);
  const missed = sum((run) => run.missed);
  const all = noticed + missed;
  const files = runs.flatMap((run) => run.files ?? []).map((file) => basename(file, '.ts'));
  const [oldest] = runs.map(({ date }) => date).sort();
  const shown = files.length === 0 ? 'all' : files.sort().join(', ');
  return `| ${[room, shown, noticed, all, shareOf({ noticed, missed }), `${leastPercent} %`, sum((run) => run.equivalent), oldest].join(' | ')} |\n`;
}

const mutationRows = ([room, score]: readonly [string, MutationScore]) =>
  `${runsRow(room, score)}${sampleRow(room, score)}`;

/** Formats the last run or sample, with the share of the first one. */
function lastAndFirst(
  shown: string,
  {
    first,
    ...run
  }: Omit<MutationRun, 'files' | 'equivalent' | 'first'> & { equivalent?: number; first?: FirstCounts },
): string {
  const of = first?.of === undefined ? '' : `, of ${first.of}`;
  const before = first === undefined ? '' : `${shareOf(first)} (${first.date}${of})`;
  const { noticed, missed, equivalent = '', date } = run;
  return `| ${[shown, before, shareOf(run), noticed, noticed + missed, equivalent, date].join(' | ')} |\n`;
}

/** Formats a row for each run: the counts of a file's first run, and of its last. */
function mutationFileRows([room, { runs, sample }]: readonly [string, MutationScore]): string {
  const samples = sample === undefined ? [] : [lastAndFirst(`${room}, ${shownSample(sample)}`, sample)];
  const files = runs
    .map(({ files = [`all of ${room}`], ...run }) => {
      const shown = files.map((file) => file.replace(/^src\//, '').replace(/\.ts$/, '')).join(', ');
      return lastAndFirst(shown, run);
    })
    .sort();
  return [...files, ...samples].join('');
}

/** Returns the document for the tests of a checkout. */
export function renderReliability(tests: readonly ProvenTest[], scores: MutationScores): string {
  const of = (fault: Fault) => tests.filter(({ number }) => number === fault.number);
  const tables = FAULT_GROUPS.map(
    ({ title, faults }) =>
      `## ${title}\n\n| | fault | what happens | tests | |\n| -: | - | - | - | - |\n${faults
        .map((fault) => row(fault, of(fault)))
        .join('\n')}\n`,
  );
  const proofs = FAULT_GROUPS.flatMap(({ faults }) => faults.map((fault) => proof(fault, of(fault))));
  const byRoom = Object.entries(scores).map(mutationRows).join('');
  const byFile = Object.entries(scores).map(mutationFileRows).join('');
  const mutation = `${MUTATION}${byRoom}${MUTATION_FILES}${byFile}`;
  return [INTRODUCTION, ...tables, mutation, '## What the tests show\n', ...proofs].join('\n');
}

/** Runs these files and returns the results of the faults' tests in them. */
function runTests(files: readonly string[], tests: readonly FaultTest[]): FaultResults {
  const folder = mkdtempSync(join(tmpdir(), 'metahub-reliability-'));
  try {
    const report = join(folder, 'report.json');
    const env = { ...process.env, METAHUB_FAULT_REPORT: report };
    spawnSync('npx', ['vitest', 'run', ...files], { cwd: ROOT, stdio: 'inherit', env });
    const ran = tests.filter(({ file }) => files.includes(file));
    return resultsOf(ran, JSON.parse(readFileSync(report, 'utf8')));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const tests = collectFaultTests(ROOT);
  const kept = readFaultResults();
  const open = process.argv.includes('--all')
    ? tests
    : withStates(tests, kept).filter(({ state }) => state !== 'passed');
  const files = [...new Set(open.map(({ file }) => file))];
  const known = Object.fromEntries(
    Object.entries(kept).filter(([name]) => tests.some(({ file }) => file === name)),
  );
  const results = files.length === 0 ? known : { ...known, ...runTests(files, tests) };
  writeFaultResults(results);
  const proven = withStates(tests, results);
  writeFileSync(`${ROOT}docs/reliability.md`, renderReliability(proven, readMutationScores(ROOT)));
  process.stdout.write(`docs/reliability.md: ${countStates(proven)}\n`);
}
