import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { parseManifestDocument } from '../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type Answer, answerFor } from '../../src/selection/answer.ts';
import { derivedForms } from '../../src/selection/derived-forms.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { hostOf } from '../support/host-of.ts';
import { digestNamed, documentOf, type EntrySpec, readDocument } from '../support/index-fixture.ts';

type Entries = Readonly<Record<string, EntrySpec>>;

interface Situation {
  readonly policy?: Partial<SelectionPolicy>;
  readonly acceptsIndex?: boolean;
  readonly more?: Readonly<Record<string, unknown>>;
}

function answer(
  host: string,
  entries: Entries,
  { policy, acceptsIndex = true, more }: Situation = {},
): Answer {
  return answerFor(
    documentOf(entries, more).document,
    hostOf(host),
    { ...DEFAULT_POLICY, ...policy },
    { acceptsIndex },
  );
}

function derived(host: string, entries: Entries, situation?: Situation) {
  const given = answer(host, entries, situation);
  if (given.kind !== 'derived') throw new Error(`the answer is ${given.kind}: ${given.reason}`);
  return { ...given, json: JSON.parse(given.bytes.toString('utf8')) };
}

function platformsOf(json: { manifests: readonly { platform?: unknown }[] }) {
  return json.manifests.map(({ platform }) => platform);
}

/** The entries of an index by the names that the test gave them. */
function namesIn(json: { manifests: readonly { digest: string }[] }, entries: Entries) {
  return json.manifests.map(({ digest }) =>
    Object.keys(entries).find((name) => digestNamed(name) === digest),
  );
}

const SEEDS: Entries = {
  generic: '',
  skylake: 'cpu:skylake',
  broadwell: 'cpu:broadwell',
  gpu: 'cpu:broadwell nvcap:5.2',
};

describe('the example image', () => {
  test.each([
    ['', 'generic'],
    ['cpu:broadwell', 'broadwell'],
    ['cpu:skylake', 'skylake'],
    ['cpu:coffelake', 'skylake'],
    ['cpu:broadwell nvcap:5.2', 'gpu'],
  ])('a host of “%s” gets %s', (host, wins) => {
    expect(derived(host, SEEDS).json.manifests[0].digest).toBe(digestNamed(wins));
  });

  test('with match: exact, a Coffee Lake is refused', () => {
    const refused = answer('cpu:coffelake', SEEDS, { policy: { match: 'exact' } });
    expect(refused).toMatchObject({ kind: 'refused' });
  });
});

