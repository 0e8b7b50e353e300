import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { ClientCredential } from '../../src/oci/registry.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { startRawServer, startServer } from '../support/hostile-registry.ts';
import { closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

// What advisories of undici teach, tried on the two readers of HTTP that MetaHub has: Node.js' client, and its own for blobs.

const app = repository('team/app');
const INDEX = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPE.ociIndex}","manifests":[]}`;
const BLOB = Buffer.from('the bytes of a blob');

describe('CVE-2026-1525: a response with two lengths, where two parsers could disagree on where it ends', () => {
  const twice = (body: string | Buffer, first: string, second: string, other: string) =>
    `HTTP/1.1 200 OK\r\ncontent-type: ${MEDIA_TYPE.ociIndex}\r\ncontent-length: ${first}\r\n${other}: ${second}\r\n\r\n${body}`;
  const LENGTHS = [
    ['two lengths', String(INDEX.length), '2', String(BLOB.length), 'content-length'],
    ['two lengths in two spellings', String(INDEX.length), '2', String(BLOB.length), 'Content-Length'],
    ['a length and chunks', String(INDEX.length), 'chunked', String(BLOB.length), 'Transfer-Encoding'],
  ] as const;

  test.each(LENGTHS)('%s: no manifest is read from it', async (_, length, second, __, other) => {
    const server = closing(
      await startRawServer((socket) => void socket.write(twice(INDEX, length, second, other))),
    );
    await expect(upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test.each(LENGTHS)('%s: no blob is read from it', async (_, __, second, length, other) => {
    const server = closing(
      await startRawServer((socket) => void socket.write(twice(BLOB, length, second, other))),
    );
    const upstream = upstreamTo(upstreamAt(server.url));
    await expect(upstream.blob(app, digestOf(BLOB)).then(readBlob)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});

describe('CVE-2026-21710: a response with a header called __proto__', () => {
  const answering = async (body: string | Buffer, type: string) => {
    const headers = ['__proto__: x', '__proto__: y', 'constructor: z', `content-type: ${type}`];
    const head = ['HTTP/1.1 200 OK', ...headers, `content-length: ${body.length}`, '', ''].join('\r\n');
    const server = closing(
      await startRawServer((socket) => {
        socket.write(head);
        socket.write(body);
      }),
    );
    return upstreamTo(upstreamAt(server.url));
  };

  test('is a manifest like any other', async () => {
    const upstream = await answering(INDEX, MEDIA_TYPE.ociIndex);
    expect(String((await upstream.manifest(app, tagged('v1'))).bytes)).toBe(INDEX);
  });

  test('is a blob like any other', async () => {
    const upstream = await answering(BLOB, MEDIA_TYPE.octets);
    expect(await readBlob(await upstream.blob(app, digestOf(BLOB)))).toEqual(BLOB);
  });
});

describe('CVE-2026-1527: input from outside never becomes another header or another request', () => {
  const EVIL = 'x\r\nx-evil: 1\r\n\r\nGET /evil HTTP/1.1\r\nhost: x';

  test('a login with line breaks is not sent, neither the mirror’s own nor a client’s', async () => {
    const server = closing(
      await startServer(
        (_, response) => void response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end(),
      ),
    );
    const stored = upstreamTo(upstreamAt(server.url), {
      credentials: { loginFor: async () => ({ kind: 'bearer', token: EVIL }) },
    });
    const passed = upstreamTo({ endpoints: [{ url: server.url, anyAddress: true, passThrough: true }] });
    const access = { partition: 'x', credential: new ClientCredential(app.host, EVIL) };
    for (const [upstream, options] of [
      [stored, {}],
      [passed, { access }],
    ] as const) {
      await expect(upstream.manifest(app, tagged('v1'), options)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
      });
      await expect(upstream.blob(app, digestOf(BLOB), options)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
      });
    }
    expect(server.requests.map(({ target }) => target)).not.toContain('/evil');
    expect(server.requests.filter(({ headers }) => 'x-evil' in headers)).toEqual([]);
  });

  test('a link or a redirect with encoded line breaks is followed with them encoded', async () => {
    const server = closing(
      await startServer((request, response) => {
        if (request.url?.includes('evil')) return void response.end('{"tags":["b"]}');
        const isList = request.url?.includes('/tags/') === true;
        const location = '/v2/x%0d%0ax-evil:%201';
        const link = '</v2/team/app/tags/list?last=a%0d%0ax-evil:%201>; rel="next"';
        response.writeHead(isList ? 200 : 307, isList ? { link } : { location });
        response.end(isList ? '{"tags":["a"]}' : '');
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url));
    expect((await upstream.tags(app)).tags).toEqual(['a', 'b']);
    await expect(upstream.blob(app, digestOf(BLOB)).then(readBlob)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(server.requests.filter(({ headers }) => 'x-evil' in headers)).toEqual([]);
    expect(
      server.requests.filter(({ target }) => target.includes('%0d%0ax-evil:%201')).length,
    ).toBeGreaterThan(1);
  });

  test('a server that switches the protocol is not followed', async () => {
    const server = closing(
      await startRawServer(
        (socket) =>
          void socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
      ),
    );
    const upstream = upstreamTo(upstreamAt(server.url));
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(upstream.blob(app, digestOf(BLOB)).then(readBlob)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});
