import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../src/lib/duration.ts';

test.each([
  ['0', 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['1.5h', 5_400_000],
  ['30d', 2_592_000_000],
])('parseDuration() reads %s as %d ms', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each(['', '5', '-1s', '1 h', '1w', '1.h', '5S'])('parseDuration() refuses “%s”', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test.each([0, 1, 250, 5000, 90_000, 3_600_000, 86_400_000])(
  'formatDuration() of %d ms is parsed to the same duration',
  (milliseconds) => {
    expect(parseDuration(formatDuration(milliseconds))).toBe(milliseconds);
  },
);

test('formatDuration() uses the largest unit that divides the duration', () => {
  expect([5000, 60_000, 90_000, 86_400_000].map(formatDuration)).toEqual(['5s', '1m', '90s', '1d']);
});
