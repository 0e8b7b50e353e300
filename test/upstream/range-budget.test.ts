import { expect, test } from 'vitest';
import { RangeBudget } from '../../src/upstream/range-budget.ts';

const MIB = 1024 * 1024;

test('RangeBudget lends 96 MiB to all downloads together, and more only when some comes back', () => {
  const budget = new RangeBudget(1000, () => 0);
  for (const host of ['a.test', 'b.test']) budget.join(host, () => {});
  const lent = Array.from(
    { length: 24 },
    (_, nth) => budget.tryConnect(nth % 2 ? 'a.test' : 'b.test')?.buffer,
  );
  expect(lent.reduce((sum, buffer) => sum + (buffer?.length ?? 0), 0)).toBe(96 * MIB);
  // Not the buffers themselves, which a failure would print.
  const isLeft = () => budget.buffer() !== undefined || budget.tryConnect('a.test') !== undefined;
  expect(isLeft()).toBe(false);
  const [first] = lent;
  if (first !== undefined) budget.release(first);
  expect(budget.buffer()?.length).toBe(4 * MIB);
  expect(isLeft()).toBe(false);
});
