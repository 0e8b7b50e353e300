import type { Reporter, TestModule } from 'vitest/node';

/** Ends a run with the one plain line that scripts read: `N passed, N failed, N skipped`. */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const totals = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        totals[state === 'pending' ? 'skipped' : state] += 1;
      }
      // A file that could not be collected holds no test that could fail in its place.
      if (module.errors().length > 0) totals.failed += 1;
    }
    totals.failed += unhandledErrors.length;
    process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`);
  }
}
