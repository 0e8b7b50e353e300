import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
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
