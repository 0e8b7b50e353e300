import { expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { allFlags, COMPILER_NAMES, flagsForHost, parseCompiler } from '../../src/host/compiler-flags.ts';

test.each([
  ['zen4', 'gcc@13', '-march=znver4 -mtune=znver4', 'zen4'],
  ['zen4', 'gcc', '-march=znver4 -mtune=znver4', 'zen4'],
  ['zen4', 'gcc@9.4', '-march=znver2 -mtune=znver2', 'zen2'],
  ['zen4', 'clang++@17', '-march=znver4 -mtune=znver4', 'zen4'],
  ['cascadelake', 'gcc@12', '-march=cascadelake -mtune=cascadelake', 'cascadelake'],
  ['cascadelake', 'gcc@8', '-march=skylake-avx512 -mtune=skylake-avx512', 'skylake_avx512'],
  ['cascadelake', 'icx', '-march=cascadelake -mtune=cascadelake', 'cascadelake'],
  ['cascadelake', 'nvc@24.1', '-tp skylake', 'cascadelake'],
  ['neoverse_n1', 'clang@12', '-mcpu=neoverse-n1', 'neoverse_n1'],
  ['neoverse_n1', 'armclang@22.1', '-mcpu=neoverse-n1', 'neoverse_n1'],
  ['power9le', 'gcc@12', '-mcpu=power9 -mtune=power9', 'power9le'],
  ['m1', 'apple-clang@15', '-mcpu=apple-m1', 'm1'],
  ['graniterapids', 'gcc@13.1', '-march=graniterapids -mtune=graniterapids', 'graniterapids'],
  ['z16', 'gcc@9.3', '-march=arch13 -mtune=arch13', 'z15'],
])('flagsForHost() gives %s with %s the flags %s', (host, compiler, flags, microarchitecture) => {
  const parsed = parseCompiler(compiler);
  expect(parsed).toBeDefined();
  const { compatible } = profileOfFeatures([`cpu:${host}`]).cpu;
  expect(parsed && flagsForHost(compatible, parsed)).toEqual({ flags, microarchitecture });
});

test('a major version alone is its first release, so that the flags work with all its releases', () => {
  const { compatible } = profileOfFeatures(['cpu:zen4']).cpu;
  expect(flagsForHost(compatible, { name: 'gcc', version: '12' })?.flags).toContain('-march=znver3');
  expect(flagsForHost(compatible, { name: 'gcc', version: '12.3' })?.flags).toContain('-march=znver4');
});

test('a compiler without a microarchitecture gets the flags of the next best one', () => {
  const { compatible } = profileOfFeatures(['cpu:mic_knl']).cpu;
  expect(flagsForHost(compatible, { name: 'oneapi', version: '2024.1' })?.microarchitecture).not.toBe(
    'mic_knl',
  );
});

test.each(['', 'tcc@1', 'gcc@', 'gcc@new', 'gcc 12', 'GCC@12'])(
  '%j is not a compiler and version',
  (written) => {
    expect(parseCompiler(written)).toBeUndefined();
  },
);

test('a compiler that supports nothing the host runs gets no flags', () => {
  expect(flagsForHost(['s390x'], { name: 'nvhpc' })).toBeUndefined();
});

test('a compiler is parsed with or without a version', () => {
  expect(parseCompiler('gcc')).toEqual({ name: 'gcc' });
  expect(parseCompiler('g++@12.3.1')).toEqual({ name: 'gcc', version: '12.3.1' });
  expect(parseCompiler('gcc@12.34')).toEqual({ name: 'gcc', version: '12.34' });
  expect(parseCompiler('1gcc')).toBeUndefined();
});

test('only compilers that support a microarchitecture are listed for it', () => {
  expect(Object.keys(allFlags('m1'))).not.toContain('intel');
  expect(allFlags('nowhere')).toEqual({});
});

test('every name in the list is a known compiler', () => {
  expect(COMPILER_NAMES.map(parseCompiler)).not.toContain(undefined);
});

test('all flags of a microarchitecture are listed by compiler, oldest first', () => {
  expect(allFlags('zen4')['gcc']?.map(({ since }) => since)).toEqual(['10.3', '12.3']);
});
