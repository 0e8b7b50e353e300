import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import { joinLimited, truncateText } from '../../src/lib/text.ts';
import { environmentDemands } from '../../src/selection/matchers/nvidia.ts';
import { hostOf } from '../support/host-of.ts';
import { digestNamed } from '../support/index-fixture.ts';
import { selectionCases } from '../support/selection-case.ts';

/** An arm64 host that only claims a level: no microarchitecture implies it. */
const claiming = (level: string): HostProfile => {
  const { cpu, ...profile } = hostOf('');
  return {
    ...profile,
    cpu: { ...cpu, microarchitecture: 'aarch64', compatible: ['aarch64'], flags: [] },
    platform: { os: 'linux', architecture: 'arm64' },
    features: [level],
  };
};
const ofArm = (features: string) => ({ on: 'linux/arm64', features });

selectionCases('allowForeignVendor', {
  'does not let code of another family in, however few flags it needs: aarch64': {
    host: 'cpu:zen4',
    policy: { allowForeignVendor: true },
    entries: { it: 'cpu:aarch64' },
    wins: undefined,
    says: { it: /aarch64 code/ },
  },
  'does not let code of another family in, however few flags it needs: power8le': {
    host: 'cpu:zen4',
    policy: { allowForeignVendor: true },
    entries: { it: 'cpu:power8le' },
    wins: undefined,
    says: { it: /ppc64le code/ },
  },
});

selectionCases('a host that claims Armv9.0 and no microarchitecture', {
  'runs Armv8.5': { host: claiming('arm64-v9.0'), entries: { it: ofArm('arm64-v8.5') }, wins: 'it' },
  'does not run Armv8.6': {
    host: claiming('arm64-v9.0'),
    entries: { it: ofArm('arm64-v8.6') },
    wins: undefined,
  },
  'does not run Armv9.1': {
    host: claiming('arm64-v9.0'),
    entries: { it: ofArm('arm64-v9.1') },
    wins: undefined,
  },
});
selectionCases('a host that claims Armv9.1 and no microarchitecture', {
  'runs Armv8.6': { host: claiming('arm64-v9.1'), entries: { it: ofArm('arm64-v8.6') }, wins: 'it' },
  'does not run Armv8.7': {
    host: claiming('arm64-v9.1'),
    entries: { it: ofArm('arm64-v8.7') },
    wins: undefined,
  },
});

selectionCases('platform.features that is not a list of strings', {
  'make the entry ineligible, though one of them holds': {
    host: 'cpu:zen4',
    entries: { it: { features: ['cpu:zen4', 5] } },
    wins: undefined,
    says: { it: /is not a feature that can be read/ },
  },
  'make the entry ineligible when they are a map': {
    host: 'cpu:zen4',
    entries: { it: { features: { cpu: 'zen4' } } },
    wins: undefined,
  },
});

selectionCases('several GPUs that differ, with gpu: any', {
  'the GPU that the code suits best decides the rank': {
    host: 'nvcap:8.6 nvcap:9.0',
    policy: { gpu: 'any' },
    entries: { a: 'nvcap:8.5', it: 'nvcap:8.0 nvcap:9.0' },
    wins: 'it',
  },
});
selectionCases('several GPUs that differ, with gpu: all', {
  'code for one of them does not run': {
    host: 'nvcap:8.6 nvcap:9.0',
    entries: { it: 'nvcap:9.0' },
    wins: undefined,
    says: { it: /not run on every GPU/ },
  },
  'code for one of two AMD GPUs does not run': {
    host: 'gfx:gfx90a gfx:gfx942',
    entries: { it: 'gfx:gfx90a' },
    wins: undefined,
  },
});

selectionCases('levels of another architecture', {
  'do not hold, however low they are': {
    host: 'cpu:haswell',
    entries: { it: 'arm64-v1.0' },
    wins: undefined,
    says: { it: /this host is amd64/ },
  },
  'of amd64 do not hold on arm64': {
    host: 'cpu:neoverse_v2',
    entries: { it: ofArm('x86-64-v1') },
    wins: undefined,
    says: { it: /this host is arm64/ },
  },
});

selectionCases('PTX for a family', {
  'runs on a newer part of the same major version': {
    host: 'nvcap:10.3',
    entries: { it: 'nvptx:10.0f' },
    wins: 'it',
  },
  'does not run on the next major version': {
    host: 'nvcap:12.0',
    entries: { it: 'nvptx:10.0f' },
    wins: undefined,
  },
});

selectionCases('NVIDIA_REQUIRE', {
  'arch must hold for every GPU of the host': {
    host: 'nvcap:7.0 nvcap:9.0',
    policy: { gpu: 'any' },
    entries: { plain: '', gpu: 'nvcap:7.0 nvcap:9.0' },
    extra: new Map([[digestNamed('gpu'), environmentDemands(['NVIDIA_REQUIRE_ARCH=arch>=8.0'])]]),
    wins: 'plain',
  },
});

test.each([
  ['1', 0],
  ['true', 0],
  ['TRUE', 0],
  ['0', 1],
  ['false', 1],
  ['', 1],
  ['1x', 1],
])('NVIDIA_DISABLE_REQUIRE=%s leaves %d demands', (value, count) => {
  const environment = ['NVIDIA_REQUIRE_CUDA=cuda>=12', `NVIDIA_DISABLE_REQUIRE=${value}`];
  expect(environmentDemands(environment)).toHaveLength(count);
});

test('a long text is cut after 200 characters in messages', () => {
  expect(truncateText('x'.repeat(200))).toBe('x'.repeat(200));
  expect(truncateText('x'.repeat(201))).toBe(`${'x'.repeat(200)}…`);
});

selectionCases('gpu:NAME', {
  'holds by the operator’s own claim where no GPU was found': {
    host: 'cpu:zen4 gpu:opencl',
    entries: { it: 'gpu:opencl' },
    wins: 'it',
  },
  'does not hold by a claim of another name': {
    host: 'cpu:zen4 gpu:opencl',
    entries: { it: 'gpu:cuda' },
    wins: undefined,
  },
});

describe('joinLimited()', () => {
  const items = (count: number) => Array.from({ length: count }, (_, at) => `i${at}`);

  test('joins eight items completely', () => {
    expect(joinLimited(items(8), ', ', (one) => one)).toBe('i0, i1, i2, i3, i4, i5, i6, i7');
  });

  test('joins the first eight of nine, with the number of the others', () => {
    expect(joinLimited(items(9), ', ', (one) => one)).toBe('i0, i1, i2, i3, i4, i5, i6, i7, 1 more');
    expect(joinLimited(items(30), '; ', (one) => one)).toMatch(/; i7; 22 more$/);
  });
});
