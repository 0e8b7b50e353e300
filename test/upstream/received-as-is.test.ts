import { describe, expect, test } from 'vitest';
import { virtual } from '../../src/mirror/virtual.ts';
import { digestOf } from '../../src/oci/digest.ts';

import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { readList } from '../support/configuration.ts';
import {
  createContent,
  type Handler,
  serveContent,
  startRawServer,
  startServer,
} from '../support/hostile-registry.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const INDEX_OF = (changed: object) => JSON.stringify({ ...INDEX, ...changed });
const BYTES = Buffer.from('the bytes of a blob');
const DIGEST = digestOf(BYTES);

async function started(handler: Handler) {
  const server = closing(await startServer(handler));
  return { server, upstream: upstreamTo(upstreamAt(server.url)) };
}

describe('fault 73: a URL that another program would re-encode: a signed Location is followed byte for byte', () => {
  test.each([
    ["/s?disposition=UTF-8''layer.tar&sig=a|b{c}^`&n=%e2%82%ac&p=a+b%2Fc~(x)!*"],
    ["/s/it's~here?sig=%2b%2B"],
  ])('%s', async (location) => {
    const { server, upstream } = await started((request, response) => {
      if (request.url?.startsWith('/s')) return void response.end(BYTES);
      response.writeHead(307, { location }).end();
    });
    expect(await readBlob(await upstream.blob(app, DIGEST))).toEqual(BYTES);
    expect(server.requests.at(-1)?.target).toBe(location);
  });
});

test('raw UTF-8 in a Location, which a request line may not contain, is escaped byte by byte', async () => {
  const { server, upstream } = await started((request, response) => {
    if (request.url?.startsWith('/s')) return void response.end(BYTES);
    response.writeHead(307, { location: '/s/caf\xc3\xa9?n=\xe2\x82\xac' }).end();
  });
  expect(await readBlob(await upstream.blob(app, DIGEST))).toEqual(BYTES);
  expect(server.requests.at(-1)?.target).toBe('/s/caf%C3%A9?n=%E2%82%AC');
});

test('a redirect that is passed to the client is passed on as received', async () => {
  const location = "https://storage.test/x?sig=a'b|c%2b";
  const server = closing(
    await startServer((_, response) => void response.writeHead(307, { location, 'content-length': 0 }).end()),
  );
  const upstream = upstreamTo({ ...upstreamAt(server.url), blobs: 'redirect' });
  expect(await upstream.blob(app, DIGEST)).toEqual({ kind: 'redirect', location });
});

test('a token service’s own query stays unchanged, and parameters are added', async () => {
  const content = createContent();
  content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  const { server, upstream } = await started((request, response) => {
    if (request.url?.startsWith('/token')) return void response.end('{"token":"good"}');
    if (request.headers.authorization) return serveContent(content)(request, response);
    const realm = `http://${request.headers.host}/token?tenant=it's|ours`;
    response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end();
  });
  await upstream.manifest(app, tagged('v1'));
  const [asked] = server.requests.filter(({ target }) => target.startsWith('/token'));
  expect(asked?.target).toBe("/token?tenant=it's|ours&service=s&scope=repository%3Ateam%2Fapp%3Apull");
});

