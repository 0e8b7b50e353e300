import { describe, expect, test } from 'vitest';
import { closestWord, editDistance, gibText, jsonText, tableText, timesText } from '../../src/lib/text.ts';

test('tableText() makes columns as wide as their widest cell', () => {
  const rows = [
    ['NAME', 'WHY'],
    ['a longer one', 'x'],
  ];
  expect(tableText(rows)).toBe('NAME          WHY\na longer one  x\n');
});

test('tableText() accepts as many rows as a cache has items', () => {
  const rows = Array.from({ length: 200_000 }, (_, at) => [String(at), 'x']);
  expect(tableText(rows)).toHaveLength(200_000 * '123456  x\n'.length);
});

describe('jsonText()', () => {
  const HIDDEN = [
    '\u0007',
    '\u007f',
    '\u009b31m',
    '\u202e',
    '\u2066',
    '\u200b',
    '\u2028',
    '\ufeff',
    '\u{e0041}',
  ];

  test('escapes invisible characters, and is parsed to the same value', () => {
    const value = { [`name${HIDDEN.join('')}`]: HIDDEN };
    for (const indent of [undefined, 2]) {
      const text = jsonText(value, indent);
      expect(text).not.toMatch(/[\u007f-\u009f\u2028\u2029]|\p{Cf}/u);
      expect(JSON.parse(text)).toEqual(value);
    }
  });

  test('keeps letters of every script unchanged', () => {
    expect(jsonText('Grüße, 世界 🙂')).toBe('"Grüße, 世界 🙂"');
  });
});

describe('editDistance()', () => {
  test.each([
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', '', 3],
    ['skylkae', 'skylake', 1],
    ['ca', 'abc', 3],
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

test('gibText() rounds to whole gibibytes', () => {
  expect([0, 2 ** 30, 1.6 * 2 ** 30, 64 * 2 ** 30].map(gibText)).toEqual([
    '0 GiB',
    '1 GiB',
    '2 GiB',
    '64 GiB',
  ]);
});

test('timesText() has two decimals', () => {
  expect([1, 0.999, 1.8].map(timesText)).toEqual(['1.00x', '1.00x', '1.80x']);
});
