import { describe, expect, test } from 'vitest';
import { essenceOf, isMediaType, MANIFEST_ACCEPT, MEDIA_TYPE } from '../../src/oci/media-type.ts';

test('the Accept header for upstream lists every kind of manifest, indexes first, and */* last', () => {
  expect(MANIFEST_ACCEPT.split(', ')).toEqual([
    MEDIA_TYPE.ociIndex,
    MEDIA_TYPE.dockerList,
    MEDIA_TYPE.ociManifest,
    MEDIA_TYPE.dockerManifest,
    MEDIA_TYPE.dockerSchema1Signed,
    '*/*;q=0.1',
  ]);
});

test.each([
  ['text/html', 'text/html'],
  ['Text/HTML; charset=utf-8', 'text/html'],
  [' text/html ;a', 'text/html'],
  ['', ''],
  [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociIndex],
])('the essence of %j is %j', (written, essence) => {
  expect(essenceOf(written)).toBe(essence);
});

describe('isMediaType()', () => {
  // https://www.rfc-editor.org/rfc/rfc6838#section-4.2
  test.each([
    'a/b',
    'application/vnd.oci.image.index.v1+json',
    'A1!#$&^_.+-/9',
    `${'a'.repeat(127)}/${'b'.repeat(127)}`,
  ])('accepts %s', (text) => {
    expect(isMediaType(text)).toBe(true);
  });
  test.each([
    '',
    'a',
    '/b',
    'a/',
    'a/b/c',
    'a/b;c=d',
    ' a/b',
    'a/b\r\nx: y',
    '-a/b',
    `${'a'.repeat(128)}/b`,
    `a/${'b'.repeat(128)}`,
  ])('refuses %j', (text) => {
    expect(isMediaType(text)).toBe(false);
  });
});