describe('a derived index', () => {
  const entries: Entries = {
    plain: '',
    v2: { variant: 'v2' },
    v3: { variant: 'v3' },
    arm: { on: 'linux/arm64', variant: 'v8' },
    windows: { on: 'windows/amd64', osVersion: '10.0.20348.1' },
  };

  test('has the winner with a platform without variant, and no other entry of that platform', () => {
    expect(platformsOf(derived('cpu:haswell', entries).json)).toEqual([
      { architecture: 'amd64', os: 'linux' },
      { architecture: 'arm64', os: 'linux', variant: 'v8' },
      { architecture: 'amd64', os: 'windows', 'os.version': '10.0.20348.1' },
    ]);
  });

  test('keeps the removed variant as an annotation, which only MetaHub reads', () => {
    const [winner] = derived('cpu:haswell', entries).json.manifests;
    expect(winner.annotations).toEqual({ 'io.metahub.platform.variant': 'v3' });
  });

  test('keeps the winner’s features as an annotation', () => {
    const [winner] = derived('cpu:skylake', SEEDS).json.manifests;
    expect(winner.platform).toEqual({ architecture: 'amd64', os: 'linux', features: ['cpu:skylake'] });
  });

  test('has the media type of the original', () => {
    const given = derived('cpu:skylake', SEEDS, { more: { mediaType: MEDIA_TYPE.ociIndex } });
    expect(given.mediaType).toBe(MEDIA_TYPE.ociIndex);
    expect(given.json.mediaType).toBe(MEDIA_TYPE.ociIndex);
  });

  test('has no media type when the original has none', () => {
    const given = derived('cpu:skylake', SEEDS, { more: { mediaType: undefined } });
    expect(given.mediaType).toBe(MEDIA_TYPE.ociIndex);
    expect(given.json).not.toHaveProperty('mediaType');
  });

  test('keeps every unknown member of the index and of its entries', () => {
    const more = { annotations: { a: 'b' }, subject: { x: 1 }, 'com.example': [1, { deep: null }] };
    expect(derived('cpu:skylake', SEEDS, { more }).json).toMatchObject(more);
  });

  test('keeps the digits of numbers above 2^53 in unknown members of the index and of its entries', () => {
    const text = documentOf(SEEDS, { 'com.example': 1 }).bytes.toString('utf8');
    const exact = text
      .replace(/"com.example": ?1/, '"com.example":18446744073709551615')
      .replaceAll('"platform":', '"com.example":9007199254740993,"platform":');
    const { document } = readDocument(Buffer.from(exact));
    const given = answerFor(document, hostOf('cpu:skylake'), DEFAULT_POLICY, { acceptsIndex: true });
    const written = given.kind === 'derived' ? given.bytes.toString('utf8') : '';
    expect(written).toContain('"com.example":18446744073709551615');
    expect(written).toContain('"com.example":9007199254740993,"platform":');
    expect(written).not.toContain('9007199254740992');
  });

  test('has the digest of its bytes', () => {
    const given = derived('cpu:skylake', SEEDS);
    expect(given.digest).toBe(digestOf(given.bytes));
  });

  test('is the same bytes every time', () => {
    expect(derived('cpu:skylake', SEEDS).bytes).toEqual(derived('cpu:skylake', SEEDS).bytes);
  });

  test('is the same for hosts that differ only in irrelevant properties', () => {
    const there = derived('cpu:skylake kernel:6.1', SEEDS).digest;
    expect(derived('cpu:skylake kernel:5.10', SEEDS).digest).toBe(there);
  });

  test('has a reason in one line: the entry, its demands and why it was chosen', () => {
    expect(derived('cpu:skylake', SEEDS).reason).toBe(
      'entry 2 of 4 demands cpu:skylake, which this host has; before entry 3 because its CPU code is closer',
    );
  });

  test('on arm64 keeps the variant v8 and removes any other', () => {
    const arm: Entries = {
      plain: { on: 'linux/arm64', variant: 'v8' },
      newer: { on: 'linux/arm64', variant: 'v8.2' },
    };
    expect(platformsOf(derived('cpu:neoverse_n1', arm).json)).toEqual([
      { architecture: 'arm64', os: 'linux' },
    ]);
    expect(platformsOf(derived('cpu:aarch64', arm).json)).toEqual([
      { architecture: 'arm64', os: 'linux', variant: 'v8' },
    ]);
  });

  test('has the architecture in OCI’s spelling', () => {
    const odd: Entries = { plain: { on: 'linux/x86_64' }, it: { on: 'linux/x86_64', features: 'avx2' } };
    expect(platformsOf(derived('cpu:haswell', odd).json)).toEqual([
      { architecture: 'amd64', os: 'linux', features: ['avx2'] },
    ]);
  });

  test('keeps os.features of Linux, from which a snapshotter knows the encoding', () => {
    const osFeatures = ['nydus.remoteimage.v1'];
    const one: Entries = { plain: '', it: { osFeatures, features: 'cpu:skylake' } };
    expect(platformsOf(derived('cpu:skylake', one).json)).toEqual([
      { architecture: 'amd64', os: 'linux', 'os.features': osFeatures, features: ['cpu:skylake'] },
    ]);
  });

  test('has no os.version on Linux, where it has no meaning', () => {
    const one: Entries = { plain: '', it: { osVersion: '6.1', features: 'cpu:skylake' } };
    expect(platformsOf(derived('cpu:skylake', one).json)).toEqual([
      { architecture: 'amd64', os: 'linux', features: ['cpu:skylake'] },
    ]);
  });

  test('fault 63: another spelling of a platform: the winner’s is as runtimes spell it', () => {
    const one: Entries = { plain: '', it: { on: 'Linux/x86_64', variant: 'V3' }, arm: { on: 'Linux/ARM64' } };
    const { json } = derived('cpu:haswell', one);
    expect(platformsOf(json)).toEqual([
      { architecture: 'amd64', os: 'linux' },
      { architecture: 'ARM64', os: 'Linux' },
    ]);
    expect(json.manifests[0].annotations).toEqual({ 'io.metahub.platform.variant': 'v3' });
  });
});

