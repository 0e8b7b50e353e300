import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../../src/host/assumed-features.ts';
import {
  findDerivedForm,
  isFewForms,
  listDerivedForms,
  runsForm,
} from '../../../src/mirror/documents/derived.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseManifestDocument } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { derivedForms } from '../../../src/selection/derived-forms.ts';
import { DEFAULT_POLICY } from '../../../src/selection/policy.ts';

const policy = DEFAULT_POLICY;

/** An index of an entry for each of these features, `''` for none. */
function indexOf(features: readonly string[], more: object = {}) {
  const manifests = features.map((feature, at) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(Buffer.from(String(at))),
    size: 1,
    platform: { os: 'linux', architecture: 'amd64', ...(feature && { features: [feature] }) },
  }));
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests, ...more };
  return { bytes: Buffer.from(JSON.stringify(document)), mediaType: MEDIA_TYPE.ociIndex };
}

const INDEX = indexOf(['', 'cpu:broadwell', 'cpu:zen3']);

/** The forms of that index, as selection makes them. */
function formsOf({ bytes, mediaType }: ReturnType<typeof indexOf>) {
  const document = parseManifestDocument(bytes, mediaType);
  return document.kind === 'index' ? [...derivedForms(document, policy)] : [];
}

describe('the derived forms of an index', () => {
  test('are listed up to the limit of their bytes', () => {
    const forms = formsOf(INDEX);
    expect(forms.length).toBeGreaterThan(2);
    const listed = (formBytes: number) => listDerivedForms(INDEX, { policy, formBytes });
    let bytes = 0;
    for (const [at, form] of forms.entries()) {
      expect(listed(bytes)).toHaveLength(at);
      bytes += form.bytes.length;
      expect(listed(bytes - 1)).toHaveLength(at);
      expect(listed(bytes)).toEqual(forms.slice(0, at + 1).map(({ digest }) => digest));
    }
    expect(listed(Number.POSITIVE_INFINITY)).toEqual(forms.map(({ digest }) => digest));
  });

  test('are found by their own digest only', () => {
    const details = { policy, formBytes: 1e9 };
    for (const form of formsOf(INDEX)) {
      expect(findDerivedForm(INDEX, { ...details, digest: form.digest })).toEqual(form);
    }
    expect(findDerivedForm(INDEX, { ...details, digest: digestOf(Buffer.of()) })).toBeUndefined();
  });

  test.each([
    [
      'an index of more values than are read',
      indexOf(['', 'cpu:zen3'], { annotations: { all: Array(20_000).fill(0) } }),
    ],
    ['an image', { bytes: Buffer.from('{"config":{},"layers":[]}'), mediaType: MEDIA_TYPE.ociManifest }],
    ['no JSON', { bytes: Buffer.from('no JSON'), mediaType: MEDIA_TYPE.ociIndex }],
  ])('are empty for %s', (_, source) => {
    expect(listDerivedForms(source, { policy, formBytes: 1e9 })).toEqual([]);
  });
});

test.each([
  [3, true],
  [500, false],
])('of an index with %d entries are few: %s', (entries, isFew) => {
  expect(isFewForms(indexOf(Array(entries).fill('cpu:zen3')).bytes)).toBe(isFew);
});

test.each([
  [0, true],
  [1, true],
  [2, false],
  [3, false],
  [undefined, false],
])('a Skylake runs the entry at %s of the index: %s', (position, runs) => {
  const details = { position, profile: profileOfFeatures(['cpu:skylake']), policy };
  expect(runsForm(INDEX, details)).toBe(runs);
  const image = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: {}, layers: [] };
  const other = {
    bytes: Buffer.from(JSON.stringify({ ...image, schemaVersion: 1 })),
    mediaType: MEDIA_TYPE.dockerSchema1,
  };
  expect(runsForm(other, details)).toBe(false);
});
