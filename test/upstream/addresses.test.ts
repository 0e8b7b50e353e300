import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { createDial } from '../../src/upstream/net/dial.ts';
import { createNameGuard } from '../../src/upstream/net/name-guard.ts';
import { createTlsContexts } from '../../src/upstream/net/tls.ts';
import { startBlackHole } from '../support/black-hole.ts';
import { createAuthority } from '../support/certificates.ts';
import { afterTest } from '../support/upstream.ts';

const [FIRST, SECOND] = ['127.0.0.1', '127.0.0.2'] as const;
const HOST = 'registry.example';

/** A dialler for which the name of the registry has these addresses, in this order. */
function dialTo(addresses: readonly string[], { ca = '', timeoutMs = 20_000 } = {}) {
  const resolve = async (): Promise<readonly LookupAddress[]> =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  return createDial({
    isTrusted: () => true,
    trust: createTlsContexts({
      settingsOf: () => undefined,
      certificateDirs: [],
      systemAuthorityFiles: [],
      extraAuthorityFiles: ca === '' ? [] : [ca],
      now: () => 0,
    }),
    resolve,
    refusePrivateName: createNameGuard(resolve),
    proxyOf: () => undefined,
    timeoutMs,
  });
}

async function listen(server: Server, address: string, port: number): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => void sockets.add(socket.on('error', () => {})));
  await once(server.listen(port, address), 'listening');
  afterTest(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((closed) => server.close(closed));
  });
  return (server.address() as { readonly port: number }).port;
}

async function addressOf(socket: Promise<Socket>): Promise<string | undefined> {
  const connected = await socket;
  const { remoteAddress } = connected;
  connected.destroy();
  return remoteAddress;
}

describe('a registry with several addresses', () => {
  test.each([
    ['an IPv4 address that drops packets, before another', [FIRST, SECOND]],
    ['the same, between IPv6 addresses that refuse', ['::1', FIRST, SECOND]],
  ])('is reached in spite of %s, and from then on at the address that answered', async (_, addresses) => {
    const hole = await startBlackHole();
    const { port } = hole;
    await listen(createServer(), SECOND, port);
    const dial = dialTo(addresses);
    const target = { host: HOST, port, secure: false };
    expect(await addressOf(dial(target))).toBe(SECOND);
    await hole.close();
    // The first address would answer now, too: a connection there shows that it is still tried first.
    await listen(createServer(), FIRST, port);
    expect(await addressOf(dial(target))).toBe(SECOND);
  });

  test('is reached at its first address on one port, whichever answered on another', async () => {
    const refusing = createServer();
    const port = await listen(refusing, FIRST, 0);
    await new Promise((closed) => refusing.close(closed));
    await listen(createServer(), SECOND, port);
    const dial = dialTo([FIRST, SECOND]);
    expect(await addressOf(dial({ host: HOST, port, secure: false }))).toBe(SECOND);
    const other = await listen(createServer(), FIRST, 0);
    await listen(createServer(), SECOND, other);
    expect(await addressOf(dial({ host: HOST, port: other, secure: false }))).toBe(FIRST);
  });

  test('is reached at another address after one that never finishes the TLS handshake', async () => {
    const authority = await createAuthority();
    afterTest(authority.remove);
    const { cert, key } = await authority.issue(HOST);
    const port = await listen(createServer(), FIRST, 0);
    await listen(createTlsServer({ cert, key }), SECOND, port);
    const dial = dialTo([FIRST, SECOND], { ca: authority.certFile, timeoutMs: 1000 });
    const target = { host: HOST, port, secure: true };
    await expect(dial(target)).rejects.toMatchObject({ name: 'ConnectTimeoutError' });
    expect(await addressOf(dial(target))).toBe(SECOND);
  });

  test('is tried at its other addresses once the address that answered refuses', async () => {
    const first = createServer();
    const port = await listen(first, FIRST, 0);
    await listen(createServer(), SECOND, port);
    const dial = dialTo([FIRST, SECOND]);
    const target = { host: HOST, port, secure: false };
    expect(await addressOf(dial(target))).toBe(FIRST);
    await new Promise((closed) => first.close(closed));
    expect(await addressOf(dial(target))).toBe(SECOND);
  });
});
