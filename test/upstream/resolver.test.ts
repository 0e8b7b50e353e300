import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { AddressMemory, createResolvers } from '../../src/upstream/net/resolver.ts';

const LOOPBACK = [{ address: '127.0.0.1', family: 4 }];

/** A DNS that answers when it is told to; `asked` are the names in order. */
function slowDns() {
  const asked: string[] = [];
  const answers = new Map<string, () => void>();
  const resolverFor = createResolvers((hostname) => {
    asked.push(hostname);
    return new Promise((answer) => answers.set(hostname, () => answer(LOOPBACK)));
  });
  const answer = async (hostname: string) => {
    answers.get(hostname)?.();
    await new Promise(setImmediate);
  };
  return { asked, resolverFor, answer };
}

describe('the resolver', () => {
  test('uses the system’s addresses', async () => {
    const resolve = createResolvers()();
    expect((await resolve('localhost')).length).toBeGreaterThan(0);
    await expect(resolve('no-such-host.invalid')).rejects.toMatchObject({ syscall: 'getaddrinfo' });
  });

  test('resolves a name once for concurrent requests, and again for later ones', async () => {
    const { asked, resolverFor, answer } = slowDns();
    const resolve = resolverFor();
    const both = [resolve('ghcr.io'), resolve('ghcr.io')];
    await answer('ghcr.io');
    expect(await Promise.all(both)).toEqual([LOOPBACK, LOOPBACK]);
    const again = resolve('ghcr.io');
    await answer('ghcr.io');
    await again;
    expect(asked).toEqual(['ghcr.io', 'ghcr.io']);
  });

  test('resolves at most two names at once, so that a dead DNS leaves threads for reading files', async () => {
    const { asked, resolverFor, answer } = slowDns();
    const names = ['a.example', 'b.example', 'c.example', 'd.example'];
    const all = names.map((name) => resolverFor()(name));
    expect(asked).toEqual(['a.example', 'b.example']);
    await answer('a.example');
    expect(asked).toEqual(['a.example', 'b.example', 'c.example']);
    for (const name of names) await answer(name);
    expect(await Promise.all(all)).toHaveLength(4);
  });

  test('delays no other registry when one redirects to a hundred names with a dead DNS', async () => {
    const { asked, resolverFor, answer } = slowDns();
    const [evil, good, other] = [resolverFor(), resolverFor(), resolverFor()];
    for (let at = 0; at < 100; at += 1) void evil(`dead-${at}.evil.example`);
    const found = [good('auth.docker.io'), other('ghcr.io')];
    expect(asked).toEqual(['dead-0.evil.example', 'auth.docker.io']);
    await answer('auth.docker.io');
    expect(asked.at(-1)).toBe('ghcr.io');
    await answer('ghcr.io');
    expect(await Promise.all(found)).toEqual([LOOPBACK, LOOPBACK]);
    await answer('dead-0.evil.example');
    expect(asked.at(-1)).toBe('dead-1.evil.example');
  });

  test('continues with the next name after a name fails', async () => {
    const resolve = createResolvers(async (hostname) => {
      if (hostname.startsWith('bad')) throw new Error('not found');
      return LOOPBACK;
    })();
    const names = ['bad1', 'bad2', 'bad3', 'good1', 'good2'];
    const settled = await Promise.allSettled(names.map(resolve));
    expect(settled.map(({ status }) => status)).toEqual([
      'rejected',
      'rejected',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
  });
});

describe('the memory of addresses', () => {
  const [first, second, third] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((address) => ({
    address,
    family: 4,
  }));
  const all = [first, second, third].filter((one) => one !== undefined);

  /** A memory in which a connection to a place has reached the second address, which then answered or failed. */
  async function afterConnecting(place: string, answers: boolean) {
    const memory = new AddressMemory();
    const socket = Object.assign(new EventEmitter(), { remoteAddress: second?.address });
    const connected = answers ? Promise.resolve() : Promise.reject(new Error('no answer'));
    memory.follow(place, socket as unknown as Socket, connected);
    socket.emit('connect');
    await connected.catch(() => {});
    return memory;
  }

  test.each([
    ['first when it answered', true, [second, first, third]],
    ['last when it failed', false, [first, third, second]],
  ])('puts the latest address %s', async (_, answers, order) => {
    const memory = await afterConnecting('registry.test:443', answers);
    expect(memory.ordered('registry.test:443', all)).toEqual(order);
  });

  test.each([
    ['ten minutes', 600_000, [second, first, third]],
    ['a millisecond more', 600_001, all],
  ])('lasts ten minutes: after %s', async (_, afterMs, order) => {
    const clock = vi.spyOn(performance, 'now');
    onTestFinished(() => clock.mockRestore());
    clock.mockReturnValue(1_000_000);
    const memory = await afterConnecting('registry.test:443', true);
    clock.mockReturnValue(1_000_000 + afterMs);
    expect(memory.ordered('registry.test:443', all)).toEqual(order);
  });

  test.each(['other.test:443', 'registry.test:8443'])(
    'of registry.test:443 changes nothing for %s',
    async (place) => {
      const memory = await afterConnecting('registry.test:443', true);
      expect(memory.ordered(place, all)).toEqual(all);
    },
  );

  test('is of 200 places, those used last', async () => {
    const memory = await afterConnecting('0.test:443', true);
    const isKnown = (place: number) => memory.ordered(`${place}.test:443`, all)[0] === second;
    const note = (place: number) => {
      const socket = Object.assign(new EventEmitter(), { remoteAddress: second?.address });
      memory.follow(`${place}.test:443`, socket as unknown as Socket, Promise.resolve());
      socket.emit('connect');
    };
    for (let place = 1; place < 200; place += 1) note(place);
    await new Promise(setImmediate);
    expect(isKnown(0)).toBe(true);
    note(200);
    await new Promise(setImmediate);
    expect([0, 1, 2, 200].map(isKnown)).toEqual([true, false, true, true]);
  });

  test('changes nothing when the name has lost the address', async () => {
    const memory = await afterConnecting('registry.test:443', true);
    const left = all.filter((one) => one !== second);
    expect(memory.ordered('registry.test:443', left)).toEqual(left);
  });
});
