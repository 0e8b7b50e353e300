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
});
