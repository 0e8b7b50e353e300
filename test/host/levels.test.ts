import { describe, expect, test } from 'vitest';
import {
  LEVEL_NODES,
  levelOf,
  levelOfNode,
  levelsOf,
  nodeOfLevel,
  platformVariant,
} from '../../src/host/architecture.ts';
import { findNode } from '../../src/host/microarchitectures.ts';

const V1 = 'cmov cx8 fpu fxsr mmx syscall sse sse2'.split(' ');
const V2 = [...V1, ...'cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3'.split(' ')];
const V3 = [...V2, ...'avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'.split(' ')];
const V4 = [...V3, ...'avx512f avx512bw avx512cd avx512dq avx512vl'.split(' ')];
const NEOVERSE_N1 = 'fp asimd aes atomics asimdrdm lrcpc dcpop asimddp'.split(' ');
const GRACE = [
  ...NEOVERSE_N1,
  ...'jscvt fcma dit uscat ilrcpc flagm flagm2 frint sb i8mm bf16 sve2'.split(' '),
];

describe('the levels of the x86-64 psABI', () => {
  test.each([
    ['x86-64-v1', V1],
    ['x86-64-v2', V2],
    ['x86-64-v3', V3],
    ['x86-64-v4', V4],
  ])('need the flags that the psABI lists: %s', (level, flags) => {
    expect(levelOf('amd64', flags)).toBe(level);
  });

  test.each(['movbe', 'xsave', 'abm', 'f16c'])('a v4 without %s is a v2: no level is skipped', (flag) => {
    expect(
      levelOf(
        'amd64',
        V4.filter((one) => one !== flag),
      ),
    ).toBe('x86-64-v2');
  });

  test('v4 needs all five of its flags', () => {
    for (const flag of V4.slice(-5)) {
      expect(
        levelOf(
          'amd64',
          V4.filter((one) => one !== flag),
        ),
      ).toBe('x86-64-v3');
    }
  });

  test('include every lower level', () => {
    expect(levelsOf('amd64', V3)).toEqual(['x86-64-v1', 'x86-64-v2', 'x86-64-v3']);
  });
});

describe('the versions of arm64', () => {
  test('follow from the features that each version makes mandatory', () => {
    expect(levelOf('arm64', [])).toBe('arm64-v8.0');
    expect(levelOf('arm64', NEOVERSE_N1)).toBe('arm64-v8.2');
    expect(
      levelOf(
        'arm64',
        GRACE.filter((flag) => flag !== 'sve2'),
      ),
    ).toBe('arm64-v8.6');
  });

  test('9.0 is 8.5 with SVE2, with or without all of 8.6', () => {
    expect(levelOf('arm64', GRACE)).toBe('arm64-v9.0');
    expect(levelsOf('arm64', GRACE)).toContain('arm64-v8.6');
    expect(
      levelOf(
        'arm64',
        GRACE.filter((flag) => flag !== 'i8mm'),
      ),
    ).toBe('arm64-v9.0');
  });

  test('SVE2 alone is not 9.0', () => {
    expect(levelOf('arm64', [...NEOVERSE_N1, 'sve2'])).toBe('arm64-v8.2');
  });
});

test('other architectures have no levels', () => {
  expect(levelOf('s390x', ['vx'])).toBeUndefined();
});

describe('levels and nodes of the family tree', () => {
  test('correspond to each other one to one', () => {
    for (const node of LEVEL_NODES) {
      expect(findNode(node), node).toBeDefined();
      expect(nodeOfLevel(levelOfNode(node) ?? '')).toBe(node);
    }
    expect(nodeOfLevel('x86-64-v9')).toBeUndefined();
    expect(levelOfNode('zen4')).toBeUndefined();
  });

  test('Armv9.2 is SVE2 with the features of Armv8.7', () => {
    expect(levelOf('arm64', [...GRACE, 'afp', 'wfxt'])).toBe('arm64-v9.2');
    expect(levelOf('arm64', [...GRACE, 'afp'])).toBe('arm64-v9.0');
  });
});

function variantOf(architecture: string, more: Partial<Parameters<typeof platformVariant>[0]>) {
  return platformVariant({ architecture, microarchitecture: architecture, level: undefined, ...more });
}

describe('the variant of 32-bit ARM', () => {
  test.each([
    [6, 'v6'],
    [7, 'v7'],
    [8, 'v8'],
    [undefined, undefined],
  ])('version %s has the variant %s', (armVersion, variant) => {
    expect(variantOf('arm', { armVersion })).toBe(variant);
  });
});

describe('the profile of RISC-V', () => {
  const RVA22 = 'zicbom_zicboz_zfhmin_zkt_zba_zbb_zbs';
  test.each([
    ['rv64imafdc', 'rva20u64'],
    ['rv64gc', 'rva20u64'],
    ['rv64imafd', undefined],
    [`rv64imafdc_${RVA22}`, 'rva22u64'],
    ['rv64imafdcb_zicbom_zicboz_zfh_zkt', 'rva22u64'],
    [`rv64imafdcv_${RVA22}`, 'rva22u64'],
    [`rv64imafdcv_${RVA22}_zvfh_zvbb_zvkt_zicond_zcb_zfa_zawrs`, 'rva23u64'],
    [`rv64imafdc_zvfhmin_zvbb_zvkt_zicond_zcb_zfa_zawrs`, 'rva20u64'],
  ])('%s is %s', (isa, profile) => {
    expect(variantOf('riscv64', { isa })).toBe(profile);
  });
});

describe('SSE3 under another name where the kernel does not print it', () => {
  const withoutPni = V2.filter((flag) => flag !== 'pni');

  test.each([
    ['ssse3 alone implies it', withoutPni, 'x86-64-v2'],
    [
      'sse3 is the name of other systems',
      [...withoutPni.filter((flag) => flag !== 'ssse3'), 'sse3', 'ssse3'],
      'x86-64-v2',
    ],
    ['neither pni, sse3 nor ssse3', withoutPni.filter((flag) => flag !== 'ssse3'), 'x86-64-v1'],
  ])('is detected: %s', (_, flags, level) => {
    expect(levelOf('amd64', flags)).toBe(level);
  });
});
