import { describe, expect, test } from 'vitest';
import { familyOf, flagsOf } from '../../src/host/identify.ts';
import { allNodes } from '../../src/host/microarchitectures.ts';
import { demandsOf } from '../../src/selection/demands.ts';
import { viewOf } from '../../src/selection/host-view.ts';
import { environmentDemands } from '../../src/selection/matchers/nvidia.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import {
  compareDefined,
  compareReaches,
  compareVersionBounds,
  cpuReaches,
  NO_BOUNDS,
  newestVariant,
  versionBounds,
} from '../../src/selection/reach.ts';
import { hostOf } from '../support/host-of.ts';

const viewed = (host: string) => viewOf(hostOf(host));
const demanded = (features: string) => demandsOf(features.split(' '), 'a test');

function reaches(features: string, host = 'cpu:zen4', allowForeignVendor = false) {
  return cpuReaches(demanded(features), viewed(host), { ...DEFAULT_POLICY, allowForeignVendor });
}

const NATIVE = { fit: 'native', node: undefined, level: undefined, named: false, carriers: 0 };

describe('cpuReaches()', () => {
  test.each<[string, string, readonly object[]]>([
    ['a microarchitecture', 'cpu:znver2', [{ ...NATIVE, node: 'zen2', named: true }]],
    ['a level', 'x86-64-v3', [{ ...NATIVE, node: 'x86_64_v3', level: 'x86-64-v3', named: true }]],
    ['a flag', 'avx2', [{ ...NATIVE, node: 'x86_64_v3', carriers: expect.any(Number) }]],
    ['what the host lacks', 'cpu:zen5 x86-64-v5 amx_tile', []],
    ['an unknown microarchitecture', 'cpu:warp9', []],
    ['what is not of the CPU', 'rack:b kernel:6.1 rack:avx2', []],
    [
      'a flag that a level brings, though older CPUs have it',
      'avx',
      [{ ...NATIVE, node: 'x86_64_v3', carriers: expect.any(Number) }],
    ],
    ['the better of alternatives', 'cpu:zen cpu:zen3 cpu:zen2', [{ ...NATIVE, node: 'zen3', named: true }]],
    ['the alternative that runs', 'cpu:zen cpu:zen5', [{ ...NATIVE, node: 'zen', named: true }]],
  ])('of %s, %s, are %j', (_, features, found) => {
    expect(reaches(features)).toEqual(found);
  });

  test('of several demands lists the closest first', () => {
    const names = (features: string) => reaches(features).map(({ node, level }) => level ?? node);
    expect(names('x86-64-v2 cpu:zen3 avx512f')).toEqual(['zen3', 'x86_64_v4', 'x86-64-v2']);
    expect(names('avx512f x86-64-v2 cpu:zen3')).toEqual(['zen3', 'x86_64_v4', 'x86-64-v2']);
  });

  test('of a flag counts the CPUs of its family that have it', () => {
    const [avx2] = reaches('avx2');
    const [bf16] = reaches('avx512_bf16');
    expect(avx2?.carriers).toBeGreaterThan(20);
    expect(bf16?.carriers).toBeLessThan(avx2?.carriers ?? 0);
    expect(bf16?.carriers).toBeGreaterThan(1);
    const [aes] = reaches('aes', 'cpu:neoverse_v2');
    const ofArm = [...allNodes()].filter(
      ({ name }) => familyOf(name) === 'aarch64' && flagsOf(name)?.has('aes'),
    );
    expect(aes).toEqual({ ...NATIVE, node: 'cortex_a72', carriers: ofArm.length });
    expect(reaches('x86-64-v4', 'cpu:haswell')).toEqual([]);
    expect(reaches('made_up', 'cpu:zen4 cpuflag:made_up')).toEqual([NATIVE]);
  });

  test('marks another vendor’s CPU as foreign, where the policy allows it', () => {
    const found = reaches('cpu:haswell', 'cpu:zen3 adx rdrand', true);
    expect(found).toEqual([{ ...NATIVE, fit: 'foreign', node: 'haswell', named: true }]);
    expect(reaches('cpu:haswell', 'cpu:zen3 adx rdrand')).toEqual([]);
  });
});

describe('compareReaches()', () => {
  test.each([
    ['cpu:zen4', 'cpu:zen3'],
    ['cpu:zen', 'x86-64-v3'],
    ['x86-64-v3', 'x86-64-v2'],
    ['x86-64-v3', 'avx2'],
    ['x86-64-v2', 'x86-64-v1'],
    ['cpu:zen3 x86-64-v2', 'cpu:zen3'],
    ['cpu:zen3', 'rack:b'],
    ['avx512_bf16', 'avx512f'],
    ['fma', 'sse4_2'],
  ])('puts %s before %s', (closer, other) => {
    expect(compareReaches(reaches(closer), reaches(other))).toBeLessThan(0);
    expect(compareReaches(reaches(other), reaches(closer))).toBeGreaterThan(0);
    expect(compareReaches(reaches(closer), reaches(closer))).toBe(0);
  });

  test('puts code of the host’s vendor before another’s, and another’s before code without a vendor', () => {
    const foreign = reaches('cpu:haswell', 'cpu:zen3 adx rdrand', true);
    const own = reaches('x86-64-v2', 'cpu:zen3 adx rdrand', true);
    expect(compareReaches(own, foreign)).toBeLessThan(0);
    expect(compareReaches(foreign, own)).toBeGreaterThan(0);
    expect(compareReaches(foreign, [])).toBeLessThan(0);
    expect(compareReaches([], foreign)).toBeGreaterThan(0);
  });

  test('puts a level of arm64 without a node by its number', () => {
    const host = 'cpu:neoverse_v2';
    const newer = reaches('arm64-v9.1', `${host} arm64-v9.1`);
    const older = reaches('arm64-v9.0', `${host} arm64-v9.1`);
    expect(newer[0]?.node).toBe(older[0]?.node);
    expect(compareReaches(newer, older)).toBeLessThan(0);
    expect(compareReaches(older, newer)).toBeGreaterThan(0);
  });
});

