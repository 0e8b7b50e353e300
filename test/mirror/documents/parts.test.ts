import { describe, expect, test } from 'vitest';
import {
  isReadableIndex,
  listCandidates,
  listChildren,
  newestArtifact,
  readConfigDescriptor,
  readDenied,
  readSpecLayer,
  selectArtifacts,
} from '../../../src/mirror/documents/parts.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { DEFAULT_POLICY } from '../../../src/selection/policy.ts';

const SIGNATURE = 'application/vnd.dev.cosign.artifact.sig.v1+json';
const SBOM = 'application/spdx+json';
const digestFor = (name: string) => digestOf(Buffer.from(name));

/** A descriptor of content of this name. */
const named = (name: string, more: object = {}) => ({
  mediaType: MEDIA_TYPE.ociManifest,
  digest: digestFor(name),
  size: name.length,
  ...more,
});

const source = (document: unknown, mediaType: string = MEDIA_TYPE.ociIndex) => ({
  bytes: Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)),
  mediaType,
});
const index = (manifests: readonly object[], more: object = {}) =>
  source({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests, ...more });

const CONFIG = named('config', { mediaType: MEDIA_TYPE.ociConfig, annotations: { of: 'config' } });
const image = (layers: readonly object[], more: object = {}) =>
  source(
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: CONFIG, layers, ...more },
    MEDIA_TYPE.ociManifest,
  );
const LAYERS = [named('first', { mediaType: 'a/layer' }), named('second', { mediaType: 'b/layer' })];
const OPAQUE = source({ schemaVersion: 1 }, MEDIA_TYPE.dockerSchema1);

/** What a configuration or a layer is named by. */
const brief = (name: string, mediaType: string) => ({
  mediaType,
  digest: digestFor(name),
  sizeBytes: name.length,
});

test.each([
  ['an index', index([]), true],
  ['an image', image([]), false],
  ['a document of another kind', OPAQUE, false],
  ['no JSON', source('no JSON'), false],
] as const)('isReadableIndex() of %s is %s', (_, document, isIndex) => {
  expect(isReadableIndex(document)).toBe(isIndex);
});

describe('the parts of a document', () => {
  test('of an image are its configuration, its layers, and the first layer as a specification', () => {
    expect(readConfigDescriptor(image(LAYERS))).toEqual(brief('config', MEDIA_TYPE.ociConfig));
    expect(readSpecLayer(image(LAYERS))).toEqual(brief('first', 'a/layer'));
    expect(listChildren(image(LAYERS))).toEqual([
      { digest: digestFor('config'), mediaType: MEDIA_TYPE.ociConfig },
      { digest: digestFor('first'), mediaType: 'a/layer' },
      { digest: digestFor('second'), mediaType: 'b/layer' },
    ]);
    expect(readSpecLayer(image([]))).toBeUndefined();
  });

  test('of an index are its entries', () => {
    const entries = index([named('one'), named('two', { mediaType: MEDIA_TYPE.ociIndex })]);
    expect(listChildren(entries)).toEqual([
      { digest: digestFor('one'), mediaType: MEDIA_TYPE.ociManifest },
      { digest: digestFor('two'), mediaType: MEDIA_TYPE.ociIndex },
    ]);
    expect([readConfigDescriptor(entries), readSpecLayer(entries)]).toEqual([undefined, undefined]);
  });

  test('of a document of another kind are empty', () => {
    expect(listChildren(OPAQUE)).toEqual([]);
    expect([readConfigDescriptor(OPAQUE), readSpecLayer(OPAQUE)]).toEqual([undefined, undefined]);
    expect(listCandidates(OPAQUE, { os: 'linux', architecture: 'amd64' })).toEqual([]);
    expect(newestArtifact(OPAQUE, SBOM)).toBeUndefined();
  });
});

