import * as v from 'valibot';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { SharedState } from '../../src/lib/shared-state.ts';
import { replicaId, sharePeerDocuments } from '../../src/replicas/peer-documents.ts';
import { MemoryServer } from '../support/memory-store.ts';

const NUMBER = v.object({ n: v.number() });

async function member(server: MemoryServer, replica: string) {
  const { state } = server.replica();
  const own: { document: unknown } = { document: undefined };
  const peers = sharePeerDocuments({
    ...{ state, name: 'numbers', schema: NUMBER, replica: replicaId('host', replica), delayMs: 10 },
    own: () => own.document,
  });
  await expect.poll(() => state.trouble).toBeUndefined();
  return {
    ...peers,
    change: (n: unknown) => {
      own.document = { n };
      peers.publishSoon();
    },
  };
}

describe('sharePeerDocuments()', () => {
  test('shows the current documents of all other replicas, but not the own one', async () => {
    const server = new MemoryServer();
    const [a, b, c] = [await member(server, 'a'), await member(server, 'b'), await member(server, 'c')];
    a.change(1);
    b.change(2);
    await expect.poll(() => c.others()).toEqual(expect.arrayContaining([{ n: 1 }, { n: 2 }]));
    a.change(3);
    await expect.poll(() => b.others()).toEqual([{ n: 3 }]);
    await expect.poll(() => a.others()).toEqual([{ n: 2 }]);
  });

  test('publishes documents to a replica that starts later', async () => {
    const server = new MemoryServer();
    const a = await member(server, 'a');
    a.change(1);
    await expect.poll(() => server.values.size).toBe(1);
    const late = await member(server, 'late');
    await expect.poll(() => late.others()).toEqual([{ n: 1 }]);
  });

  test('ignores a document that breaks the schema', async () => {
    const server = new MemoryServer();
    const [a, b] = [await member(server, 'a'), await member(server, 'b')];
    a.change(1);
    await expect.poll(() => b.others()).toEqual([{ n: 1 }]);
    a.change('one');
    await expect
      .poll(() => server.messages.filter(({ message }) => message.length > 0).length)
      .toBeGreaterThan(0);
    a.change(2);
    await expect.poll(() => b.others()).toEqual([{ n: 2 }]);
  });
});

describe('the documents of many replicas', () => {
  const idOf = (at: number) => at.toString(16).padStart(16, '0');

  /** A replica whose shared state answers at once; `change` is the message that another one has published. */
  function alone() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const receivers = new Map<string, (body: unknown) => void>();
    const read: string[] = [];
    const lifetimes: number[] = [];
    const state = {
      subscribe: (topic: string, _schema: unknown, receive: (body: unknown) => void) =>
        void receivers.set(topic, receive),
      onReturn: () => {},
      publish: async () => {},
      get: async (key: string) => {
        read.push(key);
        return { n: read.length };
      },
      set: async (_key: string, _value: unknown, ttlMs: number) => {
        lifetimes.push(ttlMs);
        return true;
      },
    } as unknown as SharedState;
    const peers = sharePeerDocuments({
      ...{ state, name: 'numbers', schema: NUMBER, replica: idOf(0), delayMs: 10 },
      own: () => ({ n: 0 }),
    });
    const change = (at: number) => receivers.get('numbers changed')?.({ replica: idOf(at) });
    return { ...peers, change, read, lifetimes };
  }

  test('are read 200 ms after the first change, once for all that come meanwhile', async () => {
    const { change, read } = alone();
    change(1);
    await vi.advanceTimersByTimeAsync(199);
    change(1);
    expect(read).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(read).toEqual([`numbers:${idOf(1)}`]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(read).toHaveLength(1);
    change(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(read).toHaveLength(2);
  });

  test('are not read again when this replica has changed its own', async () => {
    const { change, read } = alone();
    change(0);
    await vi.advanceTimersByTimeAsync(200);
    expect(read).toEqual([]);
  });

  test('are read of 64 at once', async () => {
    const { change, read } = alone();
    for (let at = 1; at <= 65; at += 1) change(at);
    await vi.advanceTimersByTimeAsync(200);
    expect(read).toHaveLength(64);
  });

  test('are kept of 64, those that changed last', async () => {
    const { change, others } = alone();
    for (let at = 1; at <= 64; at += 1) change(at);
    await vi.advanceTimersByTimeAsync(200);
    expect(others()).toHaveLength(64);
    change(65);
    await vi.advanceTimersByTimeAsync(200);
    const numbers = others().map(({ n }) => n);
    expect(numbers).toHaveLength(64);
    expect([1, 2, 65].map((n) => numbers.includes(n))).toEqual([false, true, true]);
  });

  test('stay in Redis for a week after their replica has stopped', async () => {
    const { publishSoon, close, lifetimes } = alone();
    publishSoon();
    await close();
    expect(lifetimes).toEqual([7 * 24 * 60 * 60_000]);
  });
});
