import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import picomatch from 'picomatch';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ROOMS } from '../scripts/mutation-rooms.mjs';
import { drawSample, sampleOf, strykerPlugins, wilsonInterval } from '../scripts/mutation-sample.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ALL = Array.from({ length: 1000 }, (_, id) => String(id));

describe('drawSample()', () => {
  test('draws as many different mutants as are asked for, the same ones with the same seed', () => {
    const drawn = drawSample(ALL, 100, 7);
    expect(new Set(drawn).size).toBe(100);
    expect(drawSample([...ALL].reverse(), 100, 7)).toEqual(drawn);
    expect(drawSample(ALL, 100, 8)).not.toEqual(drawn);
  });

  test('draws all mutants where more are asked for', () => {
    expect(drawSample(ALL, 2000, 7).sort()).toEqual([...ALL].sort());
  });

  test('draws each mutant equally often: 400 draws of 50 take each of 200 about 100 times', () => {
    const ids = ALL.slice(0, 200);
    const counts = new Map(ids.map((id) => [id, 0]));
    for (let seed = 0; seed < 400; seed++) {
      for (const id of drawSample(ids, 50, seed)) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    // Five standard deviations of 8.7.
    expect(Math.min(...counts.values())).toBeGreaterThan(56);
    expect(Math.max(...counts.values())).toBeLessThan(144);
  });
});

// Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, method 3.
test.each([
  [81, 263, 0.2553, 0.3662],
  [15, 148, 0.0624, 0.1605],
  [0, 20, 0, 0.1611],
  [1, 29, 0.0061, 0.1718],
])('wilsonInterval() of %d in %d is %d to %d', (noticed, all, low, high) => {
  const interval = wilsonInterval({ noticed, missed: all - noticed });
  expect(interval.low).toBeCloseTo(low, 4);
  expect(interval.high).toBeCloseTo(high, 4);
});

describe('a sample', () => {
  const mutant = (id: string, status: string) => ({
    id,
    status,
    mutatorName: 'BooleanLiteral',
    location: { start: { line: 1, column: 1 } },
  });

  /** What Stryker makes of these mutants with the checker, whose status is what a test would find. */
  async function run(mutants: readonly ReturnType<typeof mutant>[], size: number, seed: number) {
    const [plugin] = strykerPlugins;
    const Checker = plugin?.injectableClass;
    if (Checker === undefined) throw new Error('no checker');
    vi.stubEnv('METAHUB_MUTATION_SAMPLE', `${size}:${seed}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    const reached = mutants.filter(({ status }) => status === 'Killed' || status === 'Survived');
    // In two processes, as it may be in Stryker.
    const groups = await new Checker().group(reached);
    expect(groups).toEqual([reached.map(({ id }) => id)]);
    const checks = await new Checker().check(reached);
    const refused = new Set(reached.filter(({ id }) => checks[id]?.status !== 'passed').map(({ id }) => id));
    const reported = mutants.map((one) => (refused.has(one.id) ? { ...one, status: 'CompileError' } : one));
    return { files: { 'src/a.ts': { mutants: reported } } };
  }

  test('is drawn of the mutants that no test reaches, too, and not of those left out', async () => {
    const statuses = ['Killed', 'Survived', 'NoCoverage', 'Ignored'];
    const mutants = ALL.map((id, at) => mutant(id, statuses[at % 4] ?? ''));
    const report = await run(mutants, 100, 7);
    const { of, mutants: drawn } = sampleOf(report, 100, 7);
    expect(of).toBe(750);
    expect(drawn).toHaveLength(100);
    expect(new Set(drawn.map(({ status }) => status))).toEqual(new Set(statuses.slice(0, 3)));
  });

  test('is none of a report of another seed', async () => {
    const report = await run(
      ALL.map((id) => mutant(id, 'Killed')),
      100,
      7,
    );
    expect(() => sampleOf(report, 100, 8)).toThrow(/of the sample have not been tried/);
  });
});

const files = ['src', 'test'].flatMap((folder) =>
  readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`),
);

test.each(Object.entries(ROOMS))('the room %s has code and tests of its own', (_, { mutate, tests }) => {
  const isCode = picomatch(mutate.filter((glob) => !glob.startsWith('!')));
  expect(files.some((file) => isCode(file))).toBe(true);
  expect(files.some((file) => picomatch.isMatch(file, tests))).toBe(true);
  // Who reads the rooms starts no run: the tests of another room would then be those of each.
  expect(process.env['METAHUB_MUTATED_TESTS']).toBeUndefined();
});
