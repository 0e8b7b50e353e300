import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { createFakeRegistry, type FakeRegistry } from '../support/fake-registry.ts';
import { ask, serve } from '../support/served.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

// A proxy passes on what a client says to caches, whether it is one or not: RFC 9111, section 5.2.

const CONFIG = Buffer.from('a config');
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const NO_CACHE = { 'cache-control': 'no-cache' };

function stock(registry: FakeRegistry): FakeRegistry {
  registry.putBlob(CONFIG);
  registry.putManifest(INDEX, { tag: 'latest' });
  return registry;
}

describe('Cache-Control: no-cache of a client', () => {
  test.each([
    ['GET', '/v2/team/app/manifests/latest', {}],
    ['HEAD', '/v2/team/app/manifests/latest', {}],
    ['GET', `/v2/team/app/manifests/${digestOf(Buffer.from(JSON.stringify(INDEX)))}`, {}],
    ['GET', `/v2/team/app/blobs/${digestOf(CONFIG)}`, {}],
    ['GET', `/v2/team/app/blobs/${digestOf(CONFIG)}`, { range: 'bytes=2-5' }],
    ['HEAD', `/v2/team/app/blobs/${digestOf(CONFIG)}`, {}],
    ['GET', '/v2/team/app/tags/list', {}],
    ['GET', `/v2/team/app/referrers/${digestOf(CONFIG)}`, {}],
  ])('reaches the registry with %s %s %j', async (method, path, headers) => {
    const { port, registry } = await serve();
    stock(registry);
    expect((await ask(port, path, { method, headers: { ...headers, ...NO_CACHE } })).status).toBeLessThan(
      300,
    );
    expect(registry.calls.length).toBeGreaterThan(0);
    expect(registry.calls.map(({ options }) => options.revalidate)).toEqual(registry.calls.map(() => true));
  });

  test('reaches the registry through a cache that lacks the blob, and for a check of the login', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory(), {
      upstream: stock(createFakeRegistry()),
    });
    const app = repository('team/app');
    for (const access of [{ partition: 'alice' }, { partition: 'bob' }])
      await readBlob(await cache.blob(app, digestOf(CONFIG), { access, revalidate: true }));
    expect(upstream.calls.map(({ method, options }) => [method, options.revalidate])).toEqual([
      ['blob', true],
      ['statBlob', true],
    ]);
  });
});