describe('attestations in a derived index', () => {
  const entries: Entries = {
    plain: '',
    fast: 'cpu:skylake',
    arm: { on: 'linux/arm64' },
    ofPlain: { about: 'plain' },
    ofFast: { about: 'fast' },
    ofArm: { about: 'arm' },
    ofNothingHere: { about: 'elsewhere' },
  };
  const kept = (host: string, of: Entries = entries) => namesIn(derived(host, of).json, of);

  test('are kept for the winner and other platforms, and removed for the losers', () => {
    expect(kept('cpu:skylake')).toEqual(['fast', 'arm', 'ofFast', 'ofArm', 'ofNothingHere']);
  });

  test('are removed for the winner’s rival when that one wins', () => {
    expect(kept('cpu:haswell')).toEqual(['plain', 'arm', 'ofPlain', 'ofArm', 'ofNothingHere']);
  });

  test('are removed with the attestation that they refer to', () => {
    const chain: Entries = {
      fast: 'cpu:skylake',
      plain: '',
      first: { about: 'plain' },
      second: { about: 'first' },
    };
    expect(kept('cpu:skylake', chain)).toEqual(['fast']);
  });

  test('are kept when a duplicate of their image is removed', () => {
    const twice: Entries = {
      fast: 'cpu:skylake',
      again: { sameAs: 'fast', features: '' },
      of: { about: 'fast' },
    };
    expect(kept('cpu:skylake', twice)).toEqual(['fast', 'of']);
  });
});

describe('the original bytes are served', () => {
  test('for an image that is not an index', () => {
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociManifest,
        config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestNamed('config'), size: 2 },
        layers: [],
      }),
    );
    const document = parseManifestDocument(bytes);
    const given = answerFor(document, hostOf('cpu:zen4'), DEFAULT_POLICY, { acceptsIndex: true });
    expect(given).toEqual({ kind: 'original', reason: 'the image is not an index' });
  });

  test('for a document that is neither an image nor an index', () => {
    const document = parseManifestDocument(Buffer.from('{"schemaVersion":1,"mediaType":"application/x"}'));
    if (document.kind !== 'opaque') throw new Error(`the document is ${document.kind}`);
    const given = answerFor(document, hostOf('cpu:zen4'), DEFAULT_POLICY, { acceptsIndex: true });
    expect(given).toEqual({ kind: 'original', reason: document.reason });
  });

  test.each<[string, string, Entries]>([
    ['no entry for this platform demands hardware', 'cpu:zen4', { a: '' }],
    ['no entry is for the platform of this host', 'cpu:zen4', { a: { on: 'linux/arm64' } }],
    ['the entries for this platform already are as derived', 'cpu:skylake', { a: 'cpu:skylake' }],
    [
      'the entries for this platform differ only in the variant of arm, which the runtime chooses itself',
      'cpu:arm',
      { v6: { on: 'linux/arm', variant: 'v6' }, v7: { on: 'linux/arm', variant: 'v7' } },
    ],
  ])('with a reason: %s', (reason, host, entries) => {
    expect(answer(host, entries)).toMatchObject({ kind: 'original', reason });
  });

  test.each<[string, string, Entries]>([
    ['when no entry for the platform demands hardware', 'cpu:zen4', { a: '', arm: { on: 'linux/arm64' } }],
    ['when two plain entries stand side by side', 'cpu:zen4', { a: '', b: '' }],
    [
      'when only other platforms demand anything',
      'cpu:zen4',
      { a: '', b: { on: 'linux/arm64', variant: 'v9' } },
    ],
    ['when arm64 says v8', 'cpu:neoverse_n1', { a: { on: 'linux/arm64', variant: 'v8' } }],
    [
      'when the one candidate runs and is bare',
      'cpu:skylake',
      { a: 'cpu:skylake', b: { on: 'linux/arm64' } },
    ],
    ['when no entry is for this platform', 'cpu:zen4', { a: { on: 'linux/arm64', variant: 'v8' } }],
    ['for an empty index', 'cpu:zen4', {}],
    ['for entries without platform', 'cpu:zen4', { chart: { on: 'none' } }],
    [
      'for an index within the index',
      'cpu:zen4',
      { nested: { mediaType: MEDIA_TYPE.ociIndex, features: 'cpu:zen5' } },
    ],
  ])('%s', (_, host, entries) => {
    expect(answer(host, entries)).toMatchObject({ kind: 'original' });
  });

  test('when nothing is eligible and on-no-match is upstream', () => {
    const given = answer('cpu:haswell', { it: 'cpu:zen5' }, { policy: { onNoMatch: 'upstream' } });
    expect(given).toMatchObject({ kind: 'original', reason: expect.stringContaining('on-no-match') });
  });

  test('for an image without demands under match: exact', () => {
    const given = answer('cpu:haswell', { it: '' }, { policy: { match: 'exact' } });
    expect(given).toMatchObject({ kind: 'original' });
  });
});

