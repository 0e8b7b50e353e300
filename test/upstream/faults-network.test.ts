import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { startBlackHole } from '../support/black-hole.ts';
import { createContent, serveContent, startRawServer, startServer } from '../support/hostile-registry.ts';
import { freePort } from '../support/loopback.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const app = repository('team/app');
const BLOB = digestOf(Buffer.from('blob'));
/** Short, so that a test of waiting need not wait long. */
const timeouts = { headMs: 300, documentMs: 600, idleMs: 300 };

/** Every question there is, each of which has to come to an end. */
const QUESTIONS = [
  ['a manifest', (upstream: ReturnType<typeof upstreamTo>) => upstream.manifest(app, tagged('v1'))],
  ['the digest of a tag', (upstream: ReturnType<typeof upstreamTo>) => upstream.resolve(app, tagged('v1'))],
  ['a blob', (upstream: ReturnType<typeof upstreamTo>) => upstream.blob(app, BLOB)],
  ['the size of a blob', (upstream: ReturnType<typeof upstreamTo>) => upstream.statBlob(app, BLOB)],
  ['tags', (upstream: ReturnType<typeof upstreamTo>) => upstream.tags(app)],
  ['referrers', (upstream: ReturnType<typeof upstreamTo>) => upstream.referrers(app, BLOB)],
] as const;

describe('fault 1: connection refused', () => {
  test.each(QUESTIONS)('%s: 502 at once, with the name of the registry', async (_, ask) => {
    const host = `127.0.0.1:${await freePort()}`;
    const asked = ask(upstreamTo(upstreamAt(`http://${host}`)));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(`${host} refused the connection`);
  });
});

test('a registry that speaks plain HTTP in place of TLS is detected, and the error says what to configure', async () => {
  const server = closing(await startServer((_, res) => void res.end()));
  const asked = upstreamTo(upstreamAt(server.url.replace('http:', 'https:'))).manifest(app, tagged('v1'));
  await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
  await expect(asked).rejects.toThrow(`${server.host} does not speak TLS`);
});

describe('fault 2: name not found', () => {
  test('a name that does not resolve: 502, with the names of the registry and DNS', async () => {
    const asked = upstreamTo(upstreamAt('https://registry.invalid')).manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(/^registry\.invalid .*DNS/);
  });
});

describe('fault 3: connect black hole', () => {
  test('504 after the time limit for a response head', async () => {
    const hole = closing(await startBlackHole());
    const upstream = upstreamTo(upstreamAt(`http://127.0.0.1:${hole.port}`), { timeouts });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 504,
    });
  });

  test('over TLS, with a server that never completes the handshake: 504 after the same time', async () => {
    const silent = closing(await startRawServer(() => {}));
    const upstream = upstreamTo(upstreamAt(`https://127.0.0.1:${silent.port}`), { timeouts });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 504 });
  });

  test('the next mirror of the chain serves the manifest', async () => {
    const hole = closing(await startBlackHole());
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const server = closing(await startServer(serveContent(content)));
    const [first] = upstreamAt(`http://127.0.0.1:${hole.port}`).endpoints;
    const [second] = upstreamAt(server.url).endpoints;
    // Both have as long: the second is not to be late on a busy machine.
    const upstream = upstreamTo({ endpoints: [first, second] }, { timeouts: { headMs: 5000 } });
    const digest = digestOf(Buffer.from(JSON.stringify(INDEX)));
    expect(await upstream.manifest(app, tagged('v1'))).toMatchObject({ digest });
  });
});

