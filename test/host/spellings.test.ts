import { describe, expect, test } from 'vitest';
import { levelsOf, platformVariant } from '../../src/host/architecture.ts';
import { profileOfFeatures, withFeatures } from '../../src/host/assumed-features.ts';
import type { HostFacts } from '../../src/host/facts.ts';
import {
  claimedFeatures,
  hostFeatures,
  isDetectedKind,
  isNewerThanTable,
  parseInstanceType,
  uniqueFeatures,
} from '../../src/host/features.ts';
import { compareMicroarchitectures, flagsOf } from '../../src/host/identify.ts';
import { deriveProfile } from '../../src/host/profile.ts';

const bare: HostFacts = {
  os: 'linux',
  architecture: 'amd64',
  cpu: { vendor: 'generic', flags: [] },
  gpus: [],
  system: {},
  local: [],
};
const featuresWith = (change: Partial<HostFacts>) => hostFeatures({ ...bare, ...change });

describe('a driver newer than the table of CUDA', () => {
  test.each([
    ['615', false],
    ['615.99', false],
    ['616.01', true],
    ['99.999', false],
    ['', false],
  ])('%s: %s', (driver, expected) => {
    expect(isNewerThanTable(driver)).toBe(expected);
  });
});

describe('the kinds of features that detection finds', () => {
  test.each(['cpu', 'cpuflag', 'nvcap', 'kernel', 'instHT'])('include %s', (kind) => {
    expect(isDetectedKind(kind)).toBe(true);
  });

  test.each(['rack', 'CPU', ''])('do not include %j', (kind) => {
    expect(isDetectedKind(kind)).toBe(false);
  });
});

describe('instance names that only resemble those of a known cloud', () => {
  test.each([
    ['C5.9xlarge', { type: 'C5.9xlarge' }],
    ['c5.9XLARGE', { type: 'c5.9XLARGE' }],
    ['c5.large.old', { type: 'c5.large.old' }],
    ['c5.not9xlarge', { type: 'c5', size: 'not9xlarge' }],
    ['c5.9xlarge-flex', { type: 'c5', size: '9xlarge-flex' }],
    ['an2-standard-8', { type: 'an2-standard-8' }],
    ['n2d-standard-8', { type: 'n2d', size: 'standard-8' }],
    ['n2-standard 8', { type: 'n2-standard 8' }],
    ['n2-', { type: 'n2-' }],
  ])('%s', (name, parts) => {
    expect(parseInstanceType(name)).toEqual(parts);
  });
});

describe('features derived from facts', () => {
  test('write a vendor of several words as one word', () => {
    expect(featuresWith({ cpu: { vendor: 'Vortex86 \t SoC', flags: [] } })).toContain(
      'cpuvendor:Vortex86-SoC',
    );
  });

  test.each([
    ['6.1', 'kernel:6.1'],
    ['10.25.40-rc1', 'kernel:10.25.40'],
    ['6.8.0.49', 'kernel:6.8.0'],
    ['linux-6.8.0', undefined],
    ['6', undefined],
  ])('have the kernel %s as %s', (kernel, expected) => {
    const found = featuresWith({ system: { kernel } }).filter((one) => one.startsWith('kernel:'));
    expect(found).toEqual(expected === undefined ? [] : [expected]);
  });

  test('include accelerators, graphics, JetPack and threads', () => {
    const system = {
      accelerators: ['intel-battlemage'],
      graphics: ['intel'],
      jetpack: 'jp6',
      smt: false,
      instanceType: 'c5.large',
    };
    expect(featuresWith({ system })).toEqual([
      ...['gpu:intel', 'accel:intel-battlemage', 'jetson:jp6', 'smt:off', 'os:linux'],
      ...['instType:c5', 'instSize:l', 'instHT:off'],
    ]);
  });

  test('are listed by kind, with text that is not a feature last', () => {
    expect(uniqueFeatures(['no feature', 'rack:b', 'os:linux', 'cpu:zen4', 'os:linux'])).toEqual([
      ...['cpu:zen4', 'os:linux', 'no feature', 'rack:b'],
    ]);
  });
});

test('a local feature that is omitted is reported with the reason', () => {
  expect(claimedFeatures(['no feature', 'cpu:zen4']).warnings).toEqual([
    'the local feature "no feature" is not key=value: it is left out',
    'the local feature cpu:zen4 is left out: the CPU was measured; --set overrides it',
  ]);
});

