import { describe, expect, test } from 'vitest';
import {
  algorithmOf,
  digestOf,
  encodedOf,
  finishDigest,
  hashFor,
  parseDigest,
} from '../../src/oci/digest.ts';

const EMPTY_SHA256 = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('parseDigest()', () => {
  test.each([
    ['sha256', EMPTY_SHA256],
    ['sha512', `sha512:${'ab'.repeat(64)}`],
  ])('accepts %s at its full length', (algorithm, text) => {
    const digest = parseDigest(text);
    expect(digest).toBe(text);
    expect(digest && algorithmOf(digest)).toBe(algorithm);
    expect(digest && encodedOf(digest)).toBe(text.slice(7));
  });

  test.each([
    ['the conformance suite’s malformed digest', 'sha256:totallywrong'],
    ['a path in disguise', `sha256:../../../${'a'.repeat(55)}`],
    ['upper-case hex', EMPTY_SHA256.toUpperCase().replace('SHA256', 'sha256')],
    ['one character too few', EMPTY_SHA256.slice(0, -1)],
    ['one character too many', `${EMPTY_SHA256}0`],
    ['a trailing newline', `${EMPTY_SHA256}\n`],
    ['sha512 at sha256’s length', EMPTY_SHA256.replace('sha256', 'sha512')],
    ['an unregistered algorithm', `md5:${'a'.repeat(32)}`],
    ['a prototype’s property', `toString:${'a'.repeat(64)}`],
    ['no algorithm', 'e3b0c442'],
    ['nothing', ''],
    ['hex and something else', `sha256:${'a'.repeat(63)}g`],
    ['something else and hex', `sha256:g${'a'.repeat(63)}`],
    ['a colon alone', ':'],
  ])('refuses %s', (_, text) => {
    expect(parseDigest(text)).toBeUndefined();
  });
});

test('digestOf() hashes with the named algorithm, and with sha256 by default', () => {
  expect(digestOf(new Uint8Array())).toBe(EMPTY_SHA256);
  expect(digestOf(new Uint8Array(), 'sha512')).toMatch(/^sha512:cf83e1357eefb8bd[0-9a-f]{112}$/);
});

test.each(['sha256', 'sha512'] as const)('an incremental hash of %s gives the same digest', (algorithm) => {
  const whole = digestOf(Buffer.from('one two'), algorithm);
  const hash = hashFor(whole);
  hash.update('one ').update('two');
  expect(finishDigest(hash, algorithm)).toBe(whole);
});
