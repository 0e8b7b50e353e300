import { readFileSync, writeFileSync } from 'node:fs';
import type { FaultTest } from './fault-tests.ts';

// The results of the last run of each fault's tests. `npm run reliability` stores them in fault-results.json.

/** `missing`: no run has reported a test of this name. */
export type FaultState = 'passed' | 'skipped' | 'failed' | 'missing';

/** A test as a run reports it: its file, and the names from that of the fault to its own. */
export interface ReportedTest {
  readonly file: string;
  readonly names: readonly string[];
  readonly state: 'passed' | 'skipped' | 'failed';
}

/** Results by file, then by the identifier of the test. */
export type FaultResults = Readonly<Record<string, Readonly<Record<string, FaultState>>>>;

const RESULTS = new URL('fault-results.json', import.meta.url);

export function readFaultResults(): FaultResults {
  return JSON.parse(readFileSync(RESULTS, 'utf8')) as FaultResults;
}

export function writeFaultResults(results: FaultResults): void {
  writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
}

/** Identifies a test within its file. */
export function identify({ number, name }: FaultTest): string {
  return `fault ${number}: ${name}`;
}

/** Returns the check whether a report is about this test. Each `…` in its names matches any text. */
function isReportOf(test: FaultTest): (reported: ReportedTest) => boolean {
  const patterns = test.names.map((name) => {
    const parts = name.split('…').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    return new RegExp(`^${parts.join('.*')}$`, 's');
  });
  return ({ file, names }) =>
    file === test.file &&
    names.length === patterns.length &&
    patterns.every((pattern, index) => pattern.test(names[index] ?? ''));
}

/**
 * Combines the reports of one test: `failed` when one has failed, else `skipped` when one was skipped, else
 * `passed`.
 */
function stateOf(reports: readonly ReportedTest[]): FaultState {
  const states = reports.map(({ state }) => state);
  if (states.length === 0) return 'missing';
  if (states.includes('failed')) return 'failed';
  return states.includes('skipped') ? 'skipped' : 'passed';
}

/** Returns the result of a run for each of these tests. */
export function resultsOf(tests: readonly FaultTest[], reported: readonly ReportedTest[]): FaultResults {
  const results: Record<string, Record<string, FaultState>> = {};
  for (const test of tests) {
    const state = stateOf(reported.filter(isReportOf(test)));
    results[test.file] = { ...results[test.file], [identify(test)]: state };
  }
  return results;
}