describe('a platform variant', () => {
  const variantOf = (architecture: string, level?: string, microarchitecture = architecture) =>
    platformVariant({ architecture, microarchitecture, level });

  test.each([
    ['amd64', 'old-x86-64-v3', 'v1'],
    ['amd64', 'x86-64-v3-old', 'v1'],
    ['arm64', 'old-arm64-v8.2', 'v8'],
    ['arm64', 'arm64-v8.2-old', 'v8'],
    ['arm64', 'arm64-v8.0', 'v8'],
    ['riscv64', 'x86-64-v3', undefined],
  ])('of %s at the level %s is %s', (architecture, level, expected) => {
    expect(variantOf(architecture, level)).toBe(expected);
  });

  test.each([
    ['ppc64le', 'power10le', 'power10'],
    ['ppc64', 'power10', 'power10'],
    ['ppc64', 'power9', 'power9'],
    ['ppc64le', 'notpower9', undefined],
    ['ppc64le', 'power9lemon', undefined],
  ])('of %s on %s is %s', (architecture, microarchitecture, expected) => {
    expect(variantOf(architecture, undefined, microarchitecture)).toBe(expected);
  });

  test('of RISC-V comes only from an isa line that begins with rv64', () => {
    const ofIsa = (isa: string) =>
      platformVariant({ architecture: 'riscv64', microarchitecture: 'riscv64', level: undefined, isa });
    expect(ofIsa('rv64imafdc')).toBe('rva20u64');
    expect(ofIsa('')).toBeUndefined();
    expect(ofIsa('rv32imafdc')).toBe('rva20u64');
  });
});

test('levels of one architecture never follow from flags of another', () => {
  expect(levelsOf('amd64', ['sve2', 'i8mm'])).toEqual([]);
  const v2 = 'cmov cx8 fpu fxsr mmx syscall sse sse2 cx16 lahf_lm popcnt sse4_1 sse4_2'.split(' ');
  expect(levelsOf('amd64', v2)).toEqual(['x86-64-v1']);
});

describe('assumed features', () => {
  const host = profileOfFeatures(['cpu:zen4']);

  test('suggest similar names for a microarchitecture that does not exist', () => {
    expect(() => withFeatures(host, ['cpu:neoverse_v9'])).toThrow(
      /^there is no microarchitecture “neoverse_v9”; similar: neoverse_\w\d(?:, neoverse_\w\d)+$/,
    );
    expect(() => withFeatures(host, ['cpu:qqqqqqqqqqqq'])).toThrow(
      /^there is no microarchitecture “qqqqqqqqqqqq”$/,
    );
  });

  test('suggest what a bare word may have meant', () => {
    expect(() => withFeatures(host, ['zen4'])).toThrow('did you mean cpu:zen4?');
    expect(() => withFeatures(host, ['warp'])).toThrow('did you mean cpuflag:warp?');
    expect(() => withFeatures(host, [' warp '])).toThrow('did you mean cpuflag:warp?');
    expect(withFeatures(host, ['cpuflag:warp']).cpu.flags).toContain('warp');
  });

  test('add a CPU with all that it runs, best first', () => {
    const { compatible } = profileOfFeatures(['cpu:icelake']).cpu;
    expect(compatible).toEqual([...compatible].sort(compareMicroarchitectures));
    expect(compatible[0]).toBe('icelake');
  });

  test('add no level and no vendor where the CPU has none', () => {
    expect(withFeatures(host, ['cpu:riscv64']).features).toEqual(['cpu:riscv64']);
    expect(withFeatures(host, ['cpu:riscv64']).platform).toEqual({ os: 'linux', architecture: 'riscv64' });
    expect(withFeatures(host, ['cpu:x86_64']).features).toEqual(['cpu:x86_64', 'x86-64-v1']);
  });

  test('change the operating system only to a known one', () => {
    expect(withFeatures(host, ['os:windows']).platform.os).toBe('windows');
    expect(withFeatures(host, ['os:templeos']).platform.os).toBe('linux');
    expect(withFeatures(host, ['rack:b']).platform.os).toBe('linux');
  });
});

describe('a derived profile', () => {
  const facts: HostFacts = {
    ...bare,
    cpu: { vendor: 'GenuineIntel', flags: [], family: 6, model: 0x8f },
    system: { kernel: '6.8.0-49-generic', osId: 'debian', osVersion: '12' },
    pci: ['10de:2330:0302'],
  };

  test('has the hardware facts that rules read, and only known ones', () => {
    expect(deriveProfile(facts).hardware).toEqual({
      ...{ cpuFamily: 6, cpuModel: 0x8f, kernel: '6.8.0-49-generic' },
      ...{ osId: 'debian', osVersion: '12', pci: ['10de:2330:0302'] },
    });
    expect(Object.keys(deriveProfile(bare).hardware ?? { none: 0 })).toEqual([]);
  });

  test('equals archspec’s result in strict mode', () => {
    const base = 'fpu fxsr cmov cx8 mmx syscall sse sse2 pni xsave'.split(' ');
    const flags = [...base, ...(flagsOf('zen3') ?? [])].filter((flag) => flag !== 'pku');
    const guest = { ...bare, cpu: { vendor: 'AuthenticAMD', flags } };
    expect(deriveProfile(guest).cpu.microarchitecture).toBe('zen3');
    expect(deriveProfile(guest, { strictArchspec: true }).cpu.microarchitecture).toBe('zen2');
  });

  test('has no variant where the architecture has none', () => {
    expect(Object.keys(deriveProfile({ ...bare, architecture: 's390x' }).platform)).toEqual([
      'os',
      'architecture',
    ]);
  });
});
