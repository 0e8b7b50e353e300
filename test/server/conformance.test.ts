import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { ask, codeOf, serve } from '../support/served.ts';

// The pull and content-discovery cases of the distribution spec's conformance suite.
// https://github.com/opencontainers/distribution-spec/tree/v1.1.1/conformance

const ABSENT = digestOf(Buffer.from('nobody has this'));
/** Without a period, so that bytes of another place are noticed. */
const BLOB = createHash('shake256', { outputLength: 5000 }).update('a blob').digest();
const CONFIG = Buffer.from('{"architecture":"amd64","os":"linux"}');
const MANIFEST = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: {}, layers: [] };

async function serveContent() {
  const served = await serve();
  const { registry } = served;
  const blob = registry.putBlob(BLOB);
  const config = registry.putBlob(CONFIG);
  const manifest = registry.putManifest(MANIFEST, { mediaType: MEDIA_TYPE.ociManifest, tag: 'v1' });
  for (const tag of ['v3', 'v2', 'latest']) registry.tag(tag, manifest);
  return { ...served, blob, config, manifest };
}

describe('the base endpoint of the API', () => {
  test.each(['/v2/', '/v2'])('%s gives 200 and the API version', async (path) => {
    const { port } = await serveContent();
    const answer = await ask(port, path);
    expect(answer.status).toBe(200);
    expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
  });
});

describe('pull endpoints', () => {
  test.each(['GET', 'HEAD'])('%s of an absent blob gives 404', async (method) => {
    const { port } = await serveContent();
    const answer = await ask(port, `/v2/team/app/blobs/${ABSENT}`, { method });
    expect(answer.status).toBe(404);
    if (method === 'GET') expect(codeOf(answer)).toBe('BLOB_UNKNOWN');
  });

  test('HEAD of a blob gives 200 with its length and digest', async () => {
    const { port, config } = await serveContent();
    const { status, headers, body } = await ask(port, `/v2/team/app/blobs/${config}`, { method: 'HEAD' });
    expect(status).toBe(200);
    expect(headers['content-length']).toBe(String(CONFIG.length));
    expect(headers['docker-content-digest']).toBe(config);
    expect(body.length).toBe(0);
  });

  test('GET of a blob gives 200 with its bytes', async () => {
    const { port, config } = await serveContent();
    const { status, headers, body } = await ask(port, `/v2/team/app/blobs/${config}`);
    expect(status).toBe(200);
    expect(headers['docker-content-digest']).toBe(config);
    expect(digestOf(body)).toBe(config);
  });

  test.each(['GET', 'HEAD'])('%s of an absent manifest gives 404', async (method) => {
    const { port } = await serveContent();
    for (const reference of ['.INVALID_MANIFEST_NAME', 'absent', ABSENT]) {
      const { status } = await ask(port, `/v2/team/app/manifests/${reference}`, { method });
      expect(status).toBe(404);
    }
    const answer = await ask(port, `/v2/team/app/manifests/absent`);
    expect(codeOf(answer)).toBe('MANIFEST_UNKNOWN');
  });

  test.each(['GET', 'HEAD'])('%s of a manifest by tag and by digest gives 200', async (method) => {
    const { port, manifest } = await serveContent();
    for (const reference of ['v1', manifest]) {
      const { status, headers, body } = await ask(port, `/v2/team/app/manifests/${reference}`, { method });
      expect(status).toBe(200);
      expect(headers['docker-content-digest']).toBe(manifest);
      expect(headers['content-type']).toBe(MEDIA_TYPE.ociManifest);
      if (method === 'GET') expect(digestOf(body)).toBe(manifest);
    }
  });

  test.each(['blobs', 'manifests'])(
    'a malformed digest below %s gives 400 with the spec’s code',
    async (kind) => {
      const { port } = await serveContent();
      const answer = await ask(port, `/v2/team/app/${kind}/sha256:totallywrong`);
      expect(answer.status).toBe(400);
      expect(codeOf(answer)).toBe('DIGEST_INVALID');
      expect(answer.headers['content-type']).toBe('application/json');
    },
  );
});

