// Mutation testing, one room at a time: `npm run mutation -- selection` (scripts/mutation.mjs), or by hand
// `METAHUB_ROOM=selection npx stryker run`.
import { ROOMS } from './scripts/mutation-rooms.mjs';

// Few tries of each property: a change that they notice is mostly noticed at once.
process.env['METAHUB_FUZZ_RUNS'] ??= '20';

const room = process.env['METAHUB_ROOM'] ?? 'selection';
const { mutate, tests, least, tables = false, lazy = [] } = ROOMS[room];
// Read by test/support/mutation-config.ts. With its own option for this, testFiles, Stryker makes no change of a table. A glob of
// your own, of the tests of one file, takes minutes where the room's take hours; what it comes to is then the least of the score.
process.env['METAHUB_MUTATED_TESTS'] ??= tests;
// Read by test/support/mutation-load.ts.
process.env['METAHUB_MUTATED_LAZY'] ??= lazy.join();
// With few tests the changes of tables are affordable too: METAHUB_MUTATED_TABLES=1 counts those of any file.
const countsTables = tables || process.env['METAHUB_MUTATED_TABLES'] === '1';

// A busy machine is no endless loop; see test/support/mutation-config.ts.
const PATIENCE = Number(process.env['METAHUB_MUTATION_PATIENCE'] ?? 1);

// Set by scripts/mutation.mjs, which judges and shows a sample itself.
const isSample = process.env['METAHUB_MUTATION_SAMPLE'] !== undefined;
const sampled = {
  plugins: ['@stryker-mutator/*', './scripts/mutation-sample.mjs'],
  checkers: ['sample'],
  // Half of them are checkers, which wait once the sample is drawn.
  concurrency: 4,
  incremental: false,
  reporters: ['progress-append-only', 'json'],
  thresholds: { high: least, low: least, break: null },
};

export default {
  testRunner: 'vitest',
  coverageAnalysis: 'perTest',
  dryRunTimeoutMinutes: 15 * PATIENCE,
  mutate,
  vitest: { configFile: 'test/support/mutation-config.ts', related: false },
  ignoreStatic: !countsTables,
  warnings: { slow: false },
  thresholds: { high: least, low: least, break: least },
  concurrency: 2,
  timeoutMS: 20_000 * PATIENCE,
  incremental: true,
  incrementalFile: `reports/mutation/${room}-incremental.json`,
  reporters: ['progress-append-only', 'clear-text', 'json', 'html'],
  jsonReporter: { fileName: `reports/mutation/${room}.json` },
  htmlReporter: { fileName: `reports/mutation/${room}.html` },
  // `--reporters event-recorder` shows each mutant as soon as it is tried.
  eventReporter: { baseDir: `reports/mutation/${room}-events` },
  clearTextReporter: { allowColor: false, logTests: false },
  // TypeScript's own compiler is no part of it: vitest strips the types.
  tsconfigFile: 'none',
  ignorePatterns: ['dist', 'reports', 'bench', 'packaging', 'deploy', 'man', 'test/fixtures', 'test/e2e'],
  // The fixtures hold symbolic links that lead nowhere, as a host's do, which Stryker cannot copy.
  buildCommand: 'ln -s ../../../test/fixtures test/fixtures',
  ...(isSample ? sampled : {}),
};
