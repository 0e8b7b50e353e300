import { describe, expect, test } from 'vitest';
import { isLoop } from '../../src/lib/http.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const app = repository('team/app');

async function start(handler: Handler) {
  const server = closing(await startServer(handler));
  return { server, upstream: upstreamTo(upstreamAt(server.url)) };
}

const LIMITS = {
  'ratelimit-limit': '100;w=21600',
  'ratelimit-remaining': '98;w=21600',
  'docker-ratelimit-source': '192.0.2.1',
};

describe('a registry’s rate limit headers', () => {
  test('come with the manifest, and with the result of resolve()', async () => {
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const { upstream } = await start((request, response) => {
      for (const [name, value] of Object.entries(LIMITS)) response.setHeader(name, value);
      response.setHeader('set-cookie', 'session=secret');
      serveContent(content)(request, response);
    });
    expect((await upstream.manifest(app, tagged('v1'))).notices).toEqual(LIMITS);
    expect((await upstream.resolve(app, tagged('v1'))).notices).toEqual(LIMITS);
  });
});

describe('fault 23: 429 with Retry-After', () => {
  const limited: Handler = (_, response) =>
    void response.writeHead(429, { 'retry-after': '37', 'ratelimit-remaining': '0;w=21600' }).end();

  test('the client receives status and header at once, and the registry gets no second request', async () => {
    const { server, upstream } = await start(limited);
    const asked = upstream.manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({
      code: 'TOOMANYREQUESTS',
      status: 429,
      headers: { 'retry-after': '37', 'ratelimit-remaining': '0;w=21600' },
    });
    await expect(asked).rejects.toThrow('its rate limit is reached; a login raises it');
    expect(server.requests).toHaveLength(1);
  });

  test('a client that requests a blob receives status and header too', async () => {
    const { upstream } = await start(limited);
    await expect(upstream.blob(app, digestOf(Buffer.from('x')))).rejects.toMatchObject({
      code: 'TOOMANYREQUESTS',
      headers: { 'retry-after': '37' },
    });
  });
});

describe('referrers', () => {
  const subject = digestOf(Buffer.from('subject'));

  test('of a registry without that API get 404, so that clients use the referrers tag', async () => {
    const { server, upstream } = await start((_, response) => void response.writeHead(404).end());
    await expect(upstream.referrers(app, subject)).rejects.toMatchObject({ status: 404 });
    expect(server.requests[0]?.target).toBe(`/v2/team/app/referrers/${subject}`);
  });

  test('are the index that the registry sent, filtered as requested', async () => {
    const { server, upstream } = await start((_, response) => {
      response.writeHead(200, { 'content-type': MEDIA_TYPE.ociIndex });
      response.end(JSON.stringify(INDEX));
    });
    const answer = await upstream.referrers(app, subject, { artifactType: 'application/spdx+json' });
    expect(answer).toMatchObject({ mediaType: MEDIA_TYPE.ociIndex, maxAgeMs: 0 });
    expect(server.requests[0]?.target).toContain('?artifactType=application%2Fspdx%2Bjson');
  });
});

describe('the loop header', () => {
  test('distinguishes two mirrors in front of each other from a chain of mirrors', async () => {
    const { server, upstream } = await start((_, response) => void response.writeHead(404).end());
    await expect(upstream.resolve(app, tagged('v1'), { via: '1.1 metahub-a' })).rejects.toMatchObject({
      status: 404,
    });
    const via = String(server.requests[0]?.headers['via']);
    expect(isLoop(via, 'metahub-test')).toBe(true);
    expect(isLoop(via, 'metahub-a')).toBe(true);
    expect(isLoop(via, 'metahub-b')).toBe(false);
  });
});
