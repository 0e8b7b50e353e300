import fc from 'fast-check';

/** How often a property is tried: 500 by default, as many as METAHUB_FUZZ_RUNS says in a nightly run. */
export const FUZZ_RUNS = Number(process.env['METAHUB_FUZZ_RUNS'] ?? 500);

/** Where all that is made up begins: another in each run, that which METAHUB_FUZZ_SEED says to repeat one. */
export const FUZZ_SEED = Number(process.env['METAHUB_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

// A property that fails prints its seed, and the smallest input that shows it. Inputs that do not get to its assertion are
// passed over by fc.pre() and made up for; one that fewer than a tenth get to proves little, and fails.
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: FUZZ_SEED, maxSkipsPerRun: 9 });
