import { defineConfig } from 'vitest/config';

// Two projects: `unit` needs nothing but Node; `e2e` needs root and Debian's container tools, and skips loudly
// without them unless METAHUB_E2E=required makes their absence a failure.
export default defineConfig({
  test: {
    reporters: ['default', './test/support/totals-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          // A nightly run tries each property many more times.
          testTimeout: process.env['METAHUB_FUZZ_RUNS'] === undefined ? 20_000 : 600_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
