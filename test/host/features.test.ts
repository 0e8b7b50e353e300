import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatFeature, parseFeature } from '../../src/host/features.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

describe('a feature', () => {
  test.each([
    ['cpu:zen4', { kind: 'cpu', value: 'zen4' }, 'cpu:zen4'],
    ['cpu:skylake-avx512', { kind: 'cpu', value: 'skylake-avx512' }, 'cpu:skylake-avx512'],
    ['x86-64-v3', { kind: 'level', value: 'x86-64-v3' }, 'x86-64-v3'],
    ['x86_64_v3', { kind: 'level', value: 'x86-64-v3' }, 'x86-64-v3'],
    ['level:x86-64-v3', { kind: 'level', value: 'x86-64-v3' }, 'x86-64-v3'],
    ['arm64-v8.2', { kind: 'level', value: 'arm64-v8.2' }, 'arm64-v8.2'],
    ['arm64-v9', { kind: 'level', value: 'arm64-v9.0' }, 'arm64-v9.0'],
    ['avx2', { kind: 'cpuflag', value: 'avx2' }, 'avx2'],
    ['cpuflag:avx2', { kind: 'cpuflag', value: 'avx2' }, 'avx2'],
    ['nvcap:9.0', { kind: 'nvcap', value: '9.0' }, 'nvcap:9.0'],
    ['instType:c5', { kind: 'instType', value: 'c5' }, 'instType:c5'],
    ['rack=b12', { kind: 'rack', value: 'b12' }, 'rack:b12'],
    [
      'vendor.example/boot=disk:0',
      { kind: 'vendor.example/boot', value: 'disk:0' },
      'vendor.example/boot:disk:0',
    ],
  ])('%s', (text, feature, canonical) => {
    expect(parseFeature(text)).toEqual(feature);
    expect(formatFeature(feature)).toBe(canonical);
  });

  test.each([
    '',
    ' ',
    'cpu:',
    ':zen4',
    'cpu: ',
    'cpu:zen 4',
    'AVX2',
    '-v',
    'level:x86-64-v9',
    '9.0',
    'a\nb:c',
  ])('%j is none', (text) => {
    expect(parseFeature(text)).toBeUndefined();
  });

  test('the canonical form of any text reads back as the same feature', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const feature = parseFeature(text);
        if (feature !== undefined) expect(parseFeature(formatFeature(feature))).toEqual(feature);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
