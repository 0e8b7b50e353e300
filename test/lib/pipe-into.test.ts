import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { pipeInto } from '../../src/lib/writable.ts';
import { startServer } from '../support/hostile-registry.ts';
import { closing } from '../support/upstream.ts';

/** A server that answers a request with these chunks and tells of those that it has released. */
async function handingOver(before: (response: ServerResponse) => void = () => {}) {
  const released: string[] = [];
  const server = closing(
    await startServer(async (_, response) => {
      before(response);
      const listeners = response.listenerCount('close');
      const { write, drained } = pipeInto(response);
      for (const text of ['one', 'two']) write(Buffer.from(text), () => released.push(text));
      await drained();
      released.push(`${response.listenerCount('close') - listeners} more listeners`);
      response.end();
    }),
  );
  return { server, released };
}

test('pipeInto() releases chunks once they are written, and keeps no listener after that', async () => {
  const { server, released } = await handingOver();
  expect(await (await fetch(server.url)).text()).toBe('onetwo');
  expect(released).toEqual(['one', 'two', '0 more listeners']);
});

test('pipeInto() releases chunks that a response accepts after its connection is closed', async () => {
  let closed: Promise<unknown> | undefined;
  const { server, released } = await handingOver((response) => {
    closed = once(response, 'close');
    response.socket?.destroy();
  });
  await expect(fetch(server.url)).rejects.toThrow('fetch failed');
  await closed;
  expect(released.slice(0, 2)).toEqual(['one', 'two']);
});

test('pipeInto() keeps no listener for chunks that are written when others are released', async () => {
  const sink = new Writable({ write: (_chunk, _encoding, done) => setImmediate(done) });
  const { write, drained } = pipeInto(sink);
  let left = 20;
  const next = () => {
    left -= 1;
    if (left > 0) write(Buffer.from('x'), next);
  };
  write(Buffer.from('x'), next);
  await drained();
  expect(left).toBe(0);
  expect(sink.listenerCount('close')).toBe(0);
});
