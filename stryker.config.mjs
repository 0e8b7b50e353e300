// Mutation testing, one room at a time: `npm run mutation -- selection` (scripts/mutation.mjs), or by hand
// `METAHUB_ROOM=selection npx stryker run`.

/** Rooms without I/O: nothing excuses a change that no test notices. */
const PURE = 90;
/** Rooms whose code meets sockets, disks and clocks: some changes show only as time or as another order of events. */
const EDGE = 80;

/**
 * What is changed in each room, by which tests it must be noticed, and the least share noticed. A change of what a module
 * works out once, when it is loaded, takes a run of all these tests: `tables` says where that is worth the time.
 */
export const ROOMS = {
  oci: { mutate: ['src/oci/**/*.ts'], tests: 'test/oci', least: PURE, tables: true },
  // The tables of host/data are facts, checked against their sources by test/host/idle-flags and the museum of hosts:
  // to change one of their strings would test the table with itself.
  host: { mutate: ['src/host/**/*.ts', '!src/host/data/**'], tests: 'test/host', least: PURE },
  selection: { mutate: ['src/selection/**/*.ts'], tests: 'test/selection', least: PURE },
  auth: { mutate: ['src/upstream/auth/**/*.ts'], tests: 'test/upstream', least: EDGE },
  site: { mutate: ['src/site/**/*.ts'], tests: 'test/site', least: EDGE },
  store: { mutate: ['src/store/**/*.ts'], tests: 'test/store', least: EDGE },
  mirror: { mutate: ['src/mirror/**/*.ts'], tests: 'test/mirror', least: EDGE },
};

// Few tries of each property: a change that they notice is mostly noticed at once.
process.env['METAHUB_FUZZ_RUNS'] ??= '100';

const room = process.env['METAHUB_ROOM'] ?? 'selection';
const { mutate, tests, least, tables = false } = ROOMS[room];
// Read by vitest.config.ts. With its own option for this, testFiles, Stryker makes no change of a table.
process.env['METAHUB_MUTATED_TESTS'] = tests;

export default {
  testRunner: 'vitest',
  coverageAnalysis: 'perTest',
  mutate,
  vitest: { related: false },
  ignoreStatic: !tables,
  warnings: { slow: false },
  thresholds: { high: least, low: least, break: least },
  concurrency: 2,
  incremental: true,
  incrementalFile: `reports/mutation/${room}-incremental.json`,
  reporters: ['progress-append-only', 'clear-text', 'json', 'html'],
  jsonReporter: { fileName: `reports/mutation/${room}.json` },
  htmlReporter: { fileName: `reports/mutation/${room}.html` },
  clearTextReporter: { allowColor: false, logTests: false },
  // TypeScript's own compiler is no part of it: vitest strips the types.
  tsconfigFile: 'none',
  ignorePatterns: ['dist', 'reports', 'bench', 'packaging', 'deploy', 'man', 'test/fixtures', 'test/e2e'],
  // The fixtures hold symbolic links that lead nowhere, as a host's do, which Stryker cannot copy.
  buildCommand: 'ln -s ../../../test/fixtures test/fixtures',
};
