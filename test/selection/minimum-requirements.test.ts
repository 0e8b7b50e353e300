import { describe, expect, test } from 'vitest';
import { minimumRequirements } from '../../src/selection/minimum-requirements.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { cpuTimeMs } from '../support/cpu-time.ts';
import { documentOf, type EntrySpec } from '../support/index-fixture.ts';

/** `linux/amd64: cpu:zen2 (1)`, one line for each set of features. */
function least(entries: Readonly<Record<string, EntrySpec>>, policy: Partial<SelectionPolicy> = {}) {
  return minimumRequirements(documentOf(entries).document, { ...DEFAULT_POLICY, ...policy }).map(
    ({ platform, features, positions }) =>
      `${platform}: ${features.join(' ') || 'any'} (${positions.map((at) => at + 1).join(', ')})`,
  );
}

describe('minimumRequirements()', () => {
  test('are any host when an entry has no demands', () => {
    expect(least({ fast: 'cpu:zen4', plain: '' })).toEqual(['linux/amd64: any (2)']);
  });

  test('are the common ancestor when one demand implies the other', () => {
    expect(least({ a: 'cpu:skylake', b: 'cpu:haswell', c: 'cpu:icelake' })).toEqual([
      'linux/amd64: cpu:haswell (2)',
    ]);
  });

  test('are all demands that have nothing in common', () => {
    expect(least({ a: 'cpu:skylake', b: 'cpu:zen2', c: 'cpu:zen4' })).toEqual([
      'linux/amd64: cpu:skylake (1)',
      'linux/amd64: cpu:zen2 (2)',
    ]);
  });

  test('are listed for each platform', () => {
    expect(
      least({
        a: { variant: 'v3' },
        b: { variant: 'v2' },
        c: { on: 'linux/arm64', variant: 'v8' },
        d: { on: 'windows/amd64' },
      }),
    ).toEqual(['linux/amd64: x86-64-v2 (2)', 'linux/arm64: any (3)', 'windows/amd64: any (4)']);
  });

  test('are a GPU and a CPU where both are demanded', () => {
    expect(least({ a: 'cpu:broadwell nvcap:5.2', b: 'cpu:skylake nvcap:5.2' })).toEqual([
      'linux/amd64: cpu:broadwell nvcap:5.2 (1)',
    ]);
  });

  test('are the alternatives that no other is below', () => {
    expect(least({ fat: 'nvcap:8.0 nvcap:8.6 nvcap:9.0' })).toEqual([
      'linux/amd64: nvcap:8.0 (1)',
      'linux/amd64: nvcap:9.0 (1)',
    ]);
  });

  test('are the oldest GPU that PTX runs on', () => {
    expect(least({ ptx: 'nvptx:7.5', sass: 'nvcap:9.0' })).toEqual(['linux/amd64: nvcap:7.5 (1)']);
  });

  test('are the lower end of a range of versions', () => {
    expect(least({ a: 'kernel:>=5.10,<6', b: 'kernel:5.4' })).toEqual(['linux/amd64: kernel:5.4 (2)']);
  });

  test.each<[string, Readonly<Record<string, EntrySpec>>, readonly string[]]>([
    ['the oldest of several', { a: 'kernel:6.1', b: 'kernel:5.4', c: 'kernel:5.10' }, ['kernel:5.4 (2)']],
    ['an older one, which numbers decide', { a: 'kernel:5.10', b: 'kernel:5.9' }, ['kernel:5.9 (2)']],
    [
      'both of two that exclude each other',
      { a: 'kernel:<5', b: 'kernel:6' },
      ['kernel:0 (1)', 'kernel:6 (2)'],
    ],
    ['one that an exact one meets', { a: 'kernel:5.10', b: 'kernel:=6.0' }, ['kernel:5.10 (1)']],
    [
      'an exact one beside a later one',
      { a: 'kernel:=5.10', b: 'kernel:6.0' },
      ['kernel:5.10 (1)', 'kernel:6.0 (2)'],
    ],
    ['the same one by two ranges', { a: 'kernel:=5.10', b: 'kernel:5.10' }, ['kernel:5.10 (1, 2)']],
    ['a span that holds an exact one', { a: 'kernel:5.4-6.0', b: 'kernel:=5.10' }, ['kernel:5.4 (1)']],
    [
      'two kinds that do not compare',
      { a: 'kernel:5.4', b: 'glibc:2.30' },
      ['kernel:5.4 (1)', 'glibc:2.30 (2)'],
    ],
    ['one after a version that does not suffice', { a: 'kernel:>5.10' }, ['kernel:5.10.1 (1)']],
    ['one after a version that is excluded', { a: 'kernel:>=5.10,!=5.10' }, ['kernel:5.10.1 (1)']],
    ['none between bounds that exclude each other', { a: 'kernel:>5.10,<5.10' }, []],
    ['none for what is no version', { a: 'kernel:soon' }, []],
    [
      'less for one demand than for two',
      { a: 'kernel:5.4 glibc:2.30', b: 'glibc:2.31' },
      ['kernel:5.4 glibc:2.30 (1)', 'glibc:2.31 (2)'],
    ],
  ])('of versions are %s', (_, entries, found) => {
    expect(least(entries)).toEqual(found.map((one) => `linux/amd64: ${one}`));
  });

  test.each([
    ['nvcap:sm_90', 'nvcap:9.0'],
    ['nvcap:10.0a', 'nvcap:10.0'],
    ['nvcap:120', 'nvcap:12.0'],
    ['nvptx:8.6', 'nvcap:8.6'],
    ['gfx:gfx90a', 'gfx:gfx90a'],
    ['avx2', 'avx2'],
    ['rack:b', 'rack:b'],
    ['cpu:znver2', 'cpu:zen2'],
    ['cpu:x86_64_v2 x86-64-v3', 'x86-64-v3'],
    ['x86-64-v3 cpu:zen4 avx512f', 'cpu:zen4 avx512f'],
    ['cpu:zen4 x86-64-v4', 'cpu:zen4'],
  ])('of %s are %s', (features, found) => {
    expect(least({ it: features })).toEqual([`linux/amd64: ${found} (1)`]);
  });

  test.each<[string, EntrySpec]>([
    ['a CPU of another architecture', { on: 'linux/arm64', features: 'cpu:zen4' }],
    ['a capability that is none', 'nvcap:9'],
    ['a known demand beside an unknown one', 'cpu:zen4 nvcap:x'],
    ['an entry for no platform', { on: 'unknown/unknown', features: 'cpu:zen4' }],
  ])('are empty for %s', (_, it) => {
    expect(least({ it })).toEqual([]);
  });

  test('list an entry once, and the entries of a platform in their order', () => {
    expect(
      least({ a: 'rack:b', arm: { on: 'linux/arm64', features: 'rack:b' }, c: 'rack:b', d: 'rack:c rack:b' }),
    ).toEqual(['linux/amd64: rack:b (1, 3, 4)', 'linux/amd64: rack:c (4)', 'linux/arm64: rack:b (2)']);
    expect(least({ a: 'rack:b row:1', b: 'row:1 rack:b' })).toEqual(['linux/amd64: rack:b row:1 (1, 2)']);
    expect(least({ a: 'cpu:zen2 cpu:znver2' })).toEqual(['linux/amd64: cpu:zen2 (1)']);
  });

  test('keep two demands apart from one demand with the same spelling', () => {
    expect(least({ a: 'rack:b row:1', b: 'rack:brow:1' })).toEqual([
      'linux/amd64: rack:b row:1 (1)',
      'linux/amd64: rack:brow:1 (2)',
    ]);
  });

  test('combine the alternatives of several demands, the last one changing fastest', () => {
    expect(
      least({ a: 'rack:1 rack:2 row:1 row:2' }).map((line) => line.slice('linux/amd64: '.length)),
    ).toEqual(['rack:1 row:1 (1)', 'rack:1 row:2 (1)', 'rack:2 row:1 (1)', 'rack:2 row:2 (1)']);
  });

  test('omit an entry that demands more of an operator’s own kind', () => {
    expect(least({ a: 'rack:b row:1', b: 'rack:b', c: 'rack:b row:2' })).toEqual(['linux/amd64: rack:b (2)']);
    expect(least({ a: 'cpuvendor:amd', b: 'cpu:zen4' })).toHaveLength(1);
  });

  test('omit a level that a CPU implies', () => {
    expect(least({ a: 'x86-64-v2 cpu:haswell' })).toEqual(['linux/amd64: cpu:haswell (1)']);
  });

  test('are empty for demands that no host can satisfy', () => {
    expect(least({ b: 'cpu:warp9', c: { features: ['¡!'] } })).toEqual([]);
  });

  test('include the baseline of a repository', () => {
    expect(least({ plain: '' }, { baseline: ['x86-64-v3'] })).toEqual(['linux/amd64: x86-64-v3 (1)']);
  });

  test('list entries with the same demands once', () => {
    expect(least({ a: 'cpu:zen2', b: 'cpu:znver2' })).toEqual(['linux/amd64: cpu:zen2 (1, 2)']);
  });

  test('omit attestations and entries without a platform', () => {
    expect(least({ a: '', of: { about: 'a' }, chart: { on: 'none' } })).toEqual(['linux/amd64: any (1)']);
  });

  test('combine up to 64 alternatives; beyond that only the first of each counts', () => {
    const choices = (kind: string, count: number) =>
      Array.from({ length: count }, (_, at) => `${kind}:${at}`);
    expect(least({ it: { features: [...choices('a', 8), ...choices('b', 8)] } })).toHaveLength(64);
    expect(least({ it: { features: [...choices('a', 5), ...choices('b', 13)] } })).toEqual([
      'linux/amd64: a:0 b:0 (1)',
    ]);
  });

  test('are computed fast for an entry with tens of thousands of demands', { tags: 'slow' }, () => {
    const demands = Array.from({ length: 40_000 }, (_, at) => `site${at}:on`);
    const takenMs = cpuTimeMs(() => expect(least({ greedy: { features: demands } })).toHaveLength(1));
    expect(takenMs).toBeLessThan(5000);
  });
});

