import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostFacts } from '../../src/host/facts.ts';
import {
  claimedFeatures,
  driverFeatures,
  formatFeature,
  hostFeatures,
  isDetectedKind,
  isNewerThanTable,
  parseFeature,
  parseInstanceType,
  uniqueFeatures,
} from '../../src/host/features.ts';
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
    [' cpu= zen4 ', { kind: 'cpu', value: 'zen4' }, 'cpu:zen4'],
    ['cpuflag:AVX2', { kind: 'cpuflag', value: 'AVX2' }, 'cpuflag:AVX2'],
    ['cpuflag:avx-2', { kind: 'cpuflag', value: 'avx-2' }, 'cpuflag:avx-2'],
    ['cpuflag:x86_64_v4', { kind: 'cpuflag', value: 'x86_64_v4' }, 'cpuflag:x86_64_v4'],
    ['level:arm64-v9', { kind: 'level', value: 'arm64-v9.0' }, 'arm64-v9.0'],
    ['arm64-v10.11', { kind: 'level', value: 'arm64-v10.11' }, 'arm64-v10.11'],
    ['rack:x86-64-v3', { kind: 'rack', value: 'x86-64-v3' }, 'rack:x86-64-v3'],
    [
      'vendor.example/boot=disk:0',
      { kind: 'vendor.example/boot', value: 'disk:0' },
      'vendor.example/boot:disk:0',
    ],
  ])('is parsed as expected: %s', (text, feature, canonical) => {
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
    'a b:c',
    '1rack:b',
    'cpu:zén4',
    'cpu:zen4\u007f',
    'avx2!',
    '2avx',
    'x86-64-v3x',
    'xx86-64-v3',
    'x86-64-v30',
    'arm64-v8.2x',
    'xarm64-v8.2',
    'arm64-v8.',
  ])('%j is not a feature', (text) => {
    expect(parseFeature(text)).toBeUndefined();
  });

  test('in canonical form is parsed to the same feature', () => {
    const word = fc.stringMatching(/^[A-Za-z0-9._+-]{1,12}$/);
    const level = fc.constantFrom('x86-64-v3', 'x86_64_v4', 'arm64-v9', 'arm64-v8.2');
    const kind = fc.oneof(fc.constantFrom('cpu', 'cpuflag', 'level', 'rack'), fc.string({ maxLength: 6 }));
    const written = fc.tuple(kind, fc.constantFrom(':', '=', ': ', '= '), fc.oneof(word, level, fc.string()));
    const text = fc.oneof(
      word,
      level,
      fc.string(),
      written.map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (text) => {
        const feature = parseFeature(text);
        fc.pre(feature !== undefined);
        expect(parseFeature(formatFeature(feature))).toEqual(feature);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

test.each([
  ['614.99', false],
  ['615.10', false],
  ['616.1', true],
  ['1000', true],
])('a driver %s is newer than the table: %s', (driver, isNewer) => {
  expect(isNewerThanTable(driver)).toBe(isNewer);
});

test('a driver has the CUDA version that it reports, or that the table has for it', () => {
  expect(driverFeatures(undefined, '12.4')).toEqual([]);
  expect(driverFeatures('550.54')).toEqual(['nvdriver:550.54', 'cuda:12.4']);
  expect(driverFeatures('550.54', '12.9')).toEqual(['nvdriver:550.54', 'cuda:12.9']);
  expect(driverFeatures('300.1')).toEqual(['nvdriver:300.1']);
});

test.each([
  ['c5.xlargex', { type: 'c5', size: 'xlargex' }],
  ['c5.metal-xlarge', { type: 'c5', size: 'metal-xlarge' }],
  ['c5.112xlarge', { type: 'c5', size: '112xl' }],
  ['c5.9xlarge.x', { type: 'c5.9xlarge.x' }],
  ['C5.large', { type: 'C5.large' }],
  ['c5.Large', { type: 'c5.Large' }],
  ['n2d-standard-8', { type: 'n2d', size: 'standard-8' }],
  ['n2dd-standard-8', { type: 'n2dd-standard-8' }],
  ['an2-standard-8', { type: 'an2-standard-8' }],
  ['n2-standard 8', { type: 'n2-standard 8' }],
])('parseInstanceType() parses %s as %j', (name, parts) => {
  expect(parseInstanceType(name)).toStrictEqual(parts);
});

describe('hostFeatures()', () => {
  const found = (facts: Partial<HostFacts>) =>
    hostFeatures({
      os: 'linux',
      architecture: 'amd64',
      cpu: { vendor: 'generic', flags: [] },
      gpus: [],
      system: {},
      local: [],
      ...facts,
    }).filter((feature) => feature !== 'os:linux');

  test.each([
    ['6.1.0-18-amd64', ['kernel:6.1.0']],
    ['6.1.2.3', ['kernel:6.1.2']],
    ['10.11', ['kernel:10.11']],
    ['6', []],
    ['linux-6.1', []],
  ])('of the kernel %s are %j', (kernel, features) => {
    expect(found({ system: { kernel } })).toEqual(features);
  });

  test.each<[string, Partial<HostFacts>, readonly string[]]>([
    [
      'a vendor of several words',
      { cpu: { vendor: 'Vortex86  SoC', flags: [] } },
      ['cpuvendor:Vortex86-SoC'],
    ],
    ['a CPU without threads', { system: { smt: false } }, ['smt:off']],
    [
      'an instance that tells no more',
      { system: { instanceType: 'Standard_D4s_v3' } },
      ['instType:Standard_D4s_v3'],
    ],
    [
      'an instance without threads',
      { system: { smt: false, instanceType: 'c5.metal' } },
      ['smt:off', 'instType:c5', 'instSize:metal', 'instHT:off'],
    ],
    [
      'several GPUs and graphics of a vendor',
      {
        gpus: [{ vendor: 'intel' }, { vendor: 'intel' }, { vendor: 'habana' }],
        system: { graphics: ['intel', 'amd'] },
      },
      ['gpu:intel', 'gpu:amd'],
    ],
    [
      'a Jetson with Vulkan',
      {
        gpus: [{ vendor: 'nvidia', computeCapability: '8.7' }],
        system: { accelerators: ['vulkan'], jetpack: 'jp6' },
      },
      ['nvcap:8.7', 'gpu:nvidia', 'accel:vulkan', 'jetson:jp6'],
    ],
    [
      'GPUs of several generations',
      {
        gpus: ['8.6', '9.0', '10.0', '8.9'].map((computeCapability) => ({ vendor: 'x', computeCapability })),
      },
      ['nvcap:10.0', 'nvcap:9.0', 'nvcap:8.9', 'nvcap:8.6'],
    ],
  ])('of %s: %j are %j', (_, facts, features) => {
    expect(found(facts)).toEqual(features);
  });
});

test('claimedFeatures() reports which lines it omits, and why', () => {
  expect(claimedFeatures(['rack=b', 'two words', 'x86-64-v4', 'avx2', 'cpuvendor:AMD', 'arm64-v9'])).toEqual({
    features: ['rack:b'],
    warnings: [
      'the local feature "two words" is not key=value: it is left out',
      'the local feature x86-64-v4 is left out: the CPU was measured; --set overrides it',
      'the local feature avx2 is left out: the CPU was measured; --set overrides it',
      'the local feature cpuvendor:AMD is left out: the CPU was measured; --set overrides it',
      'the local feature arm64-v9 is left out: the CPU was measured; --set overrides it',
    ],
  });
});

test('uniqueFeatures() lists each feature once, by kind, an operator’s own last and as written', () => {
  const features = [
    'two words',
    'rack:z',
    'rack:a',
    'instHT:on',
    'nvcap:9.0',
    'cpu:zen4',
    'nvcap:8.0',
    'avx2',
    'nvcap:9.0',
  ];
  expect(uniqueFeatures(features)).toEqual([
    'cpu:zen4',
    'avx2',
    'nvcap:9.0',
    'nvcap:8.0',
    'instHT:on',
    'two words',
    'rack:z',
    'rack:a',
  ]);
});

test.each([
  ['cpu', true],
  ['instHT', true],
  ['rack', false],
  ['', false],
])('isDetectedKind(%j) is %s', (kind, isDetected) => {
  expect(isDetectedKind(kind)).toBe(isDetected);
});
