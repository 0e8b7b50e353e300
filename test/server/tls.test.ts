import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import tls, { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { MirrorServer } from '../../src/server/server.ts';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { dial, exchange, serve } from '../support/served.ts';

const BLOB = Buffer.alloc(2 ** 20, 'a layer ');

describe('a server with TLS', () => {
  let authority: TestAuthority;
  beforeAll(async () => {
    authority = await createAuthority();
  });
  afterAll(() => authority.remove());

  const serveTls = async () => serve({ tls: await authority.issue('127.0.0.1') });

  async function get(port: number, path: string): Promise<IncomingMessage> {
    const req = request({ port, path, host: '127.0.0.1', ca: authority.cert, agent: false });
    req.end();
    return ((await once(req, 'response')) as [IncomingMessage])[0];
  }

  async function read(res: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of res) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }

  test('serves a blob completely', async () => {
    const { port, registry } = await serveTls();
    const digest = registry.putBlob(BLOB);
    expect((await read(await get(port, `/v2/a/b/blobs/${digest}`))).equals(BLOB)).toBe(true);
  });

  test.each([true, false])(
    'does not end a broken blob like a complete one (size known: %s)',
    async (saysSize) => {
      const { port, registry } = await serveTls();
      const digest = registry.putBlob(BLOB);
      registry.saysSize = saysSize;
      registry.beforeChunk = (offset) => {
        if (offset >= BLOB.length / 2) throw new Error('the disk is gone');
      };
      await expect(get(port, `/v2/a/b/blobs/${digest}`).then(read)).rejects.toThrow(/aborted|hang up/);
    },
  );

  test('uses a renewed certificate for the next client, without a restart', async () => {
    const { port, server } = await serveTls();
    const serialOf = async () => {
      const socket = connect({ port, host: '127.0.0.1', ca: authority.cert });
      await once(socket, 'secureConnect');
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    };
    const first = await serialOf();
    expect(await serialOf()).toBe(first);
    server.renew(await authority.issue('127.0.0.1'));
    expect(await serialOf()).not.toBe(first);
  });

  test('accepts any server name, because a web page of another site has no certificate of that name', async () => {
    const { port } = await serveTls();
    const headers = { host: 'rebound.example' };
    const req = request({
      port,
      path: '/v2/',
      host: '127.0.0.1',
      ca: authority.cert,
      agent: false,
      headers,
      servername: '',
    });
    req.end();
    const [{ statusCode }] = (await once(req, 'response')) as [IncomingMessage];
    expect(statusCode).toBe(200);
  });

  test('does not answer plain HTTP', async () => {
    const { port } = await serveTls();
    const received = await exchange(port, 'GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    expect(received).not.toContain('registry/2.0');
  });

  test('does not accept TLS before 1.2, even when Node.js was started with options that allow it', async () => {
    const { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS } = tls;
    onTestFinished(() => void Object.assign(tls, { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS }));
    Object.assign(tls, { DEFAULT_MIN_VERSION: 'TLSv1', DEFAULT_CIPHERS: 'DEFAULT@SECLEVEL=0' });
    const { port } = await serveTls();
    const greet = (maxVersion: tls.SecureVersion) => {
      const socket = connect({ port, host: '127.0.0.1', ca: authority.cert, maxVersion });
      onTestFinished(() => void socket.destroy());
      return once(socket, 'secureConnect');
    };
    await expect(greet('TLSv1.1')).rejects.toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    await greet('TLSv1.2');
  });

  test('disconnects a client that sends no TLS ClientHello', async () => {
    const { port } = await serve({
      tls: await authority.issue('127.0.0.1'),
      limits: { headersTimeoutMs: 300 },
    });
    expect(await exchange(port)).toBe('');
  });

  test.each([
    ['close()', (server: MirrorServer) => server.close()],
    ['drain()', (server: MirrorServer) => server.drain(100)],
  ])('%s does not wait for a client that sends no TLS ClientHello', async (_, stop) => {
    const { port, server } = await serveTls();
    const socket = dial(port);
    await once(socket, 'connect');
    // One that is accepted behind it has greeted.
    await read(await get(port, '/v2/'));
    const cut = once(socket, 'close');
    await stop(server);
    await cut;
    expect(socket.destroyed).toBe(true);
  });
});
