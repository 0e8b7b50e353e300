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
      expect(await used.use('a')).toBe('first');
      clock.mockReturnValue(1_000_000 + 15 * 60_000);
      expect(await used.use('a')).toBe('used');
    }
  });

  // Anyone begins logins, but an ID token is signed by the provider and of a person whom a rule admits.
  test('is forgotten for states when there are many, and never for ID tokens', async () => {
    const { usedStates, usedTokens } = memoryOf();
    const uses = async (used: typeof usedStates, count: number) => {
      for (let at = 0; at < count; at += 1) await used.use(`${at}`);
      return [await used.use('0'), await used.use('one more'), await used.use('0')];
    };
    expect(await uses(usedStates, 10_000)).toEqual(['used', 'first', 'first']);
    expect(await uses(usedTokens, 100_000)).toEqual(['used', 'full', 'used']);
  });

  test('is apart for states and ID tokens, also where replicas share it', async () => {
    const { state } = new MemoryServer().replica();
    const { usedStates, usedTokens } = memoryOf(state);
    await expect.poll(() => state.trouble).toBeUndefined();
    expect([await usedStates.use('a'), await usedTokens.use('a')]).toEqual(['first', 'first']);
    expect([await usedStates.use('a'), await usedTokens.use('a')]).toEqual(['used', 'used']);
  });
});
