import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type Answer, answerFor } from '../../src/selection/answer.ts';
import { notesOn } from '../../src/selection/assessment.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { hostOf } from '../support/host-of.ts';
import { digestNamed, documentOf, type EntrySpec, readDocument } from '../support/index-fixture.ts';
import { selectionCases } from '../support/selection-case.ts';

type Entries = Readonly<Record<string, EntrySpec>>;

const SOCI = 'application/vnd.amazon.soci.index.v2+json';
const ZSTD = { 'io.github.containers.compression.zstd': 'true' };
const NYDUS = ['nydus.remoteimage.v1'];

/** A host of 32-bit arm, or of riscv64, with a variant. */
function hostWith(architecture: string, variant?: string): HostProfile {
  const { cpu, ...profile } = hostOf('');
  return {
    ...profile,
    cpu: { ...cpu, microarchitecture: architecture, compatible: [architecture], flags: [] },
    platform: { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) },
  };
}

function answer(host: string | HostProfile, entries: Entries, policy: Partial<SelectionPolicy> = {}) {
  const profile = typeof host === 'string' ? hostOf(host) : host;
  return answerFor(
    documentOf(entries).document,
    profile,
    { ...DEFAULT_POLICY, ...policy },
    { acceptsIndex: true },
  );
}

/** The names of the entries that the answer holds, in its order. */
function kept(
  host: string,
  entries: Entries,
  policy: Partial<SelectionPolicy> = {},
): readonly (string | undefined)[] {
  const given = answer(host, entries, policy);
  if (given.kind !== 'derived') throw new Error(`the answer is ${given.kind}: ${given.reason}`);
  const { manifests } = JSON.parse(given.bytes.toString('utf8'));
  return manifests.map(({ digest }: { digest: string }) =>
    Object.keys(entries).find((name) => digestNamed(name) === digest),
  );
}

const variants = (architecture: string, names: readonly string[]): Entries =>
  Object.fromEntries(names.map((variant) => [variant, { on: `linux/${architecture}`, variant }]));