test.each([
  [1, undefined, -1],
  [undefined, 1, 1],
  [1, 3, -2],
  [3, 1, 2],
  [undefined, undefined, 0],
])('compareDefined(%s, %s) is %d', (a, b, order) => {
  expect(compareDefined(a, b, (left, right) => left - right)).toBe(order);
});

describe('newestVariant()', () => {
  const arm = (variant: string) =>
    viewOf({ ...hostOf('cpu:arm'), platform: { os: 'linux', architecture: 'arm', variant } });

  test('is the rank of the newest variant that the host runs, in any order', () => {
    const [five, six] = [
      newestVariant(demanded('variant:v5'), arm('v7')),
      newestVariant(demanded('variant:v6'), arm('v7')),
    ];
    expect(five).toBeGreaterThanOrEqual(0);
    expect(six).toBeGreaterThan(five);
    for (const features of ['variant:v5 variant:v6', 'variant:v6 variant:v5', 'variant:v6 variant:v8']) {
      expect(newestVariant(demanded(features), arm('v7'))).toBe(six);
    }
  });

  test.each(['variant:v8', 'rack:v6', 'cpu:zen4'])(
    'is -1 for %s, which the host does not run',
    (features) => {
      expect(newestVariant(demanded(features), arm('v7'))).toBe(-1);
    },
  );
});

describe('versionBounds()', () => {
  const KINDS = ['cuda', 'nvdriver', 'kernel', 'glibc'];
  const HOST = 'cuda:12.4 nvdriver:550.54 kernel:6.1 glibc:2.36';
  const bounds = (features: string, host = HOST) =>
    Object.fromEntries(
      versionBounds(demanded(features), viewed(host))
        .map((version, at) => [KINDS[at] ?? '', version?.join('.')] as const)
        .filter(([, version]) => version !== undefined),
    );

  test.each([
    ['cuda:12.2', { cuda: '12.2' }],
    ['kernel:>=5.10,<7 glibc:2.30', { kernel: '5.10', glibc: '2.30' }],
    ['cuda:11.0 cuda:12.2', { cuda: '12.2' }],
    ['cuda:12.2 cuda:11.0', { cuda: '12.2' }],
    ['cuda:13.0 cuda:11.0', { cuda: '11.0' }],
    ['kernel:soon', {}],
    ['rack:12.2', {}],
  ])('of %s are %j', (features, found) => {
    expect(bounds(features)).toEqual(found);
  });

  test('of a version of which the host claims several, or none that can be read', () => {
    expect(bounds('kernel:5.10', 'kernel:4.0 kernel:6.1')).toEqual({ kernel: '5.10' });
    expect(bounds('kernel:5.10', 'kernel:soon')).toEqual({});
    expect(bounds('kernel:5.10', 'cpu:zen4')).toEqual({});
  });

  test('of an image’s expressions are those that hold', () => {
    const demands = environmentDemands([
      'NVIDIA_REQUIRE_CUDA=cuda>=12.1',
      'NVIDIA_REQUIRE_DRIVER=driver>=535',
    ]);
    expect(versionBounds(demands, viewed(HOST)).map((version) => version?.join('.'))).toEqual([
      '12.1',
      '535',
      undefined,
      undefined,
    ]);
    const both = [...demands, ...demanded('cuda:12.2')];
    expect(versionBounds(both, viewed(HOST))[0]).toEqual([12, 2]);
    expect(versionBounds(demanded('rack:cuda>=12.1 kernel:6.1'), viewed(HOST))[0]).toBeUndefined();
  });

  test('are empty where no version is demanded', () => {
    expect(versionBounds(demanded('cpu:zen4'), viewed(HOST))).toBe(NO_BOUNDS);
  });

  test('rank kind by kind: the newer version first, and any version before none', () => {
    const of = (features: string) => versionBounds(demanded(features), viewed(HOST));
    const order = (a: string, b: string) => Math.sign(compareVersionBounds(of(a), of(b)));
    expect(order('cuda:12.2', 'cuda:12.1')).toBe(-1);
    expect(order('cuda:12.1', 'cuda:12.2')).toBe(1);
    expect(order('cuda:12.1', 'cuda:12.1')).toBe(0);
    expect(order('cuda:12.1', 'kernel:6.0')).toBe(-1);
    expect(order('kernel:6.0', 'cuda:12.1')).toBe(1);
    expect(order('cuda:12.1 glibc:2.30', 'cuda:12.1 glibc:2.31')).toBe(1);
    expect(order('glibc:2.30', 'rack:b')).toBe(-1);
    expect(order('rack:b', 'rack:b')).toBe(0);
  });
});
