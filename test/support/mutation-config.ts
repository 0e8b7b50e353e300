import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Runs the tests of one room while Stryker changes its code (stryker.config.mjs): many short runs, each until the
 * first failure.
 */

/** The factor for all time limits on a busy machine, where a late test would count as one that detects a change. */
const PATIENCE = Number(process.env['METAHUB_MUTATION_PATIENCE'] ?? 1);

/** Most changes are detected by any test that reaches them, so the shortest files run first. */
class ShortestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    return (await super.sort(files)).reverse();
  }
}

export default defineConfig({
  test: {
    include: [process.env['METAHUB_MUTATED_TESTS'] ?? ''],
    exclude: ['test/e2e/**'],
    setupFiles: ['test/support/mutation-load.ts'],
    tags: [{ name: 'slow', skip: true }],
    // One process for each change, because starting one for each file takes longer than the tests.
    isolate: false,
    maxWorkers: 1,
    sequence: { sequencer: ShortestFirst },
    // Detects endless waits faster than Stryker's own limit, which costs a new process.
    testTimeout: 15_000 * PATIENCE,
    // A hook that is late has its tests skipped, which would then count as tests that notice nothing.
    hookTimeout: 15_000 * PATIENCE,
    expect: { requireAssertions: true, poll: { timeout: 5_000 * PATIENCE } },
  },
});
