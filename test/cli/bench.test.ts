import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { keepResults, readResults } from '../../src/cli/benchmark-results.ts';
import type { BenchReport } from '../../src/cli/commands/bench/measure.ts';
import {
  caseText,
  metricOf,
  orderOf,
  permutationsOf,
  sampleOf,
  speedFactor,
  statisticsOf,
} from '../../src/cli/commands/bench/plan.ts';
import { renderText } from '../../src/cli/commands/bench/render.ts';
import { secondsBetween } from '../../src/cli/commands/bench/runtime.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { hostOf } from '../support/host-of.ts';
import { runCli } from '../support/run-cli.ts';
import { dataDirectory } from '../support/store.ts';

describe('permutationsOf()', () => {
  test('combines every value of each variable with every list of arguments', () => {
    const cases = permutationsOf({ THREADS: ['1', '4'], MODE: ['a', 'b'] }, [['--small'], ['--large', 'x']]);
    expect(cases.map(caseText)).toEqual([
      'THREADS=1 MODE=a --small',
      'THREADS=1 MODE=a --large x',
      'THREADS=1 MODE=b --small',
      'THREADS=1 MODE=b --large x',
      'THREADS=4 MODE=a --small',
      'THREADS=4 MODE=a --large x',
      'THREADS=4 MODE=b --small',
      'THREADS=4 MODE=b --large x',
    ]);
  });

  test('returns one permutation for a program without variables and arguments', () => {
    expect(permutationsOf({}, [[]])).toEqual([{ environment: {}, args: [] }]);
  });
});

describe('orderOf()', () => {
  test('lets each item begin a round equally often', () => {
    const firsts = [0, 1, 2, 3, 4, 5].map((round) => orderOf(['a', 'b', 'c'], round)[0]);
    expect(firsts).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
    expect(orderOf(['a', 'b', 'c'], 1)).toEqual(['b', 'c', 'a']);
    expect(orderOf([], 3)).toEqual([]);
  });
});

test.each([
  [[3], { median: 3, min: 3, max: 3 }],
  [[9, 1, 5], { median: 5, min: 1, max: 9 }],
  [[10, 2, 4, 100], { median: 7, min: 2, max: 100 }],
])('statisticsOf(%j) gives the expected figures', (samples, expected) => {
  expect(statisticsOf(samples)).toEqual(expected);
});

test.each([
  ['a time half as long is twice the speed', 2, 4, 'lower', 2],
  ['a rate half as high is half the speed', 2, 4, 'higher', 0.5],
  ['without a generic entry there is no factor', 2, undefined, 'lower', undefined],
  ['a median of zero has no ratio', 0, 4, 'lower', undefined],
  ['a generic median of zero has no ratio', 2, 0, 'higher', undefined],
] as const)('speedFactor(): %s', (_name, median, generic, better, expected) => {
  expect(speedFactor(median, generic, better)).toBe(expected);
});

test.each([
  ['GFLOPS: 12.5\n', 12.5],
  ['GFLOPS: 1\nGFLOPS: 2e3\n', 2000],
  ['GFLOPS: none\n', undefined],
  ['', undefined],
])('metricOf(%j) reads the last number', (output, expected) => {
  expect(metricOf(output, /GFLOPS: (\S+)/)).toBe(expected);
});

test.each([
  ['a wall time', 0.01, '', undefined, { kind: 'measured', value: 0.01 }],
  ['no time below what runtimes record', 0.0099, '', undefined, { kind: 'unusable' }],
  ['no negative time', -0.0007, '', undefined, { kind: 'unusable' }],
  [
    'a rate of a run that is too short to be timed',
    0,
    'rate: 5',
    /rate: (\d)/,
    { kind: 'measured', value: 5 },
  ],
  ['no rate that the output lacks', 9, 'none', /rate: (\d)/, { kind: 'unusable' }],
])('sampleOf() takes %s', (_name, seconds, output, pattern, expected) => {
  expect(sampleOf({ seconds, output }, { pattern, better: 'lower' })).toMatchObject(expected);
});

test('renderText() names the permutations of a failure, unless it is all of them', () => {
  const contender = { position: 0, digest: 'sha256:a' as Digest, demands: '', isWinner: true };
  const cases = permutationsOf({ N: ['1', '2'] }, [[]]);
  const failure = (permutation: string, why: string) => ({ contender, permutation, why });
  const report: BenchReport = {
    ...{ name: 'app', profile: hostOf('cpu:zen4'), runtime: 'docker', contenders: [contender], results: [] },
    plan: {
      ...{ runtime: undefined, choice: 'all', cases, rounds: 5, warmUps: 1 },
      ...{
        metric: { pattern: undefined, better: 'lower' },
        options: { cpus: undefined, runtimeArgs: [], timeoutMs: 1 },
      },
    },
    failures: [failure('N=1', 'too short'), failure('N=2', 'too short'), failure('N=2', 'broken')],
  };
  const text = renderText(report, 'benchmarks.json');
  expect(text).toContain('entry 1 failed: too short\nentry 1 failed: broken (N=2)\n');
  expect(text).not.toContain('stored in');
});

