import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closeOf } from '../support/loopback.ts';
import { ask, dial, serve } from '../support/served.ts';

const BLOB = Buffer.alloc(2 ** 20, 'a layer ');

/** A server with a blob that stands still half-way until it is released. */
async function serveHeld() {
  const served = await serve();
  const { registry, port } = served;
  const digest = registry.putBlob(BLOB);
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  registry.beforeChunk = (offset) => (offset >= BLOB.length / 2 ? held : undefined);
  const pulled = ask(port, `/v2/a/b/blobs/${digest}`);
  pulled.catch(() => {
    // Looked at where it matters.
  });
  await expect.poll(() => registry.blobBytes()).toBeGreaterThan(0);
  return { ...served, pulled, release };
}

describe('fault 41: stopping in the middle of a pull', () => {
  test('the pull finishes, and no other client is accepted', async () => {
    const { server, port, pulled, release } = await serveHeld();
    const drained = server.drain(10_000);
    await expect(ask(port, '/v2/')).rejects.toThrow('ECONNREFUSED');
    release();
    const { status, body } = await pulled;
    expect([status, body.equals(BLOB)]).toEqual([200, true]);
    await drained;
  });

  test('a pull that takes longer than the shutdown timeout is cut, and does not look complete', async () => {
    const { server, pulled, log } = await serveHeld();
    await server.drain(50);
    await expect(pulled).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(log.some(({ event }) => event === 'pulls-cut')).toBe(true);
  });

  test('idle connections do not delay the shutdown', async () => {
    // The full time limit is longer than the limit of a test.
    const { server, port } = await serve({ limits: { keepAliveTimeoutMs: 600_000 } });
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const [res] = (await once(get({ port, agent, path: '/v2/', host: '127.0.0.1' }), 'response')) as [
      IncomingMessage,
    ];
    res.resume();
    await once(res, 'end');
    await expect(server.drain(600_000)).resolves.toBeUndefined();
  });

  test('readiness changes on connections that are still open', async () => {
    const { server, port, release, pulled } = await serveHeld();
    const socket = dial(port);
    let received = '';
    socket.on('data', (chunk) => {
      received += String(chunk);
    });
    // Half a request: this connection is not idle.
    socket.write('GET /readyz HTTP/1.1\r\n');
    await expect.poll(() => server.metrics.text()).toContain('metahub_connections 2');
    const drained = server.drain(10_000);
    socket.write('Host: 127.0.0.1\r\n\r\n');
    await closeOf(socket);
    expect(received).toMatch(/^HTTP\/1\.1 503 [\s\S]*Connection: close[\s\S]*stopping\n$/);
    release();
    await pulled;
    await drained;
  });
});

test('fault 42: a reload in the middle of a pull: the pull continues', async () => {
  const { server, pulled, release } = await serveHeld();
  server.invalidate();
  release();
  const { status, body } = await pulled;
  expect([status, body.equals(BLOB)]).toEqual([200, true]);
});

test('the server listens on a socket that systemd has opened', async () => {
  // As systemd does it: the parent listens, the child gets the socket as descriptor 3.
  const parent = createServer();
  parent.listen(0, '127.0.0.1');
  await once(parent, 'listening');
  const { port } = parent.address() as { port: number };
  const { fd } = (parent as unknown as { _handle: { fd: number } })._handle;
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL('../support/listen-on-fd.ts', import.meta.url))],
    { stdio: ['ignore', 'pipe', 'inherit', fd] },
  );
  onTestFinished(() => {
    child.kill();
  });
  if (child.stdout === null) throw new Error('there is no stdout to wait for');
  await once(child.stdout, 'data');
  parent.close();
  expect((await ask(port, '/v2/')).status).toBe(200);
});
