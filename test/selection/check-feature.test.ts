import { describe, expect, test } from 'vitest';
import { problemWithFeature } from '../../src/selection/check-feature.ts';

describe('problemWithFeature()', () => {
  test.each([
    'cpu:skylake',
    'cpu:znver3',
    'cpu:x86_64_v3',
    'x86-64-v3',
    'arm64-v8.2',
    'avx2',
    ' avx2 ',
    ' cpuflag:some_new_flag ',
    'cpuflag:some_new_flag',
    'nvcap:8.6',
    'nvcap:9.0a',
    'nvcap:10.0f',
    'nvcap:sm_90',
    'nvcap:8.0-8.9',
    'nvcap:=7.5',
    'nvcap:9.0+PTX',
    'nvptx:8.0',
    'gfx:gfx90a',
    'gfx:gfx942:sramecc+:xnack-',
    'gfx:gfx9-4-generic',
    'gfx:gfx11-generic',
    'kernel>=5.10',
    'kernel:>=5.10,<6',
    'driver:535',
    'cuda:12.4',
    'rack:b12',
    'fabric:ib',
  ])('accepts %s', (feature) => {
    expect(problemWithFeature(feature)).toBeUndefined();
  });

  test.each([
    ['cpu:skylkae', /no microarchitecture “skylkae”; did you mean skylake\?/],
    ['cpu:zen99x9', /no microarchitecture/],
    ['avx22', /“avx22” is not a known CPU flag; did you mean avx2\?/],
    ['skylake', /did you mean cpu:skylake\?/],
    ['nvcap:abc', /“nvcap:abc” names no compute capability: write nvcap:9\.0/],
    ['nvptx:', /is not a feature/],
    ['gfx:90a', /names no AMD target: write gfx:gfx90a/],
    ['cuda:twelve', /names no version/],
    ['kernel>=new', /names no version/],
    ['x86-64-v5', /is not a feature; did you mean x86-64-v/],
    ['¿que?', /is not a feature: write cpu:zen4/],
    ['', /is not a feature/],
    ['  nvcap:abc ', /^“nvcap:abc” names no compute capability: write nvcap:9\.0$/],
    ['nvptx:abc', /^“nvptx:abc” names no compute capability: write nvptx:9\.0$/],
    [
      'avx22x999zz',
      /^“avx22x999zz” is not a known CPU flag; did you mean cpuflag:avx22x999zz, for a flag that MetaHub does not know\?$/,
    ],
  ])('names the problem of “%s”', (feature, expected) => {
    expect(String(problemWithFeature(feature))).toMatch(expected);
  });
});
