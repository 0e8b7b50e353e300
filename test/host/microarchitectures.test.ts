import { describe, expect, test } from 'vitest';
import {
  ALIAS_NAMES,
  allNodes,
  ancestorSet,
  canonicalName,
  findNode,
  flagSet,
  isDistinguishedByIdleFlags,
  referenceFlagSet,
  requiredFlagSet,
  rootOf,
  words,
} from '../../src/host/microarchitectures.ts';

const sorted = (set: Iterable<string> | undefined) => [...(set ?? [])].sort().join(' ');
const nodes = [...allNodes()];

test.each([
  ['', []],
  ['a', ['a']],
  ['a b', ['a', 'b']],
])('words() of %j are %j', (list, split) => {
  expect(words(list)).toEqual(split);
});

describe('a node', () => {
  test('has the data of its table, and whether archspec has it too', () => {
    const node = findNode('x86_64_v2');
    expect(node).toMatchObject({ name: 'x86_64_v2', vendor: 'generic', evidence: {}, isReference: true });
    expect(node?.parents).toEqual(['x86_64']);
    expect(node?.addedFlags).toEqual(expect.arrayContaining(['cx16', 'popcnt']));
    expect(node?.extraFlags).toEqual([]);
    expect(findNode('icelake')?.parents).toEqual(['cascadelake', 'cannonlake']);
    expect(findNode('graniterapids')?.isReference).toBe(false);
    expect(findNode('sapphirerapids')?.extraFlags).toEqual(['avx_vnni', 'avx512_fp16']);
    expect(findNode('nowhere')).toBeUndefined();
  });

  test('is placed after its ancestors', () => {
    const places = new Map(nodes.map(({ name }, at) => [name, at]));
    const misplaced = nodes.filter(({ name, parents }) =>
      parents.some((parent) => (places.get(parent) ?? Number.NaN) >= (places.get(name) ?? 0)),
    );
    expect(misplaced).toEqual([]);
  });
});

test.each([
  ['zen4', 'x86_64 x86_64_v2 x86_64_v3 x86_64_v4 zen zen2 zen3', 'x86_64'],
  ['zen', 'x86_64 x86_64_v2 x86_64_v3', 'x86_64'],
  ['x86_64', '', 'x86_64'],
  ['power9le', 'power8le ppc64le', 'ppc64le'],
  ['nowhere', '', 'nowhere'],
])('the ancestors of %s are %j, and its root is %s', (name, ancestors, root) => {
  for (const _ of ['worked out', 'remembered']) {
    expect(sorted(ancestorSet(name))).toBe(ancestors);
    expect(rootOf(name)).toBe(root);
  }
});

describe('the flags of a node', () => {
  test('are its own and its ancestors’, where ssse3 implies sse3', () => {
    expect(sorted(flagSet('x86_64_v2'))).toBe('cx16 lahf_lm mmx popcnt sse sse2 sse4_1 sse4_2 ssse3');
    expect(flagSet('nocona')?.has('sse3')).toBe(true);
    expect(flagSet('core2')?.has('sse3')).toBe(false);
    expect(flagSet('zen4')?.has('avx512f')).toBe(true);
    expect(flagSet('zen3')?.has('avx512f')).toBe(false);
  });

  test('are undefined for an unknown name', () => {
    expect([flagSet, referenceFlagSet, requiredFlagSet].map((of) => of('nowhere'))).toEqual(
      Array(3).fill(undefined),
    );
  });

  test('are for archspec only those of its table', () => {
    const beyond = (name: string) =>
      sorted([...(flagSet(name) ?? [])].filter((flag) => !referenceFlagSet(name)?.has(flag)));
    expect(beyond('sapphirerapids')).toBe('avx512_fp16 avx_vnni');
    expect(beyond('zen4')).toBe('');
    expect(sorted(referenceFlagSet('zen4'))).toBe(sorted(flagSet('zen4')));
  });

  test.each([
    ['zen4', 'clflushopt clzero flush_l1d pku rdseed xsavec xsaveopt'],
    ['skylake_avx512', 'clflushopt clwb rdseed xsavec xsaveopt'],
    ['neoverse_n1', 'cpuid evtstrm'],
    ['x86_64_v4', ''],
    ['power9le', ''],
  ])('are required except the idle ones: of %s all but %j', (name, idle) => {
    const required = requiredFlagSet(name);
    expect(sorted([...(flagSet(name) ?? [])].filter((flag) => !required?.has(flag)))).toBe(idle);
    expect([...(required ?? [])].filter((flag) => !flagSet(name)?.has(flag))).toEqual([]);
  });

  test('distinguish only Skylake from Broadwell by idle ones alone', () => {
    expect(nodes.filter(isDistinguishedByIdleFlags).map(({ name }) => name)).toEqual(['skylake']);
  });
});

describe('canonicalName()', () => {
  test.each([
    [' Zen4 ', 'zen4'],
    ['skylake-avx512', 'skylake_avx512'],
    ['x86-64-v3', 'x86_64_v3'],
    ['znver4', 'zen4'],
    ['core-avx2', 'haswell'],
    ['armv8.2-a', 'armv8.2a'],
    ['ARMv9-A', 'armv9.0a'],
    ['armv8.0-a', 'aarch64'],
    ['apple-m1', 'm1'],
    ['xarmv8.2-a', undefined],
    ['armv8.2-ax', undefined],
    ['armv8-2-a', undefined],
    ['constructor', undefined],
    ['nowhere', undefined],
    ['', undefined],
  ])('of %j is %s', (written, name) => {
    expect(canonicalName(written)).toBe(name);
  });

  test('of every alias is a node, and no node’s name is an alias', () => {
    expect(ALIAS_NAMES.filter((alias) => findNode(canonicalName(alias) ?? '') === undefined)).toEqual([]);
    expect(ALIAS_NAMES.filter((alias) => findNode(alias) !== undefined)).toEqual([]);
    expect(ALIAS_NAMES).toContain('znver4');
  });
});
