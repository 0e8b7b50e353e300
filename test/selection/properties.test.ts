import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { type ManifestDocument, parseManifestDocument } from '../../src/oci/manifest.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { answerFor } from '../../src/selection/answer.ts';
import type { Demand } from '../../src/selection/demands.ts';
import { viewOf } from '../../src/selection/host-view.ts';
import { matchDemand } from '../../src/selection/match.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { compareRanks, rankerFor } from '../../src/selection/rank.ts';
import { select } from '../../src/selection/select.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';
import { hostOf } from '../support/host-of.ts';
import { digestNamed, documentOf, type EntryFields, readDocument } from '../support/index-fixture.ts';
import { countReached } from '../support/reached.ts';

const INTEL = ['nehalem', 'haswell', 'broadwell', 'skylake', 'cannonlake', 'cascadelake', 'icelake'];
const CPUS = [...INTEL, 'zen', 'zen3', 'zen4', 'x86_64', 'x86_64_v3', 'alderlake'];

const demanded = fc.constantFrom(
  ...CPUS.map((name) => `cpu:${name}`),
  'x86-64-v2',
  'x86-64-v3',
  'x86-64-v4',
  'avx2',
  'avx512f',
  'nvcap:8.0',
  'nvcap:8.6',
  'nvcap:9.0a',
  'nvptx:7.5',
  'gfx:gfx90a',
  'cuda:12.2',
  'kernel:>=5.10,<6.2',
  'fabric:ib',
  'rack:b12',
  'quantum:yes',
  '¿que?',
);

const hostEntry: fc.Arbitrary<EntryFields> = fc.record({
  features: fc.uniqueArray(demanded, { maxLength: 3 }),
  variant: fc.constantFrom(undefined, undefined, 'v1', 'v2', 'v3', 'v4', 'v9'),
  annotations: fc.constantFrom({}, {}, { 'io.archspec.cpu.target': 'zen2' }, { 'com.example': 'x' }),
  sameAs: fc.constantFrom(undefined, undefined, undefined, 'e0', 'e1'),
}) as fc.Arbitrary<EntryFields>;
const foreignEntry: fc.Arbitrary<EntryFields> = fc.record({
  on: fc.constantFrom('linux/arm64', 'windows/amd64', 'linux/s390x', 'none'),
  variant: fc.constantFrom(undefined, 'v8', 'v9'),
}) as fc.Arbitrary<EntryFields>;
const attestation: fc.Arbitrary<EntryFields> = fc.record({
  about: fc.constantFrom('e0', 'e1', 'e2', 'elsewhere'),
});

const entryList = fc.array(fc.oneof({ weight: 4, arbitrary: hostEntry }, foreignEntry, attestation), {
  maxLength: 8,
});
const host = fc
  .record({
    cpu: fc.constantFrom(...CPUS),
    more: fc.uniqueArray(
      fc.constantFrom(
        'nvcap:8.6',
        'nvcap:9.0',
        'gfx:gfx90a',
        'cuda:12.4',
        'kernel:6.1',
        'fabric:ib',
        'rack:b12',
        'adx',
      ),
      { maxLength: 4 },
    ),
  })
  .map(({ cpu, more }) => `cpu:${cpu} ${more.join(' ')}`);
const policy: fc.Arbitrary<SelectionPolicy> = fc
  .record({
    match: fc.constantFrom('best' as const, 'best' as const, 'exact' as const),
    gpu: fc.constantFrom('all' as const, 'any' as const),
    allowForeignVendor: fc.boolean(),
    priority: fc.constantFrom(undefined, ['fabric'], ['cpu', 'accelerator']),
    pin: fc.constantFrom(undefined, undefined, 'x86-64-v2', digestNamed('e0')),
    baseline: fc.constantFrom(undefined, undefined, ['x86-64-v3'], ['avx', 'arm64-v8.2']),
  })
  .map((chosen) => ({ ...DEFAULT_POLICY, ...chosen }));

function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((one) => b.has(one));
}

function indexOf(entries: readonly EntryFields[]) {
  return documentOf(Object.fromEntries(entries.map((entry, place) => [`e${place}`, entry])));
}

const RUNS = { numRuns: FUZZ_RUNS };

