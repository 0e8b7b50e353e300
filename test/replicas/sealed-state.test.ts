import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { createSealer } from '../../src/lib/seal.ts';
import { MemoryServer } from '../support/memory-store.ts';

const NUMBER = v.object({ n: v.number() });

/** Two replicas of one site that can reach what they share. */
async function twoReplicas(server = new MemoryServer()) {
  const [a, b] = [server.replica(), server.replica()];
  await expect.poll(() => [a.state.trouble, b.state.trouble]).toEqual([undefined, undefined]);
  return { server, a, b };
}

function onlyKey(server: MemoryServer): string {
  const [key = ''] = server.values.keys();
  return key;
}

describe('a value in the sealed state', () => {
  test('is readable for another replica, but not in the store', async () => {
    const { server, a, b } = await twoReplicas();
    expect(await a.state.set('k', { n: 4711 }, 1000)).toBe(true);
    expect(await b.state.get('k', NUMBER)).toEqual({ n: 4711 });
    expect(await b.state.get('other', NUMBER)).toBeUndefined();
    expect([...server.values.values()].join()).not.toContain('4711');
  });

  test('is invisible to a site with another secret', async () => {
    const { server, a } = await twoReplicas();
    await a.state.set('k', { n: 1 }, 1000);
    const other = server.replica({ secret: Buffer.alloc(32, 2) });
    await expect.poll(() => other.state.trouble).toBeUndefined();
    expect(await other.state.get('k', NUMBER)).toBeUndefined();
    expect(other.results).toContain('get miss');
  });

  test.each([
    ['what nobody sealed', () => JSON.stringify({ n: 2 })],
    ['a changed byte', (sealed: string) => `${sealed.slice(0, -2)}${sealed.endsWith('AA') ? 'BB' : 'AA'}`],
    ['what is longer than any replica writes', () => 'A'.repeat(2 * 1024 * 1024)],
    ['nothing', () => ''],
  ])('is ignored when the store contains %s', async (_name, spoil) => {
    const { server, a, b } = await twoReplicas();
    await a.state.set('k', { n: 1 }, 1000);
    const key = onlyKey(server);
    server.values.set(key, spoil(server.values.get(key) ?? ''));
    expect(await b.state.get('k', NUMBER)).toBeUndefined();
    expect(b.results.at(-1)).toBe('get invalid');
  });

  test('is ignored when somebody has moved it to another key', async () => {
    const { server, a, b } = await twoReplicas();
    await a.state.set('k', { n: 1 }, 1000);
    const key = onlyKey(server);
    server.values.set(key.replace(/k$/, 'stolen'), server.values.get(key) ?? '');
    expect(await b.state.get('stolen', NUMBER)).toBeUndefined();
    expect(b.results.at(-1)).toBe('get invalid');
  });

  test('is ignored when it breaks the schema', async () => {
    const { a, b } = await twoReplicas();
    await a.state.set('k', { n: 'one' }, 1000);
    expect(await b.state.get('k', NUMBER)).toBeUndefined();
  });

  /** A text that is sealed in so many characters, and in more with another one. */
  const sealedIn = (characters: number) => 'x'.repeat((characters * 3) / 4 - 12 - 16 - '""'.length);

  test('is stored up to 1 MiB, and read by another replica', async () => {
    const { server, a, b } = await twoReplicas();
    const largest = sealedIn(1024 * 1024);
    expect(await a.state.set('k', `${largest}x`, 1000, 'background')).toBe(false);
    expect(server.values.size).toBe(0);
    expect(await a.state.set('k', largest, 1000, 'background')).toBe(true);
    expect(await b.state.get('k', v.string(), 'background')).toBe(largest);
  });

  test('of more than 1 MiB is not read, whoever has sealed it', async () => {
    const { server, a, b } = await twoReplicas();
    const largest = sealedIn(1024 * 1024);
    await a.state.set('k', largest, 1000, 'background');
    const key = onlyKey(server);
    const sealer = createSealer('metahub shared state', Buffer.alloc(32, 1));
    server.values.set(key, sealer.seal(JSON.stringify(`${largest}x`), key));
    expect(await b.state.get('k', v.string(), 'background')).toBeUndefined();
    server.values.set(key, sealer.seal(JSON.stringify(largest), key));
    expect(await b.state.get('k', v.string(), 'background')).toBe(largest);
  });
});

