import fc from 'fast-check';

/** The number of runs of each property: 500 by default, or METAHUB_FUZZ_RUNS. */
export const FUZZ_RUNS = Number(process.env['METAHUB_FUZZ_RUNS'] ?? 500);

/** The random seed: a new one in each run, or METAHUB_FUZZ_SEED to repeat a run. */
export const FUZZ_SEED = Number(process.env['METAHUB_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

// A property that fails prints its seed and the smallest failing input. fc.pre() replaces inputs that do not reach
// the assertion. A property whose assertion fewer than a tenth of the inputs reach proves little, and fails.
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: FUZZ_SEED, maxSkipsPerRun: 9 });