describe('fault 61: values ranked by position: the newest that the host reaches wins, wherever it stands', () => {
  const PI2 = hostWith('arm', 'v7');
  const PI_ZERO = hostWith('arm', 'v6');
  selectionCases('of 32-bit arm', {
    'v5 before v7 on v7': { host: PI2, entries: variants('arm', ['v5', 'v7']), wins: 'v7' },
    'v6 before v7 on v7': { host: PI2, entries: variants('arm', ['v6', 'v7']), wins: 'v7' },
    'v7 before v6 and v5 on v6': { host: PI_ZERO, entries: variants('arm', ['v7', 'v5', 'v6']), wins: 'v6' },
    'v8 on v7': { host: PI2, entries: variants('arm', ['v8', 'v6', 'v7']), wins: 'v7' },
    'v7 on v8': { host: hostWith('arm', 'v8'), entries: variants('arm', ['v6', 'v7']), wins: 'v7' },
    'digits alone': { host: PI2, entries: variants('arm', ['5', '7']), wins: '7' },
    'no variant is v7 on v7': {
      host: PI2,
      entries: { v6: { on: 'linux/arm', variant: 'v6' }, it: { on: 'linux/arm' } },
      wins: 'it',
    },
    'no variant stays eligible on v6': { host: PI_ZERO, entries: { it: { on: 'linux/arm' } }, wins: 'it' },
    'only v7 does not run on v6': {
      host: PI_ZERO,
      entries: variants('arm', ['v7']),
      wins: undefined,
      says: { v7: /this host is v6/ },
    },
    'an unknown variant does not run': { host: PI2, entries: variants('arm', ['weird']), wins: undefined },
  });
  selectionCases('of riscv64', {
    'rva20u64 before rva22u64 on rva22u64': {
      host: hostWith('riscv64', 'rva22u64'),
      entries: variants('riscv64', ['rva20u64', 'rva22u64']),
      wins: 'rva22u64',
    },
    'in capitals': {
      host: hostWith('riscv64', 'rva23u64'),
      entries: variants('riscv64', ['RVA20U64', 'RVA23U64', 'RVA22U64']),
      wins: 'RVA23U64',
    },
    'an unknown profile does not run': {
      host: hostWith('riscv64', 'rva23u64'),
      entries: variants('riscv64', ['rvb23u64']),
      wins: undefined,
    },
    'rva20u64 is assumed': {
      host: hostWith('riscv64'),
      entries: variants('riscv64', ['rva20u64', 'rva22u64']),
      wins: 'rva20u64',
    },
  });
  selectionCases('of amd64, arm64 and ppc64le', {
    'v2, v4, v3 on v3': { host: 'cpu:haswell', entries: variants('amd64', ['v2', 'v4', 'v3']), wins: 'v3' },
    'v8.1 before v8.4': {
      host: 'cpu:neoverse_v1',
      entries: variants('arm64', ['v8.1', 'v8.4', 'v8.2']),
      wins: 'v8.4',
    },
    'levels that the family tree has no node for': {
      host: { ...hostOf('cpu:neoverse_v2'), features: ['arm64-v9.5'] },
      entries: variants('arm64', ['v9.1', 'v9.4', 'v9.3', 'v8.9']),
      wins: 'v9.4',
    },
    'v9 after v8.6': {
      host: 'cpu:neoverse_v2',
      entries: variants('arm64', ['v8.6', 'v9', 'v8.5']),
      wins: 'v9',
    },
    'power8 before power9': {
      host: 'cpu:power10le',
      entries: variants('ppc64le', ['power8', 'power9']),
      wins: 'power9',
    },
  });
  selectionCases('of flags', {
    'avx before avx2': { host: 'cpu:haswell', entries: { a: 'avx', it: 'avx2' }, wins: 'it' },
    'ssse3 before sse4_2': { host: 'cpu:haswell', entries: { a: 'ssse3', it: 'sse4_2' }, wins: 'it' },
    'avx512f before avx512_vnni': {
      host: 'cpu:cascadelake',
      entries: { a: 'avx512f', it: 'avx512_vnni' },
      wins: 'it',
    },
    'asimd before sve': {
      host: 'cpu:neoverse_v2',
      entries: {
        a: { on: 'linux/arm64', features: 'asimd' },
        it: { on: 'linux/arm64', features: 'sve' },
      },
      wins: 'it',
    },
  });
  selectionCases('of versions', {
    'of alternatives the newest that the host has counts': {
      host: 'cpu:haswell cuda:12.4',
      entries: { a: 'cuda:12.0', it: 'cuda:11.0 cuda:12.2' },
      wins: 'it',
    },
    'an alternative that the host lacks does not count': {
      host: 'cpu:haswell cuda:12.4',
      entries: { it: 'cuda:12.0', a: 'cuda:13.0 cuda:11.0' },
      wins: 'it',
    },
    'a level among alternatives that the host lacks does not count': {
      host: 'cpu:haswell',
      entries: { a: 'x86-64-v4 x86-64-v2', it: 'x86-64-v3' },
      wins: 'it',
    },
  });
});

describe('fault 61: values ranked by position: an image that nobody marked for hardware is left as it is', () => {
  test.each([
    ['v5 and v7 on v7', hostWith('arm', 'v7'), variants('arm', ['v5', 'v7'])],
    ['v6 and v7 on v6', hostWith('arm', 'v6'), variants('arm', ['v6', 'v7'])],
    ['no variant on v6', hostWith('arm', 'v6'), { it: { on: 'linux/arm' } }],
    [
      'v6 and no variant on v7',
      hostWith('arm', 'v7'),
      { v6: { on: 'linux/arm', variant: 'v6' }, it: { on: 'linux/arm' } },
    ],
    ['none that runs, which the runtime finds out itself', hostWith('arm', 'v6'), variants('arm', ['v7'])],
    ['amd64 with and without v1', hostOf('cpu:zen4'), { a: '', v1: { variant: 'v1' } }],
    [
      'arm64 with and without v8',
      hostOf('cpu:neoverse_n1'),
      { a: { on: 'linux/arm64' }, b: { on: 'linux/arm64', variant: 'V8' } },
    ],
    ['twins by os.features', hostOf('cpu:zen4'), { a: '', b: { osFeatures: NYDUS } }],
    ['twins by compression', hostOf('cpu:zen4'), { a: '', b: { annotations: ZSTD } }],
    ['a nested index of the platform', hostOf('cpu:zen4'), { a: '', b: { mediaType: MEDIA_TYPE.ociIndex } }],
    ['an artifact of the platform', hostOf('cpu:zen4'), { a: '', b: { artifactType: SOCI } }],
    ['an unusual spelling', hostOf('cpu:zen4'), { a: { on: 'Linux/AMD64' } }],
  ])('is served unchanged, byte for byte: %s', (_, host, entries) => {
    expect(answer(host, entries as Entries)).toMatchObject({ kind: 'original' });
  });

  test('counts as an ordinary image under match: exact too, when it only has variants', () => {
    expect(answer('cpu:haswell', variants('amd64', ['v2', 'v3']), { match: 'exact' })).toMatchObject({
      kind: 'derived',
      reason: expect.stringContaining('x86-64-v3'),
    });
  });
});

