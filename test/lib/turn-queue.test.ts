import { performance } from 'node:perf_hooks';
import { describe, expect, test } from 'vitest';
import { TurnQueue } from '../../src/lib/turn-queue.ts';

function block(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

describe('TurnQueue', () => {
  test('grants turns in order of arrival', async () => {
    const turns = new TurnQueue();
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3].map(async (name) => {
        await turns.next();
        order.push(name);
      }),
    );
    expect(order).toEqual([1, 2, 3]);
  });

  test('lets other work run between two heavy pieces', async () => {
    const turns = new TurnQueue();
    const events: string[] = [];
    const heavy = [1, 2, 3].map(async (name) => {
      await turns.next();
      block(20);
      events.push(`heavy ${name}`);
    });
    const timer = setInterval(() => events.push('other'), 1);
    await Promise.all(heavy);
    clearInterval(timer);
    const first = events.indexOf('heavy 1');
    const second = events.indexOf('heavy 2');
    const third = events.indexOf('heavy 3');
    expect(events.slice(first, second)).toContain('other');
    expect(events.slice(second, third)).toContain('other');
  });

  test('is ready again after it has been idle', async () => {
    const turns = new TurnQueue();
    await turns.next();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(turns.next()).resolves.toBeUndefined();
  });
});
