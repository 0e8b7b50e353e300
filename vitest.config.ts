import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// A test without an expectation cannot fail. What is waited for comes at once, except on a busy machine. Tests set no limits of
// their own below these.
const expect = { requireAssertions: true, poll: { timeout: 120_000 } };

// Two projects: `unit` needs nothing but Node; `e2e` needs root and Debian's container tools, and skips loudly
// without them unless METAHUB_E2E=required makes their absence a failure.
export default defineConfig({
  test: {
    // A test that takes seconds, and says nothing that others do not: left out where tests run a thousand times over.
    tags: [{ name: 'slow' }],
    reporters: ['default', './test/support/fault-reporter.ts', './test/support/totals-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          expect,
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          // To start a process and to load the program took a third of all CPU time when each file had a process of its own.
          isolate: false,
          setupFiles: ['test/support/shared-process.ts'],
          // Most tests wait for sockets and processes: Vitest's one worker on two CPUs would leave both idle.
          maxWorkers: Math.max(4, availableParallelism()),
          // What waits for ever is to be noticed; what works is not to fail on a machine that does ten other things. A nightly
          // run tries each property many more times.
          testTimeout: process.env['METAHUB_FUZZ_RUNS'] === undefined ? 300_000 : 600_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'e2e',
          expect,
          include: ['test/e2e/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