describe('fault 62: an entry that is not an image: what stands beside the images of the platform', () => {
  const soci = (about: string): EntrySpec => ({
    artifactType: SOCI,
    annotations: { 'com.amazon.soci.image-manifest-digest': digestNamed(about) },
  });

  test('an artifact is never the winner, and is placed after it', () => {
    const entries: Entries = {
      plain: '',
      soci: { artifactType: SOCI, features: 'cpu:zen4' },
      it: 'cpu:zen3',
    };
    expect(kept('cpu:zen4', entries)).toEqual(['it', 'soci']);
  });

  test('an artifact that names its image is kept or removed with it', () => {
    const entries: Entries = { plain: '', ofPlain: soci('plain'), it: 'cpu:zen3', ofIt: soci('it') };
    expect(kept('cpu:zen4', entries)).toEqual(['it', 'ofIt']);
    expect(kept('cpu:haswell', entries)).toEqual(['plain', 'ofPlain']);
  });

  test('a client that accepts no index gets the image, not the artifact', () => {
    const given = answerFor(
      documentOf({ soci: { artifactType: SOCI }, it: '' }).document,
      hostOf('cpu:zen4'),
      DEFAULT_POLICY,
      { acceptsIndex: false },
    );
    expect(given).toMatchObject({ kind: 'entry', entry: { digest: digestNamed('it') } });
  });

  test('a nested index is kept after the winner', () => {
    const nested = { mediaType: MEDIA_TYPE.ociIndex };
    expect(kept('cpu:zen4', { nested, plain: '', it: 'cpu:zen3' })).toEqual(['it', 'nested']);
  });

  test('a nested index is kept when no image of the platform runs, because the runtime reads it', () => {
    const nested = { mediaType: MEDIA_TYPE.ociIndex };
    expect(kept('cpu:haswell', { it: 'cpu:zen5', nested })).toEqual(['nested']);
  });

  test('an artifact alone does not count as an entry left to run', () => {
    expect(answer('cpu:haswell', { it: 'cpu:zen5', soci: { artifactType: SOCI } })).toMatchObject({
      kind: 'refused',
    });
  });

  test('duplicates of the winner stay in the order of the index, duplicates of others are removed', () => {
    const entries: Entries = {
      plain: '',
      plainZstd: { annotations: ZSTD },
      it: 'cpu:zen3',
      itZstd: { features: 'cpu:zen3', annotations: ZSTD },
      itNydus: { features: 'cpu:zen3', osFeatures: NYDUS },
      v4: { variant: 'v4' },
    };
    expect(kept('cpu:zen3', entries)).toEqual(['it', 'itZstd', 'itNydus']);
    expect(kept('cpu:haswell', entries)).toEqual(['plain', 'plainZstd']);
  });

  test('duplicates are placed after the winner, which every runtime can unpack', () => {
    const zstd: EntrySpec = { features: 'cpu:zen3', annotations: ZSTD };
    const nested: EntrySpec = { mediaType: MEDIA_TYPE.ociIndex };
    const entries: Entries = {
      zstd,
      nested,
      arm: { on: 'linux/arm64' },
      it: 'cpu:zen3',
      nydus: { features: 'cpu:zen3', osFeatures: NYDUS },
      plain: '',
    };
    expect(kept('cpu:zen3', entries)).toEqual(['it', 'arm', 'zstd', 'nydus', 'nested']);
  });

  test('entries after the winner stay in place, and so do entries without a platform', () => {
    const nested: EntrySpec = { mediaType: MEDIA_TYPE.ociIndex };
    const entries: Entries = {
      chart: { on: 'none' },
      plain: '',
      it: 'cpu:zen3',
      arm: { on: 'linux/arm64' },
      nested,
    };
    expect(kept('cpu:zen3', entries)).toEqual(['chart', 'it', 'arm', 'nested']);
  });

  test('all that belongs to an image is removed with it, but not an image that is built on it', () => {
    const entries: Entries = {
      plain: '',
      one: soci('plain'),
      two: soci('plain'),
      it: 'cpu:zen3',
      arm: {
        on: 'linux/arm64',
        annotations: { 'org.opencontainers.image.base.digest': digestNamed('plain') },
      },
    };
    expect(kept('cpu:zen3', entries)).toEqual(['it', 'arm']);
  });

  test('what belongs to an attestation is kept while a copy of the attestation is kept', () => {
    const entries: Entries = {
      it: 'cpu:zen3',
      plain: '',
      about: { about: 'plain' },
      copy: { sameAs: 'about', on: 'none' },
      second: { about: 'about' },
    };
    expect(kept('cpu:zen3', entries)).toEqual(['it', 'about', 'second']);
  });

  test.each<[string, EntrySpec]>([
    ['an attestation that names only its type', { annotations: { 'vnd.docker.reference.type': 'x' } }],
    ['an entry for no platform', { on: 'unknown/unknown' }],
    ['an artifact for another platform', { on: 'linux/arm64', artifactType: SOCI }],
  ])('%s does not count as an entry left to run', (_, other) => {
    expect(answer('cpu:haswell', { it: 'cpu:zen5', other }).kind).toBe('refused');
  });

  test('a duplicate is detected by its demands, wherever and in whichever order they are written', () => {
    const entries: Entries = {
      plain: '',
      it: 'cpu:zen3 fabric:ib',
      twin: { annotations: { ...ZSTD, 'io.metahub.features': 'fabric:ib cpu:zen3' } },
      other: { features: 'cpu:zen3', annotations: ZSTD },
    };
    expect(kept('cpu:zen3 fabric:ib', entries)).toEqual(['it', 'twin']);
  });

  test('an image that has the type of its configuration counts', () => {
    const artifactType = MEDIA_TYPE.ociConfig;
    const entries: Entries = { it: 'cpu:zen5', arm: { on: 'linux/arm64', artifactType } };
    expect(kept('cpu:haswell', entries)).toEqual(['arm']);
  });

  test('a duplicate has the same alternatives in any order, and of the same kinds', () => {
    const entries: Entries = {
      plain: '',
      it: 'cpu:zen3 cpu:zen2',
      twin: { features: 'cpu:zen2 cpu:zen3', annotations: ZSTD },
      fewer: { features: 'cpu:zen2', annotations: ZSTD },
    };
    expect(kept('cpu:zen3', entries)).toEqual(['it', 'twin']);
    const kinds: Entries = { plain: '', it: 'rack:b', other: { features: 'row:b', annotations: ZSTD } };
    expect(kept('rack:b row:b', kinds)).toEqual(['it']);
  });

  test('duplicates lose their variant like the winner', () => {
    const entries: Entries = { plain: '', it: { variant: 'v3' }, twin: { variant: 'v3', annotations: ZSTD } };
    const given = answer('cpu:haswell', entries);
    if (given.kind !== 'derived') throw new Error(given.kind);
    const { manifests } = JSON.parse(given.bytes.toString('utf8'));
    expect(manifests.map(({ platform }: { platform: unknown }) => platform)).toEqual([
      { architecture: 'amd64', os: 'linux' },
      { architecture: 'amd64', os: 'linux' },
    ]);
    expect(manifests[1].annotations).toEqual({ ...ZSTD, 'io.metahub.platform.variant': 'v3' });
  });

  test('an entry with only the type of a reference is an attestation, never the winner', () => {
    const entries: Entries = {
      plain: '',
      it: 'cpu:zen3',
      sbom: { features: 'cpu:zen4', annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } },
    };
    expect(kept('cpu:zen4', entries)).toEqual(['it', 'sbom']);
  });
});