describe('a message in the sealed state', () => {
  test('reaches all other replicas once, but not its sender', async () => {
    const { server, a, b } = await twoReplicas();
    const heard: unknown[] = [];
    for (const { state } of [a, b]) state.subscribe('t', NUMBER, (body) => heard.push(body));
    await a.state.publish('t', { n: 1 });
    await expect.poll(() => heard).toEqual([{ n: 1 }]);
    for (const { channel, message } of [...server.messages]) server.publish(channel, message);
    expect(heard).toEqual([{ n: 1 }]);
    expect(b.results).toContain('receive invalid');
  });

  test('of more than 256 KiB is not published, and the other replicas catch up', async () => {
    const { server, a, b } = await twoReplicas();
    const heard: number[] = [];
    let caughtUp = 0;
    b.state.subscribe('t', v.string(), (text) => heard.push(text.length));
    b.state.onReturn(() => {
      caughtUp += 1;
    });
    await expect.poll(() => caughtUp).toBe(1);
    const before = server.messages.length;
    await a.state.publish('t', 'x'.repeat(256 * 1024));
    expect(server.messages.slice(before).every(({ message }) => message.length < 1024)).toBe(true);
    expect(a.results.at(-1)).toBe('publish skipped');
    await expect.poll(() => caughtUp).toBe(2);
    await a.state.publish('t', 'x'.repeat(190 * 1024));
    await expect.poll(() => heard).toEqual([190 * 1024]);
  });

  test('is ignored when it breaks the schema or no replica sealed it', async () => {
    const { server, a, b } = await twoReplicas();
    const heard: unknown[] = [];
    b.state.subscribe('t', NUMBER, (body) => heard.push(body));
    await a.state.publish('t', { n: 'one' });
    const channel = server.messages[0]?.channel ?? '';
    server.publish(channel, JSON.stringify({ topic: 't', body: { n: 1 } }));
    server.publish(channel, 'A'.repeat(300 * 1024));
    expect(heard).toEqual([]);
    expect(b.results.filter((result) => result === 'receive invalid')).toHaveLength(3);
  });

  /** Replicas with one monotonic clock, which the test sets. */
  async function clocked() {
    const server = new MemoryServer();
    const clock = { ms: 1_000_000 };
    const now = () => clock.ms;
    const [a, b] = [server.replica({ now }), server.replica({ now })];
    await expect.poll(() => [a.state.trouble, b.state.trouble]).toEqual([undefined, undefined]);
    return { server, clock, a, b };
  }

  /** Records the last message, delivers it to nobody, and returns a function that does. */
  async function withheld(server: MemoryServer, send: () => Promise<void>) {
    server.isMuted = true;
    await send();
    const { channel = '', message = '' } = server.messages.at(-1) ?? {};
    server.isMuted = false;
    return () => server.publish(channel, message);
  }

  test('is accepted when it arrives 30 seconds late, and ignored a moment later', async () => {
    const { server, clock, a, b } = await clocked();
    const heard: unknown[] = [];
    b.state.subscribe('t', NUMBER, (body) => heard.push(body));
    // The others answer a beat at once, so the last one is as old as the message.
    const late = await withheld(server, () => a.state.publish('t', { n: 1 }));
    const tooLate = await withheld(server, () => a.state.publish('t', { n: 2 }));
    clock.ms += 30_000;
    late();
    clock.ms += 1;
    tooLate();
    expect(heard).toEqual([{ n: 1 }]);
  });

  test('is ignored by a replica that started after it was sent', async () => {
    const { server, a } = await twoReplicas();
    await a.state.publish('t', { n: 1 });
    const { channel = '', message = '' } = server.messages.at(-1) ?? {};
    const late = server.replica();
    const heard: unknown[] = [];
    late.state.subscribe('t', NUMBER, (body) => heard.push(body));
    await expect.poll(() => late.state.trouble).toBeUndefined();
    server.publish(channel, message);
    expect(heard).toEqual([]);
    await a.state.publish('t', { n: 2 });
    expect(heard).toEqual([{ n: 2 }]);
  });

  test('makes a replica catch up that has refused it because the sender had not heard that replica', async () => {
    const server = new MemoryServer();
    const a = server.replica();
    await expect.poll(() => a.state.trouble).toBeUndefined();
    let returns = 0;
    a.store.isDeaf = true;
    const late = server.replica();
    late.state.onReturn(() => {
      returns += 1;
    });
    await expect.poll(() => returns).toBe(1);
    const heard: unknown[] = [];
    late.state.subscribe('t', NUMBER, (body) => heard.push(body));
    await a.state.publish('t', { n: 1 });
    expect(heard).toEqual([]);
    a.store.isDeaf = false;
    await expect.poll(() => returns).toBe(2);
    await a.state.publish('t', { n: 2 });
    expect(heard).toEqual([{ n: 2 }]);
  });

  test('is accepted from replicas whose beats somebody has drowned in replayed ones', async () => {
    const { server, a, b } = await twoReplicas();
    const channel = server.messages[0]?.channel ?? '';
    const earlier = new MemoryServer();
    for (let at = 0; at < 70; at += 1) await earlier.replica().state.close();
    for (const { message } of earlier.messages) server.publish(channel, message);
    const heard: unknown[] = [];
    b.state.subscribe('t', NUMBER, (body) => heard.push(body));
    await a.state.publish('t', { n: 1 });
    expect(heard).toEqual([{ n: 1 }]);
  });
});

