import { describe, expect, test } from 'vitest';
import { createResolver } from '../../src/upstream/resolver.ts';

const LOOPBACK = [{ address: '127.0.0.1', family: 4 }];

/** A DNS that answers when it is told to; `asked` are the names in order. */
function slowDns() {
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const resolve = createResolver((hostname) => {
    asked.push(hostname);
    return new Promise((answer) => answers.push(() => answer(LOOPBACK)));
  });
  return { asked, resolve, answerNext: () => answers.shift()?.() };
}

describe('the resolver', () => {
  test('finds what the system finds', async () => {
    expect((await createResolver()('localhost')).length).toBeGreaterThan(0);
    await expect(createResolver()('no-such-host.invalid')).rejects.toMatchObject({ syscall: 'getaddrinfo' });
  });

  test('asks for a name once, however many want it, and again the next time', async () => {
    const { asked, resolve, answerNext } = slowDns();
    const both = [resolve('ghcr.io'), resolve('ghcr.io')];
    answerNext();
    expect(await Promise.all(both)).toEqual([LOOPBACK, LOOPBACK]);
    const again = resolve('ghcr.io');
    answerNext();
    await again;
    expect(asked).toEqual(['ghcr.io', 'ghcr.io']);
  });

  test('asks for two names at once at the most: a dead DNS must leave threads to read files with', async () => {
    const { asked, resolve, answerNext } = slowDns();
    const all = ['a.example', 'b.example', 'c.example', 'd.example'].map(resolve);
    expect(asked).toEqual(['a.example', 'b.example']);
    answerNext();
    await all[0];
    expect(asked).toEqual(['a.example', 'b.example', 'c.example']);
    for (let left = 0; left < 3; left += 1) {
      answerNext();
      await new Promise(setImmediate);
    }
    expect(await Promise.all(all)).toHaveLength(4);
  });

  test('a name that fails gives its turn on', async () => {
    const resolve = createResolver(async (hostname) => {
      if (hostname.startsWith('bad')) throw new Error('not found');
      return LOOPBACK;
    });
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