describe('fault 66: a plain entry built for a higher level', () => {
  const almalinux: Entries = { plain: '', v2: { variant: 'v2' } };

  function notes({ selection }: Answer, host: string) {
    return selection === undefined ? [] : notesOn(selection, hostOf(host));
  }

  test('gets a note next to a marked lower level', () => {
    const [note] = notes(answer('cpu:zen4', almalinux), 'cpu:zen4');
    expect(note?.code).toBe('baseline-suspected');
    expect(note?.text).toContain('Entry 1 names no level, and stands beside x86-64-v2');
    expect(note?.text).toContain('set baseline (such as x86-64-v3)');
  });

  test.each([
    ['the host reaches no more', 'x86-64-v2', almalinux],
    ['a higher level is marked', 'cpu:zen4', { ...almalinux, v3: { variant: 'v3' } }],
    [
      'the marked level is v3, for which plain entries are not built',
      'cpu:zen4',
      { plain: '', v3: { variant: 'v3' } },
    ],
    ['no entry is plain', 'cpu:zen4', { v1: { variant: 'v1' }, v2: { variant: 'v2' } }],
  ])('gets no note when %s', (_, host, entries) => {
    expect(notes(answer(host, entries as Entries), host)).toEqual([]);
  });

  test.each([['x86-64-v3'], ['v3'], ['x86_64_v3']])(
    'wins when the index declares its baseline as %s',
    (baseline) => {
      const given = answerFor(
        documentOf(almalinux, { annotations: { 'io.metahub.baseline': baseline } }).document,
        hostOf('cpu:zen4'),
        DEFAULT_POLICY,
        { acceptsIndex: true },
      );
      expect(given.selection?.winner?.position).toBe(0);
      expect(notes(given, 'cpu:zen4')).toEqual([]);
    },
  );

  test('gets the operator’s baseline before the index’s own', () => {
    const given = answerFor(
      documentOf(almalinux, { annotations: { 'io.metahub.baseline': 'x86-64-v4' } }).document,
      hostOf('cpu:haswell'),
      { ...DEFAULT_POLICY, baseline: ['x86-64-v3'] },
      { acceptsIndex: true },
    );
    expect(given.selection?.winner?.position).toBe(0);
  });

  test('gets no baseline from a value that is not a CPU feature', () => {
    const given = answerFor(
      documentOf(almalinux, { annotations: { 'io.metahub.baseline': 'nvcap:9.0' } }).document,
      hostOf('cpu:zen4'),
      DEFAULT_POLICY,
      { acceptsIndex: true },
    );
    expect(given.selection?.winner?.position).toBe(1);
  });
});

