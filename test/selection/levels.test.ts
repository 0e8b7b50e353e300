import { describe, expect, test } from 'vitest';
import { canonicalName } from '../../src/host/microarchitectures.ts';
import { viewOf } from '../../src/selection/host-view.ts';
import {
  compareLevels,
  fitOf,
  judgeCpu,
  judgeLevel,
  judgeVariant,
  nodeNameOfLevel,
  parseLevel,
  placeOfVariant,
  treeNodeOfLevel,
  variantOf,
} from '../../src/selection/matchers/cpu.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { hostOf } from '../support/host-of.ts';

describe('parseLevel()', () => {
  test.each([
    ['x86-64-v1', { family: 'amd64', major: 1, minor: 0 }, 'x86_64', 'x86_64'],
    ['x86-64-v3', { family: 'amd64', major: 3, minor: 0 }, 'x86_64_v3', 'x86_64_v3'],
    ['x86-64-v4', { family: 'amd64', major: 4, minor: 0 }, 'x86_64_v4', 'x86_64_v4'],
    ['arm64-v8', { family: 'arm64', major: 8, minor: 0 }, 'aarch64', 'aarch64'],
    ['arm64-v8.2', { family: 'arm64', major: 8, minor: 2 }, 'armv8.2a', 'armv8.2a'],
    ['arm64-v9.0', { family: 'arm64', major: 9, minor: 0 }, 'armv9.0a', 'armv9.0a'],
    // The tree has no node for these: what they contain of it counts.
    ['arm64-v9.3', { family: 'arm64', major: 9, minor: 3 }, 'armv9.3a', 'armv9.2a'],
    ['arm64-v10.0', { family: 'arm64', major: 10, minor: 0 }, 'armv10.0a', undefined],
  ])('reads %s, and its node of the family tree', (text, level, node, inTree) => {
    expect(parseLevel(text)).toEqual(level);
    expect([nodeNameOfLevel(text), treeNodeOfLevel(text)]).toEqual([node, inTree]);
  });

  test.each([
    'x86-64-v0',
    'x86-64-v5',
    'x86-64-v3.0',
    'x86-64-v3x',
    'an-x86-64-v3',
    'arm64-v8.x',
    'arm64',
    'avx2',
    '',
  ])('refuses “%s”', (text) => {
    expect(parseLevel(text)).toBeUndefined();
    expect([nodeNameOfLevel(text), treeNodeOfLevel(text)]).toEqual([undefined, undefined]);
  });
});

test.each([
  ['x86-64-v3', 'x86-64-v2'],
  ['x86-64-v1', 'no level'],
  ['arm64-v8.2', 'arm64-v8.1'],
  ['arm64-v8.0', 'no level'],
  // Armv9.N includes all of Armv8.(N+5), but not the other way round.
  ['arm64-v9.0', 'arm64-v8.5'],
  ['arm64-v8.6', 'arm64-v9.0'],
  ['arm64-v9.1', 'arm64-v8.6'],
  ['arm64-v9.1', 'arm64-v9.0'],
])('%s ranks before %s', (newer, older) => {
  expect(compareLevels(newer, older)).toBeLessThan(0);
  expect(compareLevels(older, newer)).toBeGreaterThan(0);
  expect(compareLevels(older, older)).toBe(0);
});

describe('judgeLevel()', () => {
  test.each([
    ['x86-64-v3', 'x86-64-v2'],
    ['x86-64-v3', 'x86-64-v3'],
    ['cpu:zen4', 'x86-64-v4'],
    ['arm64-v8.2', 'arm64-v8.2'],
    ['arm64-v8.2', 'arm64-v8.0'],
    ['arm64-v9.0', 'arm64-v8.5'],
    ['arm64-v9.2', 'arm64-v9.0'],
    ['arm64-v9.2', 'arm64-v8.7'],
  ])('%s holds %s', (host, level) => {
    expect(judgeLevel(level, viewOf(hostOf(host)))).toEqual({ holds: true });
  });

  test.each([
    ['x86-64-v3', 'x86-64-v4', 'this host is x86-64-v3'],
    ['x86-64-v3', 'arm64-v8.0', 'this host is amd64'],
    ['x86-64-v3', 'x86-64-v7', 'x86-64-v7 is not a level that exists'],
    ['arm64-v8.2', 'arm64-v8.3', 'this host is arm64-v8.2'],
    ['arm64-v8.6', 'arm64-v9.0', 'this host is arm64-v8.6'],
    ['arm64-v9.0', 'arm64-v8.6', 'this host is arm64-v9.0, arm64-v9'],
    ['arm64-v9.0', 'arm64-v9.1', 'this host is arm64-v9.0, arm64-v9'],
    ['cpu:aarch64', 'arm64-v8.1', 'this host is arm64-v8'],
    ['cpu:power9le', 'x86-64-v2', 'this host is ppc64le'],
    ['cpu:riscv64', 'x86-64-v1', 'this host is riscv64'],
  ])('%s does not hold %s: %s', (host, level, why) => {
    expect(judgeLevel(level, viewOf(hostOf(host)))).toEqual({ holds: false, why });
  });
});

