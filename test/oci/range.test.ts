import { describe, expect, test } from 'vitest';
import { parseRange, resolveRange } from '../../src/oci/range.ts';

// The distribution spec's suite asks these of a blob of 5000 bytes.
const SIZE_BYTES = 5000;

function ask(header: string): unknown {
  const request = parseRange(header);
  return request && resolveRange(request, SIZE_BYTES);
}

describe('a byte range of 5000 bytes', () => {
  test.each([
    ['bytes=500-1499', { start: 500, end: 1500 }],
    ['bytes=500-', { start: 500, end: 5000 }],
    ['bytes=-500', { start: 4500, end: 5000 }],
    ['bytes=-9999', { start: 0, end: 5000 }],
    ['bytes=0-0', { start: 0, end: 1 }],
    ['bytes=4999-', { start: 4999, end: 5000 }],
    ['bytes=4000-9999', { start: 4000, end: 5000 }],
    ['bytes=0-999999999999999', { start: 0, end: 5000 }],
    ['BYTES=1-2', { start: 1, end: 3 }],
    [' bytes=1-2 ', { start: 1, end: 3 }],
    ['bytes= , 1-2 ,\t', { start: 1, end: 3 }],
    ['bytes=4998-4999', { start: 4998, end: 5000 }],
    ['bytes=4999-4999', { start: 4999, end: 5000 }],
    ['bytes=-1', { start: 4999, end: 5000 }],
    ['bytes=-5000', { start: 0, end: 5000 }],
    ['bytes=0-18446744073709551616', { start: 0, end: 5000 }],
    [`bytes=-${'9'.repeat(400)}`, { start: 0, end: 5000 }],
  ])('%s is satisfiable', (header, range) => {
    expect(ask(header)).toEqual(range);
  });

  test.each([
    'bytes=5000-',
    'bytes=500-0',
    'bytes=9999-10000',
    'bytes=-0',
    'bytes=18446744073709551615-',
    `bytes=${'9'.repeat(400)}-`,
  ])('%s is not satisfiable', (header) => {
    expect(ask(header)).toBe('unsatisfiable');
  });

  test.each([
    'bytes=-',
    'bytes=a-b',
    'lines=1-2',
    'bytes=0-1,3-4',
    'bytes',
    '',
    'xbytes=0-1',
    'bytes=0-1x',
    'bytes=0-1;x',
  ])('%j is not a single byte range: the whole blob is sent', (header) => {
    expect(ask(header)).toBeUndefined();
  });
});

test('an empty blob has no satisfiable range', () => {
  expect(resolveRange({ kind: 'suffix', length: 5 }, 0)).toBe('unsatisfiable');
  expect(resolveRange({ kind: 'from', first: 0, last: undefined }, 0)).toBe('unsatisfiable');
});

test('positions beyond every blob remain exact numbers', () => {
  expect(parseRange(`bytes=${'9'.repeat(30)}-${'9'.repeat(30)}`)).toEqual({
    kind: 'from',
    first: Number.MAX_SAFE_INTEGER - 1,
    last: Number.MAX_SAFE_INTEGER - 1,
  });
  expect(parseRange('bytes=7-')).toEqual({ kind: 'from', first: 7, last: undefined });
  expect(parseRange('bytes=-7')).toEqual({ kind: 'suffix', length: 7 });
});