describe('the platform of the winner in a derived index', () => {
  function winnerOf(host: HostProfile, entries: Entries) {
    const given = answer(host, entries);
    if (given.kind !== 'derived') throw new Error(given.kind);
    return JSON.parse(given.bytes.toString('utf8')).manifests[0];
  }
  const arm = (variant: string | undefined, features?: string): EntrySpec => ({
    on: 'linux/arm',
    ...(variant === undefined ? {} : { variant }),
    ...(features === undefined ? {} : { features }),
  });
  const ARM_RACK = { ...hostWith('arm', 'v7'), features: ['rack:b'] };

  test.each([
    ['v7', { variant: 'v7' }],
    ['V7', { variant: 'v7' }],
    [undefined, {}],
  ])('keeps the variant %s of 32-bit arm, as runtimes spell it', (variant, named) => {
    const winner = winnerOf(ARM_RACK, { plain: arm('v6'), it: arm(variant, 'rack:b') });
    expect(winner.platform).toEqual({ architecture: 'arm', os: 'linux', features: ['rack:b'], ...named });
    expect(winner).not.toHaveProperty('annotations');
  });

  test('keeps os.version on Windows', () => {
    const host = { ...hostOf('cpu:zen4 rack:b'), platform: { os: 'windows', architecture: 'amd64' } };
    const it: EntrySpec = { on: 'windows/amd64', osVersion: '10.0.20348.1', features: 'rack:b' };
    expect(winnerOf(host, { plain: { on: 'windows/amd64' }, it }).platform).toEqual({
      architecture: 'amd64',
      os: 'windows',
      'os.version': '10.0.20348.1',
      features: ['rack:b'],
    });
  });

  test('loses os.version on Linux, without an annotation for it', () => {
    const winner = winnerOf(hostOf('cpu:zen4'), {
      plain: '',
      it: { osVersion: '6.1', features: 'cpu:zen3' },
    });
    expect(winner.platform).toEqual({ architecture: 'amd64', os: 'linux', features: ['cpu:zen3'] });
    expect(winner).not.toHaveProperty('annotations');
  });

  test.each(['text', ['a'], null, 5])(
    'moves the variant to annotations, whatever they contain: %j',
    (annotations) => {
      const { manifests, ...index } = JSON.parse(
        documentOf({ plain: '', it: { variant: 'v3' } }).bytes.toString('utf8'),
      );
      const bytes = Buffer.from(
        JSON.stringify({ ...index, manifests: [manifests[0], { ...manifests[1], annotations }] }),
      );
      const { document } = readDocument(bytes);
      const given = answerFor(document, hostOf('cpu:haswell'), DEFAULT_POLICY, { acceptsIndex: true });
      if (given.kind !== 'derived') throw new Error(given.kind);
      expect(JSON.parse(given.bytes.toString('utf8')).manifests[0].annotations).toEqual({
        'io.metahub.platform.variant': 'v3',
      });
    },
  );
});

