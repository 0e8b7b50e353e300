// `npm run mutation` changes the code of every room in small steps, and counts the changes that no test
// notices. `npm run mutation -- oci host` tests only those rooms. Arguments after a second `--` are for
// Stryker: `npm run mutation -- host -- --mutate src/host/identify.ts` tests one file. `npm run mutation --
// site --sample 150 --seed 7` tries 150 changes of the room, drawn at random. The last and the first counts
// are stored in scripts/mutation-scores.json, from which `npm run reliability` takes them.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import picomatch from 'picomatch';
import { ROOMS } from './mutation-rooms.mjs';
import { sampleOf, wilsonInterval } from './mutation-sample.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SCORES = fileURLToPath(new URL('mutation-scores.json', import.meta.url));

const isMissed = ({ status }) => status === 'Survived' || status === 'NoCoverage';

/** Counts mutants by their status. */
function countMutants({ mutants }) {
  const count = (isWanted) => mutants.filter(isWanted).length;
  return {
    noticed: count(({ status }) => status === 'Killed' || status === 'Timeout'),
    missed: count(isMissed),
    // Marked in the code, with the reason.
    equivalent: count((mutant) => mutant.status === 'Ignored' && !mutant.static),
  };
}

/** True when these options name the file. An incremental report also contains the files of earlier runs. */
function isWanted(file, options) {
  const at = options.findIndex((option) => option === '-m' || option === '--mutate');
  return at === -1 || picomatch.isMatch(file, (options[at + 1] ?? '').split(','));
}

/**
 * Returns the runs of a report (https://github.com/stryker-mutator/mutation-testing-elements), one for each
 * file.
 */
function runsOf({ files }, options) {
  const date = new Date().toISOString().slice(0, 10);
  return Object.entries(files)
    .filter(([file]) => isWanted(file, options))
    .map(([file, report]) => ({ date, files: [file], ...countMutants(report) }))
    .filter(({ noticed, missed }) => noticed + missed > 0);
}

/**
 * Returns the counts of the first run, when the run in the file of scores was not the first; of a sample also
 * the number of changes from which it was drawn.
 */
function firstOf(before) {
  if (before === undefined) return {};
  const { date, noticed, missed, of, first } = before;
  return { first: first ?? { date, noticed, missed, ...(of !== undefined && { of }) } };
}

/** Adds runs of a room to earlier ones. They replace those of the same files. */
function withRuns(runs, added) {
  const isAgain = ({ files = [] }) => files.some((file) => added.some((run) => run.files[0] === file));
  const others = runs.filter((run) => run.files !== undefined && !isAgain(run));
  const before = ({ files: [file] }) =>
    runs.find(({ files = [] }) => files.length === 1 && files[0] === file);
  return [...others, ...added.map((run) => ({ ...run, ...firstOf(before(run)) }))];
}

/** Runs Stryker; returns its report, or undefined when there is none. */
function runStryker(room, options, env = {}) {
  const report = join(ROOT, `reports/mutation/${room}.json`);
  rmSync(report, { force: true });
  const { status } = spawnSync('npx', ['stryker', 'run', ...options], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...env, METAHUB_ROOM: room },
  });
  return existsSync(report) ? { status, report: JSON.parse(readFileSync(report, 'utf8')) } : undefined;
}

/** Changes the stored scores of a room. */
function keepScore(room, change) {
  const scores = JSON.parse(readFileSync(SCORES, 'utf8'));
  const { runs = [], sample } = scores[room] ?? {};
  scores[room] = { leastPercent: ROOMS[room].least, ...change({ runs, sample }) };
  writeFileSync(SCORES, `${JSON.stringify(scores, null, 2)}\n`);
}

/** Tests a room, or those of its files that the options name. Returns true when the least score is reached. */
function mutate(room, options) {
  const run = runStryker(room, options);
  if (run === undefined) return false;
  keepScore(room, ({ runs, sample }) => ({ runs: withRuns(runs, runsOf(run.report, options)), sample }));
  return run.status === 0;
}

/** Formats the place of a mutant, its original and its replacement. */
function describeMutant({ files }, { file, location: { start, end }, mutatorName, replacement }) {
  const lines = files[file].source.split('\n').slice(start.line - 1, end.line);
  const rest = lines.join('\n').length - (lines.at(-1).length - end.column + 1);
  const short = (text) => text.replaceAll(/\s+/g, ' ').slice(0, 100);
  const original = lines.join('\n').slice(start.column - 1, rest);
  return `${file}:${start.line}:${start.column} ${mutatorName}: ${short(original)} -> ${short(replacement)}`;
}

const asPercent = (share) => `${(100 * share).toFixed(1)} %`;

/** Tests a random sample of a room's mutants. Returns true when the least score is reached. */
function mutateSample(room, size, seed, options) {
  process.stdout.write(`mutation: ${room}, --sample ${size} --seed ${seed}\n`);
  const run = runStryker(room, options, { METAHUB_MUTATION_SAMPLE: `${size}:${seed}` });
  if (run === undefined) return false;
  const { of, mutants } = sampleOf(run.report, size, seed);
  const { noticed, missed } = countMutants({ mutants });
  const { low, high } = wilsonInterval({ noticed, missed });
  for (const mutant of mutants.filter(isMissed)) {
    process.stdout.write(`${describeMutant(run.report, mutant)}\n`);
  }
  const share = noticed / (noticed + missed);
  process.stdout.write(
    `mutation: ${room}: ${noticed} of ${noticed + missed} noticed, ${asPercent(share)}, ` +
      `95 % interval ${asPercent(low)} to ${asPercent(high)}; drawn of ${of} with the seed ${seed}\n`,
  );
  const date = new Date().toISOString().slice(0, 10);
  keepScore(room, ({ runs, sample }) => ({
    runs,
    sample: { date, seed, of, noticed, missed, ...firstOf(sample) },
  }));
  return 100 * share >= ROOMS[room].least;
}

const args = process.argv.slice(2);
const end = args.includes('--') ? args.indexOf('--') : args.length;
const { values, positionals } = parseArgs({
  args: args.slice(0, end),
  options: { sample: { type: 'string' }, seed: { type: 'string', default: String(randomInt(1_000_000)) } },
  allowPositionals: true,
});
const rooms = positionals.length === 0 ? Object.keys(ROOMS) : positionals;
const unknown = rooms.filter((room) => !Object.hasOwn(ROOMS, room));
if (unknown.length > 0) {
  process.stderr.write(`mutation: no room ${unknown.join(', ')}; rooms: ${Object.keys(ROOMS).join(', ')}\n`);
  process.exit(2);
}
const options = args.slice(end + 1);
const short = rooms.filter((room) =>
  values.sample === undefined
    ? !mutate(room, options)
    : !mutateSample(room, Number(values.sample), Number(values.seed), options),
);
if (short.length > 0) {
  process.stderr.write(`mutation: below the least score, or without one: ${short.join(', ')}\n`);
  process.exit(1);
}