describe('without an eligible entry', () => {
  const entries: Entries = { a: 'cpu:zen5', b: 'nvcap:9.0', arm: { on: 'linux/arm64' }, ofA: { about: 'a' } };

  test('a derived index omits this platform, so that the runtime reports no matching manifest', () => {
    expect(platformsOf(derived('cpu:haswell', entries).json)).toEqual([
      { architecture: 'arm64', os: 'linux' },
    ]);
  });

  test('the reason names the demands that do not hold', () => {
    expect(derived('cpu:haswell', entries).reason).toBe(
      'none of 2 entries for this platform runs here (failing: cpu:zen5; nvcap:9.0); only the other platforms are left',
    );
  });

  test('the reason names the first demand of each entry that does not hold', () => {
    expect(answer('cpu:haswell', { a: 'cpu:zen5 nvcap:9.0', b: 'gfx:gfx942 nvcap:8.0' }).reason).toBe(
      'none of 2 entries for this platform runs here (failing: cpu:zen5; gfx:gfx942)',
    );
  });

  test('the reason names an entry without features too under match: exact', () => {
    const plain: Entries = { plain: '', skylake: 'cpu:skylake', arm: { on: 'linux/arm64' } };
    expect(derived('cpu:haswell', plain, { policy: { match: 'exact' } }).reason).toContain(
      'none of 2 entries for this platform runs here (failing: no features; cpu:skylake)',
    );
  });

  test('an index that would become empty becomes one without the runtime’s platform', () => {
    const given = answer('cpu:haswell', { a: 'nvcap:9.0', b: { variant: 'v4' }, ofA: { about: 'a' } });
    if (given.kind !== 'refused' || given.index === undefined) throw new Error(given.kind);
    const { bytes, digest, mediaType } = given.index;
    expect(digest).toBe(digestOf(bytes));
    expect(mediaType).toBe(MEDIA_TYPE.dockerList);
    const { manifests } = JSON.parse(bytes.toString('utf8'));
    expect(manifests.map((one: { digest: string }) => one.digest).slice(0, 2)).toEqual([
      digestNamed('a'),
      digestNamed('b'),
    ]);
    expect(manifests[0]).toMatchObject({
      platform: { architecture: 'unknown', os: 'unknown' },
      annotations: {
        'io.metahub.refused': 'not for this host: it demands nvcap:9.0',
      },
    });
    expect(platformsOf({ manifests })).toEqual(
      manifests.map(() => ({ architecture: 'unknown', os: 'unknown' })),
    );
  });

  test('a refusal has the same bytes on every host, so that any mirror can derive it again', () => {
    const digests = ['cpu:haswell', 'cpu:zen2 fabric:ib', ''].map((host) => {
      const given = answer(host, { a: 'nvcap:9.0', b: 'cpu:zen5' });
      return given.kind === 'refused' ? given.index?.digest : given.kind;
    });
    expect(new Set(digests).size).toBe(1);
    const { document } = documentOf({ a: 'nvcap:9.0', b: 'cpu:zen5' });
    expect([...derivedForms(document, DEFAULT_POLICY)].map(({ digest }) => digest)).toContain(digests[0]);
  });

  test('the next mirror passes a refusal on unchanged', () => {
    const given = answer('cpu:haswell', { a: 'nvcap:9.0' });
    if (given.kind !== 'refused' || given.index === undefined) throw new Error(given.kind);
    const again = answerFor(readDocument(given.index.bytes).document, hostOf('cpu:haswell'), DEFAULT_POLICY, {
      acceptsIndex: true,
    });
    expect(again.kind).toBe('original');
  });

  test('a client that accepts no index gets a refusal without one, which becomes an error', () => {
    const given = answer('cpu:haswell', { a: 'nvcap:9.0' }, { acceptsIndex: false });
    expect(given).toMatchObject({ kind: 'refused', index: undefined });
  });

  test('on-no-match: upstream serves the original', () => {
    const given = answer(
      'cpu:haswell',
      { a: 'nvcap:9.0' },
      { acceptsIndex: false, policy: { onNoMatch: 'upstream' } },
    );
    expect(given).toMatchObject({ kind: 'original', reason: expect.stringContaining('on-no-match') });
  });

  test('a refusal has the reasons as its detail', () => {
    const given = answer('cpu:haswell', { a: 'nvcap:9.0', ofA: { about: 'a' } });
    expect(given).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('demands nvcap:9.0 (platform.features): this host has no NVIDIA GPU'),
      detail: {
        host: ['cpu:haswell'],
        entries: [{ digest: digestNamed('a'), reason: expect.stringContaining('nvcap:9.0') }],
      },
    });
  });
});

