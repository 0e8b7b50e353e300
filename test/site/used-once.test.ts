import { expect, onTestFinished, test, vi } from 'vitest';
import type { ClaimResult, SharedState } from '../../src/lib/shared-state.ts';
import { UsedOnce } from '../../src/site/used-once.ts';
import { MemoryServer } from '../support/memory-store.ts';

const options = { name: 'nonces', lifetimeMs: 60_000, shared: undefined };

test('a text is used once, also when it comes twice at once, and others beside it', async () => {
  const used = new UsedOnce(options);
  expect(await Promise.all(['one', 'one', 'two'].map((text) => used.use(text)))).toEqual([true, false, true]);
  expect(await used.use('two')).toBe(false);
  expect(await new UsedOnce(options).use('one')).toBe(true);
});

test('ten thousand uses are remembered, and the first ones forgotten first', async () => {
  const used = new UsedOnce(options);
  for (let at = 0; at < 10_000; at += 1) await used.use(`${at}`);
  expect([await used.use('0'), await used.use('9999')]).toEqual([false, false]);
  await used.use('one more');
  const uses = [await used.use('one more'), await used.use('9999'), await used.use('1'), await used.use('0')];
  expect(uses).toEqual([false, false, false, true]);
});

test.each([
  ['a minute', 60_000, false],
  ['a millisecond more', 60_001, true],
])('a use is remembered for its lifetime: after %s', async (_, afterMs, isAllowed) => {
  const clock = vi.spyOn(performance, 'now');
  onTestFinished(() => clock.mockRestore());
  const used = new UsedOnce(options);
  clock.mockReturnValue(1_000_000);
  expect(await used.use('one')).toBe(true);
  clock.mockReturnValue(1_000_000 + afterMs);
  expect(await used.use('one')).toBe(isAllowed);
});

test('a use at one replica counts at every other, for memories of the same name alone', async () => {
  const server = new MemoryServer();
  const open = async (name: string) => {
    const { state } = server.replica();
    const used = new UsedOnce({ ...options, name, shared: state });
    await expect.poll(() => state.trouble).toBeUndefined();
    return used;
  };
  const [one, other, third] = [await open('nonces'), await open('nonces'), await open('states')];
  const lifetimes: number[] = [];
  server.onExpiry = (ttlMs) => lifetimes.push(ttlMs);
  expect((await Promise.all([one.use('a'), other.use('a')])).sort()).toEqual([false, true]);
  expect([await one.use('a'), await other.use('a'), await third.use('a')]).toEqual([false, false, true]);
  // Redis lost the claim; the message has told the other one before.
  server.values.clear();
  expect([await one.use('a'), await other.use('a')]).toEqual([false, false]);
});

test.each<[ClaimResult, boolean, number]>([
  ['claimed', true, 1],
  ['taken', false, 0],
  // Each replica decides by itself.
  ['unknown', true, 1],
])('a claim that is %s allows the use: %j', async (result, isAllowed, messages) => {
  const claims: unknown[] = [];
  const published: unknown[] = [];
  const shared = {
    claim: async (...call: readonly unknown[]) => {
      claims.push(call);
      return result;
    },
    publish: async (topic: string) => void published.push(topic),
    subscribe: () => {},
  } as unknown as SharedState;
  const used = new UsedOnce({ ...options, shared });
  expect(await used.use('one')).toBe(isAllowed);
  expect(await used.use('one')).toBe(false);
  // Without the text itself, for as long as it is valid, and as nobody's request waits for.
  expect(claims).toEqual([[expect.stringMatching(/^nonces [\w-]{43}$/), null, 60_000, 'background']]);
  expect(published).toEqual(Array(messages).fill('nonces'));
});
