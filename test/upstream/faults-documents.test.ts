import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge } from '../support/guarded-registry.ts';
import { type Handler, startServer } from '../support/hostile-registry.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };

/** A registry that answers every question with this. */
async function answering(
  body: string | Buffer,
  headers: Readonly<Record<string, string | undefined>> = { 'content-type': MEDIA_TYPE.ociIndex },
) {
  const given = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const handler: Handler = ({ method }, response) => {
    response.writeHead(200, { 'content-length': Buffer.byteLength(body), ...Object.fromEntries(given) });
    response.end(method === 'HEAD' ? undefined : body);
  };
  const server = closing(await startServer(handler));
  return { server, upstream: upstreamTo(upstreamAt(server.url)) };
}

/** `{"a":[[[…]]]}`, this many deep. */
function nested(depth: number, before = ''): string {
  return `{${before}"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
}

describe('fault 10: wrong digest', () => {
  test('a manifest requested by digest is refused', async () => {
    const { upstream } = await answering(JSON.stringify(INDEX));
    const digest = digestOf(Buffer.from('what was asked for'));
    const asked = upstream.manifest(app, { kind: 'digest', digest });
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(/sent bytes for .* that have the digest sha256:/);
  });
});

/** Sends a manifest under its digest, of which the first answers have a letter that is another one. */
async function spoilingFirst(answers: number, bytes: Buffer) {
  let asked = 0;
  const server = closing(
    await startServer((_, response) => {
      asked += 1;
      const sent = Buffer.from(bytes);
      // Still JSON: nothing but the digest tells.
      if (asked <= answers) sent.write(String(asked + 2), sent.indexOf('2'));
      response.writeHead(200, {
        'content-type': MEDIA_TYPE.ociIndex,
        'docker-content-digest': digestOf(bytes),
      });
      response.end(sent);
    }),
  );
  return upstreamTo(upstreamAt(server.url));
}

describe('fault 11: lying Docker-Content-Digest', () => {
  const lie = digestOf(Buffer.from('a lie'));

  test('a manifest with a wrong header gets the digest of its bytes', async () => {
    const bytes = JSON.stringify(INDEX);
    const { upstream } = await answering(bytes, {
      'content-type': MEDIA_TYPE.ociIndex,
      'docker-content-digest': lie,
    });
    expect((await upstream.manifest(app, tagged('v1'))).digest).toBe(digestOf(Buffer.from(bytes)));
  });

  test('a manifest that was damaged in transit is requested once more', async () => {
    const bytes = Buffer.from(JSON.stringify(INDEX));
    const upstream = await spoilingFirst(1, bytes);
    expect((await upstream.manifest(app, tagged('v1'))).bytes).toEqual(bytes);
  });

  test('a manifest whose bytes are damaged differently each time is an error', async () => {
    const upstream = await spoilingFirst(2, Buffer.from(JSON.stringify(INDEX)));
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('a HEAD by digest with a wrong header: the bytes are requested, and decide', async () => {
    const bytes = JSON.stringify(INDEX);
    const { upstream, server } = await answering(bytes, {
      'content-type': MEDIA_TYPE.ociIndex,
      'docker-content-digest': lie,
    });
    const digest = digestOf(Buffer.from(bytes));
    expect(await upstream.resolve(app, { kind: 'digest', digest })).toMatchObject({ digest });
    expect(server.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });

  test.each([undefined, '', 'sha256:short', 'md5:d41d8cd98f00b204e9800998ecf8427e', '../../etc/passwd'])(
    'a HEAD of a tag with a header that is %s: the bytes are requested, and decide',
    async (said) => {
      const bytes = JSON.stringify(INDEX);
      const { upstream } = await answering(bytes, {
        'content-type': MEDIA_TYPE.ociIndex,
        'docker-content-digest': said,
      });
      expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({
        digest: digestOf(Buffer.from(bytes)),
        sizeBytes: bytes.length,
      });
    },
  );
});

describe('fault 12: not JSON', () => {
  test.each([
    ['text', 'not found, sorry'],
    ['nothing', ''],
    ['JSON that breaks off', '{"schemaVersion":2,"manifests":['],
    ['a list', '[]'],
    ['a string', '"manifest"'],
    ['null', 'null'],
    ['bytes', Buffer.from([0x7b, 0xff, 0x00, 0x7d])],
  ])(
    '%s in place of a tag’s manifest is refused, so that the cached one is still served',
    async (_, body) => {
      const { upstream } = await answering(body);
      await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 502 });
    },
  );

  test('by digest only the digest decides, because an artifact may have any content', async () => {
    const { upstream } = await answering('not JSON');
    const digest = digestOf(Buffer.from('not JSON'));
    expect((await upstream.manifest(app, { kind: 'digest', digest })).bytes.toString()).toBe('not JSON');
  });
});

describe('fault 13: 100 MB of JSON', () => {
  /** Sends up to 100 MB, with or without saying so before; tells how much of it was taken. */
  async function flooding(announced: boolean, start = '{"a":"') {
    let sentBytes = 0;
    let flowing = 0;
    const chunk = Buffer.alloc(256 * 1024, 'x');
    const flood: Handler = (request, response) => {
      if (request.url?.startsWith('/guarded')) {
        const challenge = bearerChallenge(`http://${request.headers.host}/token`);
        return void response.writeHead(401, { 'www-authenticate': challenge }).end();
      }
      response.writeHead(200, {
        'content-type': MEDIA_TYPE.ociIndex,
        ...(announced ? { 'content-length': 100_000_000 } : {}),
      });
      flowing += 1;
      response.once('close', () => {
        flowing -= 1;
      });
      response.write(start);
      const more = () => {
        while (sentBytes < 100_000_000 && !response.destroyed) {
          sentBytes += chunk.length;
          if (!response.write(chunk)) return void response.once('drain', more);
        }
      };
      more();
    };
    const server = closing(await startServer(flood));
    return { server, sentBytes: () => sentBytes, flowing: () => flowing };
  }

  test.each([
    ['a manifest that says so', true, 12],
    ['a manifest that does not', false, 12],
  ])('%s is refused after its limit, not read to the end', async (_, announced, mebibytes) => {
    const { server, sentBytes, flowing } = await flooding(announced);
    const asked = upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    await expect(asked).rejects.toThrow('sent more than 4194304 bytes');
    await expect.poll(flowing).toBe(0);
    expect(sentBytes()).toBeLessThan(mebibytes * 1024 * 1024);
  });

  test('a list of tags is refused beyond 16 MiB', async () => {
    const { server, sentBytes, flowing } = await flooding(false, '{"tags":["');
    await expect(upstreamTo(upstreamAt(server.url)).tags(app)).rejects.toThrow('more than 16777216 bytes');
    await expect.poll(flowing).toBe(0);
    expect(sentBytes()).toBeLessThan(24 * 1024 * 1024);
  });

  test('a token is refused beyond 64 KiB', async () => {
    const { server, sentBytes, flowing } = await flooding(false, '{"token":"');
    const asked = upstreamTo(upstreamAt(`${server.url}/guarded`)).manifest(app, tagged('v1'));
    await expect(asked).rejects.toThrow('more than 65536 bytes');
    await expect.poll(flowing).toBe(0);
    expect(sentBytes()).toBeLessThan(8 * 1024 * 1024);
  });
});

