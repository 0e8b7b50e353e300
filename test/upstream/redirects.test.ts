import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fetchImageConfig } from '../../src/mirror/entry-demands.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { readDescriptor } from '../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { defaultUpstream, upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../support/guarded-registry.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { startInternet } from '../support/internet.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const app = repository('team/app', 'registry.example');
const { host } = app;
const sendTo =
  (location: string, status = 307): Handler =>
  (_, response) =>
    void response.writeHead(status, { location }).end();

describe('a blob whose registry redirects to another host', () => {
  /** A registry that wants a token and sends for blobs to a store of another name, as the large ones do. */
  async function start(
    bytes: Buffer = randomBytes(100_000),
    location = 'https://store.example/blob?signature=secret',
  ) {
    const content = createContent();
    const digest = content.putBlob(bytes);
    const tokens = createTokenService();
    const serve: Handler = (request, response) => {
      request.url = `/v2/any/blobs/${digest}`;
      serveContent(content)(request, response);
    };
    const guard = requireBearer(tokens, bearerChallenge('https://registry.example/token'), sendTo(location));
    const internet = await startInternet({
      'registry.example': (request, response) =>
        (request.url?.startsWith('/token') ? tokens.handler : guard)(request, response),
      'store.example': serve,
    });
    return { internet, digest, bytes };
  }

  test('is read there, without the login and without the Via header', async () => {
    const { internet, digest, bytes } = await start();
    const upstream = upstreamTo(defaultUpstream(host), internet.options);
    const blob = await upstream.blob(app, digest, { via: '1.1 metahub-of-a-customer' });
    expect((await readBlob(blob)).equals(bytes)).toBe(true);
    const [asked] = internet.asked('store.example');
    expect(asked?.target).toBe('/blob?signature=secret');
    expect(Object.keys(asked?.headers ?? {}).toSorted()).toEqual([
      'accept-encoding',
      'connection',
      'host',
      'range',
      'user-agent',
    ]);
  });

  test('is read there in part: the Range is sent too', async () => {
    const { internet, digest, bytes } = await start();
    const upstream = upstreamTo(defaultUpstream(host), internet.options);
    const blob = await upstream.blob(app, digest, { range: { kind: 'from', first: 10, last: 19 } });
    expect((await readBlob(blob)).equals(bytes.subarray(10, 20))).toBe(true);
  });

  test('with blobs: redirect, the client gets the redirect and the mirror fetches nothing', async () => {
    const { internet, digest } = await start();
    const upstream = upstreamTo({ ...defaultUpstream(host), blobs: 'redirect' }, internet.options);
    expect(await upstream.blob(app, digest)).toEqual({
      kind: 'redirect',
      location: 'https://store.example/blob?signature=secret',
    });
    expect(internet.asked('store.example')).toEqual([]);
  });

  test.each([
    'http://169.254.169.254/latest/meta-data/iam/security-credentials/',
    'http://[fd00:ec2::254]/latest/meta-data/',
    'http://metadata.google.internal/computeMetadata/v1/',
    'http://127.0.0.1:6443/api',
    'http://localhost/',
  ])(
    'with blobs: redirect, the client gets no redirect to %s, which the mirror itself would refuse',
    async (location) => {
      const server = closing(await startServer(sendTo(location)));
      const upstream = upstreamTo({ ...upstreamAt(server.url), blobs: 'redirect' });
      const blob = upstream.blob(app, digestOf(Buffer.from('anything')));
      await expect(blob).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await expect(blob).rejects.toThrow(/no public address|ENOTFOUND|not known to DNS|looked up/);
    },
  );

  test('is read by this program even with blobs: redirect', async () => {
    const document = { os: 'linux', architecture: 'amd64' };
    const { internet, digest, bytes } = await start(Buffer.from(JSON.stringify(document)));
    const upstream = upstreamTo({ ...defaultUpstream(host), blobs: 'redirect' }, internet.options);
    const { cache } = await cacheAt(await dataDirectory(), { next: upstream });
    const config = readDescriptor({ mediaType: MEDIA_TYPE.ociConfig, digest, size: bytes.length });
    if (config === undefined) throw new Error('no descriptor');
    const fetched = await fetchImageConfig(cache, app, config, {});
    expect(JSON.parse(String(fetched?.bytes))).toEqual(document);
  });

  test('causes one request to the registry for each client with blobs: redirect, with or without a cache', async () => {
    const { internet, digest } = await start();
    const upstream = upstreamTo({ ...defaultUpstream(host), blobs: 'redirect' }, internet.options);
    const { cache } = await cacheAt(await dataDirectory(), { next: upstream });
    await cache.blob(app, digest);
    const before = internet.asked('registry.example').length;
    expect(await cache.blob(app, digest)).toMatchObject({ kind: 'redirect' });
    expect(internet.asked('registry.example').length - before).toBe(1);
  });

  test('with blobs: redirect, a redirect to the same registry is followed, because the client has no login there', async () => {
    const content = createContent();
    const bytes = randomBytes(1000);
    const digest = content.putBlob(bytes);
    const server = closing(
      await startServer((request, response) => {
        if (!request.url?.includes('?')) return sendTo(`${request.url}?part=1`)(request, response);
        serveContent(content)(request, response);
      }),
    );
    const upstream = upstreamTo({ ...upstreamAt(server.url), blobs: 'redirect' });
    expect((await readBlob(await upstream.blob(repository('app'), digest))).equals(bytes)).toBe(true);
  });

  test('with blobs: redirect, a redirect to an unreachable host leaves no connection open', async () => {
    const server = closing(
      await startServer((_, response) => response.writeHead(307).end('see elsewhere'.repeat(100))),
    );
    const upstream = upstreamTo({ ...upstreamAt(server.url), blobs: 'redirect' });
    for (let round = 0; round < 20; round += 1) {
      const blob = upstream.blob(app, digestOf(Buffer.from('anything')));
      await expect(blob).rejects.toThrow('leads nowhere');
    }
    // The answers are read to their end, so that their connections serve again: none is left in the middle of an answer.
    expect(server.connections().made).toBeLessThanOrEqual(3);
  });

  test('the signature in a redirect’s URL appears in no error message', async () => {
    const { internet, digest } = await start(undefined, 'https://store.example/gone?signature=secret');
    const upstream = upstreamTo(defaultUpstream(host), internet.options);
    const blob = await upstream.statBlob(app, digest).catch((error: Error) => error);
    expect(JSON.stringify(blob)).not.toContain('secret');
  });
});

describe('a manifest whose registry redirects to another host (registry.k8s.io)', () => {
  test('is read there', async () => {
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const internet = await startInternet({
      'registry.example': (request, response) =>
        sendTo(`https://regional.example${request.url}`, 302)(request, response),
      'regional.example': serveContent(content),
    });
    const upstream = upstreamTo(defaultUpstream(host), internet.options);
    expect(await upstream.manifest(app, tagged('v1'))).toMatchObject({ mediaType: MEDIA_TYPE.ociIndex });
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ mediaType: MEDIA_TYPE.ociIndex });
  });
});