describe('the index of a refusal', () => {
  function refused(host: string, entries: Entries, policy: Partial<SelectionPolicy> = {}) {
    const given = answer(host, entries, policy);
    if (given.kind !== 'refused' || given.index === undefined) throw new Error(given.kind);
    return JSON.parse(given.index.bytes.toString('utf8')).manifests as readonly {
      readonly digest: string;
      readonly annotations?: Readonly<Record<string, string>>;
    }[];
  }

  test('marks only the candidates, and keeps what belongs to them', () => {
    const entries: Entries = {
      it: { features: 'cpu:zen5', annotations: { a: 'b' } },
      about: { about: 'it' },
    };
    expect(refused('cpu:haswell', entries).map(({ annotations }) => annotations)).toEqual([
      { a: 'b', 'io.metahub.refused': 'not for this host: it demands cpu:zen5' },
      {
        'vnd.docker.reference.type': 'attestation-manifest',
        'vnd.docker.reference.digest': digestNamed('it'),
      },
    ]);
  });

  test('says that an entry without demands lists no features', () => {
    const [plain] = refused('cpu:haswell', { plain: '', it: 'cpu:zen5' }, { match: 'exact' });
    expect(plain?.annotations).toEqual({ 'io.metahub.refused': 'not for this host: it lists no features' });
  });

  test('has 32 candidates at most', () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`e${at}`, 'cpu:zen5']));
    expect(refused('cpu:haswell', many(32))).toHaveLength(32);
    const entries: Entries = { ...many(33), about: { about: 'e32' }, first: { about: 'e0' } };
    expect(
      refused('cpu:haswell', entries)
        .map(({ digest }) => digest)
        .slice(31),
    ).toEqual([digestNamed('e31'), digestNamed('first')]);
  });

  test('omits an entry that the operator denies', () => {
    const denied: EntrySpec = { annotations: { 'run.oci.x': '1' } };
    const manifests = refused('cpu:haswell', { denied, it: 'cpu:zen5' }, { denyAnnotations: ['run.oci.'] });
    expect(manifests.map(({ digest }) => digest)).toEqual([digestNamed('it')]);
  });
});
