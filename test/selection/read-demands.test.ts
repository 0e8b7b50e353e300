import { describe, expect, test } from 'vitest';
import {
  type Demand,
  demandsOf,
  demandsText,
  demandText,
  formatAlternative,
  formatDemand,
  kindOf,
  readFeature,
  requirementsOf,
} from '../../src/selection/demands.ts';
import { documentOf, type EntryFields } from '../support/index-fixture.ts';

function required(fields: EntryFields): readonly Demand[] {
  const [entry] = documentOf({ it: fields }).document.entries;
  if (entry === undefined) throw new Error('the index has no entry');
  return requirementsOf(entry);
}

/** Each demand as `key = features (source)`. */
function shown(demands: readonly Demand[]): readonly string[] {
  return demands.map((demand) => `${demand.key} = ${formatDemand(demand)} (${demand.source})`);
}

test.each([
  ['cpu:zen4', 'cpu', 'zen4'],
  [' cpu:zen4 ', 'cpu', 'zen4'],
  ['avx2', 'cpuflag', 'avx2'],
  ['x86_64_v3', 'level', 'x86-64-v3'],
  ['driver:535', 'nvdriver', '535'],
  ['driver>=525', 'nvdriver', '>=525'],
  ['arch:9.0', 'nvcap', '9.0'],
  ['kernel>=5.10,<6', 'kernel', '>=5.10,<6'],
  [' kernel<=6 ', 'kernel', '<=6'],
  ['kernel!=6', 'kernel', '!=6'],
  ['kernel>6', 'kernel', '>6'],
  ['kernel<6', 'kernel', '<6'],
  ['kernel>', 'unreadable', 'kernel>'],
  ['6kernel>5', 'unreadable', '6kernel>5'],
  [' two words ', 'unreadable', ' two words '],
  ['', 'unreadable', ''],
  ['constructor:x', 'constructor', 'x'],
])('readFeature(%j) is of kind %s with the value %j', (text, kind, value) => {
  expect(readFeature(text)).toEqual({ kind, value });
});

describe('demandsOf()', () => {
  test.each<[string, readonly string[], readonly string[]]>([
    [
      'values of a kind are alternatives',
      ['cpu:a', 'rack:x', 'cpu:b'],
      ['cpu = cpu:a or cpu:b (s)', 'rack = rack:x (s)'],
    ],
    [
      'machine code and PTX are alternatives',
      ['nvptx:8.0', 'nvcap:9.0'],
      ['nvcap = nvptx:8.0 or nvcap:9.0 (s)'],
    ],
    ['every flag is a demand', ['avx2', 'adx'], ['cpuflag:avx2 = avx2 (s)', 'cpuflag:adx = adx (s)']],
    [
      'every unreadable text is a demand',
      ['a b', 'c d'],
      ['unreadable:a b = a b (s)', 'unreadable:c d = c d (s)'],
    ],
  ])('%s', (_, texts, demands) => {
    expect(shown(demandsOf(texts, 's'))).toEqual(demands);
  });
});

describe('a demand in messages', () => {
  const nfd = { kind: 'nfd', value: JSON.stringify([[{ name: 'a' }, { name: 'b' }], [{ name: 'c' }]]) };

  test.each([
    [{ kind: 'cpu', value: 'zen4' }, 'cpu:zen4'],
    [{ kind: 'nvrequire', value: 'cuda>=12' }, 'cuda>=12'],
    [{ kind: 'unreadable', value: 'a b' }, 'a b'],
    [nfd, 'nfd:“a” and “b”, or “c”'],
  ])('%j is %s', (feature, text) => {
    expect(formatAlternative(feature)).toBe(text);
  });

  test('has the kind of its first alternative, or of its key', () => {
    expect(kindOf({ key: 'nvcap', anyOf: [{ kind: 'nvptx', value: '8.0' }], source: '' })).toBe('nvptx');
    expect(kindOf({ key: 'exact', anyOf: [], source: '' })).toBe('exact');
  });

  test('lists each alternative, each shortened', () => {
    const long = 'x'.repeat(300);
    const demands = demandsOf(['cpu:a', 'cpu:b', `rack:${long}`], 's');
    expect(demandsText(demands.slice(0, 1))).toBe('cpu:a or cpu:b');
    expect(demandsText(demands)).toMatch(/^cpu:a or cpu:b, rack:x+…$/);
    expect(demands.slice(1).map(demandText)).toEqual([`rack:${'x'.repeat(195)}…`]);
  });
});

