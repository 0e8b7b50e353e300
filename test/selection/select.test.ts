import { describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import {
  demandsOn,
  type ExtraDemands,
  formatFailure,
  isAttestation,
  select,
} from '../../src/selection/select.ts';
import { hostOf } from '../support/host-of.ts';
import { digestNamed, documentOf, type EntrySpec } from '../support/index-fixture.ts';

type Entries = Readonly<Record<string, EntrySpec>>;

function selected(
  host: string,
  entries: Entries,
  policy: Partial<SelectionPolicy> = {},
  extra?: ExtraDemands,
  more: Readonly<Record<string, unknown>> = {},
) {
  return select(documentOf(entries, more).document, hostOf(host), { ...DEFAULT_POLICY, ...policy }, extra);
}

/** `winner: why` of each entry. */
function verdicts(...input: Parameters<typeof selected>): readonly string[] {
  return selected(...input).verdicts.map(({ status, reason }) => `${status}: ${reason}`);
}

const ZSTD = { 'io.github.containers.compression.zstd': 'true' };

describe('the verdict on an entry that is not a candidate', () => {
  test.each<[string, EntrySpec, string]>([
    ['an attestation', { about: 'plain' }, 'attestation: an attestation; it stays with its image'],
    [
      'an attestation of which only the type is said',
      { annotations: { 'vnd.docker.reference.type': 'x' } },
      'attestation: an attestation; it stays with its image',
    ],
    ['an entry without a platform', { on: 'none' }, 'unjudged: it names no platform; it stays'],
    [
      'another architecture',
      { on: 'linux/arm64' },
      'foreign: for linux/arm64; kept for pulls that ask for it',
    ],
    ['another system', { on: 'windows/amd64' }, 'foreign: for windows/amd64; kept for pulls that ask for it'],
    ['an index', { mediaType: MEDIA_TYPE.ociIndex }, 'unjudged: an index within the index; it stays'],
    [
      'an artifact',
      { artifactType: 'application/x' },
      'unjudged: application/x is not an image; it cannot be chosen',
    ],
    [
      'an unknown type',
      { mediaType: 'application/y' },
      'unjudged: application/y is not an image; it cannot be chosen',
    ],
    [
      'an annotation that the operator denies',
      { annotations: { 'run.oci.x': '1' }, features: 'cpu:zen4' },
      'denied: the operator denies its annotation run.oci.x',
    ],
    [
      'an attestation with an annotation that the operator denies',
      { about: 'plain', annotations: { 'run.oci.x': '1' } },
      'denied: the operator denies its annotation run.oci.x',
    ],
  ])('states the reason: %s', (_, other, verdict) => {
    const found = selected('cpu:zen4', { plain: '', other }, { denyAnnotations: ['run.oci.'] });
    expect(found.verdicts.map(({ status, reason }) => `${status}: ${reason}`)).toEqual([
      'winner: demands nothing; no other entry is eligible',
      verdict,
    ]);
    expect(found.verdicts[1]).toStrictEqual({
      entry: expect.objectContaining({ raw: expect.anything() }),
      position: 1,
      requirements: [],
      failures: [],
      status: verdict.slice(0, verdict.indexOf(':')),
      reason: verdict.slice(verdict.indexOf(':') + 2),
    });
  });

  test.each([
    [{}, false],
    [{ 'vnd.docker.reference.digest': 'x' }, true],
    [{ 'vnd.docker.reference.type': 'x' }, true],
    [{ 'vnd.docker.reference': 'x' }, false],
  ])('isAttestation() of %j is %s', (annotations, isOne) => {
    const [entry] = documentOf({ it: { annotations } }).document.entries;
    expect(entry && isAttestation(entry)).toBe(isOne);
  });
});

describe('the verdict on a candidate', () => {
  test('states its demands, and by which rule it ranks first', () => {
    const entries: Entries = {
      no: 'cpu:zen5 rack:b',
      plain: '',
      it: 'cpu:zen3',
      again: { sameAs: 'it', features: 'cpu:zen3' },
    };
    expect(verdicts('cpu:zen4', entries)).toEqual([
      expect.stringMatching(/^ineligible: demands cpu:zen5 \(platform\.features\): this host is zen4/),
      'eligible: runs here, but entry 3 goes first: it is made for such hardware',
      'winner: demands cpu:zen3, which this host has; before entry 4 because it comes first in the index',
      'eligible: the same image as entry 3',
    ]);
    const { winner, verdicts: all } = selected('cpu:zen4', entries);
    expect(all[2]).toBe(winner);
    expect(winner?.ranking).toBe('before entry 4 because it comes first in the index');
    expect(all.map(({ ranking }) => ranking)).toEqual([
      undefined,
      'entry 3 goes first: it is made for such hardware',
      winner?.ranking,
      'the same image as entry 3',
    ]);
    expect(all.map(({ failures }) => failures.map(({ demand }) => demand.key))).toEqual([
      ['cpu', 'rack'],
      [],
      [],
      [],
    ]);
    expect(all.map((one) => Object.hasOwn(one, 'rank'))).toEqual([false, false, false, false]);
  });

  test('states what does not hold when there is no winner', () => {
    const { winner, verdicts: all } = selected('cpu:zen', { a: 'cpu:zen5', b: 'cpu:zen4' });
    expect(winner).toBeUndefined();
    expect(all.map((one) => [one.status, Object.hasOwn(one, 'rank')])).toEqual([
      ['ineligible', false],
      ['ineligible', false],
    ]);
  });

  test('formatFailure() names the demand, its field and the reason, and is empty for no demand', () => {
    const demand = { key: 'exact', anyOf: [], source: 'platform.features' };
    expect(formatFailure({ demand, why: 'why' })).toBe('demands nothing (platform.features): why');
    const cpu = { key: 'cpu', anyOf: [{ kind: 'cpu', value: 'a' }], source: 's'.repeat(300) };
    expect(formatFailure({ demand: cpu, why: 'why' })).toBe(`demands cpu:a (${'s'.repeat(200)}…): why`);
  });
});

describe('of entries that rank equal', () => {
  test.each<[string, EntrySpec]>([
    ['zstd layers', { features: 'cpu:zen4', annotations: ZSTD }],
    ['an encoding by os.features', { features: 'cpu:zen4', osFeatures: ['nydus'] }],
  ])('the one without %s is placed first, whatever its position', (_, special) => {
    const first = verdicts('cpu:zen4', { special, it: 'cpu:zen4' });
    expect(first).toEqual([
      'eligible: runs here, but entry 2 goes first: every runtime can unpack it',
      'winner: demands cpu:zen4, which this host has; before entry 1 because every runtime can unpack it',
    ]);
    const last = verdicts('cpu:zen4', { it: 'cpu:zen4', special });
    expect(last[0]).toMatch(/^winner: .* because every runtime can unpack it$/);
    expect(verdicts('cpu:zen4', { special, plain: '' })[0]).toMatch(
      /^winner: .* it is made for such hardware$/,
    );
  });

  test('an annotation of another kind of compression, or features of Windows, are not an encoding', () => {
    const other: EntrySpec = {
      features: 'cpu:zen4',
      annotations: { 'x.io.github.containers.compression.zstd': '1' },
    };
    expect(verdicts('cpu:zen4', { other, it: 'cpu:zen4' })[0]).toMatch(
      /^winner: .* it comes first in the index$/,
    );
    const windows = {
      ...hostOf('cpu:zen4'),
      platform: { os: 'windows', architecture: 'amd64' },
      features: ['osfeature:a'],
    };
    const on = 'windows/amd64';
    const { document } = documentOf({ a: { on, osFeatures: ['a'] }, b: { on, features: 'osfeature:a' } });
    expect(select(document, windows, DEFAULT_POLICY).winner?.position).toBe(0);
  });
});

describe('demands in addition to the entry’s own', () => {
  const [entry] = documentOf({ it: 'rack:b' }).document.entries;
  if (entry === undefined) throw new Error('the index has no entry');
  const texts = (baseline: readonly string[] | undefined, extra?: ExtraDemands, of = entry) =>
    demandsOn(of, 'amd64', baseline, extra).map(({ anyOf, source }) => `${anyOf[0]?.value} (${source})`);
  const extra: ExtraDemands = new Map([
    [digestNamed('it'), [{ key: 'row', anyOf: [{ kind: 'row', value: '4' }], source: 'config' }]],
  ]);

  test('come from other documents, by the entry’s digest, and from the baseline', () => {
    expect(texts(undefined)).toEqual(['b (platform.features)']);
    expect(texts(undefined, extra)).toEqual(['b (platform.features)', '4 (config)']);
    expect(texts(undefined, new Map())).toEqual(['b (platform.features)']);
    expect(texts(['x86-64-v3'])).toEqual([
      'b (platform.features)',
      'x86-64-v3 (the baseline of this repository)',
    ]);
    expect(texts(['x86-64-v3'], extra)).toHaveLength(3);
  });

  test.each(['cpu:zen4', 'x86-64-v2', 'variant:v7'])(
    'include no baseline for an entry that demands %s',
    (features) => {
      const [own] = documentOf({ it: features }).document.entries;
      expect(texts(['x86-64-v3'], undefined, own)).toHaveLength(1);
    },
  );

  test('include the operator’s baseline before the index’s own, which may be one or none', () => {
    const declared = (baseline: string) => ({ annotations: { 'io.metahub.baseline': baseline } });
    const winner = (policy: Partial<SelectionPolicy>, baseline: string) =>
      selected('cpu:haswell', { it: '' }, policy, undefined, declared(baseline)).winner?.reason;
    expect(winner({}, 'x86-64-v3')).toMatch(/^demands x86-64-v3/);
    expect(winner({ baseline: ['x86-64-v2'] }, 'x86-64-v4')).toMatch(/^demands x86-64-v2/);
    expect(winner({ baseline: [] }, 'x86-64-v4')).toMatch(/^demands nothing/);
    expect(winner({}, 'nvcap:9.0')).toMatch(/^demands nothing/);
    expect(winner({}, 'x86-64-v4')).toBeUndefined();
  });

  test('include v7 for an entry of arm without variant and CPU, on a host that runs v7', () => {
    const demanded = (host: string, variant: string | undefined, it: EntrySpec) => {
      const profile = {
        ...hostOf('cpu:arm'),
        platform: { os: 'linux', architecture: host, ...(variant ? { variant } : {}) },
      };
      return select(documentOf({ it }).document, profile, DEFAULT_POLICY).verdicts[0]?.requirements.map(
        ({ anyOf, source }) => `${anyOf[0]?.value} (${source})`,
      );
    };
    expect(demanded('arm', 'v7', { on: 'linux/arm' })).toEqual(['v7 (platform.variant)']);
    expect(demanded('arm', 'v6', { on: 'linux/arm' })).toEqual([]);
    expect(demanded('arm', 'v7', { on: 'linux/arm', variant: 'v6' })).toEqual(['v6 (platform.variant)']);
    expect(demanded('arm', 'v7', { on: 'linux/arm', features: 'variant:v5' })).toEqual([
      'v5 (platform.features)',
    ]);
    expect(demanded('arm64', 'v8', { on: 'linux/arm64' })).toEqual([]);
  });
});

describe('a policy with match: exact', () => {
  const exact = { match: 'exact' } as const;

  test('refuses an entry without features, and states the reason', () => {
    expect(
      verdicts(
        'cpu:zen4 rack:b',
        { plain: '', less: 'cpu:zen4', it: 'cpu:zen4 rack:b', no: 'cpu:zen5' },
        exact,
      ),
    ).toEqual([
      expect.stringMatching(/^ineligible: demands nothing \(platform\.features\): match is exact/),
      expect.stringMatching(/^ineligible: demands cpu:zen4 \(platform\.features\): match is exact/),
      'winner: demands cpu:zen4, rack:b, which this host has; no other entry is eligible',
      expect.stringMatching(/^ineligible: demands cpu:zen5 \(platform\.features\): this host is zen4/),
    ]);
    const [plain] = selected('cpu:zen4', { plain: '', it: 'cpu:zen4' }, exact).verdicts;
    expect(plain?.failures).toEqual([
      {
        demand: { key: 'exact', anyOf: [], source: 'platform.features' },
        why: expect.stringContaining('match is exact'),
      },
    ]);
  });

  test('leaves an index unchanged in which no entry lists features', () => {
    expect(verdicts('cpu:zen4', { plain: '', v3: { variant: 'v3' } }, exact)[1]).toMatch(/^winner/);
    expect(
      verdicts('cpu:zen4', { plain: '', arm: { on: 'linux/arm64', features: 'cpu:neoverse_n1' } }, exact)[0],
    ).toMatch(/^winner/);
  });
});
