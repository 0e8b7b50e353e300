import { expect, onTestFinished, test, vi } from 'vitest';
import type { ClaimResult, SharedState } from '../../src/lib/shared-state.ts';
import { UsedOnce, type UsedOnceOptions } from '../../src/site/used-once.ts';
import { MemoryServer } from '../support/memory-store.ts';

const options: UsedOnceOptions = {
  ...{ name: 'nonces', lifetimeMs: 60_000, shared: undefined },
  ...{ max: 3, whenFull: 'refuse' },
};

test('a text is used once, also when it comes twice at once, and others beside it', async () => {
  const used = new UsedOnce(options);
  expect(await Promise.all(['one', 'one', 'two'].map((text) => used.use(text)))).toEqual([
    'first',
    'used',
    'first',
  ]);
  expect(await used.use('two')).toBe('used');
  expect(await new UsedOnce(options).use('one')).toBe('first');
});

const used = (memory: UsedOnce, ...texts: readonly string[]) =>
  Promise.all(texts.map((text) => memory.use(text)));

test('a full memory that forgets forgets the first use', async () => {
  const memory = new UsedOnce({ ...options, whenFull: 'forget' });
  await used(memory, '1', '2', '3');
  expect(await used(memory, '1', '3')).toEqual(['used', 'used']);
  expect(await used(memory, '4')).toEqual(['first']);
  expect(await used(memory, '4', '3', '2', '1')).toEqual(['used', 'used', 'used', 'first']);
});

test('a full memory that refuses forgets nothing before its time, and then has room again', async () => {
  const clock = vi.spyOn(performance, 'now');
  onTestFinished(() => clock.mockRestore());
  const memory = new UsedOnce(options);
  clock.mockReturnValue(1_000_000);
  await used(memory, '1', '2');
  clock.mockReturnValue(1_030_000);
  await used(memory, '3');
  expect(await used(memory, '4', '1', '2', '3')).toEqual(['full', 'used', 'used', 'used']);
  clock.mockReturnValue(1_060_000);
  expect(await used(memory, '4', '1')).toEqual(['full', 'used']);
  clock.mockReturnValue(1_060_001);
  expect(await used(memory, '4', '1', '5', '3')).toEqual(['first', 'first', 'full', 'used']);
});

test('a full memory learns of uses at other replicas, and refuses its own', async () => {
  const server = new MemoryServer();
  const open = async (max: number) => {
    const { state } = server.replica();
    const memory = new UsedOnce({ ...options, max, shared: state });
    await expect.poll(() => state.trouble).toBeUndefined();
    return memory;
  };
  const [small, large] = [await open(2), await open(9)];
  await used(small, '1', '2');
  expect(await used(large, '3', '4')).toEqual(['first', 'first']);
  server.values.clear();
  expect(await used(small, '1', '2', '3', '4', '5')).toEqual(['used', 'used', 'used', 'used', 'full']);
  expect(server.values.size).toBe(0);
});

test.each([
  ['a minute', 60_000, 'used'],
  ['a millisecond more', 60_001, 'first'],
])('a use is remembered for its lifetime: after %s', async (_, afterMs, isAllowed) => {
  const clock = vi.spyOn(performance, 'now');
  onTestFinished(() => clock.mockRestore());
  const used = new UsedOnce(options);
  clock.mockReturnValue(1_000_000);
  expect(await used.use('one')).toBe('first');
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
  expect((await Promise.all([one.use('a'), other.use('a')])).sort()).toEqual(['first', 'used']);
  expect([await one.use('a'), await other.use('a'), await third.use('a')]).toEqual(['used', 'used', 'first']);
  // Redis lost the claim; the message has told the other one before.
  server.values.clear();
  expect([await one.use('a'), await other.use('a')]).toEqual(['used', 'used']);
});

test.each<[ClaimResult, string, number]>([
  ['claimed', 'first', 1],
  ['taken', 'used', 0],
  // Each replica decides by itself.
  ['unknown', 'first', 1],
])('a claim that is %s makes the use %j', async (result, use, messages) => {
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
  expect(await used.use('one')).toBe(use);
  expect(await used.use('one')).toBe('used');
  // Without the text itself, for as long as it is valid, and as nobody's request waits for.
  expect(claims).toEqual([[expect.stringMatching(/^nonces [\w-]{43}$/), null, 60_000, 'background']]);
  expect(published).toEqual(Array(messages).fill('nonces'));
});