test.each([
  [{ os: 'linux', architecture: 'amd64' }, ['one', 'two']],
  // As `uname -m` names it.
  [{ os: 'linux', architecture: 'x86_64' }, ['one', 'two']],
  [{ os: 'linux', architecture: 'arm64' }, ['arm']],
  [{ os: 'windows', architecture: 'amd64' }, ['windows']],
  [{ os: 'windows', architecture: 'arm64' }, []],
])('listCandidates() of an index for %j are %j', (host, names) => {
  const of = (os: string, architecture: string) => ({ platform: { os, architecture } });
  const entries = [
    named('one', of('linux', 'amd64')),
    named('arm', of('linux', 'arm64')),
    named('windows', of('windows', 'amd64')),
    named('two', of('linux', 'amd64')),
    named('no platform'),
    named('an index', { ...of('linux', 'amd64'), mediaType: MEDIA_TYPE.ociIndex }),
    named('an artifact', { ...of('linux', 'amd64'), artifactType: SBOM }),
  ];
  expect(listCandidates(index(entries), host)).toEqual(names.map(digestFor));
});

describe('newestArtifact()', () => {
  const made = (name: string, created?: string, artifactType: string | undefined = SBOM) =>
    named(name, {
      artifactType,
      ...(created === undefined ? {} : { annotations: { 'org.opencontainers.image.created': created } }),
    });

  test.each([
    ['the latest by its date', [made('a', '2026-03-01T00:00:00Z'), made('b', '2026-02-01T00:00:00Z')], 'a'],
    [
      'the latest by its date, listed last',
      [made('a', '2026-01-01T00:00:00Z'), made('b', '2026-02-01T00:00:00Z')],
      'b',
    ],
    [
      'the last of the same date',
      [made('a', '2026-01-01T00:00:00Z'), made('b', '2026-01-01T00:00:00Z')],
      'b',
    ],
    ['one with a date before one without', [made('a', '2026-01-01T00:00:00Z'), made('b')], 'a'],
    [
      'one with a date before one whose date is none',
      [made('a', '1970-01-02T00:00:00Z'), made('b', 'today')],
      'a',
    ],
    ['no one of another type', [made('a', '2026-01-01T00:00:00Z', SIGNATURE)], undefined],
    ['one whose type is that of its manifest', [named('a', { mediaType: SBOM })], 'a'],
    ['none of none', [], undefined],
  ])('is %s', (_, entries, name) => {
    expect(newestArtifact(index(entries), SBOM)).toBe(name && digestFor(name));
  });
});

describe('readDenied()', () => {
  const policy = { ...DEFAULT_POLICY, denyAnnotations: ['io.evil'] };
  const annotated = { annotations: { 'io.good': '1', 'io.evil': '2' } };

  test.each([
    ['an image that has it', image([], annotated), 'io.evil', true],
    ['an image without it', image([], { annotations: { 'io.good': '1' } }), undefined, true],
    ['an index that has it', index([], annotated), 'io.evil', false],
    ['an index that cannot be read', index([{}], annotated), 'io.evil', false],
    ['a document without annotations', OPAQUE, undefined, false],
    ['no JSON', source('no JSON'), undefined, false],
    ['annotations that are none', image([], { annotations: 7 }), undefined, true],
  ] as const)('of %s finds %s', (_, document, annotation, hasConfig) => {
    const config = hasConfig ? brief('config', MEDIA_TYPE.ociConfig) : undefined;
    expect(readDenied(document, policy)).toEqual({ annotation, config });
  });
});

describe('selectArtifacts()', () => {
  const [signature, sbom] = [named('a', { artifactType: SIGNATURE }), named('b', { artifactType: SBOM })];

  test('keeps the entries of a type, and all other members of the list', () => {
    const list = index([signature, sbom, null as never, named('c')], { annotations: { page: '1' } });
    const kept = selectArtifacts(list, SBOM);
    expect(JSON.parse(Buffer.from(kept as Uint8Array).toString())).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [sbom],
      annotations: { page: '1' },
    });
  });

  test.each([
    ['a list of this type alone', index([sbom, sbom]), 'all'],
    ['an empty list', index([]), 'all'],
    ['a document without entries', OPAQUE, undefined],
    ['entries that are no list', index('none' as never), undefined],
    ['no JSON', source('no JSON'), undefined],
  ] as const)('of %s is %s', (_, list, kept) => {
    expect(selectArtifacts(list, SBOM)).toBe(kept);
  });
});