describe('fault 72: right bytes under a wrong label: the digest decides', () => {
  test('a blob whose right bytes are labelled as a web page is served', async () => {
    const { upstream } = await started((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html', 'content-length': BYTES.length }).end(BYTES);
    });
    expect(await readBlob(await upstream.blob(app, DIGEST))).toEqual(BYTES);
  });

  test('a page in place of a blob is refused before its length is sent', async () => {
    const { upstream } = await started((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<title>Welcome</title>');
    });
    await expect(upstream.blob(app, DIGEST)).rejects.toThrow('captive portal');
  });

  test('a manifest by digest with the right bytes is served, whatever its Content-Type', async () => {
    const bytes = Buffer.from(JSON.stringify(INDEX));
    const { upstream } = await started((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(bytes);
    });
    const reference = { kind: 'digest', digest: digestOf(bytes) } as const;
    expect((await upstream.manifest(app, reference)).mediaType).toBe(MEDIA_TYPE.ociIndex);
  });

  // No public record of this number was found: it is as reported.
  test('CVE-2026-85747: a manifest by digest with the right header and other bytes is refused, also through a cache and an index', async () => {
    const digest = digestOf(Buffer.from('the true manifest'));
    const { upstream } = await started((_, response) => {
      response.writeHead(200, { 'docker-content-digest': digest, 'content-type': MEDIA_TYPE.ociIndex });
      response.end(JSON.stringify(INDEX));
    });
    const { cache } = await cacheAt(await dataDirectory(), { next: upstream });
    const image = `registry.test/team/app@${digest}`;
    const list = readList({ image: 'registry.test/team/list:v1', manifests: [{ image }] });
    const lists = virtual({ next: cache, catalog: () => [list], now: () => 0, onMissing: () => {} });
    const reference = { kind: 'digest', digest } as const;
    for (const registry of [upstream, cache, lists]) {
      const asked = registry.manifest(app, reference);
      await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    }
    await expect(lists.manifest(repository('team/list'), tagged('v1'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    await expect(lists.manifest(repository('team/list'), reference)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test('a complete blob with status 206 to a request without Range is served', async () => {
    const { upstream } = await started((request, response) => {
      const range = `bytes 0-${BYTES.length - 1}/${BYTES.length}`;
      response.writeHead(206, { 'content-range': range, 'content-length': BYTES.length });
      response.end(request.method === 'HEAD' ? undefined : BYTES);
    });
    const blob = await upstream.blob(app, DIGEST);
    expect(blob).toMatchObject({ range: undefined, sizeBytes: BYTES.length });
    expect(await readBlob(blob)).toEqual(BYTES);
  });

  test.each([
    ['206 of an unknown length', 206, { 'content-range': `bytes 0-${BYTES.length - 1}/*` }],
    ['206 that says nothing of the part', 206, {}],
    ['201', 201, {}],
    ['202', 202, {}],
    ['203 of a gateway', 203, {}],
  ])('a complete blob with status %s is served, and other bytes are refused', async (_, status, headers) => {
    const send = (bytes: Buffer) =>
      started((request, response) => {
        response.writeHead(status, { ...headers, 'content-length': bytes.length });
        response.end(request.method === 'HEAD' ? undefined : bytes);
      });
    const blob = await (await send(BYTES)).upstream.blob(app, DIGEST);
    expect(blob).toMatchObject({ range: undefined, sizeBytes: BYTES.length });
    expect(await readBlob(blob)).toEqual(BYTES);
    const wrong = Buffer.from(BYTES).fill('x');
    await expect((await send(wrong)).upstream.blob(app, DIGEST).then(readBlob)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test.each([201, 202, 203, 206])(
    'a manifest with status %d is served, by tag and by digest',
    async (status) => {
      const bytes = Buffer.from(JSON.stringify(INDEX));
      const { upstream } = await started((request, response) => {
        response.writeHead(status, { 'content-type': MEDIA_TYPE.ociIndex, 'content-length': bytes.length });
        response.end(request.method === 'HEAD' ? undefined : bytes);
      });
      const digest = digestOf(bytes);
      expect((await upstream.manifest(app, tagged('v1'))).digest).toBe(digest);
      expect((await upstream.manifest(app, { kind: 'digest', digest })).bytes).toEqual(bytes);
      expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest, sizeBytes: bytes.length });
    },
  );

  test('a partial manifest by tag is refused', async () => {
    const bytes = Buffer.from(JSON.stringify(INDEX)).subarray(0, -5);
    const { upstream } = await started((_, response) => {
      response.writeHead(206, { 'content-type': MEDIA_TYPE.ociIndex, 'content-length': bytes.length });
      response.end(bytes);
    });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test.each([
    ['the part that another one asked for', 'bytes 4-18/19'],
    ['a part without its end', 'bytes 0-17/19'],
  ])('%s with status 206 to a request without Range is refused', async (_, range) => {
    const server = closing(
      await startServer((_request, response) => {
        response
          .writeHead(206, { 'content-range': range })
          .end(BYTES.subarray(0, range.includes('17') ? 18 : 15));
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url), { blobConnections: 1 });
    await expect(upstream.blob(app, DIGEST)).rejects.toThrow('another part');
  });

  test.each([
    ['an error document', '{"errors":[{"code":"UNAVAILABLE"}]}'],
    ['a token', '{"token":"x"}'],
    [
      'an image without schemaVersion',
      '{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}',
    ],
    ['a schemaVersion in words', '{"schemaVersion":"2"}'],
    ['a list', '[]'],
    ['null', 'null'],
    ['an index whose manifests are a text', '{"schemaVersion":2,"manifests":"x"}'],
    ['an index that names its type, with a map of manifests', INDEX_OF({ manifests: {} })],
    ['an index with a text as an entry', INDEX_OF({ manifests: ['x'] })],
    ['an index with an entry whose digest is a number', INDEX_OF({ manifests: [{ digest: 7 }] })],
    ['an index with an entry whose size is a text', INDEX_OF({ manifests: [{ size: '7' }] })],
    ['an index with an entry whose size is a fraction', INDEX_OF({ manifests: [{ size: 1.5 }] })],
    ['an index with an entry whose media type is a list', INDEX_OF({ manifests: [{ mediaType: [] }] })],
    ['an image whose layers are a text', '{"schemaVersion":2,"config":{},"layers":"x"}'],
    ['an image with a number as a layer', '{"schemaVersion":2,"config":{},"layers":[7]}'],
    ['an image whose configuration is a text', '{"schemaVersion":2,"config":"x","layers":[]}'],
    ['an image whose configuration is a list', '{"schemaVersion":2,"config":[],"layers":[]}'],
    ['a schema 1 manifest whose layers are a text', '{"schemaVersion":1,"fsLayers":"x"}'],
  ])(
    '%s with 200 is not a manifest: the next endpoint of the chain gets the request',
    async (_, document) => {
      const bad = closing(await startServer((_request, response) => void response.end(document)));
      const content = createContent();
      const digest = content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
      const good = closing(await startServer(serveContent(content)));
      const [first, second] = [bad.url, good.url].map((url) => ({ url, anyAddress: true }));
      const upstream = upstreamTo({ endpoints: [first ?? { url: '' }, ...(second ? [second] : [])] });
      expect(await upstream.manifest(app, tagged('v1'))).toMatchObject({ digest });
    },
  );
});

test.each([
  ['null in place of its manifests', INDEX_OF({ manifests: null })],
  ['null in place of its configuration and layers', '{"schemaVersion":2,"config":null,"layers":null}'],
  ['null as an entry', INDEX_OF({ manifests: [null] })],
  ['empty descriptors', '{"schemaVersion":2,"config":{},"layers":[{}]}'],
  [
    'other members by its own type',
    '{"schemaVersion":2,"mediaType":"application/vnd.x.y+json","layers":"x"}',
  ],
])('a manifest with %s, which clients decode, is passed on', async (_, document) => {
  const { upstream } = await started((_request, response) => void response.end(document));
  expect((await upstream.manifest(app, tagged('v1'))).bytes.toString()).toBe(document);
});

test('a manifest by digest consists of the requested bytes, whatever they contain', async () => {
  const document = '{"schemaVersion":2,"manifests":"x"}';
  const { upstream } = await started((_request, response) => void response.end(document));
  const digest = digestOf(Buffer.from(document));
  expect((await upstream.manifest(app, { kind: 'digest', digest })).bytes.toString()).toBe(document);
});

describe('fault 74: corners of the grammar of HTTP: interim responses before the answer are skipped', () => {
  const INTERIM = ['HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'];
  const manifest = JSON.stringify(INDEX);
  const answer = (interim: string, body: string, type: string) =>
    `${interim}HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

  test.each([...INTERIM, INTERIM.join('')])('%j before a manifest', async (interim) => {
    const server = closing(
      await startRawServer((socket) => void socket.write(answer(interim, manifest, MEDIA_TYPE.ociIndex))),
    );
    const found = await upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    expect(found.bytes.toString()).toBe(manifest);
  });

  test.each([...INTERIM, INTERIM.join('')])('%j before a blob, without a second request', async (interim) => {
    const server = closing(
      await startRawServer((socket) => void socket.write(answer(interim, BYTES.toString(), 'a/b'))),
    );
    const upstream = upstreamTo(upstreamAt(server.url), { blobConnections: 1 });
    expect(await readBlob(await upstream.blob(app, DIGEST))).toEqual(BYTES);
    expect(server.requests).toHaveLength(1);
  });

  test('100 before a blob in chunked encoding', async () => {
    const chunked = `13\r\n${BYTES}\r\n0\r\n\r\n`;
    const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
    const server = closing(
      await startRawServer((socket) => void socket.write(`${INTERIM[0]}${head}${chunked}`)),
    );
    const upstream = upstreamTo(upstreamAt(server.url), { blobConnections: 1 });
    expect(await readBlob(await upstream.blob(app, DIGEST))).toEqual(BYTES);
  });

  test('interim responses without end are an error', async () => {
    const server = closing(
      await startRawServer((socket) => void socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(2000))),
    );
    const timeouts = { headMs: 300 };
    const upstream = upstreamTo(upstreamAt(server.url), { blobConnections: 1, timeouts });
    await expect(upstream.blob(app, DIGEST)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('fault 75: referrers answered 404', () => {
  test.each([
    ['nothing', '', 'MANIFEST_UNKNOWN'],
    ['NOT_FOUND', '{"errors":[{"code":"NOT_FOUND"}]}', 'MANIFEST_UNKNOWN'],
    ['NAME_UNKNOWN', '{"errors":[{"code":"NAME_UNKNOWN"}]}', 'NAME_UNKNOWN'],
  ])('with %s: the client gets %s%s', async (_, body, code) => {
    const { upstream } = await started((_request, response) => void response.writeHead(404).end(body));
    await expect(upstream.referrers(app, DIGEST)).rejects.toMatchObject({ code, status: 404 });
  });
});

describe('a pull-through cache that passes on what its own registry said, as distribution does with 500', () => {
  const said = (code: string) => ({
    errors: [{ code: 'UNKNOWN', message: 'unknown error', detail: { errors: [{ code, message: 'x' }] } }],
  });
  const answers = (body: object, type = 'application/json; charset=utf-8') =>
    started(({ method }, response) => {
      response.writeHead(500, { 'content-type': type });
      response.end(method === 'HEAD' ? undefined : JSON.stringify(body));
    });
  const asked = { kind: 'digest', digest: DIGEST } as const;

  test.each(['MANIFEST_UNKNOWN', 'NAME_UNKNOWN'])(
    '%s: the cache does not know the manifest',
    async (code) => {
      const { upstream } = await answers(said(code));
      for (const answer of [upstream.manifest(app, asked), upstream.resolve(app, asked)]) {
        await expect(answer).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN', status: 404 });
      }
    },
  );

  test.each<[string, object, string?]>([
    ['another error inside', said('DENIED')],
    ['nothing inside', { errors: [{ code: 'UNKNOWN', detail: 'MANIFEST_UNKNOWN' }] }],
    ['a list that is none', { errors: [{ code: 'UNKNOWN', detail: { errors: 'MANIFEST_UNKNOWN' } }] }],
    ['entries that are nothing', { errors: [{ code: 'UNKNOWN', detail: { errors: [null] } }] }],
    ['no errors', {}],
    ['another type of document', said('MANIFEST_UNKNOWN'), 'text/plain'],
  ])('%s: the registry is at fault', async (_, body, type) => {
    const { upstream } = await answers(body, type);
    await expect(upstream.manifest(app, asked)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
  });
});
