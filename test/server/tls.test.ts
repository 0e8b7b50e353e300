import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { exchange, serve } from '../support/served.ts';

const BLOB = Buffer.alloc(2 ** 20, 'a layer ');

describe('over TLS', () => {
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

  test('a blob arrives whole', async () => {
    const { port, registry } = await serveTls();
    const digest = registry.putBlob(BLOB);
    expect((await read(await get(port, `/v2/a/b/blobs/${digest}`))).equals(BLOB)).toBe(true);
  });

  test.each([true, false])('a broken one is not ended (size known: %s)', async (saysSize) => {
    const { port, registry } = await serveTls();
    const digest = registry.putBlob(BLOB);
    registry.saysSize = saysSize;
    registry.beforeChunk = (offset) => {
      if (offset >= BLOB.length / 2) throw new Error('the disk is gone');
    };
    await expect(get(port, `/v2/a/b/blobs/${digest}`).then(read)).rejects.toThrow(/aborted|hang up/);
  });

  test('a renewed certificate is shown to the next client, without a restart', async () => {
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

  test('plain HTTP is not answered', async () => {
    const { port } = await serveTls();
    const received = await exchange(port, 'GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    expect(received).not.toContain('registry/2.0');
  });

  test('TLS before 1.2 is not spoken', async () => {
    const { port } = await serveTls();
    const socket = connect({
      ...{ port, host: '127.0.0.1', ca: authority.cert },
      ...{ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toMatch(/version|alert/i);
  });
});