describe('fault 4: response headers never come', () => {
  test.each(QUESTIONS)('%s: 504, and the connection is closed', async (_, ask) => {
    const server = closing(await startRawServer(() => {}));
    const asked = ask(upstreamTo(upstreamAt(server.url), { timeouts }));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 504 });
    await expect(asked).rejects.toThrow('no response within 300 ms');
    await expect.poll(() => server.connections().open).toBe(0);
  });

  test('a header that arrives byte by byte without end fails too', async () => {
    const server = closing(
      await startRawServer((socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const drip = setInterval(() => socket.write('x'), 20);
        socket.once('close', () => clearInterval(drip));
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url), { timeouts });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 504 });
  });

  test('interim responses (100, 103) without end fail too', async () => {
    const server = closing(
      await startRawServer((socket) => {
        const drip = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 20);
        socket.once('close', () => clearInterval(drip));
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url), { timeouts });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 504 });
  });

  test('a client that leaves while it waits ends the request to the registry', async () => {
    const server = closing(await startRawServer(() => {}));
    const upstream = upstreamTo(upstreamAt(server.url));
    const leaving = new AbortController();
    const asked = upstream.manifest(app, tagged('v1'), { signal: leaving.signal });
    await expect.poll(() => server.requests.length).toBe(1);
    leaving.abort();
    await expect(asked).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => server.connections().open).toBe(0);
  });
});

describe('fault 5: one byte a second', () => {
  test('a manifest must arrive within its time limit', async () => {
    const server = closing(
      await startRawServer((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-type: ${MEDIA_TYPE.ociIndex}\r\n\r\n`);
        const drip = setInterval(() => socket.write('{'), 20);
        socket.once('close', () => clearInterval(drip));
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url), { timeouts });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 504,
    });
    await expect.poll(() => server.connections().open).toBe(0);
  });
});

describe('a document that arrives slowly without a stall', () => {
  test('must arrive within its time limit', async () => {
    // 400 KB a second: an idle window of 1 s is full of bytes, so that only the document's own deadline can end it.
    const piece = ' '.repeat(8 * 1024);
    const server = closing(
      await startRawServer((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-type: ${MEDIA_TYPE.ociIndex}\r\n\r\n`);
        const drip = setInterval(() => socket.write(piece), 20);
        socket.once('close', () => clearInterval(drip));
      }),
    );
    const limits = { headMs: 5000, documentMs: 600, idleMs: 1000 };
    const upstream = upstreamTo(upstreamAt(server.url), { timeouts: limits });
    const asked = upstream.manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ status: 504 });
    await expect(asked).rejects.toThrow('took more than 600 ms');
  });
});

describe('a response that is not HTTP', () => {
  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a status line without a status', 'HTTP/1.1 OK\r\n\r\n'],
    ['a head that is larger than any', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`],
    ['two lengths that differ', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}'],
    ['a line break within a header', 'HTTP/1.1 200 OK\r\nretry-after: 1\rx: y\r\n\r\n{}'],
    ['nothing', ''],
  ])('%s gives 502', async (_, text) => {
    const server = closing(await startRawServer((socket) => socket.end(text, 'latin1')));
    const asked = upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(server.host);
  });
});

describe('fault 27: 500, then well', () => {
  test.each([500, 502, 503, 504])('a %i is retried once, unnoticed by the client', async (status) => {
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    let asked = 0;
    const server = closing(
      await startServer((request, response) => {
        asked += 1;
        if (asked === 1) return void response.writeHead(status).end('try again');
        serveContent(content)(request, response);
      }),
    );
    await upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    expect(asked).toBe(2);
  });

  test('a reset before the response is retried once too', async () => {
    let asked = 0;
    const server = closing(
      await startRawServer((socket) => {
        asked += 1;
        if (asked === 1) return void socket.resetAndDestroy();
        const body = JSON.stringify(INDEX);
        socket.end(
          `HTTP/1.1 200 OK\r\ncontent-type: ${MEDIA_TYPE.ociIndex}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        );
      }),
    );
    await upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    expect(asked).toBe(2);
  });

  test('500 on every try is an error after the second try', async () => {
    const server = closing(await startServer((_, response) => void response.writeHead(500).end()));
    const asked = upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(`${server.host} answered 500`);
    expect(server.requests).toHaveLength(2);
  });
});