describe('for any index, host and policy', () => {
  test('the winner is eligible: all its demands hold', () => {
    fc.assert(
      fc.property(entryList, host, policy, (entries, features, chosen) => {
        const profile = hostOf(features);
        const { winner } = select(indexOf(entries).document, profile, chosen);
        for (const demand of winner?.requirements ?? []) {
          expect(matchDemand(demand, viewOf(profile), chosen).holds).toBe(true);
        }
      }),
      RUNS,
    );
  });

  test('every entry has a verdict with a reason, in the order of the index, and at most one wins', () => {
    fc.assert(
      fc.property(entryList, host, policy, (entries, features, chosen) => {
        const { verdicts, winner } = select(indexOf(entries).document, hostOf(features), chosen);
        expect(verdicts.map(({ position }) => position)).toEqual(entries.map((_, place) => place));
        expect(verdicts.every(({ reason }) => reason.length > 0)).toBe(true);
        expect(verdicts.filter(({ status }) => status === 'winner')).toEqual(winner ? [winner] : []);
        expect(winner !== undefined || verdicts.every(({ status }) => status !== 'eligible')).toBe(true);
      }),
      RUNS,
    );
  });

  test('no other eligible entry ranks before the winner', () => {
    fc.assert(
      fc.property(entryList, host, policy, (entries, features, chosen) => {
        const profile = hostOf(features);
        const { verdicts, winner } = select(indexOf(entries).document, profile, chosen);
        const rankOf = rankerFor(viewOf(profile), chosen);
        for (const { entry, requirements, status, position } of verdicts) {
          if (status !== 'eligible' || winner === undefined) continue;
          const { order } = compareRanks(
            rankOf(winner.entry.digest, winner.requirements),
            rankOf(entry.digest, requirements),
          );
          expect(order < 0 || (order === 0 && winner.position < position)).toBe(true);
        }
      }),
      RUNS,
    );
  });

  test('ranking is a strict order: asymmetric and transitive', () => {
    const three = fc.tuple(hostEntry, hostEntry, hostEntry);
    fc.assert(
      fc.property(three, host, policy, (entries, features, chosen) => {
        const profile = hostOf(features);
        const rankOf = rankerFor(viewOf(profile), chosen);
        const { verdicts } = select(indexOf(entries).document, profile, { ...chosen, match: 'best' });
        const [a, b, c] = verdicts.map(({ entry, requirements }) => rankOf(entry.digest, requirements));
        if (a === undefined || b === undefined || c === undefined)
          throw new Error('three entries, three ranks');
        const sign = (left: typeof a, right: typeof a) => Math.sign(compareRanks(left, right).order);
        expect(sign(a, b) + sign(b, a)).toBe(0);
        if (sign(a, b) <= 0 && sign(b, c) <= 0) expect(sign(a, c)).toBe(Math.min(sign(a, b), sign(b, c)));
      }),
      RUNS,
    );
  });

  test('the order of the entries matters only between equals', () => {
    fc.assert(
      fc.property(entryList, fc.infiniteStream(fc.nat()), host, policy, (entries, keys, features, chosen) => {
        const profile = hostOf(features);
        const { document } = indexOf(entries);
        const order = new Map(document.entries.map((entry) => [entry, keys.next().value]));
        const shuffled = [...document.entries].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
        const first = select(document, profile, chosen).winner;
        const second = select({ ...document, entries: shuffled }, profile, chosen).winner;
        expect(first === undefined).toBe(second === undefined);
        fc.pre(first !== undefined && second !== undefined);
        const rankOf = rankerFor(viewOf(profile), chosen);
        const { order: difference } = compareRanks(
          rankOf(first.entry.digest, first.requirements),
          rankOf(second.entry.digest, second.requirements),
        );
        expect(difference).toBe(0);
      }),
      RUNS,
    );
  });
});

