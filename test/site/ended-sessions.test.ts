import { expect, test } from 'vitest';
import type { SharedState } from '../../src/lib/shared-state.ts';
import { EndedSessions } from '../../src/site/ended-sessions.ts';
import { MemoryServer } from '../support/memory-store.ts';

async function replicas(count: number) {
  const server = new MemoryServer();
  const clock = { ms: 1_700_000_000_000 };
  const open = async () => {
    const { state, store } = server.replica();
    const options = { name: 'ended', lifetimeMs: 60_000, shared: state, wallClock: () => clock.ms };
    const ended = new EndedSessions(options);
    await expect.poll(() => state.trouble).toBeUndefined();
    return { state, store, ended };
  };
  const all = await Promise.all(Array.from({ length: count }, open));
  return { server, clock, open, all };
}

test('EndedSessions stores all sessions that several replicas end at the same time in one list', async () => {
  const { all, clock, open } = await replicas(3);
  const ids = Array.from({ length: 30 }, (_, at) => `session-${at}`);
  await Promise.all(
    ids.map((id, at) => all[at % 3]?.ended.end({ user: 'a', id, expiresMs: clock.ms + 60_000 })),
  );
  for (const { ended } of all) await expect.poll(() => ids.every((id) => ended.has(id))).toBe(true);
  await expect
    .poll(async () => {
      const { ended } = await open();
      await expect.poll(() => ended.has('session-0')).toBe(true);
      return ids.filter((id) => ended.has(id)).length;
    })
    .toBe(30);
});

test('EndedSessions remembers a session for an hour after it expires, as a clock may be set back', async () => {
  const { all, clock } = await replicas(2);
  const [one, other] = all;
  const hour = 3_600_000;
  await one?.ended.end({ user: 'a', id: 'old', expiresMs: clock.ms - hour });
  await one?.ended.end({ user: 'a', id: 'new', expiresMs: clock.ms + 60_000 });
  await expect.poll(() => other?.ended.has('new')).toBe(true);
  expect([one?.ended.has('old'), other?.ended.has('old')]).toEqual([false, false]);
  clock.ms += 60_000 + hour - 1;
  await one?.ended.end({ user: 'a', id: 'next', expiresMs: clock.ms + 1 });
  expect(one?.ended.has('new')).toBe(true);
  clock.ms += 1;
  await one?.ended.end({ user: 'a', id: 'last', expiresMs: clock.ms + 1 });
  expect(['new', 'next', 'last'].map((id) => one?.ended.has(id))).toEqual([false, true, true]);
});

test('EndedSessions reads from the list what a disconnected replica has missed, and replaces a list that is invalid', async () => {
  const { all, clock, server } = await replicas(2);
  const [one, other] = all;
  if (!one || !other) throw new Error('two replicas');
  await one.ended.end({ user: 'a', id: 'first', expiresMs: clock.ms + 60_000 });
  other.store.isCut = true;
  await expect.poll(() => other.state.trouble).toBeDefined();
  await one.ended.end({ user: 'a', id: 'second', expiresMs: clock.ms + 60_000 });
  await other.ended.end({ user: 'a', id: 'third', expiresMs: clock.ms + 60_000 });
  expect(other.ended.has('second')).toBe(false);
  other.store.isCut = false;
  await expect.poll(() => [other.ended.has('second'), one.ended.has('third')]).toEqual([true, true]);
  // A list that somebody has spoilt.
  for (const key of server.values.keys()) server.values.set(key, 'rubbish');
  await one.ended.end({ user: 'a', id: 'fourth', expiresMs: clock.ms + 60_000 });
  await expect.poll(() => other.ended.has('fourth')).toBe(true);
});

/** Sessions of a site without replicas. */
function alone() {
  return new EndedSessions({ name: 'ended', lifetimeMs: 60_000, shared: undefined, wallClock: () => 0 });
}

test.each([
  ['a hundred of an account', 100, () => 'a'],
  ['ten thousand of all accounts', 10_000, (at: number) => `user ${at}`],
])('EndedSessions remembers %s, and evicts the one that would expire first', async (_, most, userOf) => {
  const ended = alone();
  const end = (at: number) => ended.end({ user: userOf(at), id: `${at}`, expiresMs: 1000 + at });
  for (let at = 0; at < most; at += 1) await end(at);
  expect(ended.has('0')).toBe(true);
  await end(most);
  expect(['0', '1', `${most}`].map((id) => ended.has(id))).toEqual([false, true, true]);
});