describe('fault 54: ranges of a blob of 5000 bytes', () => {
  test.each([
    ['bytes=500-1499', 'bytes 500-1499/5000', 1000],
    ['bytes=500-', 'bytes 500-4999/5000', 4500],
    ['bytes=-500', 'bytes 4500-4999/5000', 500],
    ['bytes=4500-9999', 'bytes 4500-4999/5000', 500],
    ['bytes=0-0', 'bytes 0-0/5000', 1],
    ['bytes=4999-4999', 'bytes 4999-4999/5000', 1],
    ['bytes=4999-', 'bytes 4999-4999/5000', 1],
    ['bytes=-1', 'bytes 4999-4999/5000', 1],
    ['bytes=0-4998', 'bytes 0-4998/5000', 4999],
    ['bytes=-9999', 'bytes 0-4999/5000', 5000],
  ])('%s gives 206 with %s', async (range, contentRange, length) => {
    const { port, blob } = await serveContent();
    const { status, headers, body } = await ask(port, `/v2/a/b/blobs/${blob}`, { headers: { range } });
    expect(status).toBe(206);
    expect(headers['content-range']).toBe(contentRange);
    expect(headers['content-length']).toBe(String(length));
    const start = Number(/bytes (\d+)/.exec(contentRange)?.[1]);
    expect(body.equals(BLOB.subarray(start, start + length))).toBe(true);
  });

  test.each(['bytes=500-0', 'bytes=5000-', 'bytes=9999-10000', 'bytes=-0', 'bytes=18446744073709551615-'])(
    '%s gives 416',
    async (range) => {
      const { port, blob } = await serveContent();
      const answer = await ask(port, `/v2/a/b/blobs/${blob}`, { headers: { range } });
      expect(answer.status).toBe(416);
      expect(answer.headers['content-range']).toBe('bytes */5000');
      expect(codeOf(answer)).toBe('RANGE_INVALID');
    },
  );

  test.each(['bytes=a-b', 'lines=1-2', 'bytes=0-1,3-4'])(
    '%s is ignored: the whole blob is sent',
    async (range) => {
      const { port, blob } = await serveContent();
      const { status, body } = await ask(port, `/v2/a/b/blobs/${blob}`, { headers: { range } });
      expect([status, body.length]).toEqual([200, 5000]);
    },
  );

  test('If-Range with another entity tag gives the whole blob, with its own entity tag the range', async () => {
    const { port, blob } = await serveContent();
    const part = (ifRange: string) =>
      ask(port, `/v2/a/b/blobs/${blob}`, { headers: { range: 'bytes=0-9', 'if-range': ifRange } });
    expect((await part(`"${ABSENT}"`)).status).toBe(200);
    expect((await part('Wed, 21 Oct 2015 07:28:00 GMT')).status).toBe(200);
    expect((await part(`"${blob}"`)).status).toBe(206);
  });
});

