import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { Duplex, Writable } from 'node:stream';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import type { UpstreamOptions } from '../../src/upstream/client.ts';
import { createBlobTransport } from '../../src/upstream/http/blob-transport.ts';
import { BrokenBodyError, bodyOf, createSlabPool } from '../../src/upstream/http/body.ts';
import { createTransport, type Transport } from '../../src/upstream/http/transport.ts';
import { createDial, type Dial } from '../../src/upstream/net/dial.ts';
import { createNameGuard } from '../../src/upstream/net/name-guard.ts';
import { createResolvers } from '../../src/upstream/net/resolver.ts';
import { createTlsContexts } from '../../src/upstream/net/tls.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { createAuthority } from '../support/certificates.ts';
import { createContent, serveContent, startRawServer, startServer } from '../support/hostile-registry.ts';
import { turns } from '../support/turns.ts';
import { afterTest, closing, readBlob, repository, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');

/** A registry of these blobs, over TLS where `secure`. */
async function registryOf(blobs: readonly Buffer[], { secure = false, ...options } = {}) {
  const content = createContent();
  const digests = blobs.map((bytes) => content.putBlob(bytes));
  const authority = secure ? await createAuthority() : undefined;
  if (authority) afterTest(authority.remove);
  const server = closing(await startServer(serveContent(content), await authority?.issue('127.0.0.1')));
  const endpoint = { url: server.url, anyAddress: true, tls: { caFile: authority?.certFile } };
  const upstream = upstreamTo({ endpoints: [endpoint] }, options satisfies Partial<UpstreamOptions>);
  return { server, upstream, digests };
}

/** Answers the nth connection's requests with these texts, one each, and then with silence. */
async function scripted(...answers: readonly (readonly (string | Buffer)[])[]) {
  const server = closing(
    await startRawServer(async (socket) => {
      const pieces = answers[server.requests.length - 1] ?? [];
      for (const piece of pieces) {
        socket.write(piece);
        // The reader is in this process: in each turn of its loop it reads what has arrived.
        await turns(2);
      }
    }),
  );
  return { server, upstream: upstreamTo(upstreamAt(server.url)) };
}

const BYTES = Buffer.from('the bytes of a blob');
const DIGEST = digestOf(BYTES);
const HEAD = `HTTP/1.1 200 OK\r\ncontent-length: ${BYTES.length}\r\n\r\n`;

describe('a blob read by the fast reader', () => {
  test.each([
    ['in one packet with its head', [`${HEAD}${BYTES}`]],
    ['in a packet of its own', [HEAD, BYTES]],
    ['byte by byte, head and all', [...`${HEAD}${BYTES}`]],
  ])('arrives %s', async (_, pieces) => {
    const { upstream } = await scripted(pieces);
    expect((await readBlob(await upstream.blob(app, DIGEST))).equals(BYTES)).toBe(true);
  });

  test('leaves its connection open for the next blob', async () => {
    const blobs = [randomBytes(3_000_000), Buffer.alloc(0), randomBytes(10), randomBytes(100_000)];
    const { upstream, digests, server } = await registryOf(blobs);
    for (const [nth, digest] of digests.entries()) {
      expect((await readBlob(await upstream.blob(app, digest))).equals(blobs[nth] ?? BYTES)).toBe(true);
    }
    expect(server.connections().made).toBe(1);
  });

  test('is completed by a Range request when a TLS connection breaks in the middle', async () => {
    const bytes = randomBytes(1_000_000);
    const content = createContent();
    const digest = content.putBlob(bytes);
    const authority = await createAuthority();
    afterTest(authority.remove);
    const server = closing(
      await startServer(
        (request, response) => {
          if (request.headers.range !== undefined) return serveContent(content)(request, response);
          response.writeHead(200, { 'content-length': bytes.length });
          response.write(bytes.subarray(0, 300_000), () => response.destroy());
        },
        await authority.issue('127.0.0.1'),
      ),
    );
    const endpoint = { url: server.url, anyAddress: true, tls: { caFile: authority.certFile } };
    const upstream = upstreamTo(
      { endpoints: [endpoint] },
      { blobConnections: 1, timeouts: { resumeMs: 10 } },
    );
    expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    expect(server.requests.at(-1)?.headers['range']).toMatch(/^bytes=\d+-999999$/);
  });

  test('opens another connection when the kept one was closed meanwhile', async () => {
    const answer = `${HEAD}${BYTES}`;
    const sockets: Socket[] = [];
    const server = closing(
      // Says that it keeps the connection, and does not.
      await startRawServer((socket) => {
        sockets.push(socket);
        socket.write(answer);
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url));
    await readBlob(await upstream.blob(app, DIGEST));
    for (const socket of sockets) socket.resetAndDestroy();
    await expect.poll(() => server.connections().open).toBe(0);
    await readBlob(await upstream.blob(app, DIGEST));
    expect(server.connections().made).toBe(2);
  });

  test('does not reuse a connection on which more bytes came than announced', async () => {
    const evil = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil';
    const { upstream, server } = await scripted([`${HEAD}${BYTES}${evil}`], [`${HEAD}${BYTES}`]);
    await readBlob(await upstream.blob(app, DIGEST));
    expect((await readBlob(await upstream.blob(app, DIGEST))).equals(BYTES)).toBe(true);
    expect(server.connections().made).toBe(2);
  });

  test('does not reuse a connection on which the server sent bytes without a request', async () => {
    const { upstream, server } = await scripted(
      [`${HEAD}${BYTES}`, 'HTTP/1.1 200 OK\r\n'],
      [`${HEAD}${BYTES}`],
    );
    await readBlob(await upstream.blob(app, DIGEST));
    await expect.poll(() => server.connections().open).toBe(0);
    await readBlob(await upstream.blob(app, DIGEST));
    expect(server.connections().made).toBe(2);
  });

  test.each([
    ['chunks', (text: string) => text.replace(/content-length: \d+/, 'transfer-encoding: chunked')],
    ['no length', (text: string) => text.replace(/content-length: \d+/, 'connection: close')],
    ['HTTP/1.0', (text: string) => text.replace('1.1', '1.0')],
  ])('is read by undici after %s, and so are later blobs of that origin', async (_, change) => {
    const server = closing(
      await startRawServer((socket) => {
        // It says that it closes, or the next request might still be sent on the connection that it is closing.
        const head = change(HEAD).replace('\r\n', '\r\nconnection: close\r\n');
        const isChunked = head.includes('chunked');
        const size = BYTES.length.toString(16);
        socket.end(head + (isChunked ? `${size}\r\n${BYTES}\r\n0\r\n\r\n` : BYTES));
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url));
    expect((await readBlob(await upstream.blob(app, DIGEST))).equals(BYTES)).toBe(true);
    expect(server.requests).toHaveLength(2);
    await readBlob(await upstream.blob(app, DIGEST));
    expect(server.requests).toHaveLength(3);
  });
});

describe.each([
  ['TCP', false],
  ['TLS', true],
])('reused memory over %s', (_, secure) => {
  test('is never a reader’s while that reader still holds it', async () => {
    const bytes = randomBytes(20_000_000);
    const { upstream, digests } = await registryOf([bytes], { secure });
    const hashes = Array.from({ length: 4 }, async (_unused, nth) => {
      const hash = createHash('sha256');
      const sink = new Writable({
        highWaterMark: 1,
        write: (chunk: Buffer, _encoding, done) => {
          // Looked at only after others have had every chance to overwrite it.
          const look = () => {
            hash.update(chunk);
            done();
          };
          void turns(nth % 2 === 0 ? 1 : 20).then(look);
        },
      });
      const blob = await upstream.blob(app, digests[0] ?? DIGEST, { verify: false });
      if (blob.kind === 'content') await blob.writeTo(sink);
      return `sha256:${hash.digest('hex')}`;
    });
    expect(await Promise.all(hashes)).toEqual(Array.from({ length: 4 }, () => digests[0]));
  });
});

describe('createBlobTransport()', () => {
  /** The fast transport over real sockets, with its pool in sight. */
  function transportTo(now = () => performance.now()) {
    const timeouts = { headMs: 60_000, documentMs: 60_000, idleMs: 60_000, resumeMs: 10 };
    const trust = createTlsContexts({
      settingsOf: () => undefined,
      certificateDirs: [],
      systemAuthorityFiles: [],
      extraAuthorityFiles: [],
      now,
    });
    const proxyOf = () => undefined;
    const isTrusted = () => true;
    const resolve = createResolvers()();
    const refusePrivateName = createNameGuard(resolve);
    const dial = createDial({ isTrusted, trust, resolve, refusePrivateName, proxyOf, timeoutMs: 60_000 });
    const plain = closing(createTransport({ dial, proxyOf, isTrusted, refusePrivateName, timeouts }));
    const slabs = createSlabPool();
    return {
      plain,
      slabs,
      transport: closing(createBlobTransport({ dial, plain, proxyOf, timeouts, slabs, now })),
    };
  }

  test.each([
    ['plain', { authorization: 'Bearer a\r\nx: y' }],
    ['transport', { authorization: 'Bearer a\r\nx: y' }],
  ] as const)('leaves no timer behind when a header cannot be sent: %s', async (name, headers) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const url = new URL('http://127.0.0.1:9/');
    const reply = transportTo()[name].send({ method: 'GET', url, headers });
    await expect(reply).rejects.toMatchObject({ code: 'ERR_INVALID_CHAR' });
    expect(vi.getTimerCount()).toBe(0);
  });

  test('tries an origin whose answer it could not read again after ten minutes', async () => {
    // Without a length the answer is in chunks.
    const server = closing(await startServer((_, response) => response.write('x', () => response.end())));
    const clock = { ms: 1_000_000 };
    const { transport } = transportTo(() => clock.ms);
    const requestsFor = async (afterMs: number) => {
      clock.ms = 1_000_000 + afterMs;
      const before = server.requests.length;
      await (await transport.send({ method: 'GET', url: new URL(server.url), headers: {} })).body.read(
        (_, done) => done(),
      );
      return server.requests.length - before;
    };
    const counts = [];
    for (const afterMs of [0, 1, 599_999, 600_000]) counts.push(await requestsFor(afterMs));
    // A request that cannot be read is repeated by the plain transport.
    expect(counts).toEqual([2, 1, 1, 2]);
  });

  test('remembers 500 origins whose answers it cannot read, and forgets the one noted first', async () => {
    const dialled: string[] = [];
    const dial: Dial = async ({ host }, onread) => {
      dialled.push(host);
      const answer = () => {
        if (typeof onread?.buffer !== 'function') throw new Error('no memory to read into');
        const memory = onread.buffer();
        onread.callback(Buffer.from('HTTP/1.0 200 OK\r\n\r\n').copy(memory), memory);
      };
      const write = (_: Buffer, __: string, written: () => void) => {
        written();
        answer();
      };
      return new Duplex({ read: () => {}, write }) as Socket;
    };
    const plainReply = { status: 200, headers: {}, url: new URL('http://r.test'), target: '/' };
    const plain: Transport = {
      send: async () => ({ ...plainReply, body: bodyOf(BYTES) }),
      close: async () => {},
    };
    const timeouts = { headMs: 60_000, documentMs: 60_000, idleMs: 60_000, resumeMs: 10 };
    const transport = closing(
      createBlobTransport({
        ...{ dial, plain, timeouts, slabs: createSlabPool() },
        ...{ proxyOf: () => undefined, now: () => 0 },
      }),
    );
    /** True when the origin's answer is read the fast way first. */
    const isTried = async (nth: number) => {
      const before = dialled.length;
      await transport.send({ method: 'GET', url: new URL(`http://r${nth}.test/`), headers: {} });
      return dialled.length > before;
    };
    for (let nth = 0; nth < 500; nth += 1) await isTried(nth);
    expect(dialled).toHaveLength(500);
    expect([await isTried(499), await isTried(0)]).toEqual([false, false]);
    expect(await isTried(500)).toBe(true);
    // A look at an origin counts as a use, so the second one is the one that is forgotten.
    expect([await isTried(0), await isTried(2), await isTried(1)]).toEqual([false, false, true]);
  });

  test('releases every slab when all is read, broken off or cancelled', async () => {
    const bytes = randomBytes(5_000_000);
    const server = closing(
      await startServer((request, response) => {
        response.writeHead(200, { 'content-length': bytes.length });
        if (request.url === '/whole') return void response.end(bytes);
        response.write(bytes.subarray(0, 2_000_000), () => request.url === '/broken' && response.destroy());
      }),
    );
    const { slabs, transport } = transportTo();
    const ask = (path: string, signal?: AbortSignal) =>
      transport.send({ method: 'GET', url: new URL(path, server.url), headers: {}, signal });
    const release = (_chunk: Buffer, done: () => void) => void setImmediate(done);

    await (await ask('/whole')).body.read(release);
    await expect((await ask('/broken')).body.read(release)).rejects.toBeInstanceOf(BrokenBodyError);
    (await ask('/hanging')).body.cancel();
    const leaving = new AbortController();
    const left = (await ask('/hanging', leaving.signal)).body.read(release);
    leaving.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    const throwing = (await ask('/whole')).body.read(() => {
      throw new Error('enough');
    });
    await expect(throwing).rejects.toThrow('enough');
    await expect.poll(() => slabs.usage().usedBytes).toBe(0);
  });

  test('reuses the connection of a body that was cancelled after it had arrived completely', async () => {
    let goOn = () => {};
    const server = closing(
      await startServer(({ url }, response) => {
        response.writeHead(200, { 'content-length': 5 });
        if (url === '/slow') goOn = () => response.end('later');
        else response.end('early');
      }),
    );
    const { transport } = transportTo();
    const ask = (path: string) =>
      transport.send({ method: 'GET', url: new URL(path, server.url), headers: {} });
    const unread = await ask('/');
    const slow = ask('/slow');
    await expect.poll(() => server.requests.length).toBe(2);
    unread.body.cancel();
    goOn();
    const chunks: string[] = [];
    await (await slow).body.read((chunk, release) => {
      chunks.push(chunk.toString());
      release();
    });
    expect(chunks.join('')).toBe('later');
    expect(server.connections().made).toBe(1);
  });

  test('cancels a connection that is being opened when the client leaves', async () => {
    const server = closing(await startServer(() => {}));
    const { transport } = transportTo();
    const leaving = new AbortController();
    const asked = transport.send({
      method: 'GET',
      url: new URL(server.url),
      headers: {},
      signal: leaving.signal,
    });
    leaving.abort();
    await expect(asked).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => server.connections().open).toBe(0);
  });
});
