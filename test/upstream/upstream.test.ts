import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { createContent, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

async function honestRegistry() {
  const content = createContent();
  const server = closing(await startServer(serveContent(content)));
  return { content, server, upstream: upstreamTo(upstreamAt(server.url)) };
}

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const app = repository('team/app');

describe('a correct registry', () => {
  test('serves a manifest by tag byte for byte, with the digest of its bytes', async () => {
    const { content, upstream } = await honestRegistry();
    const digest = content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const manifest = await upstream.manifest(app, tagged('v1'));
    expect(manifest).toMatchObject({ digest, mediaType: MEDIA_TYPE.ociIndex, maxAgeMs: 0 });
    expect(manifest.bytes.toString()).toBe(JSON.stringify(INDEX));
  });

  test('allows clients to cache a manifest by digest for ever', async () => {
    const { content, upstream } = await honestRegistry();
    const digest = content.putManifest(INDEX, MEDIA_TYPE.ociIndex);
    const manifest = await upstream.manifest(app, { kind: 'digest', digest });
    expect(manifest.maxAgeMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('gets one HEAD and no GET for resolve()', async () => {
    const { content, server, upstream } = await honestRegistry();
    const digest = content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({
      digest,
      mediaType: MEDIA_TYPE.ociIndex,
      sizeBytes: JSON.stringify(INDEX).length,
    });
    expect(server.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  test('gets requests with identity encoding, every manifest type, and the mirror’s name in Via', async () => {
    const { content, server, upstream } = await honestRegistry();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    await upstream.manifest(app, tagged('v1'), { via: '1.1 metahub-other' });
    const headers = server.requests[0]?.headers ?? {};
    expect(server.requests[0]?.target).toBe('/v2/team/app/manifests/v1');
    expect(headers['accept-encoding']).toBe('identity');
    expect(headers['accept']).toContain(MEDIA_TYPE.dockerList);
    expect(headers['via']).toBe('1.1 metahub-other, 1.1 metahub-test');
    expect(headers).not.toHaveProperty('authorization');
  });

  test('serves a blob as a stream whose size is known in advance', async () => {
    const { content, upstream } = await honestRegistry();
    const bytes = randomBytes(3_000_000);
    const digest = content.putBlob(bytes);
    expect(await upstream.statBlob(app, digest)).toEqual({ digest, sizeBytes: bytes.length });
    const blob = await upstream.blob(app, digest);
    expect(blob).toMatchObject({ kind: 'content', sizeBytes: bytes.length, range: undefined });
    expect((await readBlob(blob)).equals(bytes)).toBe(true);
  });

  test('serves an empty blob', async () => {
    const { content, upstream } = await honestRegistry();
    const digest = content.putBlob(Buffer.alloc(0));
    expect(await readBlob(await upstream.blob(app, digest))).toHaveLength(0);
  });

  test.each([
    ['500-1499', { kind: 'from', first: 500, last: 1499 }, 500, 1500],
    ['500-', { kind: 'from', first: 500, last: undefined }, 500, 5000],
    ['-500', { kind: 'suffix', length: 500 }, 4500, 5000],
    ['4000-9999, clipped', { kind: 'from', first: 4000, last: 9999 }, 4000, 5000],
  ] as const)('serves the range %s', async (_, range, start, end) => {
    const { content, upstream } = await honestRegistry();
    const bytes = randomBytes(5000);
    const blob = await upstream.blob(app, content.putBlob(bytes), { range });
    expect(blob).toMatchObject({ sizeBytes: 5000, range: { start, end } });
    expect((await readBlob(blob)).equals(bytes.subarray(start, end))).toBe(true);
  });

  test('gives RANGE_INVALID with the size for a range beyond the end', async () => {
    const { content, upstream } = await honestRegistry();
    const digest = content.putBlob(randomBytes(10));
    const range = { kind: 'from', first: 10, last: undefined } as const;
    await expect(upstream.blob(app, digest, { range })).rejects.toMatchObject({
      code: 'RANGE_INVALID',
      headers: { 'content-range': 'bytes */10' },
    });
  });

  test.each([
    ['500-0', { kind: 'from', first: 500, last: 0 }],
    ['-0', { kind: 'suffix', length: 0 }],
  ] as const)(
    'a range %s, which no blob has, is RANGE_INVALID whatever the registry makes of it',
    async (_, range) => {
      const whole = randomBytes(5000);
      const server = closing(await startServer((__, response) => void response.writeHead(200).end(whole)));
      const asked = upstreamTo(upstreamAt(server.url)).blob(app, digestOf(whole), { range });
      await expect(asked).rejects.toMatchObject({ code: 'RANGE_INVALID' });
    },
  );

  test('gives RANGE_INVALID for the end of an empty blob, even when the registry accepts it (distribution)', async () => {
    const server = closing(
      await startServer(
        (_, response) =>
          void response.writeHead(206, { 'content-length': 0, 'content-range': 'bytes 0--1/0' }).end(),
      ),
    );
    const range = { kind: 'suffix', length: 5 } as const;
    const asked = upstreamTo(upstreamAt(server.url)).blob(app, digestOf(Buffer.alloc(0)), { range });
    await expect(asked).rejects.toMatchObject({ code: 'RANGE_INVALID' });
  });

  test('serves tags sorted, after the last one and no more than requested, whatever the registry’s order', async () => {
    const { content, upstream } = await honestRegistry();
    for (const tag of ['c', 'a', 'd', 'b']) content.putManifest(INDEX, MEDIA_TYPE.ociIndex, tag);
    expect(await upstream.tags(app)).toEqual({ tags: ['a', 'b', 'c', 'd'], next: undefined });
    expect(await upstream.tags(app, { limit: 2 })).toEqual({ tags: ['a', 'b'], next: 'b' });
    expect(await upstream.tags(app, { limit: 2, after: 'b' })).toEqual({ tags: ['c', 'd'], next: undefined });
  });

  test('gives 404 with the spec’s error code for content that does not exist', async () => {
    const { upstream } = await honestRegistry();
    const digest = digestOf(Buffer.from('absent'));
    const unknown = { status: 404 };
    await expect(upstream.manifest(app, tagged('no'))).rejects.toMatchObject({
      ...unknown,
      code: 'MANIFEST_UNKNOWN',
    });
    await expect(upstream.resolve(app, tagged('no'))).rejects.toMatchObject({
      ...unknown,
      code: 'MANIFEST_UNKNOWN',
    });
    await expect(upstream.blob(app, digest)).rejects.toMatchObject({ ...unknown, code: 'BLOB_UNKNOWN' });
    await expect(upstream.statBlob(app, digest)).rejects.toMatchObject({ ...unknown, code: 'BLOB_UNKNOWN' });
    await expect(upstream.referrers(app, digest)).rejects.toMatchObject(unknown);
  });
});

test('a source host that is not on the allow-list is refused before any connection', async () => {
  const { server } = await honestRegistry();
  const upstream = upstreamTo(upstreamAt(server.url), { allowed: new Map() });
  await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'DENIED' });
  expect(server.connections().made).toBe(0);
});

test('a path in the endpoint: with v2 it is the API root, without it v2 is appended', async () => {
  const { server } = await honestRegistry();
  const asked = [`${server.url}/v2/hub-proxy`, `${server.url}/artifacts/docker/`];
  for (const url of asked) {
    await expect(upstreamTo(upstreamAt(url)).resolve(app, tagged('v1'))).rejects.toMatchObject({
      status: 404,
    });
  }
  expect(server.requests.map(({ method, target }) => `${method} ${target}`)).toEqual([
    'HEAD /v2/hub-proxy/team/app/manifests/v1',
    'GET /v2/hub-proxy/team/app/manifests/v1',
    'HEAD /artifacts/docker/v2/team/app/manifests/v1',
    'GET /artifacts/docker/v2/team/app/manifests/v1',
  ]);
});