describe('a host that gains a feature', () => {
  const gain = fc.constantFrom(
    'fabric:roce',
    'row:7',
    'avx512f',
    'glibc:2.39',
    'smt:on',
    'nvcap:8.6',
    'gfx:gfx90a',
  );

  test('keeps every entry that it could run, so its winner never gets worse', () => {
    fc.assert(
      fc.property(entryList, host, gain, fc.boolean(), (entries, features, gained, foreign) => {
        // A second GPU is no gain: an entry has to run on all of them.
        fc.pre(!/^(nvcap|gfx):/.test(gained) || !features.includes(gained.slice(0, 4)));
        const chosen = { ...DEFAULT_POLICY, allowForeignVendor: foreign };
        const { document } = indexOf(entries);
        const before = select(document, hostOf(features), chosen);
        const after = select(document, hostOf(`${features} ${gained}`), chosen);
        for (const [place, { status }] of before.verdicts.entries()) {
          if (status !== 'winner' && status !== 'eligible') continue;
          expect(['winner', 'eligible']).toContain(after.verdicts[place]?.status);
        }
      }),
      RUNS,
    );
  });

  test('keeps every entry when it becomes a newer CPU of the same line', () => {
    fc.assert(
      fc.property(entryList, fc.nat(3), fc.nat(3), (entries, a, b) => {
        const line = ['nehalem', 'haswell', 'skylake', 'icelake'];
        const { document } = indexOf(entries);
        const older = select(document, hostOf(`cpu:${line[Math.min(a, b)]}`), DEFAULT_POLICY);
        const newer = select(document, hostOf(`cpu:${line[Math.max(a, b)]}`), DEFAULT_POLICY);
        const runs = ({ status }: { status: string }) => status === 'winner' || status === 'eligible';
        expect(older.verdicts.every((one, place) => !runs(one) || runs(newer.verdicts[place] ?? one))).toBe(
          true,
        );
      }),
      RUNS,
    );
  });
});

