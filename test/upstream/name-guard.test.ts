import type { LookupAddress } from 'node:dns';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createNameGuard } from '../../src/upstream/net/name-guard.ts';

/** A guard for which no name has an address, and the names that it has looked up. */
function ofUnknownNames() {
  const asked: string[] = [];
  const guard = createNameGuard(async (host) => {
    asked.push(host);
    return [];
  });
  return { guard, asked };
}

describe('a name that is unknown here', () => {
  test.each([
    ['a minute', 60_000, 1],
    ['a millisecond more', 60_001, 2],
  ])('is not looked up again for a minute: after %s', async (_, afterMs, lookups) => {
    const clock = vi.spyOn(performance, 'now');
    onTestFinished(() => clock.mockRestore());
    const { guard, asked } = ofUnknownNames();
    clock.mockReturnValue(1_000_000);
    await guard('storage.test');
    clock.mockReturnValue(1_000_000 + afterMs);
    await guard('storage.test');
    expect(asked).toHaveLength(lookups);
  });

  test('is one of 500 that are remembered, those looked up last', async () => {
    const { guard, asked } = ofUnknownNames();
    for (let at = 0; at < 500; at += 1) await guard(`storage-${at}.test`);
    await guard('storage-0.test');
    expect(asked).toHaveLength(500);
    await guard('storage-500.test');
    await guard('storage-1.test');
    expect(asked).toHaveLength(501);
    await guard('storage-0.test');
    expect(asked).toHaveLength(502);
  });

  test('is left to the proxy when the lookup has taken a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    let isLeft = false;
    const guard = createNameGuard(() => new Promise<readonly LookupAddress[]>(() => {}));
    const judging = guard('storage.test').then(() => {
      isLeft = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(isLeft).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await judging;
    expect(isLeft).toBe(true);
  });
});
