import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type EndpointSettings, upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../support/guarded-registry.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const BLOB = Buffer.from('a blob that is long enough');

async function registry(onHead: Handler | undefined, { after = (handler: Handler) => handler } = {}) {
  const content = createContent();
  const digest = content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  const blob = content.putBlob(BLOB);
  const honest = serveContent(content);
  const handler: Handler = (request, response) =>
    (request.method === 'HEAD' && onHead ? onHead : honest)(request, response);
  const server = closing(await startServer(after(handler)));
  const asked = () => server.requests.map(({ method, target }) => `${method} ${target.split('/').at(-2)}`);
  return { server, digest, blob, asked };
}

const answering =
  (status: number, headers = {}): Handler =>
  (_, response) =>
    void response.writeHead(status, headers).end();

describe('fault 67: HEAD refused where GET works: a HEAD that proves nothing is asked again as GET, at the same endpoint', () => {
  const STATUSES = [400, 401, 403, 404, 405, 406, 410, 415, 451, 500, 501, 502, 503];
  test.each(STATUSES)('resolve() finds a tag whose HEAD gets %s', async (status) => {
    const { server, digest } = await registry(answering(status));
    const upstream = upstreamTo(upstreamAt(server.url));
    const size = JSON.stringify(INDEX).length;
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest, sizeBytes: size });
  });

  test.each(STATUSES)(
    'statBlob() finds a blob whose HEAD gets %s, by requesting its first byte',
    async (status) => {
      const { server, blob } = await registry(answering(status));
      const upstream = upstreamTo(upstreamAt(server.url));
      expect(await upstream.statBlob(app, blob)).toEqual({ digest: blob, sizeBytes: BLOB.length });
      expect(server.requests.at(-1)?.headers['range']).toBe('bytes=0-0');
    },
  );

  test('resolve() and statBlob() succeed when the registry closes the connection on HEAD', async () => {
    const { server, digest, blob } = await registry((_, response) => void response.destroy());
    const upstream = upstreamTo(upstreamAt(server.url));
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest });
    expect(await upstream.statBlob(app, blob)).toMatchObject({ sizeBytes: BLOB.length });
  });

  test.each([
    ['leads nowhere', {}],
    ['leads to no URL', { location: 'http://' }],
    ['leads to itself', { location: '?again' }],
    ['leads to another protocol', { location: 'ftp://storage.test/blob' }],
  ])('resolve() and statBlob() send GET after a HEAD with a redirect that %s', async (_, headers) => {
    const { server, digest, blob } = await registry(answering(302, headers));
    const upstream = upstreamTo(upstreamAt(server.url));
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest });
    expect(await upstream.statBlob(app, blob)).toMatchObject({ sizeBytes: BLOB.length });
  });

  test.each([
    ['no length', { 'content-type': MEDIA_TYPE.ociIndex }],
    ['a length of 0', { 'content-type': MEDIA_TYPE.ociIndex, 'content-length': 0 }],
    ['a web page’s type', { 'content-type': 'text/html', 'content-length': 44 }],
  ])('resolve() sends GET after a HEAD with %s', async (_, headers) => {
    const { server, digest } = await registry((request, response) =>
      answering(200, { ...headers, 'docker-content-digest': digestOf(Buffer.from('x')) })(request, response),
    );
    expect(await upstreamTo(upstreamAt(server.url)).resolve(app, tagged('v1'))).toMatchObject({ digest });
  });

  test('statBlob() finds a blob whose storage is signed for GET only', async () => {
    const { server, blob } = await registry(undefined, {
      after: (honest) => (request, response) => {
        const isStorage = request.url?.startsWith('/storage') === true;
        if (isStorage && request.method === 'HEAD') return answering(403)(request, response);
        if (isStorage) return honest(request, response);
        answering(307, { location: `/storage${request.url}?X-Signature=GET` })(request, response);
      },
    });
    const upstream = upstreamTo(upstreamAt(server.url));
    expect(await upstream.statBlob(app, blob)).toEqual({ digest: blob, sizeBytes: BLOB.length });
  });

  test('the first endpoint of a chain gets a GET before an unreachable second endpoint gets any request', async () => {
    const { server, digest } = await registry(answering(405));
    const endpoints: readonly [EndpointSettings, EndpointSettings] = [
      { url: server.url, anyAddress: true },
      { url: 'http://127.0.0.1:1', anyAddress: true },
    ];
    expect(await upstreamTo({ endpoints }).resolve(app, tagged('v1'))).toMatchObject({ digest });
  });
});

describe('a HEAD whose answer is final is not sent again as GET', () => {
  test.each([401, 403])('%s for a token that satisfied the challenge', async (status) => {
    const tokens = createTokenService();
    const { server, asked } = await registry(answering(status), {
      after: (handler) => (request, response) => {
        if (request.url?.startsWith('/token')) return tokens.handler(request, response);
        const challenge = bearerChallenge(`http://${request.headers.host}/token`);
        requireBearer(tokens, challenge, handler)(request, response);
      },
    });
    const asking = upstreamTo(upstreamAt(server.url)).resolve(app, tagged('v1'));
    await expect(asking).rejects.toMatchObject({ code: status === 401 ? 'UNAUTHORIZED' : 'DENIED' });
    expect(asked()).not.toContain('GET manifests');
  });

  test.each([429, 508])('%s, which a GET would get too', async (status) => {
    const { server, asked } = await registry(answering(status));
    const asking = upstreamTo(upstreamAt(server.url)).resolve(app, tagged('v1'));
    await expect(asking).rejects.toMatchObject({ status });
    expect(asked()).toEqual(['HEAD manifests']);
  });
});

describe('a gateway that rejects a client’s Via header', () => {
  test.each(['HEAD', 'GET'])(
    'gets the request again without it: its 403 says nothing about the tag (%s)',
    async (method) => {
      const { server, digest } = await registry(undefined, {
        after: (honest) => (request, response) =>
          String(request.headers.via).includes('offending')
            ? answering(403)(request, response)
            : honest(request, response),
      });
      const upstream = upstreamTo(upstreamAt(server.url));
      const options = { via: '1.1 offending' };
      const asked =
        method === 'HEAD'
          ? upstream.resolve(app, tagged('v1'), options)
          : upstream.manifest(app, tagged('v1'), options);
      expect(await asked).toMatchObject({ digest });
      // The mirror's own hop stays, by which a loop ends.
      expect(server.requests.at(-1)?.headers['via']).toBe('1.1 metahub-test');
    },
  );

  test('is believed when it answers 404, whatever Via the client sent', async () => {
    const { server } = await registry(undefined);
    const upstream = upstreamTo(upstreamAt(server.url));
    const asked = upstream.manifest(app, tagged('gone'), { via: '1.1 some-proxy' });
    await expect(asked).rejects.toMatchObject({ status: 404 });
    expect(server.requests).toHaveLength(1);
  });
});
