import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createSecureContext, createServer, rootCertificates, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { createSlabPool } from '../../src/upstream/http/body.ts';
import { createConnectionPool } from '../../src/upstream/http/http1-connection.ts';
import { createTransport } from '../../src/upstream/http/transport.ts';
import { createDial } from '../../src/upstream/net/dial.ts';
import { createNameGuard } from '../../src/upstream/net/name-guard.ts';
import { createSessionCache, createTlsContexts, readAuthorities } from '../../src/upstream/net/tls.ts';
import { DEFAULT_TIMEOUTS, type TlsSettings, upstreamAt } from '../../src/upstream/settings.ts';
import { createAuthority } from '../support/certificates.ts';
import { startRawServer } from '../support/hostile-registry.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { turns } from '../support/turns.ts';
import { afterTest, closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] });
const DIGEST = digestOf(Buffer.from(INDEX));
const ANSWER = `HTTP/1.1 200 OK\r\ncontent-type: ${MEDIA_TYPE.ociIndex}\r\ncontent-length: ${INDEX.length}\r\n\r\n${INDEX}`;

/** A registry that answers the first request of each connection, and does `then` to the second. */
async function answeringOnce(then: (socket: Socket) => void) {
  const used = new WeakSet<Socket>();
  const server = closing(
    await startRawServer((socket) => {
      if (used.has(socket)) return then(socket);
      used.add(socket);
      socket.write(ANSWER);
    }),
  );
  // The full time limit for a head is longer than the limit of a test.
  const timeouts = { headMs: 600_000 };
  return { server, upstream: upstreamTo(upstreamAt(server.url), { blobConnections: 1, timeouts }) };
}

const WAYS = [
  ['a manifest', async (upstream: ReturnType<typeof upstreamTo>) => upstream.manifest(app, tagged('v1'))],
  ['a blob', async (upstream: ReturnType<typeof upstreamTo>) => readBlob(await upstream.blob(app, DIGEST))],
] as const;

