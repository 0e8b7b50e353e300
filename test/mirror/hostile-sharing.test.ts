import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { cached } from '../../src/mirror/cache.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { createUpstream } from '../../src/upstream/client.ts';
import type { UpstreamSettings } from '../../src/upstream/settings.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { closing, readBlob, repository, tagged } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };

/** A cache in front of registries that answer so, each behind one endpoint or a chain of them. */
async function cacheOf(handlers: Readonly<Record<string, readonly Handler[]>>) {
  const settings = new Map<string, UpstreamSettings>();
  for (const [host, chain] of Object.entries(handlers)) {
    const servers = await Promise.all(chain.map(async (handler) => closing(await startServer(handler))));
    const [first, ...rest] = servers.map(({ url }) => ({ url, anyAddress: true }));
    if (first) settings.set(host, { endpoints: [first, ...rest] });
  }
  const now = () => performance.now();
  const upstream = closing(createUpstream({ allowed: settings, pseudonym: 'metahub-test', now }));
  const { store, lines } = await storeAt(await dataDirectory());
  const log = (level: string, event: string, _message: string, fields = {}) =>
    void lines.push({ level, event, fields });
  return { cache: closing(cached({ next: upstream, store, now, log, tagMaxAgeMs: 0 })), lines };
}

/** Somebody who has something to wait for, and lets others know when it is asked for. */
function meeting() {
  let come = () => {};
  const met = new Promise<void>((resolve) => {
    come = resolve;
  });
  return { come, met };
}

describe('one registry and the bytes of another', () => {
  test('a blob that one registry sends byte by byte does not delay a request for it to another', async () => {
    const content = createContent();
    const bytes = randomBytes(300_000);
    const digest = content.putBlob(bytes);
    const held: ServerResponse[] = [];
    const begun = meeting();
    const dripping: Handler = (_, response) => {
      response.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, 1000));
      held.push(response);
      begun.come();
    };
    const { cache } = await cacheOf({ 'evil.test': [dripping], 'good.test': [serveContent(content)] });
    const trap = cache.blob(repository('x', 'evil.test'), digest).then(readBlob);
    trap.catch(() => {});
    await begun.met;
    const read = await cache.blob(repository('team/app', 'good.test'), digest).then(readBlob);
    expect(read.equals(bytes)).toBe(true);
    for (const response of held) response.destroy();
  });

  test('a repository without a blob does not decide for another repository', async () => {
    const content = createContent();
    const digest = content.putBlob(randomBytes(1000));
    const honest = serveContent(content);
    const [asked, answer] = [meeting(), meeting()];
    const handler: Handler = (request, response) => {
      if (!request.url?.startsWith('/v2/nobody/')) return honest(request, response);
      asked.come();
      void answer.met.then(() => response.writeHead(404).end());
    };
    const { cache } = await cacheOf({ 'good.test': [handler] });
    const wrong = cache.blob(repository('nobody/nothing', 'good.test'), digest);
    await asked.met;
    const right = cache.blob(repository('team/app', 'good.test'), digest).then(readBlob);
    expect((await right).length).toBe(1000);
    answer.come();
    await expect(wrong).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
  });
});

describe('a request that has already passed through an upstream mirror', () => {
  const app = repository('team/app', 'good.test');
  const looping = '1.1 metahub-a, 1.1 metahub-b';

  /** A mirror that refuses whoever came through more than one other, and a registry behind it; what each was asked. */
  async function chained() {
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const honest = serveContent(content);
    const asked = { mirror: 0, registry: 0 };
    const mirror: Handler = (request, response) => {
      asked.mirror += 1;
      if (String(request.headers['via']).split(',').length > 2) response.writeHead(508).end();
      else honest(request, response);
    };
    const registry: Handler = (request, response) => {
      asked.registry += 1;
      honest(request, response);
    };
    return { asked, mirror, registry, content };
  }

  test('does not remove the mirror from the chain for others', async () => {
    const { asked, mirror, registry } = await chained();
    const { cache } = await cacheOf({ 'good.test': [mirror, registry] });
    await cache.resolve(app, tagged('v1'), { via: looping });
    asked.registry = 0;
    await cache.resolve(app, tagged('v1'));
    expect(asked).toMatchObject({ registry: 0 });
  });

  test('does not make others get stale tags', async () => {
    const { mirror, content } = await chained();
    const { cache, lines } = await cacheOf({ 'good.test': [mirror] });
    await cache.manifest(app, tagged('v1'));
    await expect(cache.manifest(app, tagged('v1'), { via: looping })).rejects.toMatchObject({ status: 508 });
    const moved = content.putManifest({ ...INDEX, annotations: { moved: 'yes' } }, MEDIA_TYPE.ociIndex, 'v1');
    expect(await cache.manifest(app, tagged('v1'))).toMatchObject({ digest: moved });
    expect(lines.filter(({ event }) => event === 'served-stale')).toEqual([]);
  });

  test('does not fail concurrent requests of others for the same content', async () => {
    const { mirror } = await chained();
    const [asked, answer] = [meeting(), meeting()];
    const slow: Handler = (request, response) => {
      asked.come();
      void answer.met.then(() => mirror(request, response));
    };
    const { cache } = await cacheOf({ 'good.test': [slow] });
    const first = cache.manifest(app, tagged('v1'), { via: looping });
    await asked.met;
    const second = cache.manifest(app, tagged('v1'));
    answer.come();
    await expect(first).rejects.toMatchObject({ status: 508 });
    expect((await second).mediaType).toBe(MEDIA_TYPE.ociIndex);
  });
});