describe('a derived index', () => {
  const derivation = fc
    .record({ entries: entryList, features: host, chosen: policy })
    .map(({ entries, features, chosen }) => {
      const source = indexOf(entries);
      const profile = hostOf(features);
      return {
        source,
        profile,
        chosen,
        answer: answerFor(source.document, profile, chosen, { acceptsIndex: true }),
      };
    });

  test('has all other platforms, unchanged and in their order', () => {
    fc.assert(
      fc.property(derivation, ({ source, answer }) => {
        fc.pre(answer.kind === 'derived');
        const isForeign = ({ platform }: { platform?: { os: string; architecture: string } | undefined }) =>
          platform === undefined ||
          !(
            platform.architecture === 'unknown' ||
            (platform.os === 'linux' && platform.architecture === 'amd64')
          );
        const rawOf = (entries: typeof source.document.entries) =>
          entries.filter(isForeign).map(({ raw }) => raw);
        expect(rawOf(readDocument(answer.bytes).document.entries)).toEqual(rawOf(source.document.entries));
      }),
      RUNS,
    );
  });

  test('has the winner first, then entries with the same demands, and no others of the host’s platform', () => {
    fc.assert(
      fc.property(derivation, ({ answer }) => {
        fc.pre(answer.kind === 'derived');
        const ours = readDocument(answer.bytes).document.entries.filter(
          ({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64',
        );
        const { winner, verdicts } = answer.selection;
        const demandsOf = (requirements: readonly Demand[]) =>
          new Set(requirements.map(({ anyOf }) => JSON.stringify(anyOf)));
        const twins = verdicts.filter(
          ({ status, requirements }) =>
            winner &&
            status === 'eligible' &&
            isSame(demandsOf(requirements), demandsOf(winner.requirements)),
        );
        const expected = [winner, ...twins].filter((one) => one !== undefined);
        expect(ours.map(({ digest }) => digest)).toEqual(expected.map(({ entry }) => entry.digest));
        expect(ours.every(({ platform }) => platform?.variant === undefined)).toBe(true);
      }),
      RUNS,
    );
  });

  test('has no attestation of an image that was removed', () => {
    const { tried, reached, expectShare } = countReached();
    fc.assert(
      fc.property(derivation, ({ source, answer }) => {
        fc.pre(answer.kind === 'derived');
        tried();
        const { entries } = readDocument(answer.bytes).document;
        const kept = new Set<string>(entries.map(({ digest }) => digest));
        const was = new Set<string>(source.document.entries.map(({ digest }) => digest));
        const about = entries
          .map(({ annotations }) => annotations['vnd.docker.reference.digest'])
          .filter((digest) => digest !== undefined && was.has(digest));
        if (about.length > 0) reached();
        for (const digest of about) expect(kept).toContain(digest);
      }),
      RUNS,
    );
    expectShare(0.1);
  });

  test('is derived to itself: rewriting twice changes nothing', () => {
    fc.assert(
      fc.property(derivation, ({ profile, chosen, answer }) => {
        fc.pre(answer.kind === 'derived');
        const again = answerFor(readDocument(answer.bytes).document, profile, chosen, { acceptsIndex: true });
        expect(again.kind).toBe('original');
      }),
      RUNS,
    );
  });

  test('has the digest of its bytes, and the same bytes every time', () => {
    fc.assert(
      fc.property(derivation, ({ source, profile, chosen, answer }) => {
        fc.pre(answer.kind === 'derived');
        expect(digestOf(answer.bytes)).toBe(answer.digest);
        const again = answerFor(readDocument(source.bytes).document, profile, chosen, { acceptsIndex: true });
        expect(again).toMatchObject({ kind: 'derived', digest: answer.digest });
      }),
      RUNS,
    );
  });
});

describe('hostile documents', () => {
  const PROFILE = hostOf('cpu:zen4 nvcap:9.0');
  const shaped = fc.record(
    {
      schemaVersion: fc.constantFrom(2, '2', null),
      mediaType: fc.constantFrom(
        'application/vnd.oci.image.index.v1+json',
        'application/vnd.docker.distribution.manifest.list.v2+json',
        'application/vnd.oci.image.manifest.v1+json',
        7,
      ),
      manifests: fc.array(
        fc.record(
          {
            mediaType: fc.constantFrom('application/vnd.oci.image.manifest.v1+json', 'x', 1),
            digest: fc.constantFrom(digestNamed('a'), digestNamed('b'), 'sha256:short', 5),
            size: fc.constantFrom(1, -1, 1.5, '3'),
            platform: fc.oneof(
              fc.jsonValue(),
              fc.record({
                os: fc.constant('linux'),
                architecture: fc.constant('amd64'),
                features: fc.jsonValue(),
                variant: fc.jsonValue(),
                'os.features': fc.jsonValue(),
              }),
            ),
            annotations: fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue())),
          },
          { requiredKeys: ['mediaType', 'digest', 'size'] },
        ),
      ),
      annotations: fc.jsonValue(),
    },
    { requiredKeys: ['manifests'] },
  );

  test('are read and processed with no error but a typed one', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), shaped), policy, fc.boolean(), (value, chosen, acceptsIndex) => {
        const bytes = Buffer.from(JSON.stringify(value));
        let document: ManifestDocument | undefined;
        try {
          document = parseManifestDocument(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError);
        }
        fc.pre(document !== undefined);
        expect(answerFor(document, PROFILE, chosen, { acceptsIndex }).reason).not.toBe('');
      }),
      RUNS,
    );
  });

  /** Descriptors that can be read, with anything where demands are read from. */
  const readable = fc.record({
    mediaType: fc.constant('application/vnd.oci.image.manifest.v1+json'),
    digest: fc.constantFrom(digestNamed('a'), digestNamed('b'), digestNamed('c')),
    size: fc.constant(1),
    platform: fc.record(
      {
        os: fc.constantFrom('linux', 'Linux'),
        architecture: fc.constantFrom('amd64', 'x86_64', 'arm64'),
        features: fc.oneof(
          fc.jsonValue(),
          fc.array(demanded, { maxLength: 2 }),
          fc.array(fc.string(), { maxLength: 2 }),
        ),
        variant: fc.oneof(fc.jsonValue(), fc.constantFrom('v1', 'v2', 'V3')),
        'os.features': fc.jsonValue(),
        'os.version': fc.jsonValue(),
      },
      { requiredKeys: ['os', 'architecture'] },
    ),
    annotations: fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue())),
  });

  test('give a derived index that can be read again', () => {
    const { tried, reached, expectShare } = countReached();
    fc.assert(
      fc.property(fc.array(readable, { minLength: 1, maxLength: 5 }), fc.jsonValue(), (manifests, more) => {
        tried();
        const document = parseManifestDocument(
          Buffer.from(JSON.stringify({ schemaVersion: 2, manifests, annotations: more })),
        );
        expect(document.kind).toBe('index');
        const answer = answerFor(document, PROFILE, DEFAULT_POLICY, { acceptsIndex: true });
        const bytes = answer.kind === 'refused' ? answer.index?.bytes : undefined;
        const written = answer.kind === 'derived' ? answer.bytes : bytes;
        if (written === undefined) return;
        reached();
        expect(parseManifestDocument(written).kind).toBe('index');
      }),
      RUNS,
    );
    expectShare(0.3);
  });

  test('with both layers and manifests are refused', () => {
    fc.assert(
      fc.property(shaped, fc.jsonValue(), (value, layers) => {
        const bytes = Buffer.from(JSON.stringify({ ...value, layers }));
        expect(() => parseManifestDocument(bytes)).toThrow(RegistryError);
      }),
      RUNS,
    );
  });
});