describe('the sealed state on an unreachable store', () => {
  test('logs the loss once, answers at once with nothing, and logs the return', async () => {
    const { server, a } = await twoReplicas();
    let returns = 0;
    a.state.onReturn(() => {
      returns += 1;
    });
    server.isDown = true;
    await expect.poll(() => a.state.trouble).toBeDefined();
    expect(await a.state.get('k', NUMBER)).toBeUndefined();
    expect(await a.state.set('k', { n: 1 }, 1000)).toBe(false);
    await a.state.publish('t', { n: 1 });
    expect(a.results.slice(-3)).toEqual(['get skipped', 'set skipped', 'publish skipped']);
    server.isDown = false;
    await expect.poll(() => a.state.trouble).toBeUndefined();
    expect(a.events).toEqual(['shared-state-reached', 'shared-state-lost', 'shared-state-reached']);
    // At first, and after the loss.
    expect(returns).toBe(2);
  });

  test('logs the loss when the store is unreachable at the start', async () => {
    const server = new MemoryServer();
    server.isDown = true;
    const { state, events } = server.replica({
      now: () => performance.now(),
      times: { beatMs: 20, lostMs: 300 },
    });
    await expect.poll(() => events).toEqual(['shared-state-lost']);
    expect(state.trouble).toBeDefined();
  });

  test('makes the other replicas catch up after a replica could not publish a message', async () => {
    const { server, a, b } = await twoReplicas();
    let catches = 0;
    b.state.onReturn(() => {
      catches += 1;
    });
    a.store.isCut = true;
    await expect.poll(() => a.state.trouble).toBeDefined();
    await a.state.publish('t', { n: 1 });
    expect([b.state.trouble, catches]).toEqual([undefined, 1]);
    a.store.isCut = false;
    await expect.poll(() => catches).toBe(2);
    expect(server.isDown).toBe(false);
  });

  test('publishes to a slow store without waiting for it', async () => {
    const { server, b } = await twoReplicas();
    // The time limit of work in the background is longer than the limit of a test.
    const a = server.replica({ times: { beatMs: 20, backgroundMs: 600_000 } });
    await expect.poll(() => a.state.trouble).toBeUndefined();
    const heard: unknown[] = [];
    b.state.subscribe('t', NUMBER, (body) => heard.push(body));
    server.isPaused = true;
    await a.state.get('k', NUMBER);
    await a.state.publish('t', { n: 1 });
    expect(a.results.at(-1)).toBe('publish timeout');
    server.isPaused = false;
    server.flush();
    await expect.poll(() => heard).toEqual([{ n: 1 }]);
  });

  test('waits once for a stalled store, and not again before the next beat arrives', async () => {
    const { server, a } = await twoReplicas();
    server.isPaused = true;
    const before = a.results.length;
    await a.state.get('k', NUMBER);
    await a.state.get('k', NUMBER);
    expect(a.results.slice(before).filter((result) => result.startsWith('get'))).toEqual([
      'get timeout',
      'get skipped',
    ]);
    server.isPaused = false;
    await expect.poll(() => a.state.set('k', { n: 1 }, 1000)).toBe(true);
    expect(await a.state.get('k', NUMBER)).toEqual({ n: 1 });
  });
});

describe('a claim in the sealed state', () => {
  test.each([
    ['what no replica has sealed', () => 'rubbish'],
    ['nothing', () => ''],
    ['the claim of another key', (sealed: string) => sealed],
  ])('is unknown, not taken, where somebody has put %s', async (_name, put) => {
    const { server, a, b } = await twoReplicas();
    expect(await a.state.claim('other', null, 1000)).toBe('claimed');
    const [other = '', sealed = ''] = [...server.values.entries()][0] ?? [];
    server.values.set(other.replace(/other$/, 'k'), put(sealed));
    expect(await b.state.claim('k', null, 1000)).toBe('unknown');
    expect(await b.state.claim('other', null, 1000)).toBe('taken');
  });

  test('of more than 1 MiB is unknown, and nothing is stored', async () => {
    const { server, a } = await twoReplicas();
    expect(await a.state.claim('k', 'x'.repeat(1024 * 1024), 1000, 'background')).toBe('unknown');
    expect(server.values.size).toBe(0);
    expect(a.results.at(-1)).toBe('claim skipped');
  });

  test('is given to one replica, whichever asks first', async () => {
    const { server, a, b } = await twoReplicas();
    const results = await Promise.all([
      a.state.claim('k', { n: 1 }, 1000),
      b.state.claim('k', { n: 2 }, 1000),
    ]);
    expect(results.sort()).toEqual(['claimed', 'taken']);
    expect(await a.state.claim('k', { n: 3 }, 1000)).toBe('taken');
    expect(await b.state.get('k', NUMBER)).toEqual({ n: 1 });
    expect([...server.values.values()].join()).not.toContain('"n"');
  });

  test('is unknown while the store is down or silent, so that nobody takes it for taken', async () => {
    const { server, a } = await twoReplicas();
    server.isPaused = true;
    expect(await a.state.claim('k', { n: 1 }, 1000)).toBe('unknown');
    // Another request does not wait again.
    expect(await a.state.claim('k', { n: 1 }, 1000)).toBe('unknown');
    expect(a.results.filter((result) => result.startsWith('claim'))).toEqual([
      'claim timeout',
      'claim skipped',
    ]);
    server.isPaused = false;
    server.isDown = true;
    await expect.poll(() => a.state.trouble).toBeDefined();
    expect(await a.state.claim('k', { n: 1 }, 1000)).toBe('unknown');
  });
});
