import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The tests of one room while Stryker changes its code (stryker.config.mjs): many short runs, each until the first failure. */

/** How many times longer all may take on a busy machine, where a test that is late would count as one that notices a change. */
const PATIENCE = Number(process.env['METAHUB_MUTATION_PATIENCE'] ?? 1);

/** Most changes are noticed by any test that reaches them: the shortest files first. */
class ShortestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    return (await super.sort(files)).reverse();
  }
}

export default defineConfig({
  test: {
    include: [process.env['METAHUB_MUTATED_TESTS'] ?? ''],
    exclude: ['test/e2e/**'],
    tags: [{ name: 'slow', skip: true }],
    // One process for each change; starting one for each file takes longer than the tests.
    isolate: false,
    maxWorkers: 1,
    sequence: { sequencer: ShortestFirst },
    // What a change has made wait for ever is noticed here, which costs less than Stryker's own limit, a new process.
    testTimeout: 15_000 * PATIENCE,
    // A hook that is late has its tests skipped, which would then count as tests that notice nothing.
    hookTimeout: 15_000 * PATIENCE,
    expect: { requireAssertions: true, poll: { timeout: 5_000 * PATIENCE } },
  },
});
