import { describe, expect, test } from 'vitest';
import { type AssembledMember, assembleIndex } from '../../src/oci/build-index.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';

const PLAIN: AssembledMember = {
  mediaType: MEDIA_TYPE.ociManifest,
  digest: digestOf(Buffer.from('plain')),
  sizeBytes: 7,
  platform: { os: 'linux', architecture: 'amd64', features: [], osFeatures: [] },
  annotations: {},
};
const DOCKER: AssembledMember = { ...PLAIN, mediaType: MEDIA_TYPE.dockerManifest };
const SKYLAKE: AssembledMember = {
  ...PLAIN,
  digest: digestOf(Buffer.from('skylake')),
  sizeBytes: 8,
  platform: {
    os: 'windows',
    architecture: 'arm64',
    variant: 'v8',
    features: ['cpu:skylake', 'nvcap:8.0'],
    osFeatures: ['win32k'],
  },
  annotations: { 'org.example.a': 'b' },
};

const documentOf = (...args: Parameters<typeof assembleIndex>) =>
  JSON.parse(assembleIndex(...args).bytes.toString());

describe('assembleIndex()', () => {
  test('writes for a member without features only what the specs require', () => {
    expect(documentOf([PLAIN])).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [
        {
          mediaType: MEDIA_TYPE.ociManifest,
          size: 7,
          digest: PLAIN.digest,
          platform: { os: 'linux', architecture: 'amd64' },
        },
      ],
    });
  });

  test('writes variant, features and os.features, and repeats the features as an annotation', () => {
    expect(documentOf([PLAIN, SKYLAKE]).manifests[1]).toEqual({
      mediaType: MEDIA_TYPE.ociManifest,
      size: 8,
      digest: SKYLAKE.digest,
      platform: {
        os: 'windows',
        architecture: 'arm64',
        variant: 'v8',
        features: ['cpu:skylake', 'nvcap:8.0'],
        'os.features': ['win32k'],
      },
      annotations: { 'io.metahub.features': 'cpu:skylake,nvcap:8.0', 'org.example.a': 'b' },
    });
  });

  test("keeps a member's own annotation of its features", () => {
    const own = { ...SKYLAKE, annotations: { 'io.metahub.features': 'cpu:zen4' } };
    expect(documentOf([own]).manifests[0].annotations).toEqual({ 'io.metahub.features': 'cpu:zen4' });
  });

  test.each([
    ['all are Docker’s', [DOCKER, DOCKER], undefined, MEDIA_TYPE.dockerList],
    ['one is not Docker’s', [DOCKER, PLAIN], undefined, MEDIA_TYPE.ociIndex],
    ['OCI’s is asked for', [DOCKER], 'oci', MEDIA_TYPE.ociIndex],
    ['Docker’s is asked for', [PLAIN], 'docker', MEDIA_TYPE.dockerList],
  ] as const)('writes the kind of index that fits when %s', (_, members, format, mediaType) => {
    expect(assembleIndex(members, { format }).mediaType).toBe(mediaType);
    expect(documentOf(members, { format }).mediaType).toBe(mediaType);
  });

  test.each([
    [undefined, undefined],
    [false, undefined],
    [true, { 'io.metahub.features': 'cpu:skylake,nvcap:8.0', 'org.example.a': 'b' }],
  ])('with annotated %j writes annotations into a Docker list: %j', (annotated, annotations) => {
    const { manifests } = documentOf([SKYLAKE], { format: 'docker', annotated });
    expect(manifests[0].annotations).toEqual(annotations);
  });

  test('ends the text with a line feed, and returns the digest of these bytes', () => {
    const { bytes, digest } = assembleIndex([PLAIN]);
    expect(bytes.toString()).toBe(`${JSON.stringify(documentOf([PLAIN]), undefined, 2)}\n`);
    expect(digest).toBe(digestOf(bytes));
  });
});