describe('a kept connection', () => {
  test.each(WAYS)(
    'that turns out to be closed costs %s nothing: a new one is opened at once',
    async (_, read) => {
      const { server, upstream } = await answeringOnce((socket) => socket.destroy());
      await read(upstream);
      await read(upstream);
      expect(server.connections().made).toBe(2);
      expect(server.requests).toHaveLength(3);
    },
  );

  test.each(WAYS)(
    'that has silently died delays %s by three seconds, not by the whole timeout',
    async (_, read) => {
      const { server, upstream } = await answeringOnce(() => {});
      await read(upstream);
      await read(upstream);
      expect(server.connections().made).toBe(2);
    },
  );

  test('that turns out to be closed repeats an upload from memory, but no stream, which is used up', async () => {
    const used = new WeakSet<Socket>();
    const server = closing(
      await startRawServer((socket) => {
        if (used.has(socket)) return void socket.resetAndDestroy();
        used.add(socket);
        socket.write('HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n');
      }),
    );
    const transport = closing(
      createTransport({
        ...{ dial: plainDial(), proxyOf: () => undefined, isTrusted: () => true },
        ...{ refusePrivateName: async () => {}, timeouts: DEFAULT_TIMEOUTS },
      }),
    );
    const put = async (body: Buffer | Readable) => {
      const headers = { 'content-length': '3' };
      const reply = await transport.send({ method: 'PUT', url: new URL(server.url), headers, body });
      await reply.body.read((_, release) => release());
      return reply.status;
    };
    const bytes = Buffer.from('abc');
    expect([await put(bytes), await put(bytes)]).toEqual([201, 201]);
    expect(server.connections().made).toBe(2);
    await expect(put(Readable.from([bytes]))).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
    expect(server.connections().made).toBe(2);
  });

  test.each([
    ['GET', 2],
    ['PUT', 1],
  ] as const)(
    'that is silent for three seconds is given up for a %s: %d connections',
    async (method, made) => {
      let arrive = () => {};
      const arrived = new Promise<void>((resolve) => {
        arrive = resolve;
      });
      const used = new WeakSet<Socket>();
      const server = closing(
        await startRawServer((socket) => {
          if (used.has(socket)) return arrive();
          used.add(socket);
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
        }),
      );
      const transport = closing(
        createTransport({
          ...{ dial: plainDial(), proxyOf: () => undefined, isTrusted: () => true },
          ...{ refusePrivateName: async () => {}, timeouts: DEFAULT_TIMEOUTS },
        }),
      );
      const leaving = new AbortController();
      const send = async () => {
        const url = new URL(server.url);
        const reply = await transport.send({ method, url, headers: {}, signal: leaving.signal });
        await reply.body.read((_, release) => release());
        return reply.status;
      };
      expect(await send()).toBe(200);
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      onTestFinished(() => void vi.useRealTimers());
      const outcome = send().catch(() => 'left');
      await arrived;
      vi.advanceTimersByTime(3000);
      // A GET is sent again; nothing tells whether a registry has done what a PUT says.
      if (method === 'GET') expect(await outcome).toBe(200);
      else await turns(50);
      leaving.abort();
      await outcome;
      expect(server.connections().made).toBe(made);
    },
  );

  test('is one of four of an origin, and closed after ten seconds without a request', async () => {
    const server = closing(await startRawServer(() => {}));
    const pool = createConnectionPool(plainDial(), createSlabPool());
    afterTest(() => pool.close());
    const url = new URL(server.url);
    const opened = await Promise.all(Array.from({ length: 5 }, () => pool.open(url, undefined)));
    for (const connection of opened) pool.give(url.origin, connection);
    expect(opened.map(({ socket }) => socket.destroyed)).toEqual([false, false, false, false, true]);
    expect(opened[0]?.socket.timeout).toBe(10_000);
    const taken = pool.takeIdle(url.origin);
    expect(taken).toBe(opened[3]);
    expect(taken?.socket.timeout).toBe(0);
  });

  test('that was closed does not hide another one that is open', async () => {
    const server = closing(await startRawServer(() => {}));
    const pool = createConnectionPool(plainDial(), createSlabPool());
    afterTest(() => pool.close());
    const url = new URL(server.url);
    const [older, newer] = [await pool.open(url, undefined), await pool.open(url, undefined)];
    pool.give(url.origin, older);
    pool.give(url.origin, newer);
    newer.socket.destroy();
    expect(pool.takeIdle(url.origin)).toBe(older);
    expect(pool.takeIdle(url.origin)).toBeUndefined();
  });

  test('is one of at most eight of an origin, and is closed after 30 seconds without a request', async () => {
    const waiting: Socket[] = [];
    const server = closing(
      await startRawServer((socket) => {
        waiting.push(socket);
        if (waiting.length < 9) return;
        for (const one of waiting.splice(0)) one.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      }),
    );
    const dialled: Socket[] = [];
    const dial = plainDial();
    const transport = closing(
      createTransport({
        ...{ proxyOf: () => undefined, isTrusted: () => true },
        ...{ refusePrivateName: async () => {}, timeouts: DEFAULT_TIMEOUTS },
        dial: async (target) => {
          const socket = await dial(target);
          dialled.push(socket);
          return socket;
        },
      }),
    );
    const sendNine = () =>
      Promise.all(
        Array.from({ length: 9 }, async () => {
          const reply = await transport.send({ method: 'GET', url: new URL(server.url), headers: {} });
          await reply.body.read((_, release) => release());
        }),
      );
    await sendNine();
    await expect.poll(() => server.connections().open).toBe(8);
    await sendNine();
    await expect.poll(() => server.connections().open).toBe(8);
    expect(server.connections().made).toBe(10);
    const kept = dialled.filter(({ destroyed }) => !destroyed);
    expect(kept.map(({ timeout }) => timeout)).toEqual(Array(8).fill(30_000));
    for (const socket of kept) socket.emit('timeout');
    await expect.poll(() => server.connections().open).toBe(0);
  });
});

const resolve = async () => [{ address: '127.0.0.1', family: 4 }];

function plainDial(settingsOf: (host: string) => TlsSettings | undefined = () => undefined) {
  return createDial({
    isTrusted: () => true,
    trust: createTlsContexts({
      settingsOf,
      certificateDirs: [],
      systemAuthorityFiles: [],
      extraAuthorityFiles: [],
      now: () => 0,
    }),
    resolve,
    refusePrivateName: createNameGuard(resolve),
    proxyOf: () => undefined,
    timeoutMs: 5000,
  });
}

/** Two TLS servers that say hello and take each other's sessions, and the server names that their clients sent. */
async function tlsServers(names: readonly string[]) {
  const authority = await createAuthority();
  afterTest(authority.remove);
  const { cert, key } = await authority.issue(names);
  const ticketKeys = randomBytes(48);
  const serverNames: unknown[] = [];
  const listen = async () => {
    const server = createServer({ cert, key, ticketKeys }, (socket) => {
      serverNames.push(socket.servername);
      socket.on('error', () => {}).write('hello');
    });
    const port = await listenOnLoopback(server);
    afterTest(() => new Promise((closed) => server.close(closed)));
    return port;
  };
  const [port, otherPort] = [await listen(), await listen()];
  return { port, otherPort, serverNames, dial: plainDial(() => ({ caFile: authority.certFile })) };
}

/** Dials and waits for the server's word and, on a connection that resumed none, for the session to be resumed later. */
async function greeted(dial: ReturnType<typeof plainDial>, host: string, port: number): Promise<boolean> {
  const socket = (await dial({ host, port, secure: true })) as TLSSocket;
  const session = new Promise((given) => socket.once('session', given));
  await new Promise((read) => socket.once('data', read));
  const isReused = socket.isSessionReused();
  if (!isReused) await session;
  socket.destroy();
  return isReused;
}

