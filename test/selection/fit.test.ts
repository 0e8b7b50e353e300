import { describe, expect, test } from 'vitest';
import { type FitKind, fitOf } from '../../src/selection/assessment.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { select } from '../../src/selection/select.ts';
import { hostOf } from '../support/host-of.ts';
import { documentOf, type EntrySpec } from '../support/index-fixture.ts';

function fit(host: string, entries: Readonly<Record<string, EntrySpec>>) {
  const profile = hostOf(host);
  return fitOf(select(documentOf(entries).document, profile, DEFAULT_POLICY), profile);
}

const GENERIC: EntrySpec = {};
const marked = (...features: readonly string[]): EntrySpec => ({ features });

describe('fitOf()', () => {
  test.each<readonly [string, string, Readonly<Record<string, EntrySpec>>, FitKind, readonly string[]]>([
    [
      'the host’s own microarchitecture is exact',
      'cpu:zen4',
      { a: GENERIC, b: marked('cpu:zen4') },
      'exact',
      [],
    ],
    ['another name of it is exact', 'cpu:steamroller', { a: marked('cpu:bdver3') }, 'exact', []],
    [
      'an earlier microarchitecture is older',
      'cpu:zen4',
      { a: GENERIC, b: marked('cpu:zen2') },
      'older',
      ['cpu:zen4'],
    ],
    [
      'no demand beside entries for other hosts is generic',
      'cpu:zen4',
      { a: GENERIC, b: marked('cpu:skylake') },
      'generic',
      ['cpu:zen4'],
    ],
    ['no demand at all is generic', 'cpu:zen4', { a: GENERIC }, 'generic', ['cpu:zen4']],
    ['no entry that runs is refused', 'cpu:zen4', { a: marked('cpu:skylake') }, 'refused', ['cpu:zen4']],
    ['a host that is no more than its architecture wants nothing', 'cpu:x86_64', { a: GENERIC }, 'exact', []],
    [
      'a publisher of levels is asked for a level',
      'cpu:zen4',
      { a: { variant: 'v2' }, b: { variant: 'v3' } },
      'older',
      ['variant:v4'],
    ],
    [
      'the host’s level is exact for a publisher of levels',
      'cpu:zen3',
      { a: { variant: 'v3' } },
      'exact',
      [],
    ],
    [
      'a level written as a feature is the same level',
      'cpu:zen3',
      { a: GENERIC, b: marked('x86-64-v3') },
      'exact',
      [],
    ],
    [
      'a publisher of microarchitectures and levels is asked for the former',
      'cpu:zen3',
      { a: { variant: 'v3' }, b: marked('cpu:skylake') },
      'older',
      ['cpu:zen3'],
    ],
    [
      'the GPU’s own capability and the CPU’s own name are exact',
      'cpu:zen4 nvcap:9.0',
      { a: marked('cpu:zen4', 'nvcap:9.0') },
      'exact',
      [],
    ],
    [
      'code for an earlier GPU is older',
      'cpu:zen4 nvcap:8.6',
      { a: marked('cpu:zen4', 'nvcap:8.0') },
      'older',
      ['cpu:zen4', 'nvcap:8.6'],
    ],
    [
      'a host without a GPU is not asked for one',
      'cpu:zen4',
      { a: marked('nvcap:9.0'), b: marked('cpu:zen4') },
      'exact',
      [],
    ],
    [
      'an image without entries for GPUs is not asked for one',
      'cpu:zen4 nvcap:9.0',
      { a: marked('cpu:zen4') },
      'exact',
      [],
    ],
    [
      'of two GPUs the lesser is asked for',
      'cpu:zen4 nvcap:9.0 nvcap:8.0',
      { a: GENERIC, b: marked('nvcap:10.0') },
      'generic',
      ['cpu:zen4', 'nvcap:8.0'],
    ],
    [
      'what a kind of the site’s own says of it is not its microarchitecture',
      'cpu:zen4 rack:zen4',
      { a: marked('cpu:zen3', 'rack:zen4') },
      'older',
      ['cpu:zen4'],
    ],
    [
      'a level beside another demand is met',
      'cpu:zen3 rack:7',
      { a: { variant: 'v3', features: ['rack:7'] } },
      'exact',
      [],
    ],
    [
      'PTX of the GPU’s capability is not its code',
      'cpu:zen4 nvcap:9.0',
      { a: marked('cpu:zen4', 'nvptx:9.0') },
      'older',
      ['cpu:zen4', 'nvcap:9.0'],
    ],
    [
      'a publisher of AMD targets is asked for the host’s own',
      'cpu:zen4 gfx:gfx90a:xnack-',
      { a: marked('cpu:zen4'), b: marked('gfx:gfx942') },
      'older',
      ['cpu:zen4', 'gfx:gfx90a'],
    ],
    [
      'what a kind of the site’s own says of it is not its AMD target',
      'cpu:zen4 gfx:gfx90a rack:gfx90a',
      { a: marked('cpu:zen4', 'rack:gfx90a'), b: marked('gfx:gfx942') },
      'older',
      ['cpu:zen4', 'gfx:gfx90a'],
    ],
    [
      'a publisher without AMD targets is not asked for one',
      'cpu:zen4 gfx:gfx90a',
      { a: marked('cpu:zen4') },
      'exact',
      [],
    ],
    [
      'the settings of an AMD target do not matter',
      'cpu:zen4 gfx:gfx942:sramecc+:xnack-',
      { a: marked('cpu:zen4', 'gfx:gfx942') },
      'exact',
      [],
    ],
  ])('returns the expected fit: %s', (_name, host, entries, kind, wanted) => {
    expect(fit(host, entries)).toMatchObject({ kind, wanted });
  });

  test.each([
    ['one entry that demands hardware', { a: GENERIC, b: marked('cpu:zen4') }, true],
    ['only plain entries', { a: GENERIC }, false],
    [
      'an entry for another platform that demands hardware',
      { a: GENERIC, b: { on: 'linux/arm64', features: ['cpu:neoverse_n1'] } },
      false,
    ],
  ] as const)('gives isMarked with %s', (_name, entries, expected) => {
    expect(fit('cpu:zen4', entries)?.isMarked).toBe(expected);
  });

  test('an image for other platforms only has no fit', () => {
    expect(fit('cpu:zen4', { a: { on: 'linux/arm64' } })).toBeUndefined();
  });
});