describe('requirementsOf() an entry', () => {
  test.each<[string, string, string, string]>([
    ['org.supercontainers.hardware.cpu.target.microarch', 'zen4', 'cpu', 'cpu:zen4'],
    ['org.supercontainers.gpu', 'cuda, rocm', 'gpu', 'gpu:cuda or gpu:rocm'],
    ['org.supercontainers.mpi', 'openmpi', 'mpi', 'mpi:openmpi'],
    ['org.supercontainers.mpi.implementation', ' mpich ', 'mpi', 'mpi:mpich'],
    ['org.supercontainers.glibc', '2.36', 'glibc', 'glibc:2.36'],
    ['org.supercontainers.libc.glibc.version', '2.36', 'glibc', 'glibc:2.36'],
    ['io.archspec.cpu.target', ' zen4 ', 'cpu', 'cpu:zen4'],
    ['io.archspec.cpu.target', 'amd64', 'cpu', 'cpu:x86_64'],
    ['sh.brew.bottle.cpu.variant', 'arm_vortex_tempest', 'cpu', 'cpu:m1'],
    ['sh.brew.bottle.glibc.version', '2.35', 'glibc', 'glibc:2.35'],
    ['io.metahub.features', 'cpu:zen4', 'cpu', 'cpu:zen4'],
  ])('with the annotation %s: %s', (name, value, key, text) => {
    expect(shown(required({ annotations: { [name]: value } }))).toEqual([
      `${key} = ${text} (annotations.${name})`,
    ]);
  });

  test.each(['', ' ', 'unknown', 'none', 'generic', ' none '])(
    'has no demands for annotations with the value %j',
    (value) => {
      const names = ['io.archspec.cpu.target', 'org.supercontainers.mpi', 'org.supercontainers.gpu'];
      for (const name of names) expect(required({ annotations: { [name]: value } })).toEqual([]);
    },
  );

  test('reads a list of features by its separators', () => {
    const value = ' cpu:zen4,  rack:b ,kernel:>=5.10,<6 x86_64 :: avx2 :: on';
    expect(shown(required({ annotations: { 'io.metahub.features': value } }))).toEqual([
      'cpu = cpu:zen4 (annotations.io.metahub.features)',
      'rack = rack:b (annotations.io.metahub.features)',
      'kernel = kernel:>=5.10,<6 (annotations.io.metahub.features)',
      'cpuflag:avx2 = avx2 (annotations.io.metahub.features)',
    ]);
  });

  test.each<[string, string, string | undefined]>([
    ['amd64', 'v3', 'level = x86-64-v3'],
    ['arm64', 'v8', undefined],
    ['arm64', 'v8.2', 'level = arm64-v8.2'],
    ['arm64', 'v9', 'level = arm64-v9.0'],
    ['arm64', 'v9.2x', 'level = arm64-v9.2x'],
    ['arm64', 'xv9', 'level = arm64-xv9'],
    ['arm64', 'v10', 'level = arm64-v10.0'],
    ['arm64', 'v8.11', 'level = arm64-v8.11'],
    ['arm', 'v7', 'variant = variant:v7'],
    ['riscv64', 'rva22u64', 'variant = variant:rva22u64'],
    ['ppc64le', 'power10', 'cpu = cpu:power10le'],
    ['ppc64le', 'power9le', 'cpu = cpu:power9le'],
    ['ppc64le', 'xpower9', 'cpu = cpu:xpower9'],
    ['s390x', 'z15', 'cpu = cpu:z15'],
  ])('for %s with the variant %s demands %s', (architecture, variant, demand) => {
    const on = `linux/${architecture}`;
    const expected = demand === undefined ? [] : [demand];
    expect(shown(required({ on, variant }))).toEqual(expected.map((one) => `${one} (platform.variant)`));
    const annotations = { 'io.metahub.platform.variant': variant };
    expect(shown(required({ on, annotations }))).toEqual(
      expected.map((one) => `${one} (annotations.io.metahub.platform.variant)`),
    );
  });

  test('uses the platform’s variant before the one moved to annotations, and none without a platform', () => {
    const annotations = { 'io.metahub.platform.variant': 'v2' };
    expect(shown(required({ variant: 'v3', annotations }))).toEqual(['level = x86-64-v3 (platform.variant)']);
    expect(required({ on: 'none', annotations })).toEqual([]);
  });

  test.each<[string, unknown, readonly string[]]>([
    ['a list', ['cpu:zen4', 'avx2'], ['cpu = cpu:zen4', 'cpuflag:avx2 = avx2']],
    ['an empty list', [], []],
    ['nothing', null, []],
    ['a list with a number', ['cpu:zen4', 5], ['unreadable = ["cpu:zen4",5]']],
    ['a map', { cpu: 'zen4' }, ['unreadable = {"cpu":"zen4"}']],
  ])('whose platform.features are %s has these demands', (_, features, demands) => {
    expect(shown(required({ features }))).toEqual(demands.map((one) => `${one} (platform.features)`));
  });

  test('demands each os.features except on Linux', () => {
    const osFeatures = ['win32k', 'other'];
    expect(shown(required({ on: 'windows/amd64', osFeatures }))).toEqual([
      'osfeature:win32k = osfeature:win32k (platform.os.features)',
      'osfeature:other = osfeature:other (platform.os.features)',
    ]);
    expect(required({ osFeatures })).toEqual([]);
    expect(required({ on: 'none' })).toEqual([]);
  });

  test('has no demand twice: the first source counts', () => {
    const annotations = { 'io.metahub.features': 'cpu:zen4 rack:b', 'io.archspec.cpu.target': 'zen4' };
    expect(shown(required({ features: 'cpu:zen4', annotations }))).toEqual([
      'cpu = cpu:zen4 (platform.features)',
      'rack = rack:b (annotations.io.metahub.features)',
    ]);
  });
});
