import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatPlatform,
  isImageEntry,
  parseManifestDocument,
  readDescriptor,
} from '../../src/oci/manifest.ts';
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

  test('uses the registry’s Content-Type when the document has no mediaType', () => {
    expect(
      parse({ schemaVersion: 2, manifests: [] }, `${MEDIA_TYPE.dockerList}; charset=utf-8`),
    ).toMatchObject({
      kind: 'index',
      mediaType: MEDIA_TYPE.dockerList,
    });
  });

  test('uses the shape when neither is there', () => {
    expect(parse({ schemaVersion: 2, manifests: [] })).toMatchObject({
      kind: 'index',
      mediaType: MEDIA_TYPE.ociIndex,
    });
    expect(parse(image, 'application/json')).toMatchObject({
      kind: 'image',
      mediaType: MEDIA_TYPE.ociManifest,
    });
    expect(parse({ schemaVersion: 1, fsLayers: [] })).toMatchObject({
      kind: 'opaque',
      mediaType: MEDIA_TYPE.dockerSchema1,
      reason: `${MEDIA_TYPE.dockerSchema1} is neither an image nor an index`,
    });
    for (const part of [{}, { config: {} }, { layers: [] }]) {
      expect(parse({ schemaVersion: 2, ...part }), JSON.stringify(part)).toMatchObject({
        kind: 'opaque',
        mediaType: MEDIA_TYPE.octets,
      });
    }
  });

  test.each([
    ['its own word', { mediaType: MEDIA_TYPE.dockerList }, MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerList],
    ['the Content-Type for an empty word', { mediaType: '' }, MEDIA_TYPE.dockerList, MEDIA_TYPE.dockerList],
    ['the Content-Type for a number', { mediaType: 7 }, MEDIA_TYPE.dockerList, MEDIA_TYPE.dockerList],
    ['the shape for an empty word and no Content-Type', { mediaType: '' }, undefined, MEDIA_TYPE.ociIndex],
    ['the shape for a Content-Type of no manifest', {}, 'text/html', MEDIA_TYPE.ociIndex],
    ['octets for a word that is not a media type', { mediaType: 'no type' }, undefined, MEDIA_TYPE.octets],
  ])('reads the media type from %s', (_, said, contentType, mediaType) => {
    expect(parse({ schemaVersion: 2, manifests: [], ...said }, contentType).mediaType).toBe(mediaType);
  });

  test('passes on the artifact manifest of early OCI 1.1, which has no schemaVersion', () => {
    const mediaType = 'application/vnd.oci.artifact.manifest.v1+json';
    expect(parse({ mediaType })).toEqual({
      kind: 'opaque',
      mediaType,
      reason: `${mediaType} is neither an image nor an index`,
    });
  });

  test('reads an image with its configuration, layers and annotations', () => {
    const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: 3 };
    const annotations = { 'org.example.a': 'b' };
    expect(parse({ ...image, layers: [layer], annotations })).toMatchObject({
      kind: 'image',
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, digest, sizeBytes: 7 },
      layers: [{ mediaType: layer.mediaType, digest, sizeBytes: 3, annotations: {} }],
      annotations,
    });
  });

  test.each([
    ['config', { config: { mediaType: 'x' } }],
    ['layers', { layers: [{}] }],
    ['config at all', { config: undefined }],
    ['layers at all', { layers: undefined }],
  ])('passes on an image unchanged when it has no readable %s', (_, broken) => {
    expect(parse({ ...image, mediaType: MEDIA_TYPE.ociManifest, ...broken })).toEqual({
      kind: 'opaque',
      mediaType: MEDIA_TYPE.ociManifest,
      reason: 'the image manifest has no readable config or layers',
    });
  });

  test.each([
    ['strings', { a: '1', b: '' }, { a: '1', b: '' }],
    ['strings and others', { a: '1', b: 2, c: null, d: ['x'] }, { a: '1' }],
    ['a list', ['x'], {}],
    ['text', 'x', {}],
    ['nothing', undefined, {}],
  ])('reads only the strings of annotations that are %s', (_, annotations, expected) => {
    expect(parse({ schemaVersion: 2, manifests: [], annotations })).toMatchObject({ kind: 'index' });
    const read = parse({ schemaVersion: 2, manifests: [{ ...entry, annotations }], annotations });
    if (read.kind !== 'index') throw new Error(read.kind);
    expect(read.annotations).toEqual(expected);
    expect(read.entries[0]?.annotations).toEqual(expected);
  });

  test.each([
    ['no object', 'linux/amd64'],
    ['without an os', { architecture: 'amd64' }],
    ['without an architecture', { os: 'linux' }],
    ['with a number for its os', { os: 1, architecture: 'amd64' }],
    ['with a number for its architecture', { os: 'linux', architecture: 1 }],
  ])('ignores a platform that is %s', (_, platform) => {
    const read = readDescriptor({ ...entry, platform });
    expect(read && 'platform' in read).toBe(false);
  });

  test('reads only those members of a platform that have the type that the spec requires', () => {
    const read = (platform: object) =>
      readDescriptor({ ...entry, platform: { os: 'linux', architecture: 'amd64', ...platform } });
    expect(read({})?.platform).toEqual({ os: 'linux', architecture: 'amd64', features: [], osFeatures: [] });
    expect(
      read({ variant: 3, 'os.version': 10, features: ['a', 1, 'b'], 'os.features': 'win32k' })?.platform,
    ).toEqual({ os: 'linux', architecture: 'amd64', features: ['a', 'b'], osFeatures: [] });
    expect(read({ 'os.version': '', variant: '' })?.platform).toEqual({
      os: 'linux',
      architecture: 'amd64',
      features: [],
      osFeatures: [],
    });
    expect(read({ 'os.version': '10.0', variant: 'v3' })?.platform).toMatchObject({
      osVersion: '10.0',
      variant: 'v3',
    });
  });

  test.each([
    ['an empty blob', { size: 0 }, { sizeBytes: 0 }],
    ['a type with parameters', { mediaType: 'Application/X ; a=b' }, { mediaType: 'application/x' }],
    ['an artifact type', { artifactType: 'a/b' }, { artifactType: 'a/b' }],
  ])('reads the descriptor of %s', (_, more, expected) => {
    expect(readDescriptor({ ...entry, ...more })).toMatchObject(expected);
  });

  test.each([
    ['a size as text', { size: '7' }],
    ['no size', { size: undefined }],
    ['a size beyond what counts exactly', { size: 2 ** 53 }],
    ['a digest that is not text', { digest: 7 }],
    ['a media type that is not text', { mediaType: 7 }],
  ])('ignores a descriptor with %s', (_, more) => {
    expect(readDescriptor({ ...entry, ...more })).toBeUndefined();
  });

  test('ignores an artifact type that is not a string', () => {
    const read = readDescriptor({ ...entry, artifactType: 7 });
    expect(read && 'artifactType' in read).toBe(false);
  });

  test.each([
    'multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8',
    'sha384:abc',
    'a.b_c-d+e:x',
    'x:a=',
    'ab:z-_',
  ])('passes on an index unchanged when an entry has the digest %s, which is well-formed', (unknown) => {
    const manifests = [{ ...entry, digest: unknown }];
    expect(parse({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests })).toMatchObject({
      kind: 'opaque',
    });
  });

  test.each([
    'x',
    ':x',
    'x:',
    '-x:a',
    'x-:a',
    'X:a',
    'x:a b',
    'x:a/..',
    '!x:a',
    'x+.y:a',
    `x${digest}`.replace('x', ' '),
  ])('refuses an index with an entry of the digest %j, which no grammar allows', (malformed) => {
    const manifests = [{ ...entry, digest: malformed }];
    expect(refusal({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests })).toBe('MANIFEST_INVALID');
  });

  test('names the problem of a document that it refuses', () => {
    const why = (value: unknown) => {
      try {
        return parse(value);
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(why([])).toBe('the manifest is not a JSON object');
    expect(why({ layers: [], manifests: [] })).toBe('the manifest is both an image and an index: refused');
    expect(why({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex })).toBe(
      `the document says ${MEDIA_TYPE.ociIndex} but has no manifests`,
    );
    expect(why({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, manifests: [] })).toBe(
      `the document says ${MEDIA_TYPE.ociManifest} but lists manifests`,
    );
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
    [
      'invalid UTF-8 in a string, which other readers would read otherwise',
      Buffer.from('{"a":"\xff"}', 'latin1'),
    ],
  ])('refuses %s', (_, bytes) => {
    const read = () => parseManifestDocument(Buffer.from(bytes));
    expect(read).toThrow(RegistryError);
    expect(read).toThrow(
      expect.objectContaining({
        code: 'MANIFEST_INVALID',
        message: 'the manifest is not JSON',
        cause: expect.any(Error),
      }),
    );
  });

  test.each([
    ['a negative size', { ...entry, size: -1 }],
    ['a fractional size', { ...entry, size: 1.5 }],
    ['a digest of an unknown algorithm', { ...entry, digest: `blake3:${'a'.repeat(64)}` }],
    ['no media type', { digest, size: 1 }],
    ['null', null],
  ])('passes on an index unchanged when an entry has %s', (_, bad) => {
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [entry, bad] };
    expect(parse(index)).toMatchObject({
      kind: 'opaque',
      reason: expect.stringContaining('is not a descriptor'),
    });
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

  test('refuses the same bytes again with the same error', () => {
    const bytes = Buffer.from('{"a":');
    const read = () => parseManifestDocument(bytes);
    expect(read).toThrow('the manifest is not JSON');
    expect(read).toThrow('the manifest is not JSON');
    expect(parseManifestDocument(Buffer.from('{"schemaVersion":2,"manifests":[]}')).kind).toBe('index');
    expect(read).toThrow('the manifest is not JSON');
  });

  test('refuses 10,000 levels of nesting', () => {
    const deep = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
    expect(() => parseManifestDocument(Buffer.from(deep))).toThrow(/nests deeper than 64 levels/);
  });

  test.each([
    ['no schemaVersion', { manifests: [entry], mediaType: MEDIA_TYPE.ociIndex }],
    ['schemaVersion as a string', { ...image, schemaVersion: '2' }],
    ['an unknown schemaVersion', { ...image, schemaVersion: 3 }],
    ['an error document', { errors: [{ code: 'DENIED' }] }],
  ])('reads a JSON object with %s as neither an image nor an index', (_, value) => {
    expect(parse(value)).toMatchObject({
      kind: 'opaque',
      reason: expect.stringContaining('is not a manifest'),
    });
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
  ])(
    'fault 63: another spelling of a platform: reads the platform %j in one spelling, and keeps what was written in raw',
    (platform, expected) => {
      const document = parse({ schemaVersion: 2, manifests: [{ ...entry, platform }] });
      if (document.kind !== 'index') throw new Error(document.kind);
      expect(document.entries[0]?.platform).toMatchObject(expected);
      expect(document.entries[0]?.platform?.variant).toBe(
        'variant' in expected ? expected.variant : undefined,
      );
      expect(document.entries[0]?.raw['platform']).toEqual(platform);
    },
  );

  test.each([
    ['an image manifest', {}, true],
    ['an empty artifactType', { artifactType: '' }, true],
    ['the type of an image’s configuration as artifactType', { artifactType: MEDIA_TYPE.ociConfig }, true],
    ['the type of a Docker image’s configuration', { artifactType: MEDIA_TYPE.dockerConfig }, true],
    ['a SOCI index', { artifactType: 'application/vnd.amazon.soci.index.v2+json' }, false],
    ['a nested index', { mediaType: MEDIA_TYPE.ociIndex }, false],
  ])('isImageEntry() of an entry that is %s', (_, more, expected) => {
    const read = readDescriptor({ ...entry, ...more });
    expect(read && isImageEntry(read)).toBe(expected);
  });

  test('throws only typed errors, whatever the JSON', () => {
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

test('formatPlatform() writes os, architecture and, if there is one, variant', () => {
  expect(formatPlatform({ os: 'linux', architecture: 'amd64' })).toBe('linux/amd64');
  expect(formatPlatform({ os: 'linux', architecture: 'arm', variant: 'v7' })).toBe('linux/arm/v7');
});
