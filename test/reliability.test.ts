import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readFaultResults, resultsOf } from '../scripts/fault-results.ts';
import { collectFaultTests, faultTestsOf } from '../scripts/fault-tests.ts';
import { FAULTS } from '../scripts/faults.ts';
import { readMutationScores, renderReliability, withStates } from '../scripts/reliability.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

describe('the faults', () => {
  const tests = withStates(collectFaultTests(ROOT), readFaultResults());

  test('are numbered from 1', () => {
    expect(FAULTS.map(({ number }) => number)).toEqual(
      Array.from({ length: FAULTS.length }, (_, index) => index + 1),
    );
  });

  test.each(FAULTS.map(({ number, name }) => [number, name] as const))(
    '%d, %s, has a test that passed',
    (number) => {
      const states = tests.filter((found) => found.number === number).map(({ state }) => state);
      expect(states).toContain('passed');
    },
  );

  test('are all that tests are named after', () => {
    expect(tests.filter(({ number }) => number < 1 || number > FAULTS.length)).toEqual([]);
  });

  test('no test is named nearly like one of a fault, which would leave it out', () => {
    const nearly = readdirSync(`${ROOT}test`, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.test.ts') && file !== 'reliability.test.ts')
      .flatMap((file) => readFileSync(`${ROOT}test/${file}`, 'utf8').match(/['`]faults? \d.*/gi) ?? []);
    expect(nearly.filter((name) => !/^.fault [1-9]\d*: /.test(name))).toEqual([]);
  });

  test('stand in docs/reliability.md as the tests have them: otherwise run `npm run reliability`', () => {
    expect(readFileSync(`${ROOT}docs/reliability.md`, 'utf8')).toBe(
      renderReliability(tests, readMutationScores(ROOT)),
    );
  });
});

describe('tests are found in their sources', () => {
  test('within blocks, in tables, behind conditions, and by their own name', () => {
    const source = `
      for (const way of ['fast']) describe.each(['a', 'b'])('read the %s way', (way: string) => {
        describeWithDisk('fault 3: x', () => {
          describe('inside', () => {
            test.each([['fault 5: no name', 1]])('%s is %d', () => {});
          });
          test(\`\${way} there\`, { timeout: 5 }, async () => {});
        });
      });
      test.skipIf(process.pid === 1)('fault 4: it alone', () => {});
      test('of no fault', () => {});
    `;
    expect(faultTestsOf('a.test.ts', source).map(({ number, name }) => [number, name])).toEqual([
      [3, 'inside: … is …'],
      [3, '… there'],
      [4, 'it alone'],
    ]);
  });
});

describe('a test of a fault', () => {
  const [table, alone] = faultTestsOf(
    'a.test.ts',
    "describe('fault 3: x', () => { test.each([1, 2])('%d', () => {}); test('alone', () => {}); });",
  );
  const report = (names: readonly string[], state: 'passed' | 'skipped' | 'failed', file = 'a.test.ts') => ({
    file,
    names: ['fault 3: x', ...names],
    state,
  });

  test.each([
    ['passed', [report(['1'], 'passed'), report(['2'], 'passed')]],
    ['skipped', [report(['1'], 'passed'), report(['2'], 'skipped')]],
    ['failed', [report(['1'], 'failed'), report(['2'], 'skipped')]],
    ['missing', []],
    ['missing', [report(['1'], 'passed', 'b.test.ts'), report(['1', 'inside'], 'passed')]],
  ] as const)('is %s by what the run reports under its names: %j', (state, reported) => {
    expect(table && resultsOf([table], reported)).toEqual({ 'a.test.ts': { 'fault 3: …': state } });
  });

  test('is not proven by the report of another', () => {
    expect(alone && resultsOf([alone], [report(['1'], 'passed')])).toEqual({
      'a.test.ts': { 'fault 3: alone': 'missing' },
    });
  });
});
