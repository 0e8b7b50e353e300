import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { type ReportedTest, readFaultResults, resultsOf } from '../../scripts/fault-results.ts';
import { collectFaultTests, namesOfFault } from '../../scripts/fault-tests.ts';

function namesOf(test: TestCase): readonly string[] {
  const names = [test.name];
  for (let { parent } = test; parent.type === 'suite'; { parent } = parent) names.unshift(parent.name);
  return names;
}

function reportOf(file: string, test: TestCase): readonly ReportedTest[] {
  const names = namesOfFault(namesOf(test));
  const { state } = test.result();
  return names.length === 0 ? [] : [{ file, names, state: state === 'pending' ? 'skipped' : state }];
}

/** The tests in the files of this run that docs/reliability.md lists as passed, and that did not pass. */
function findLost(files: ReadonlySet<string>, reported: readonly ReportedTest[]): readonly string[] {
  const kept = readFaultResults();
  const tests = collectFaultTests('').filter(({ file }) => files.has(file));
  return Object.entries(resultsOf(tests, reported)).flatMap(([file, states]) =>
    Object.entries(states)
      .filter(([test, state]) => kept[file]?.[test] === 'passed' && state !== 'passed')
      .map(([test, state]) => `${file}: ${test}: ${state}`),
  );
}

/**
 * Writes the results of the fault tests to the file METAHUB_FAULT_REPORT, for `npm run reliability`. With
 * METAHUB_E2E=required the run fails when a test that docs/reliability.md lists does not pass.
 */
export default class FaultReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const reported = modules.flatMap((module) =>
      [...module.children.allTests()].flatMap((test) => reportOf(module.relativeModuleId, test)),
    );
    const path = process.env['METAHUB_FAULT_REPORT'];
    if (path !== undefined) writeFileSync(path, JSON.stringify(reported));
    if (process.env['METAHUB_E2E'] !== 'required') return;
    const lost = findLost(new Set(modules.map(({ relativeModuleId }) => relativeModuleId)), reported);
    if (lost.length === 0) return;
    process.stdout.write(`\nTests of faults that no longer pass:\n${lost.join('\n')}\n`);
    process.exitCode = 1;
  }
}
