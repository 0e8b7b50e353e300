import { describe, expect, test } from 'vitest';
import { baselineDemands, parseBaseline } from '../../src/selection/baseline.ts';

describe('parseBaseline()', () => {
  test.each([
    [['v3'], ['x86-64-v3']],
    [[' v3 '], ['x86-64-v3']],
    [['x86_64_v2'], ['x86-64-v2']],
    [['arm64-v9'], ['arm64-v9.0']],
    [[' avx '], ['avx']],
    [['cpuflag:avx'], ['avx']],
    [['asimd'], ['asimd']],
    [['cpu:zen3'], ['cpu:zen3']],
    [
      ['x86-64-v3', 'arm64-v8.2'],
      ['x86-64-v3', 'arm64-v8.2'],
    ],
    [['none'], []],
  ])('reads %j', (texts, read) => {
    expect(parseBaseline(texts)).toEqual(read);
  });

  test.each([
    [[]],
    [['v30']],
    [['xv3']],
    [['v5']],
    [['none', 'avx']],
    [['avx', 'none']],
    [['avx', 'nosuchflag']],
    [['cpu:nosuch']],
    [['rack:7']],
    [['rack:avx']],
    [['nvcap:9.0']],
    [['cpuvendor:intel']],
  ])('refuses %j', (texts) => {
    expect(parseBaseline(texts)).toBeUndefined();
  });
});

test.each([
  ['amd64', ['level x86-64-v3', 'cpuflag avx', 'cpu zen3']],
  ['arm64', ['level arm64-v8.2', 'cpu neoverse_n1', 'cpuflag asimd']],
  ['ppc64le', []],
  ['riscv64', []],
])('baselineDemands() demands for entries for %s only what their CPUs can have', (architecture, demands) => {
  const baseline = ['x86-64-v3', 'arm64-v8.2', 'avx', 'cpu:zen3', 'cpu:neoverse_n1', 'asimd'];
  const made = baselineDemands(baseline, architecture);
  expect(made.flatMap(({ anyOf }) => anyOf.map(({ kind, value }) => `${kind} ${value}`))).toEqual(demands);
  for (const { source } of made) expect(source).toBe('the baseline of this repository');
});