test.each([
  ['["2026-11-26T18:00:00.5Z","2026-11-26T18:00:02.25Z"]', 1.75],
  ['["2026-11-26T18:00:00.123456789Z","2026-11-26T18:00:00.123956789Z"]', 0.0005],
  // Podman writes the local time with its offset.
  ['["2026-11-26T19:59:59.9+01:00","2026-11-26T19:00:00.1Z"]', 0.2],
])('secondsBetween(%s) measures the duration', (state, expected) => {
  expect(secondsBetween(state)).toBeCloseTo(expected, 6);
});

describe('metahub bench refuses', () => {
  test.each([
    ['--rounds 0', '--rounds 0 is not a number from 1 to 1000'],
    ['--rounds 1001', '--rounds 1001 is not a number from 1 to 1000'],
    ['--warm-up -1', '--warm-up -1 is not a number from 0 to 1000'],
    ['--runtime lxc', '--runtime lxc is not one of docker, podman, ctr'],
    ['--entries 0', '--entries 0 is neither all, best nor a list of numbers'],
    ['--metric GFLOPS', '--metric GFLOPS has no group'],
    ['--metric (', '--metric (: '],
    ['--better higher', '--better higher needs a --metric'],
    ['--cpus a', '--cpus a is not a list of CPUs'],
    ['--env A', '--env A is not NAME=VALUE'],
    ['--timeout 0', '--timeout 0 is not a time limit of a run'],
    ['--timeout soon', '--timeout: “soon” is not a duration'],
  ])('%s, with status 2', async (words, message) => {
    const { stderr, status } = await runCli('bench', ...words.split(' '), 'app');
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });

  test.each([
    ['enviroment: {}', 'bench.yml:1:1: enviroment: this key does not exist; did you mean environment?'],
    ['environment: { "A B": [1] }', 'is not the name of a variable'],
    ['arguments: []', 'arguments'],
    ['rounds: 0', 'bench.yml:1:9: rounds: a number from 1 on is expected'],
    ['metric: [', 'bench.yml:1:'],
  ])('a file with %s, with status 2', async (text, message) => {
    const path = join(await dataDirectory(), 'bench.yml');
    writeFileSync(path, text);
    const { stderr, status } = await runCli('bench', '--file', path, 'app');
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });

  test('a file that is missing, with status 1', async () => {
    const { stderr, status } = await runCli('bench', '--file', '/not/there.yml', 'app');
    expect(stderr).toContain('/not/there.yml: there is no such file');
    expect(status).toBe(1);
  });

  test('too many permutations, with status 2', async () => {
    const path = join(await dataDirectory(), 'bench.yml');
    const values = JSON.stringify(Array.from({ length: 17 }, (_, value) => value));
    writeFileSync(path, `environment: { A: ${values}, B: ${values} }`);
    const { stderr, status } = await runCli('bench', '--file', path, 'app');
    expect(stderr).toContain('289 permutations are more than 256');
    expect(status).toBe(2);
  });
});

describe('stored results', () => {
  const RESULT = {
    image: 'docker.io/library/app:latest',
    entry: `sha256:${'a'.repeat(64)}`,
    demands: 'cpu:skylake',
    permutation: '',
    metric: 'seconds',
    better: 'lower',
    median: 2,
    min: 1,
    max: 3,
    rounds: 5,
    timesGeneric: 1.8,
    cpu: 'zen4',
    measuredAt: '2026-11-26T18:00:00.000Z',
  } as const;

  test('replace an older result of the same entry and permutation, and keep all others', async () => {
    const data = await dataDirectory();
    await keepResults(data, [RESULT, { ...RESULT, permutation: '--large' }]);
    await keepResults(data, [{ ...RESULT, median: 4 }]);
    expect(await readResults(data)).toEqual([
      { ...RESULT, permutation: '--large' },
      { ...RESULT, median: 4 },
    ]);
  });

  test('drop the oldest beyond 2,000', async () => {
    const data = await dataDirectory();
    const many = Array.from({ length: 2_001 }, (_, at) => ({ ...RESULT, permutation: `--size ${at}` }));
    await keepResults(data, many);
    const kept = await readResults(data);
    expect(kept).toHaveLength(2_000);
    expect(kept[0]?.permutation).toBe('--size 1');
  });

  test('are neither read from nor written to a file of another format', async () => {
    const data = await dataDirectory();
    writeFileSync(join(data, 'benchmarks.json'), '{"mine": true}');
    await expect(keepResults(data, [RESULT])).rejects.toMatchObject({
      exitStatus: 2,
      message: expect.stringContaining('does not hold the results of metahub bench'),
    });
  });
});
