/** How often a property is tried: 500 by default, as many as METAHUB_FUZZ_RUNS says in a nightly run. */
export const FUZZ_RUNS = Number(process.env['METAHUB_FUZZ_RUNS'] ?? 500);
