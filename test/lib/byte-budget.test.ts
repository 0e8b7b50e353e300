import { describe, expect, test } from 'vitest';
import { ByteBudget } from '../../src/lib/byte-budget.ts';

describe('ByteBudget', () => {
  test('gives out exactly its maximum, and nothing beyond', () => {
    const budget = new ByteBudget(10);
    const first = budget.tryTake(6);
    expect(budget.tryTake(5)).toBeUndefined();
    expect(budget.tryTake(4)).toBeDefined();
    expect([budget.usedBytes, budget.tryTake(1)]).toEqual([10, undefined]);
    first?.();
    first?.();
    expect(budget.usedBytes).toBe(4);
  });

  test('counts a buffer once for all its holders, until the last lets go', () => {
    const budget = new ByteBudget(10);
    const bytes = Buffer.alloc(10);
    const holders = [budget.tryHold(bytes), budget.tryHold(bytes), budget.tryHold(bytes)];
    expect(holders.every((release) => release !== undefined)).toBe(true);
    expect([budget.usedBytes, budget.tryHold(Buffer.alloc(1))]).toEqual([10, undefined]);
    for (const release of holders) {
      expect(budget.usedBytes).toBe(10);
      release?.();
      release?.();
    }
    expect(budget.usedBytes).toBe(0);
    expect(budget.tryHold(Buffer.alloc(11))).toBeUndefined();
  });
});
