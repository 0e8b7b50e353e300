import { describe, expect, test } from 'vitest';
import { closestWord, editDistance } from '../../src/lib/similar.ts';

describe('editDistance()', () => {
  test.each([
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', '', 3],
    ['skylkae', 'skylake', 2],
    ['kitten', 'sitting', 3],
  ])('from “%s” to “%s” is %i', (from, to, distance) => {
    expect(editDistance(from, to)).toBe(distance);
    expect(editDistance(to, from)).toBe(distance);
  });
});

describe('closestWord()', () => {
  const KNOWN = ['listen', 'cacheSize', 'upstream'];

  test.each([
    ['lisen', 'listen'],
    ['cachesize', 'cacheSize'],
    ['Upstreams', 'upstream'],
    ['nothing-like-it', undefined],
    ['', undefined],
    ['x'.repeat(65), undefined],
  ])('of “%s” is %s', (written, expected) => {
    expect(closestWord(written, KNOWN)).toBe(expected);
  });
});