describe('the detail of a refusal', () => {
  test.each([
    [32, 32],
    [33, 32],
  ])('of %d entries lists %d', (entries, listed) => {
    const given = answer(
      'cpu:haswell',
      Object.fromEntries(Array.from({ length: entries }, (_, at) => [`e${at}`, 'cpu:zen5'])),
    );
    if (given.kind !== 'refused') throw new Error(`the answer is ${given.kind}`);
    expect(given.detail.entries).toHaveLength(listed);
  });
});

describe('the original bytes are not served', () => {
  test.each<[string, string, Entries, readonly string[]]>([
    [
      'where the only entry says v1, which old runtimes refuse',
      'cpu:zen4',
      { it: { variant: 'v1' }, arm: { on: 'linux/arm64' } },
      ['it', 'arm'],
    ],
    [
      'where a feature, not the variant, is the first level',
      'cpu:zen4',
      { plain: '', it: 'x86-64-v1' },
      ['it'],
    ],
    [
      'where entries of arm differ in more than the variant',
      'cpu:arm rack:b',
      { v7: { on: 'linux/arm', variant: 'v7' }, it: { on: 'linux/arm', features: 'rack:b' } },
      ['it'],
    ],
  ])('%s', (_, host, entries, names) => {
    expect(namesIn(derived(host, entries).json, entries)).toEqual(names);
  });

  test('where an entry runs, whatever on-no-match is', () => {
    expect(derived('cpu:skylake', SEEDS, { policy: { onNoMatch: 'upstream' } }).json.manifests).toHaveLength(
      1,
    );
  });

  test.each<[string, Entries]>([
    ['of entries without demands', { a: '', it: '', c: '' }],
    ['of entries with the same demands', { a: 'cpu:skylake', it: 'cpu:skylake', plain: '' }],
  ])('where the operator pins an entry by its digest: it is the winner, %s', (_, entries) => {
    const policy = { pin: digestNamed('it') };
    const { json } = derived('cpu:skylake', entries, { policy });
    expect(namesIn(json, entries)[0]).toBe('it');
    expect(answer('cpu:skylake', entries, { policy: { pin: digestNamed('a') } }).kind).not.toBe('refused');
  });

  test('except with a pin of a digest that no entry of this platform has', () => {
    const entries: Entries = { a: '', b: '', arm: { on: 'linux/arm64' } };
    for (const pin of [digestNamed('arm'), digestNamed('nowhere')]) {
      expect(answer('cpu:skylake', entries, { policy: { pin } }).reason).toBe(
        'no entry for this platform demands hardware',
      );
    }
  });
});

describe('an entry with an annotation that the operator denies', () => {
  const denied: EntrySpec = { annotations: { 'run.oci.systemd': '1' } };
  const policy = { denyAnnotations: ['run.oci.'] };
  const why = 'the operator denies its annotation run.oci.systemd';

  test('is removed from the index, though no entry has demands', () => {
    const entries: Entries = { denied, plain: '' };
    expect(namesIn(derived('cpu:zen4', entries, { policy }).json, entries)).toEqual(['plain']);
  });

  test.each([true, false])(
    'is not served even when it is the only one (the client accepts an index: %s)',
    (acceptsIndex) => {
      const given = answer(
        'cpu:zen4',
        { denied },
        { policy: { ...policy, onNoMatch: 'upstream' }, acceptsIndex },
      );
      expect(given).toMatchObject({ kind: 'refused', reason: why });
      const beside = { denied, it: 'cpu:zen5' };
      expect(
        answer('cpu:zen4', beside, { policy: { ...policy, onNoMatch: 'upstream' }, acceptsIndex }).kind,
      ).toBe('refused');
    },
  );

  test('is refused for a client that accepts no index', () => {
    expect(answer('cpu:zen4', { denied }, { policy, acceptsIndex: false })).toMatchObject({
      kind: 'refused',
      reason: why,
    });
  });

  test('is named as the reason where only other platforms are left, each annotation once', () => {
    const other: EntrySpec = { annotations: { 'run.oci.other': '1' } };
    const entries: Entries = { denied, again: denied, other, arm: { on: 'linux/arm64' } };
    expect(derived('cpu:zen4', entries, { policy }).reason).toBe(
      `${why}; the operator denies its annotation run.oci.other; only the other platforms are left`,
    );
  });
});

