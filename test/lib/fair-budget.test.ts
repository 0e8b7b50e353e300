import { describe, expect, test } from 'vitest';
import { FairBudget, NO_SHARE, type Share } from '../../src/lib/fair-budget.ts';

const share = (client: string, source: string): Share => ({ client, source });

/** How much a share can take, one at a time. */
function takeAll(budget: FairBudget, of: Share, amount = 1): number {
  let taken = 0;
  while (budget.tryTake(amount, of) !== undefined) taken += amount;
  return taken;
}

describe('FairBudget', () => {
  test('lends exactly its maximum to users without a share, and nothing beyond', () => {
    const budget = new FairBudget(10);
    const first = budget.tryTake(6);
    expect(budget.tryTake(5)).toBeUndefined();
    expect(budget.tryTake(4)).toBeDefined();
    expect([budget.taken, budget.tryTake(1)]).toEqual([10, undefined]);
    first?.();
    first?.();
    expect(budget.taken).toBe(4);
  });

  test('reserves half for others from one client of one source', () => {
    const budget = new FairBudget(1000);
    expect(takeAll(budget, share('mallory', 'evil.test'))).toBe(501);
    expect(takeAll(budget, share('mallory', 'docker.io'))).toBeGreaterThan(200);
    expect(budget.tryTake(1, share('alice', 'docker.io'))).toBeDefined();
  });

  test('reserves a quarter for others from one client of many sources', () => {
    const budget = new FairBudget(1000);
    for (let at = 0; at < 100; at += 1) takeAll(budget, share('mallory', `${at}.test`));
    expect(budget.taken).toBeLessThanOrEqual(760);
    expect(takeAll(budget, share('alice', 'docker.io'))).toBeGreaterThan(100);
  });

  test('reserves a quarter for others from many clients of one source', () => {
    const budget = new FairBudget(1000);
    for (let at = 0; at < 100; at += 1) takeAll(budget, share(`10.0.0.${at}`, 'evil.test'));
    expect(budget.taken).toBeLessThanOrEqual(760);
    expect(takeAll(budget, share('10.0.0.1', 'docker.io'))).toBeGreaterThan(100);
  });

  test('lends a share again after it was given back', () => {
    const budget = new FairBudget(10);
    const mallory = share('mallory', 'evil.test');
    const taken = Array.from({ length: 10 }, () => budget.tryTake(1, mallory)).filter(
      (one) => one !== undefined,
    );
    expect([taken.length, budget.tryTake(1, mallory)]).toEqual([6, undefined]);
    for (const release of taken) release();
    expect([budget.taken, takeAll(budget, mallory)]).toEqual([0, 6]);
  });

  test('counts a buffer once for all its holders, until the last one releases it', () => {
    const budget = new FairBudget(10);
    const bytes = Buffer.alloc(10);
    const holders = [1, 2, 3].map(() => budget.tryHold(bytes, NO_SHARE));
    expect(holders.every((release) => release !== undefined)).toBe(true);
    expect([budget.taken, budget.tryHold(Buffer.alloc(1), NO_SHARE)]).toEqual([10, undefined]);
    for (const release of holders) {
      expect(budget.taken).toBe(10);
      release?.();
      release?.();
    }
    expect(budget.taken).toBe(0);
    expect(budget.tryHold(Buffer.alloc(11), NO_SHARE)).toBeUndefined();
  });
});
