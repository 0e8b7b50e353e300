import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { collectFaultTests, faultTestsOf } from '../scripts/fault-tests.ts';
import { renderReliability } from '../scripts/reliability.ts';
import { FAULTS } from '../scripts/sixty-faults.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

describe('the sixty faults', () => {
  const tests = collectFaultTests(ROOT);

  test('are numbered from 1 to 60', () => {
    expect(FAULTS.map(({ number }) => number)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
  });

  test.each(FAULTS.map(({ number, name }) => [number, name] as const))('%d, %s, has tests', (number) => {
    expect(tests.filter((found) => found.number === number)).not.toEqual([]);
  });

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
    expect(readFileSync(`${ROOT}docs/reliability.md`, 'utf8')).toBe(renderReliability(tests));
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