describe('fault 14: nested 10,000 deep', () => {
  const deep = nested(10_000, '"schemaVersion":2,"manifests":[],');

  test('a manifest requested by digest is served unchanged when its Content-Type names its type', async () => {
    const { upstream } = await answering(deep, { 'content-type': MEDIA_TYPE.ociIndex });
    const manifest = await upstream.manifest(app, { kind: 'digest', digest: digestOf(Buffer.from(deep)) });
    expect(manifest.bytes.toString()).toBe(deep);
    expect(manifest.mediaType).toBe(MEDIA_TYPE.ociIndex);
  });

  test.each([MEDIA_TYPE.ociIndex, 'application/json', undefined])(
    'a manifest (Content-Type %s) requested by tag is refused before it is parsed',
    async (type) => {
      const { upstream } = await answering(deep, { 'content-type': type });
      await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
    },
  );

  test('a list of tags nested a million deep is refused like any other invalid list', async () => {
    const { upstream } = await answering(nested(1_000_000));
    await expect(upstream.tags(app)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

/** Documents that are odd, and none of an upstream client's business: they pass as they are. */
const ENTRY = { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(Buffer.from('entry')), size: 5 };
async function expectUntouched(document: object): Promise<void> {
  const written = `  ${JSON.stringify(document, null, 3)}\n`;
  const { upstream } = await answering(written);
  expect(await upstream.manifest(app, tagged('v1'))).toMatchObject({
    digest: digestOf(Buffer.from(written)),
    mediaType: MEDIA_TYPE.ociIndex,
    bytes: Buffer.from(written),
  });
}

describe('fault 15: nested or empty index', () => {
  test('an empty index is served byte for byte, with the registry’s Content-Type', () =>
    expectUntouched(INDEX));

  test('an index within an index is served byte for byte', () =>
    expectUntouched({ ...INDEX, manifests: [{ ...ENTRY, mediaType: MEDIA_TYPE.ociIndex }] }));
});

describe('fault 18: duplicate entries', () => {
  test('an entry that occurs twice: the index is served byte for byte', () =>
    expectUntouched({ ...INDEX, manifests: [ENTRY, ENTRY] }));
});

describe('fault 16: wrong mediaType', () => {
  test.each([MEDIA_TYPE.ociManifest, 7])(
    'a contradicting mediaType %s: the manifest is served byte for byte',
    (mediaType) => expectUntouched({ ...INDEX, mediaType }),
  );

  test.each(['application/json', 'application/octet-stream', 'text/plain; charset=utf-8', undefined])(
    'a Content-Type %s without information: the document’s mediaType is used',
    async (type) => {
      const { upstream } = await answering(JSON.stringify(INDEX), { 'content-type': type });
      expect((await upstream.manifest(app, tagged('v1'))).mediaType).toBe(MEDIA_TYPE.ociIndex);
      expect((await upstream.resolve(app, tagged('v1'))).mediaType).toBe(MEDIA_TYPE.ociIndex);
    },
  );
});

describe('a registry that sends a wrong media type', () => {
  const IMAGE = { schemaVersion: 2, config: ENTRY, layers: [] };

  test.each(['application/vnd.evil+json', MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerSchema1Signed])(
    'as %s: an image keeps its type, as other registries serve it under the same digest',
    async (type) => {
      const written = JSON.stringify(IMAGE);
      const { upstream } = await answering(written, { 'content-type': type });
      const reference = { kind: 'digest', digest: digestOf(Buffer.from(written)) } as const;
      expect((await upstream.manifest(app, reference)).mediaType).toBe(MEDIA_TYPE.ociManifest);
    },
  );

  test.each(['image/svg+xml', 'application/xml', 'text/xml', 'application/pdf', 'text/javascript'])(
    'as %s: it is not passed on, because a browser would treat it as a page of the mirror',
    async (type) => {
      const { upstream } = await answering('{"schemaVersion":2,"hello":"world"}', { 'content-type': type });
      expect((await upstream.manifest(app, tagged('v1'))).mediaType).toBe(MEDIA_TYPE.octets);
    },
  );

  test('of an artifact of another type: its Content-Type is used', async () => {
    const type = 'application/vnd.cncf.thing.v1+json';
    const { upstream } = await answering('{"schemaVersion":2}', { 'content-type': type });
    expect((await upstream.manifest(app, tagged('v1'))).mediaType).toBe(type);
  });
});

describe('fault 17: schema 1', () => {
  test('a manifest of schema 1 is served byte for byte, with its signatures and its type', async () => {
    const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
    const written = '{\n   "schemaVersion": 1,\n   "name": "team/app",\n   "signatures": []\n}';
    const { upstream } = await answering(written, { 'content-type': type });
    const manifest = await upstream.manifest(app, tagged('v1'));
    expect(manifest).toMatchObject({ mediaType: type, bytes: Buffer.from(written) });
  });
});

describe('fault 29: captive portal', () => {
  const PORTAL = '<!DOCTYPE html><title>Welcome to the hotel</title>';
  const html = { 'content-type': 'text/html; charset=utf-8' };

  test.each([
    ['a manifest', (upstream: ReturnType<typeof upstreamTo>) => upstream.manifest(app, tagged('v1'))],
    ['the digest of a tag', (upstream: ReturnType<typeof upstreamTo>) => upstream.resolve(app, tagged('v1'))],
    ['a blob', (upstream: ReturnType<typeof upstreamTo>) => upstream.blob(app, digestOf(Buffer.from('x')))],
    ['tags', (upstream: ReturnType<typeof upstreamTo>) => upstream.tags(app)],
  ])('HTML with 200 for %s is refused, and the message names the likely cause', async (_, ask) => {
    const { upstream } = await answering(PORTAL, html);
    const asked = ask(upstream);
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow('is there a proxy or a captive portal in between?');
  });

  test('HTML with a manifest’s Content-Type is refused', async () => {
    const { upstream } = await answering(PORTAL);
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 502 });
  });
});

describe('fault 30: gzip bomb', () => {
  test.each(['gzip', 'deflate', 'br', 'zstd', 'gzip, gzip'])(
    'a manifest with Content-Encoding %s is refused unread',
    async (encoding) => {
      const { upstream } = await answering(Buffer.alloc(1000), {
        'content-type': MEDIA_TYPE.ociIndex,
        'content-encoding': encoding,
      });
      const asked = upstream.manifest(app, tagged('v1'));
      await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
      await expect(asked).rejects.toThrow(`${encoding}-encoded content where none was accepted`);
    },
  );

  test('a blob with a Content-Encoding is refused, because its bytes have another digest', async () => {
    const { upstream } = await answering(Buffer.alloc(1000), { 'content-encoding': 'gzip' });
    await expect(upstream.blob(app, digestOf(Buffer.from('x')))).rejects.toThrow('gzip-encoded content');
  });

  test('a Content-Encoding of identity is accepted', async () => {
    const { upstream } = await answering(JSON.stringify(INDEX), {
      'content-type': MEDIA_TYPE.ociIndex,
      'content-encoding': 'identity',
    });
    expect((await upstream.manifest(app, tagged('v1'))).bytes.toString()).toBe(JSON.stringify(INDEX));
  });
});