describe('a TLS connection', () => {
  test('sends the host’s name to the server, but never an IP address', async () => {
    const { dial, port, serverNames } = await tlsServers(['registry.test', '127.0.0.1']);
    await greeted(dial, 'registry.test', port);
    await greeted(dial, '127.0.0.1', port);
    expect(serverNames).toEqual(['registry.test', false]);
  });

  test.each([
    ['resumes the session', 'the same host and port', 'one.test', 'port', true],
    ['resumes no session', 'another host', 'two.test', 'port', false],
    ['resumes no session', 'another port of the host', 'one.test', 'otherPort', false],
  ] as const)(
    '%s of the one before when it leads to %s',
    async (_what, _where, host, portName, isResumed) => {
      const { dial, ...ports } = await tlsServers(['one.test', 'two.test']);
      expect(await greeted(dial, 'one.test', ports.port)).toBe(false);
      expect(await greeted(dial, host, ports[portName])).toBe(isResumed);
      // Both servers do resume sessions.
      expect(await greeted(dial, host, ports[portName])).toBe(true);
    },
  );

  test('is refused when the certificate is for another host, even with a TLS session of another host', async () => {
    const { dial, port } = await tlsServers(['one.test']);
    await greeted(dial, 'one.test', port);
    await expect(greeted(dial, 'two.test', port)).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });
});

describe('TLS contexts', () => {
  const contexts = (settingsOf: (host: string, port: number) => TlsSettings | undefined) =>
    createTlsContexts({
      settingsOf,
      certificateDirs: [],
      systemAuthorityFiles: [],
      extraAuthorityFiles: [],
      now: () => 0,
    });

  test('a file used as an authority and as a client certificate gives two contexts', async () => {
    const authority = await createAuthority();
    afterTest(authority.remove);
    const { cert, key, certFile } = await authority.issue('client.test');
    const both = join(certFile, '..', 'both.pem');
    await writeFile(both, `${cert}${key}`);
    const trust = contexts((host) => (host === 'a.test' ? { caFile: both } : { certFile: both }));
    const [a, b] = [await trust('a.test', 443), await trust('b.test', 443)];
    expect(a.secureContext).not.toBe(b.secureContext);
  });

  test('two ports of one host with different authorities have two contexts', async () => {
    const [one, other] = [await createAuthority(), await createAuthority()];
    for (const { remove } of [one, other]) afterTest(remove);
    const trust = contexts((_, port) => ({ caFile: (port === 443 ? one : other).certFile }));
    const [a, b] = [await trust('a.test', 443), await trust('a.test', 5000)];
    expect(a.secureContext).not.toBe(b.secureContext);
    expect((await trust('a.test', 443)).secureContext).toBe(a.secureContext);
  });

  test('of 200 hosts are kept, those used last', async () => {
    const asked: string[] = [];
    const trust = contexts((host) => {
      asked.push(host);
      return undefined;
    });
    /** The settings of a host are read for its context, and with each request. */
    const isMade = async (at: number) => {
      const before = asked.length;
      await trust(`${at}.test`, 443);
      return asked.length - before > 1;
    };
    for (let at = 0; at < 200; at += 1) expect(await isMade(at)).toBe(true);
    expect(await isMade(0)).toBe(false);
    expect([await isMade(200), await isMade(0), await isMade(1)]).toEqual([true, false, true]);
  });

  test('sessions of 200 hosts are kept, those used last', () => {
    const sessionFor = createSessionCache();
    const context = createSecureContext();
    const isKept = (at: number) => sessionFor(`${at}.test`, 443, context).session !== undefined;
    const keep = (at: number) => sessionFor(`${at}.test`, 443, context).keep(Buffer.from('session'));
    for (let at = 0; at < 200; at += 1) keep(at);
    expect(isKept(0)).toBe(true);
    keep(200);
    expect([0, 1, 2, 200].map(isKept)).toEqual([true, false, true, true]);
  });

  test('hosts that are dialled for the first time at the same time share one context', async () => {
    const trust = contexts(() => undefined);
    const made = await Promise.all(['a', 'b', 'c', 'a'].map((host) => trust(`${host}.test`, 443)));
    expect(new Set(made.map(({ secureContext }) => secureContext)).size).toBe(1);
  });

  test('additional authorities keep Node’s own roots where the system has none', async () => {
    const authority = await createAuthority();
    afterTest(authority.remove);
    const extra = [authority.certFile];
    const without = await readAuthorities({ system: [], extra, authorities: [] });
    expect(without).toHaveLength(rootCertificates.length + 1);
    expect(without).toEqual(expect.arrayContaining([rootCertificates[0], authority.cert]));
    const withSystem = await readAuthorities({ system: extra, extra: [], authorities: [] });
    expect(withSystem).toEqual([authority.cert]);
  });
});
