import { expect, test } from 'vitest';
import { tableText } from '../../src/lib/text.ts';

test('columns are as wide as their widest cell', () => {
  const rows = [
    ['NAME', 'WHY'],
    ['a longer one', 'x'],
  ];
  expect(tableText(rows)).toBe('NAME          WHY\na longer one  x\n');
});

test('a table may have as many rows as a cache has items', () => {
  const rows = Array.from({ length: 200_000 }, (_, at) => [String(at), 'x']);
  expect(tableText(rows)).toHaveLength(200_000 * '123456  x\n'.length);
});
