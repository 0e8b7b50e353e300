import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

// `npm run reliability` writes docs/reliability.md from what the tests of faults came to. It runs the files with tests that
// no run has reported as passed; `npm run reliability -- --all` runs every file.

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const INTRODUCTION = `# Reliability

<!-- Written by \`npm run reliability\` from what the tests came to. -->

What MetaHub promises whatever goes wrong: **never a wrong byte, never a lost pull that could have been served, never a
credential to the wrong host.**

A digest is immutable: once held, upstream is never asked for it again. A tag that cannot be looked up is served as it was,
with a \`Warning\` header and a line in the log; where nothing is held the client hears so at once, so that it can turn to the
registry itself.

Each of these faults has tests that provoke it for real: hostile servers on real sockets, a full file system, a killed
process, real dockerd, containerd and podman. The names of the tests are listed below the tables, as a run has reported them: a
test that was skipped, failed or is missing counts for nothing.

\`npm run soak -- --minutes 10\` mixes them: many clients that check every digest, a registry that resets, truncates, stalls and
lies, and a mirror that is killed, stopped and reloaded meanwhile. It ends with what was served and with the memory and file
handles of the mirror afterwards.

\`npm run soak -- --minutes 10 --attacks\` pulls from a site beside a client with a valid login that asks for hostile indexes, holds
hundreds of large documents, writes attacks into \`Via\` and describes ever new machines. It ends with an error when a pull is lost or
stale, a first login is not let in, a turn of the event loop takes more than 250 ms of CPU time, or the mirror holds more than the
768 MiB of its unit's \`MemoryHigh\`.

Every reader of what others write (request lines, headers, challenges, references, ranges, indexes, configuration) is tried with
input made up at random: 500 times each with the tests, and 10,000 times each with \`npm run fuzz\`, for every night.
\`METAHUB_FUZZ_RUNS\` says how often instead. A failure names the seed, which \`METAHUB_FUZZ_SEED\` takes, and the smallest input that
shows it.
`;

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

function linkTo(file: string): string {
  const name = file.replace(/^test\//, '').replace(/\.test\.ts$/, '');
  return `[${name}](../${file})`;
}

/** A test with what the last run of it came to. */
export interface ProvenTest extends FaultTest {
  readonly state: FaultState;
}

export function withStates(tests: readonly FaultTest[], results: FaultResults): readonly ProvenTest[] {
  return tests.map((test) => ({ ...test, state: results[test.file]?.[identify(test)] ?? 'missing' }));
}

/** `12 passed, 1 skipped`; `missing` for a fault without any test. */
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

/** A test's name without its fault's, which stands above it. */
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

/** What the last mutation test of a room came to, as scripts/mutation.mjs keeps it. */
export interface MutationScore {
  /** As 2026-01-31. */
  readonly date: string;
  readonly noticed: number;
  readonly missed: number;
  /** Changes that nothing could notice. */
  readonly equivalent: number;
  readonly leastPercent: number;
}

export type MutationScores = Readonly<Record<string, MutationScore>>;

export function readMutationScores(root: string): MutationScores {
  return JSON.parse(readFileSync(`${root}scripts/mutation-scores.json`, 'utf8'));
}

const MUTATION = `## What the tests would notice

\`npm run mutation\` changes the code of a room in every small way that [Stryker](https://stryker-mutator.io) knows: a condition
turned round, a bound moved by one, a call left out. Each change must make a test of the room fail. Changes that make no difference
to anything that can be seen are marked in the code, each with the reason, and do not count.

| room | noticed | of | share | at least | equivalent | date |
| - | -: | -: | -: | -: | -: | - |
`;

function mutationRow([room, score]: readonly [string, MutationScore]): string {
  const all = score.noticed + score.missed;
  const share = `${((100 * score.noticed) / all).toFixed(1)} %`;
  return `| ${[room, score.noticed, all, share, `${score.leastPercent} %`, score.equivalent, score.date].join(' | ')} |\n`;
}

/** The document that the tests of a checkout make. */
export function renderReliability(tests: readonly ProvenTest[], scores: MutationScores): string {
  const of = (fault: Fault) => tests.filter(({ number }) => number === fault.number);
  const tables = FAULT_GROUPS.map(
    ({ title, faults }) =>
      `## ${title}\n\n| | fault | what happens | tests | |\n| -: | - | - | - | - |\n${faults
        .map((fault) => row(fault, of(fault)))
        .join('\n')}\n`,
  );
  const proofs = FAULT_GROUPS.flatMap(({ faults }) => faults.map((fault) => proof(fault, of(fault))));
  const mutation = `${MUTATION}${Object.entries(scores).map(mutationRow).join('')}`;
  return [INTRODUCTION, ...tables, mutation, '## What the tests show\n', ...proofs].join('\n');
}

/** Runs these files and returns what became of their tests of faults. */
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
