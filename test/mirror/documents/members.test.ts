import { describe, expect, test } from 'vitest';
import { readMembers } from '../../../src/mirror/documents/members.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';

const LINUX = { os: 'linux', architecture: 'amd64' };
const DIGEST = digestOf(Buffer.from('the index'));

function indexOf(images: number) {
  const manifests = Array.from({ length: images }, (_, at) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(Buffer.from(String(at))),
    size: 1,
    platform: LINUX,
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
  return { bytes, mediaType: MEDIA_TYPE.ociIndex };
}

describe('readMembers()', () => {
  test('adds all images of an index, up to a thousand', () => {
    const details = { platform: undefined, annotations: {}, digest: DIGEST };
    expect(readMembers(indexOf(1000), details).members).toHaveLength(1000);
    expect(() => readMembers(indexOf(1001), details)).toThrow('it has more than 1000 images');
  });

  test('adds one image of a larger index when the list states the platform', () => {
    const platform = { ...LINUX, features: [], osFeatures: [] };
    const { members } = readMembers(indexOf(1001), { platform, annotations: {}, digest: DIGEST });
    expect(members.map(({ digest }) => digest)).toEqual([digestOf(Buffer.from('0'))]);
  });

  const entry = (name: string, platform?: object, more: object = {}) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(Buffer.from(name)),
    size: name.length,
    ...(platform && { platform }),
    ...more,
  });
  const index = (manifests: readonly object[]) => ({
    bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests })),
    mediaType: MEDIA_TYPE.ociIndex,
  });
  const arm = (variant?: string) => ({ os: 'linux', architecture: 'arm', ...(variant && { variant }) });

  test.each([
    ['v7', arm('v7'), 'seven'],
    ['v5, which none is for: the first', arm('v5'), 'six'],
    ['no variant', arm(), 'none'],
    ['amd64', LINUX, 'other'],
    ['windows', { ...LINUX, os: 'windows' }, undefined],
    ['arm64', { ...LINUX, architecture: 'arm64' }, undefined],
  ])('of an index reads the image of the platform that the list states: %s', (_, wanted, name) => {
    const platform = { ...wanted, features: ['cpu:zen3'], osFeatures: [] };
    const entries = [
      entry('attestation', arm('v7'), { artifactType: 'application/vnd.in-toto+json' }),
      entry('without a platform'),
      entry('six', arm('v6')),
      entry('seven', arm('v7')),
      entry('none', arm()),
      entry('other', LINUX),
    ];
    const annotations = { of: 'the list' };
    const { members } = readMembers(index(entries), { platform, annotations, digest: DIGEST });
    const member = name && {
      mediaType: MEDIA_TYPE.ociManifest,
      digest: digestOf(Buffer.from(name)),
      sizeBytes: name.length,
      platform,
      annotations,
    };
    expect(members).toEqual(member ? [member] : []);
  });

  test('of an index reads the images with a platform, each with its own annotations and the list’s', () => {
    const entries = [
      entry('one', LINUX, { annotations: { own: '1', both: '1' } }),
      entry('unknown', { os: 'unknown', architecture: 'unknown' }),
      entry('without a platform'),
      entry('index', LINUX, { mediaType: MEDIA_TYPE.ociIndex }),
    ];
    const details = { platform: undefined, annotations: { both: 'list' }, digest: DIGEST };
    const { members } = readMembers(index(entries), details);
    expect(members).toMatchObject([
      { digest: digestOf(Buffer.from('one')), sizeBytes: 3, annotations: { own: '1', both: 'list' } },
    ]);
    expect(members).toHaveLength(1);
  });

  test('of an image is the image itself, with the platform of the list or of its configuration', () => {
    const config = { mediaType: MEDIA_TYPE.ociConfig, digest: DIGEST, size: 7 };
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [] };
    const bytes = Buffer.from(JSON.stringify(document));
    const source = { bytes, mediaType: MEDIA_TYPE.ociManifest };
    const details = { annotations: { of: 'the list' }, digest: digestOf(bytes) };
    const image = { mediaType: MEDIA_TYPE.ociManifest, sizeBytes: bytes.length, ...details };
    const platform = { ...LINUX, features: [], osFeatures: [] };
    expect(readMembers(source, { ...details, platform })).toEqual({ members: [{ ...image, platform }] });
    expect(readMembers(source, { ...details, platform: undefined })).toEqual({
      members: [],
      unplaced: { image, config: { mediaType: MEDIA_TYPE.ociConfig, digest: DIGEST, sizeBytes: 7 } },
    });
  });

  test('of a document of another kind is empty', () => {
    const source = { bytes: Buffer.from('{"schemaVersion":1}'), mediaType: MEDIA_TYPE.dockerSchema1 };
    expect(readMembers(source, { platform: undefined, annotations: {}, digest: DIGEST })).toEqual({
      members: [],
    });
  });
});
