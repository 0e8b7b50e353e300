import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { SharedState } from '../../src/lib/shared-state.ts';
import { createOidcMemory } from '../../src/site/oidc/session.ts';
import { randomTokenKey } from '../../src/site/token.ts';
import { MemoryServer } from '../support/memory-store.ts';

describe('what logins have used', () => {
  const memoryOf = (shared?: SharedState) =>
    createOidcMemory({
      ...{
        tokenKey: randomTokenKey(),
        secure: false,
        find: () => undefined,
        wallClock: () => 1_700_000_000_000,
      },
      ...(shared === undefined ? {} : { shared }),
    });

  test('is remembered for longer than a login or an ID token is valid', async () => {
    const clock = vi.spyOn(performance, 'now');
    onTestFinished(() => clock.mockRestore());
    const { usedStates, usedTokens } = memoryOf();
    for (const used of [usedStates, usedTokens]) {
      clock.mockReturnValue(1_000_000);
      expect(await used.use('a')).toBe(true);
      clock.mockReturnValue(1_000_000 + 15 * 60_000);
      expect(await used.use('a')).toBe(false);
    }
  });

  test('is apart for states and ID tokens, also where replicas share it', async () => {
    const { state } = new MemoryServer().replica();
    const { usedStates, usedTokens } = memoryOf(state);
    await expect.poll(() => state.trouble).toBeUndefined();
    expect([await usedStates.use('a'), await usedTokens.use('a')]).toEqual([true, true]);
    expect([await usedStates.use('a'), await usedTokens.use('a')]).toEqual([false, false]);
  });
});
