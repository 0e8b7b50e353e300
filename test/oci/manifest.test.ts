import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isImageEntry, parseManifestDocument, readDescriptor } from '../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const entry = {
  mediaType: MEDIA_TYPE.dockerManifest,
  digest,
  size: 7,
  platform: {
    os: 'linux',
    architecture: 'amd64',
    features: ['cpu:broadwell'],
    'os.version': '1',
    'os.features': ['x'],
  },
};
const image = { schemaVersion: 2, config: { ...entry, mediaType: MEDIA_TYPE.ociConfig }, layers: [] };

function parse(value: unknown, contentType?: string) {
  return parseManifestDocument(Buffer.from(JSON.stringify(value)), contentType);
}

function refusal(value: unknown, contentType?: string): unknown {
  try {
    return parse(value, contentType);
  } catch (error) {
    return error instanceof RegistryError ? error.code : error;
  }
}

describe('parseManifestDocument()', () => {
  test('reads platform.features of a Docker manifest list, and keeps the raw entry', () => {
    const document = parse({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.dockerList,
      manifests: [{ ...entry, extra: 1 }],
    });
    expect(document).toMatchObject({
      kind: 'index',
      mediaType: MEDIA_TYPE.dockerList,
      entries: [
        {
          digest,
          sizeBytes: 7,
          platform: { features: ['cpu:broadwell'], osVersion: '1', osFeatures: ['x'] },
        },
      ],
    });
    expect(document.kind === 'index' && document.entries[0]?.raw['extra']).toBe(1);
  });

  test('takes the registry’s Content-Type when the document does not say what it is', () => {
    expect(
      parse({ schemaVersion: 2, manifests: [] }, `${MEDIA_TYPE.dockerList}; charset=utf-8`),
    ).toMatchObject({
      kind: 'index',
      mediaType: MEDIA_TYPE.dockerList,
    });
  });

  test('goes by the shape when neither says', () => {
    expect(parse({ schemaVersion: 2, manifests: [] })).toMatchObject({
      kind: 'index',
      mediaType: MEDIA_TYPE.ociIndex,
    });
    expect(parse(image, 'application/json')).toMatchObject({
      kind: 'image',
      mediaType: MEDIA_TYPE.ociManifest,
    });
    expect(parse({ schemaVersion: 1, fsLayers: [] })).toMatchObject({ kind: 'opaque' });
  });

  test.each([
    ['layers and manifests (CVE-2021-41190)', { layers: [], manifests: [] }],
    ['config and manifests', { config: {}, manifests: [] }],
    ['an index type without manifests', { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex }],
    ['an image type with manifests', { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, manifests: [] }],
    ['a list', []],
    ['null', null],
    ['a number', 7],
  ])('refuses %s', (_, value) => {
    expect(refusal(value)).toBe('MANIFEST_INVALID');
  });

  test.each([
    ['HTML', '<html>welcome to our hotel</html>'],
    ['nothing', ''],
    ['invalid UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseManifestDocument(Buffer.from(bytes))).toThrow(RegistryError);
  });

  test.each([
    ['a negative size', { ...entry, size: -1 }],
    ['a fractional size', { ...entry, size: 1.5 }],
    ['a digest of an unknown algorithm', { ...entry, digest: `blake3:${'a'.repeat(64)}` }],
    ['no media type', { digest, size: 1 }],
    ['null', null],
  ])('passes an index on untouched when an entry has %s', (_, bad) => {
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [entry, bad] };
    expect(parse(index)).toMatchObject({ kind: 'opaque', reason: expect.stringContaining('no descriptor') });
  });

  test.each(['sha256:totallywrong', 'sha256:', '', `sha512:${'a'.repeat(64)}`])(
    'refuses an index with an entry of the malformed digest “%s”',
    (malformed) => {
      const document = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociIndex,
        manifests: [entry, { ...entry, digest: malformed }],
      };
      expect(() => parse(document)).toThrow(/malformed digest/);
    },
  );

  test('refuses 10,000 levels of nesting', () => {
    const deep = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
    expect(() => parseManifestDocument(Buffer.from(deep))).toThrow(/nests deeper than 64 levels/);
  });

  test.each([
    ['no schemaVersion', { manifests: [entry], mediaType: MEDIA_TYPE.ociIndex }],
    ['schemaVersion as a string', { ...image, schemaVersion: '2' }],
    ['an unknown schemaVersion', { ...image, schemaVersion: 3 }],
    ['an error document', { errors: [{ code: 'DENIED' }] }],
  ])('takes a JSON object with %s for no image and no index', (_, value) => {
    expect(parse(value)).toMatchObject({ kind: 'opaque', reason: expect.stringContaining('no manifest') });
  });

  test.each([
    [
      { os: 'Linux', architecture: 'AMD64' },
      { os: 'linux', architecture: 'amd64' },
    ],
    [
      { os: 'linux', architecture: 'x86_64', variant: 'V3' },
      { architecture: 'amd64', variant: 'v3' },
    ],
    [
      { os: '', architecture: 'aarch64', variant: '8' },
      { os: 'linux', architecture: 'arm64', variant: 'v8' },
    ],
    [
      { os: 'macOS', architecture: 'arm64', variant: '9.0' },
      { os: 'darwin', variant: 'v9' },
    ],
    [
      { os: 'linux', architecture: 'arm', variant: '7' },
      { architecture: 'arm', variant: 'v7' },
    ],
    [
      { os: 'linux', architecture: 'armhf' },
      { architecture: 'arm', variant: 'v7' },
    ],
    [{ os: 'linux', architecture: 'i386', variant: 'x' }, { architecture: '386' }],
  ])('reads the platform %j in one spelling, and keeps what was written in raw', (platform, expected) => {
    const document = parse({ schemaVersion: 2, manifests: [{ ...entry, platform }] });
    if (document.kind !== 'index') throw new Error(document.kind);
    expect(document.entries[0]?.platform).toMatchObject(expected);
    expect(document.entries[0]?.platform?.variant).toBe('variant' in expected ? expected.variant : undefined);
    expect(document.entries[0]?.raw['platform']).toEqual(platform);
  });

  test.each([
    ['an image manifest', {}, true],
    ['an empty artifactType', { artifactType: '' }, true],
    ['the type of an image’s configuration as artifactType', { artifactType: MEDIA_TYPE.ociConfig }, true],
    ['a SOCI index', { artifactType: 'application/vnd.amazon.soci.index.v2+json' }, false],
    ['a nested index', { mediaType: MEDIA_TYPE.ociIndex }, false],
  ])('isImageEntry() of an entry that is %s', (_, more, expected) => {
    const read = readDescriptor({ ...entry, ...more });
    expect(read && isImageEntry(read)).toBe(expected);
  });

  test('throws nothing but a typed error, whatever the JSON', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom(undefined, ...Object.values(MEDIA_TYPE)),
        (value, contentType) => {
          expect([undefined, 'MANIFEST_INVALID']).toContain(
            ((outcome) => (typeof outcome === 'object' ? undefined : outcome))(refusal(value, contentType)),
          );
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
});