describe('content discovery endpoints', () => {
  const tagsOf = (body: Buffer) => JSON.parse(body.toString()) as { name: string; tags: string[] };

  test('tags/list returns all tags, sorted', async () => {
    const { port } = await serveContent();
    const { status, body, headers } = await ask(port, '/v2/team/app/tags/list');
    expect(status).toBe(200);
    expect(tagsOf(body)).toEqual({ name: 'team/app', tags: ['latest', 'v1', 'v2', 'v3'] });
    expect(headers['link']).toBeUndefined();
  });

  test('n limits the tags, last continues after one, and Link leads through all pages', async () => {
    const { port } = await serveContent();
    const seen: string[] = [];
    let path: string | undefined = '/v2/ghcr.io/team/app/tags/list?n=3';
    while (path !== undefined) {
      const { body, headers } = await ask(port, path);
      const page = tagsOf(body);
      expect(page.name).toBe('ghcr.io/team/app');
      expect(page.tags.length).toBeLessThanOrEqual(3);
      seen.push(...page.tags);
      path = /<([^>]+)>; rel="next"/.exec(String(headers['link']))?.[1];
    }
    expect(seen).toEqual(['latest', 'v1', 'v2', 'v3']);
  });

  test('a client that requests no number gets a page of ten thousand tags, and of fewer what it requests', async () => {
    const { port, registry } = await serveContent();
    const asked: unknown[] = [];
    const { tags } = registry;
    registry.tags = (repository, options) => {
      asked.push([options?.limit, options?.first]);
      return tags(repository, options);
    };
    for (const query of ['', '?n=2']) await ask(port, `/v2/library/app/tags/list${query}`);
    expect(asked).toEqual([
      [undefined, 10_000],
      [2, 10_000],
    ]);
  });

  test('Link contains the ns parameter', async () => {
    const { port } = await serveContent();
    const { headers } = await ask(port, '/v2/team/app/tags/list?n=1&ns=localhost%3A5000');
    expect(headers['link']).toBe('</v2/team/app/tags/list?n=1&last=latest&ns=localhost%3A5000>; rel="next"');
  });

  test('n=0 gives an empty list without Link', async () => {
    const { port } = await serveContent();
    const { status, body, headers } = await ask(port, '/v2/team/app/tags/list?n=0');
    expect([status, tagsOf(body).tags, headers['link']]).toEqual([200, [], undefined]);
  });

  test('n that is not a number is refused', async () => {
    const { port } = await serveContent();
    const answer = await ask(port, '/v2/team/app/tags/list?n=many');
    expect([answer.status, codeOf(answer)]).toEqual([400, 'PAGINATION_NUMBER_INVALID']);
  });

  test('referrers are an image index; a digest without referrers has an empty one', async () => {
    const { port, registry, manifest } = await serveContent();
    const referrer = (artifactType: string) => ({ ...MANIFEST, artifactType, subject: { digest: manifest } });
    registry.putManifest(referrer('text/a'), { mediaType: MEDIA_TYPE.ociManifest });
    for (const [digest, count] of [
      [manifest, 1],
      [ABSENT, 0],
    ] as const) {
      const { status, headers, body } = await ask(port, `/v2/team/app/referrers/${digest}`);
      expect(status).toBe(200);
      expect(headers['content-type']).toBe(MEDIA_TYPE.ociIndex);
      expect(headers['oci-filters-applied']).toBeUndefined();
      expect((JSON.parse(body.toString()) as { manifests: unknown[] }).manifests).toHaveLength(count);
    }
  });

  test('referrers are filtered by artifact type, and a header says so', async () => {
    const { port, registry, manifest } = await serveContent();
    registry.referrers = async () => {
      const entry = (artifactType: string) => ({ artifactType, digest: manifest, size: 1, x: artifactType });
      const document = { schemaVersion: 2, manifests: [entry('text/a'), entry('text/b')], kept: true };
      const bytes = Buffer.from(JSON.stringify(document));
      return { digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociIndex, bytes, maxAgeMs: 0 };
    };
    const path = `/v2/team/app/referrers/${manifest}?artifactType=text/b`;
    const { headers, body } = await ask(port, path);
    expect(headers['oci-filters-applied']).toBe('artifactType');
    expect(JSON.parse(body.toString())).toEqual({
      schemaVersion: 2,
      manifests: [{ artifactType: 'text/b', digest: manifest, size: 1, x: 'text/b' }],
      kept: true,
    });
  });

  test('a malformed digest in a referrers request gives 400', async () => {
    const { port } = await serveContent();
    const answer = await ask(port, '/v2/team/app/referrers/sha256:totallywrong');
    expect([answer.status, codeOf(answer)]).toEqual([400, 'DIGEST_INVALID']);
  });
});

describe('a request that a mirror does not support', () => {
  test.each([
    ['POST', '/v2/team/app/blobs/uploads/'],
    ['PUT', '/v2/team/app/manifests/v1'],
    ['PATCH', '/v2/team/app/blobs/uploads/1'],
    ['DELETE', `/v2/team/app/manifests/${ABSENT}`],
    ['OPTIONS', '/v2/'],
  ])('%s gets 405 UNSUPPORTED with the allowed methods', async (method, path) => {
    const { port } = await serveContent();
    const answer = await ask(port, path, { method });
    expect([answer.status, codeOf(answer)]).toEqual([405, 'UNSUPPORTED']);
    expect(answer.headers['allow']).toBe('GET, HEAD');
    expect(answer.headers['connection']).toBe('close');
  });
});
