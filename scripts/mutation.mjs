// `npm run mutation` changes the code of every room, bit by bit, and counts the changes that no test notices;
// `npm run mutation -- oci host` does those rooms alone. What comes after a second `--` goes to Stryker. The counts are
// kept in scripts/mutation-scores.json, from where `npm run reliability` takes them.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOMS } from '../stryker.config.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SCORES = fileURLToPath(new URL('mutation-scores.json', import.meta.url));

/** Counts the mutants of a report (https://github.com/stryker-mutator/mutation-testing-elements) by what became of them. */
function countMutants({ files }) {
  const all = Object.values(files).flatMap(({ mutants }) => mutants);
  const count = (isWanted) => all.filter(isWanted).length;
  return {
    noticed: count(({ status }) => status === 'Killed' || status === 'Timeout'),
    missed: count(({ status }) => status === 'Survived' || status === 'NoCoverage'),
    // Marked in the code, with the reason.
    equivalent: count((mutant) => mutant.status === 'Ignored' && !mutant.static),
  };
}

/** Whether the room reached its least score. */
function mutate(room, options) {
  const report = join(ROOT, `reports/mutation/${room}.json`);
  rmSync(report, { force: true });
  const { status } = spawnSync('npx', ['stryker', 'run', ...options], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, METAHUB_ROOM: room },
  });
  if (!existsSync(report)) return false;
  const scores = JSON.parse(readFileSync(SCORES, 'utf8'));
  scores[room] = {
    date: new Date().toISOString().slice(0, 10),
    ...countMutants(JSON.parse(readFileSync(report, 'utf8'))),
    leastPercent: ROOMS[room].least,
  };
  writeFileSync(SCORES, `${JSON.stringify(scores, null, 2)}\n`);
  return status === 0;
}

const args = process.argv.slice(2);
const end = args.includes('--') ? args.indexOf('--') : args.length;
const rooms = end === 0 ? Object.keys(ROOMS) : args.slice(0, end);
const unknown = rooms.filter((room) => !Object.hasOwn(ROOMS, room));
if (unknown.length > 0) {
  process.stderr.write(`mutation: no room ${unknown.join(', ')}; rooms: ${Object.keys(ROOMS).join(', ')}\n`);
  process.exit(2);
}
const short = rooms.filter((room) => !mutate(room, args.slice(end + 1)));
if (short.length > 0) {
  process.stderr.write(`mutation: below the least score, or without one: ${short.join(', ')}\n`);
  process.exit(1);
}
