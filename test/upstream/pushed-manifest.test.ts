import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { FairBudget, NO_SHARE } from '../../src/lib/fair-budget.ts';
import { withManifest } from '../../src/upstream/pushed-manifest.ts';

const MIB = 2 ** 20;

/** A client that sends a manifest; `outcome` is its size, or the status of the refusal. */
function sending(headers: Readonly<Record<string, string>> = {}) {
  const req = Object.assign(new EventEmitter(), { headers, pause: () => {} });
  let outcome: number | undefined;
  const budget = new FairBudget(64 * MIB);
  const reading = withManifest(
    req as unknown as IncomingMessage,
    { budget, share: NO_SHARE },
    async ({ length }) => {
      outcome = length;
    },
  ).catch((error: { status: number }) => {
    outcome = error.status;
  });
  return { req, reading, budget, outcome: () => outcome };
}

describe('a manifest that a client pushes', () => {
  test('has a minute to arrive', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { req, reading, outcome } = sending();
    req.emit('data', Buffer.from('{'));
    await vi.advanceTimersByTimeAsync(59_999);
    expect(outcome()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    await reading;
    expect(outcome()).toBe(408);
  });

  test.each([
    ['4 MiB', 4 * MIB, 4 * MIB],
    ['a byte more', 4 * MIB + 1, 413],
  ])('of %s is read, or refused with 413', async (_, sizeBytes, expected) => {
    for (const headers of [{}, { 'content-length': String(sizeBytes) }]) {
      const { req, reading, outcome, budget } = sending(headers);
      req.emit('data', Buffer.alloc(sizeBytes));
      req.emit('end');
      await reading;
      expect(outcome()).toBe(expected);
      expect(budget.taken).toBe(0);
    }
  });
});