describe('the form of the response', () => {
  test('is the winner’s manifest for a client that accepts no index', () => {
    const given = answer('cpu:skylake', SEEDS, { acceptsIndex: false });
    expect(given).toMatchObject({
      kind: 'entry',
      entry: { digest: digestNamed('skylake') },
      reason: expect.stringMatching(/^the client accepts no index; demands cpu:skylake/),
    });
  });

  test('is the plain entry’s manifest for such a client when there are no demands', () => {
    const given = answer('cpu:skylake', { it: '', arm: { on: 'linux/arm64' } }, { acceptsIndex: false });
    expect(given).toMatchObject({ kind: 'entry', entry: { digest: digestNamed('it') } });
  });

  test('is an error for such a client when no entry is eligible', () => {
    const given = answer(
      'cpu:haswell',
      { it: 'cpu:zen5', arm: { on: 'linux/arm64' } },
      { acceptsIndex: false },
    );
    expect(given).toMatchObject({ kind: 'refused' });
  });

  test('is upstream’s own for such a client when no entry is for this platform', () => {
    const given = answer('cpu:haswell', { arm: { on: 'linux/arm64' } }, { acceptsIndex: false });
    expect(given).toMatchObject({ kind: 'original' });
  });

  test('is the winner’s own manifest with answer: manifest', () => {
    const given = answer('cpu:skylake', SEEDS, { policy: { answer: 'manifest' } });
    expect(given).toMatchObject({ kind: 'entry', entry: { digest: digestNamed('skylake') } });
  });

  test('is a refusal with answer: manifest where no entry runs', () => {
    const given = answer('cpu:haswell', { it: 'cpu:zen5' }, { policy: { answer: 'manifest' } });
    expect(given).toMatchObject({ kind: 'refused' });
  });

  test('is the index itself with answer: manifest when there is nothing to choose', () => {
    const given = answer(
      'cpu:skylake',
      { it: '', arm: { on: 'linux/arm64' } },
      { policy: { answer: 'manifest' } },
    );
    expect(given).toMatchObject({ kind: 'original' });
  });

  test('is an index with answer: index even for a client that does not accept it', () => {
    const given = answer('cpu:skylake', SEEDS, { acceptsIndex: false, policy: { answer: 'index' } });
    expect(given).toMatchObject({ kind: 'derived' });
  });
});

describe('deriving from a derived index', () => {
  test.each<[string, string, Entries, Partial<SelectionPolicy>]>([
    ['features', 'cpu:skylake', SEEDS, {}],
    ['variants', 'cpu:haswell', { plain: '', v3: { variant: 'v3' }, v4: { variant: 'v4' } }, {}],
    [
      'a variant below the baseline of plain entries',
      'cpu:nehalem',
      { plain: '', v2: { variant: 'v2' } },
      { baseline: ['x86-64-v3'] },
    ],
    ['nothing eligible', 'cpu:haswell', { it: 'cpu:zen5', arm: { on: 'linux/arm64' } }, {}],
    [
      'a pin',
      'cpu:haswell',
      { plain: '', v2: { variant: 'v2' }, v3: { variant: 'v3' } },
      { pin: 'x86-64-v2' },
    ],
    ['match exact', 'cpu:broadwell nvcap:5.2', SEEDS, { match: 'exact' }],
  ])('changes nothing: %s', (_, host, entries, policy) => {
    const first = derived(host, entries, { policy });
    const again = answerFor(
      readDocument(first.bytes).document,
      hostOf(host),
      { ...DEFAULT_POLICY, ...policy },
      { acceptsIndex: true },
    );
    expect(again).toMatchObject({ kind: 'original' });
  });
});