describe('judgeLevel() of a host without a node of the family tree', () => {
  const claiming = (architecture: string, ...levels: readonly string[]) => ({
    ...viewOf(hostOf('')),
    architecture,
    variant: undefined,
    runs: new Set<string>(),
    claims: new Map([['level', levels]]),
  });

  test.each([
    ['amd64', 'x86-64-v3', 'x86-64-v2', true],
    ['amd64', 'x86-64-v3', 'x86-64-v3', true],
    ['amd64', 'x86-64-v3', 'x86-64-v4', false],
    ['arm64', 'arm64-v8.2', 'arm64-v8.1', true],
    ['arm64', 'arm64-v8.2', 'arm64-v8.2', true],
    ['arm64', 'arm64-v8.2', 'arm64-v8.3', false],
    ['arm64', 'arm64-v9.0', 'arm64-v8.5', true],
    ['arm64', 'arm64-v9.0', 'arm64-v8.6', false],
    ['arm64', 'arm64-v8.9', 'arm64-v9.0', false],
    ['arm64', 'arm64-v9.4', 'arm64-v10.0', false],
    ['arm64', 'arm64-v10.4', 'arm64-v8.5', false],
    ['arm64', 'arm64-v9.0', 'x86-64-v1', false],
    ['amd64', 'x86-64-v4', 'arm64-v4.0', false],
  ])('on %s with %s, of %s: %s', (architecture, claimed, wanted, holds) => {
    expect(judgeLevel(wanted, claiming(architecture, claimed)).holds).toBe(holds);
  });

  test('names the host’s level, if it has one', () => {
    expect(judgeLevel('x86-64-v2', claiming('amd64'))).toEqual({
      holds: false,
      why: 'this host has no such level',
    });
    const why = 'this host is x86-64-v1';
    expect(judgeLevel('x86-64-v2', claiming('amd64', 'x86-64-v1'))).toEqual({ holds: false, why });
    const running = { ...claiming('amd64'), runs: new Set(['x86_64_v2']) };
    expect(judgeLevel('x86-64-v2', running)).toEqual({ holds: true });
  });
});

describe('variants of architectures without levels', () => {
  const hostWith = (architecture: string, variant: string | undefined) => ({
    ...viewOf(hostOf('cpu:zen4')),
    architecture,
    variant,
  });

  test.each([
    ['arm', 'v5', 5],
    ['arm', 'v10', 10],
    ['arm', 'weird', -1],
    ['arm', 'xv7', -1],
    ['arm', 'v7x', -1],
    ['riscv64', 'rva20u64', 0],
    ['riscv64', 'rva22u64', 1],
    ['riscv64', 'v7', -1],
  ])('%s %s has the rank %s', (architecture, variant, place) => {
    expect(placeOfVariant(variant, architecture)).toBe(place);
  });

  test.each([
    ['arm', undefined, 'v7'],
    ['arm', 'v6', 'v6'],
    ['riscv64', undefined, 'rva20u64'],
    ['riscv64', 'rva23u64', 'rva23u64'],
  ])('a host of %s with %s is %s', (architecture, variant, own) => {
    expect(variantOf(hostWith(architecture, variant))).toBe(own);
  });

  test.each([
    ['arm', 'v7', 'v6', true],
    ['arm', 'v7', 'v7', true],
    ['arm', 'v6', 'v7', false],
    ['arm', undefined, 'v7', true],
    ['arm', 'v7', 'weird', false],
    ['arm', 'weird', 'weird', true],
    ['arm', 'weird', 'v6', false],
    ['arm', 'weird', 'odd', false],
    ['riscv64', 'rva22u64', 'rva20u64', true],
    ['riscv64', undefined, 'rva22u64', false],
  ])('of %s, a host %s runs %s: %s', (architecture, variant, wanted, holds) => {
    const host = hostWith(architecture, variant);
    const why = `this host is ${variantOf(host)}`;
    expect(judgeVariant(wanted, host)).toEqual(holds ? { holds } : { holds, why });
  });
});

describe('code for a microarchitecture', () => {
  test.each([
    ['cpu:icelake', 'cascadelake', false, 'native', undefined],
    ['cpu:zen3', 'x86_64_v3', false, 'native', undefined],
    ['cpu:haswell', 'broadwell', true, 'none', 'this host is haswell and lacks adx'],
    [
      'cpu:haswell',
      'x86_64_v4',
      true,
      'none',
      'this host is haswell and lacks avx512f, avx512bw, avx512cd, avx512dq and 1 more',
    ],
    ['cpu:neoverse_v2', 'zen4', true, 'none', 'it is x86_64 code, this host is neoverse_v2'],
    ['cpu:zen4', 'warp9', true, undefined, 'warp9 is not a known microarchitecture'],
  ])('on %s: %s', (features, written, allowForeignVendor, fit, why) => {
    const host = viewOf(hostOf(features));
    const policy = { ...DEFAULT_POLICY, allowForeignVendor };
    expect(judgeCpu(written, host, policy)).toEqual(
      why === undefined ? { holds: true } : { holds: false, why },
    );
    const name = canonicalName(written);
    expect(name && fitOf(name, host, policy)).toBe(fit);
  });

  test('of another vendor runs by its flags where the policy allows it, which the refusal mentions', () => {
    const host = viewOf(hostOf('cpu:zen3 cpuflag:rdrand'));
    const why = expect.stringContaining(
      'of another vendor (allowForeignVendor would accept it by its flags)',
    );
    expect(judgeCpu('haswell', host, DEFAULT_POLICY)).toEqual({ holds: false, why });
    const policy = { ...DEFAULT_POLICY, allowForeignVendor: true };
    expect(judgeCpu('haswell', host, policy)).toEqual({ holds: true });
    expect([fitOf('haswell', host, DEFAULT_POLICY), fitOf('haswell', host, policy)]).toEqual([
      'none',
      'foreign',
    ]);
  });

  test('of the host’s own vendor whose flags the host has, but from which it does not descend, is refused', () => {
    const host = viewOf(hostOf('cpu:cannonlake cpuflag:avx512_vnni cpuflag:clwb'));
    expect(judgeCpu('cascadelake', host, DEFAULT_POLICY)).toEqual({
      holds: false,
      why: 'this host is cannonlake, which does not descend from it',
    });
  });
});