describe('fault 19: redirect loop', () => {
  test('is abandoned after five redirects, with an error that says so', async () => {
    const server = closing(
      await startServer((request, response) => sendTo(request.url ?? '')(request, response)),
    );
    const asked = upstreamTo(upstreamAt(server.url)).manifest(repository('app'), tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow('redirected more than 5 times');
    expect(server.requests).toHaveLength(6);
  });
});

describe('fault 21: redirect to another host', () => {
  test('gets no Authorization, not even when it leads back', async () => {
    const tokens = createTokenService();
    const challenge = bearerChallenge('https://registry.example/token');
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const internet = await startInternet({
      'registry.example': (request, response) => {
        if (request.url?.startsWith('/token')) return tokens.handler(request, response);
        if (request.url === '/back')
          return serveContent(content)(Object.assign(request, { url: '/v2/a/manifests/v1' }), response);
        requireBearer(tokens, challenge, sendTo('https://elsewhere.example/'))(request, response);
      },
      'elsewhere.example': sendTo('https://registry.example/back'),
    });
    const upstream = upstreamTo(defaultUpstream(host), internet.options);
    await upstream.manifest(app, tagged('v1'));
    expect(internet.asked('elsewhere.example').map(({ headers }) => headers['authorization'])).toEqual([
      undefined,
    ]);
    expect(internet.asked('registry.example').at(-1)).toMatchObject({ target: '/back' });
    expect(internet.asked('registry.example').at(-1)?.headers).not.toHaveProperty('authorization');
  });
});

describe('fault 22: https to http', () => {
  test('a redirect that leaves https is refused before it is followed', async () => {
    const internet = await startInternet({ 'registry.example': sendTo('http://registry.example/plain') });
    const upstream = upstreamTo(defaultUpstream(host), internet.options);
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toThrow('leaves https for http');
    expect(internet.proxy.targets).toEqual(['registry.example:443']);
  });
});

test.each([
  ['leads nowhere', 'http://'],
  ['leads to file:', 'file:///etc/passwd'],
  ['leads to data:', 'data:text/plain,hello'],
  ['contains a login', 'https://ann:pw@store.example/'],
])('a redirect that %s is refused', async (why, location) => {
  const server = closing(await startServer(sendTo(location)));
  const asked = upstreamTo(upstreamAt(server.url)).manifest(repository('app'), tagged('v1'));
  await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect(asked).rejects.toThrow(why);
});

test('a redirect without a Location is refused', async () => {
  const server = closing(await startServer((_, response) => void response.writeHead(302).end()));
  const asked = upstreamTo(upstreamAt(server.url)).manifest(repository('app'), tagged('v1'));
  await expect(asked).rejects.toThrow('leads nowhere');
});