test('EndedSessions evicts only sessions of the account that ends too many, at every replica', async () => {
  const { all, clock, open } = await replicas(2);
  const [one, other] = all;
  if (!one || !other) throw new Error('two replicas');
  await one.ended.end({ user: 'victim', id: 'stolen', expiresMs: clock.ms + 1000 });
  // Redis is away: the list alone tells the other replicas.
  one.store.isCut = true;
  for (let at = 0; at <= 100; at += 1) {
    await one.ended.end({ user: 'flood', id: `flood-${at}`, expiresMs: clock.ms + 2000 + at });
  }
  const known = ['stolen', 'flood-0', 'flood-100'].map((id) => one.ended.has(id));
  expect(known).toEqual([true, false, true]);
  one.store.isCut = false;
  await expect.poll(() => other.ended.has('flood-100')).toBe(true);
  const late = await open();
  await expect.poll(() => late.ended.has('flood-100')).toBe(true);
  expect([late.ended.has('stolen'), other.ended.has('stolen')]).toEqual([true, true]);
});

test('EndedSessions keeps the list below the size that replicas read, however long the names are', async () => {
  const { all, clock, open } = await replicas(1);
  const [one] = all;
  if (!one) throw new Error('a replica');
  one.store.isCut = true;
  await expect.poll(() => one.state.trouble).toBeDefined();
  const ids = Array.from({ length: 4_000 }, (_, at) => String(at).padStart(64, 'x'));
  for (const [at, id] of ids.entries())
    await one.ended.end({ user: `${at}`.padEnd(256, 'é'), id, expiresMs: clock.ms + 50_000 + at });
  one.store.isCut = false;
  await expect.poll(() => one.state.trouble).toBeUndefined();
  const { ended } = await open();
  await expect.poll(() => ended.has(ids.at(-1) ?? '')).toBe(true);
  // Those that would have expired first are forgotten, by both.
  const known = (each: EndedSessions) => ids.filter((id) => each.has(id));
  expect(known(ended).length).toBeGreaterThan(1_000);
  expect(known(ended)).toEqual(known(one.ended));
  expect(ended.has(ids[0] ?? '')).toBe(false);
});

test.each([
  ['as large as the list may be', 0, true],
  ['one byte larger', 1, false],
])('EndedSessions remembers sessions whose list is %s', async (_, more, isFirstKept) => {
  const ended = alone();
  // 74 rows of 10 KiB, each with its comma, are 740 KiB.
  const size = (user: string, id: string) => Buffer.byteLength(JSON.stringify([user, id, 1000])) + 1;
  const ids = Array.from({ length: 74 }, (__, at) => String(at).padStart(2, '0'));
  for (const id of ids) {
    const bytes = 10 * 1024 + (id === '73' ? more : 0);
    const user = id.padEnd(bytes - size('', id), 'x');
    expect(size(user, id)).toBe(bytes);
    await ended.end({ user, id, expiresMs: 1000 });
  }
  expect(ids.map((id) => ended.has(id))).toEqual(ids.map((id) => isFirstKept || id !== '00'));
});

test('EndedSessions keeps its list for as long as a session counts, in operations that no request waits for', async () => {
  const calls: unknown[] = [];
  const called =
    <T>(name: string, result: T) =>
    async (...call: readonly unknown[]) => {
      calls.push([name, ...call]);
      return result;
    };
  const shared = {
    ...{ trouble: undefined, subscribe: () => {}, onReturn: () => {} },
    ...{ get: called('get', undefined), set: called('set', true), publish: called('publish', undefined) },
  } as unknown as SharedState;
  const ended = new EndedSessions({ name: 'ended', lifetimeMs: 60_000, shared, wallClock: () => 0 });
  const session = { user: 'a', id: 'x', expiresMs: 1000 };
  await ended.end(session);
  await expect.poll(() => calls.length).toBe(4);
  expect(calls).toEqual([
    ['publish', 'ended', session],
    ['get', 'ended list', expect.anything(), 'background'],
    ['set', 'ended list', [['a', 'x', 1000]], 60_000 + 3_600_000, 'background'],
    ['publish', 'ended stored', null],
  ]);
});