describe('two entries that demand the same hardware in other words', () => {
  test('both are minimum requirements', () => {
    expect(least({ level: 'x86-64-v3', node: 'cpu:x86_64_v3' })).toEqual([
      'linux/amd64: x86-64-v3 (1)',
      'linux/amd64: cpu:x86_64_v3 (2)',
    ]);
  });
});

describe('an artifact or a nested index', () => {
  test('has no minimum requirements, because it does not run', () => {
    const soci = { artifactType: 'application/vnd.amazon.soci.index.v2+json' };
    expect(least({ soci, it: 'cpu:zen4' })).toEqual(['linux/amd64: cpu:zen4 (2)']);
  });
});

describe('two thousand entries, none of which demands less than another', { tags: 'slow' }, () => {
  const many = (features: (at: number) => string) =>
    Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`e${at}`, features(at)]));

  test.each([
    ['by a kind of the site’s own', (at: number) => `rack:${at}`],
    ['with a level in common', (at: number) => `x86-64-v3 rack:${at}`],
    ['by versions', (at: number) => `cuda:${at}.1 kernel:${2000 - at}.1`],
  ])('take about a second of CPU time: %s', (_, features) => {
    const entries = many(features);
    const before = process.cpuUsage();
    expect(least(entries)).toHaveLength(2000);
    // Comparing every entry with every other took 2 to 15 seconds.
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(4);
  });
});
