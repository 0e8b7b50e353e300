import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { unreachable } from '../support/fake-registry.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { readBlob, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, manifests: [] };
const MIB = 1024 * 1024;

describe('manifests in the cache', () => {
  test('a manifest by digest is requested upstream once, also across a restart', async () => {
    const directory = await dataDirectory();
    const first = await cacheAt(directory);
    const digest = first.upstream.putManifest(INDEX);
    const fetched = await first.cache.manifest(app, { kind: 'digest', digest });
    expect(await first.cache.manifest(app, { kind: 'digest', digest })).toEqual({
      ...fetched,
      ageMs: expect.any(Number),
    });
    expect(first.upstream.count()).toBe(1);

    const second = await cacheAt(directory);
    expect(await second.cache.manifest(app, { kind: 'digest', digest })).toEqual({
      ...fetched,
      ageMs: expect.any(Number),
    });
    expect(second.upstream.count()).toBe(0);
  });

  test('a tag is looked up for each request, and its manifest is fetched once', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putManifest(INDEX, { tag: 'v1' });
    for (let round = 0; round < 3; round += 1) {
      expect(await cache.manifest(app, tagged('v1'))).toMatchObject({ digest, maxAgeMs: 0 });
    }
    expect(upstream.count('resolve')).toBe(3);
    expect(upstream.count('manifest')).toBe(1);
  });

  test('a tag that moved gives the new manifest', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    const moved = upstream.putManifest({ ...INDEX, annotations: { moved: 'yes' } }, { tag: 'v1' });
    expect((await cache.manifest(app, tagged('v1'))).digest).toBe(moved);
  });

  test('a tag within its maximum age is looked up for a client that requests revalidation', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory(), { tagMaxAgeMs: 60_000 });
    const former = upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    const moved = upstream.putManifest({ ...INDEX, annotations: { moved: 'yes' } }, { tag: 'v1' });
    expect((await cache.manifest(app, tagged('v1'))).digest).toBe(former);
    expect((await cache.manifest(app, tagged('v1'), { revalidate: true })).digest).toBe(moved);
    expect((await cache.manifest(app, tagged('v1'))).digest).toBe(moved);
  });

  test('a request for revalidation does not join a lookup that began before it', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory(), { tagMaxAgeMs: 60_000 });
    upstream.putManifest(INDEX, { tag: 'v1' });
    let goOn = () => {};
    const slow = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    upstream.before = () => slow;
    const first = cache.resolve(app, tagged('v1'));
    await expect.poll(() => upstream.count('resolve')).toBe(1);
    const second = cache.resolve(app, tagged('v1'), { revalidate: true });
    await expect.poll(() => upstream.count('resolve')).toBe(2);
    goOn();
    expect((await second).digest).toBe((await first).digest);
  });

  test('a tag that one client sees moved is looked up again for all others, and reported once', async () => {
    const moves: string[] = [];
    const { upstream, cache } = await cacheAt(await dataDirectory(), {
      tagMaxAgeMs: 60_000,
      onTagMoved: (_, tag) => moves.push(tag),
    });
    const anna = { access: { partition: 'anna' } };
    upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.resolve(app, tagged('v1'), anna);
    await cache.resolve(app, tagged('v1'));
    const moved = upstream.putManifest({ ...INDEX, annotations: { moved: 'yes' } }, { tag: 'v1' });
    await cache.resolve(app, tagged('v1'), { revalidate: true });
    expect(moves).toEqual(['v1']);
    expect((await cache.resolve(app, tagged('v1'), anna)).digest).toBe(moved);
  });

  test('a tag is served stale with a Warning when the upstream is down, also after a restart', async () => {
    const directory = await dataDirectory();
    const first = await cacheAt(directory);
    const digest = first.upstream.putManifest(INDEX, { tag: 'v1' });
    const fetched = await first.cache.manifest(app, tagged('v1'));
    expect(fetched.notices).toBeUndefined();

    const second = await cacheAt(directory);
    second.upstream.before = unreachable;
    const stale = await second.cache.manifest(app, tagged('v1'));
    expect(stale).toMatchObject({ digest, notices: { warning: '110 - "Response is Stale"' } });
    expect(stale.bytes).toEqual(fetched.bytes);
  });

  test('a tag that moves during a slow pull is served stale with its latest digest', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const former = upstream.putManifest(INDEX, { tag: 'v1' });
    let goOn = () => {};
    const slow = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    upstream.before = ({ method }) => (method === 'manifest' ? slow : undefined);
    const pull = cache.manifest(app, tagged('v1'));
    await expect.poll(() => upstream.count('manifest')).toBe(1);
    upstream.before = () => {};
    const moved = upstream.putManifest({ ...INDEX, annotations: { moved: 'yes' } }, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    goOn();
    expect((await pull).digest).toBe(former);
    upstream.before = unreachable;
    expect((await cache.manifest(app, tagged('v1'))).digest).toBe(moved);
  });

  test('a tag that was removed upstream gives 404', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    upstream.tag('v1', undefined);
    await expect(cache.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
    expect((await cache.manifest(app, { kind: 'digest', digest })).digest).toBe(digest);
  });
});

describe('blobs in the cache', () => {
  test('a blob is fetched once, is served byte for byte, and is there after a restart', async () => {
    const directory = await dataDirectory();
    const { upstream, cache } = await cacheAt(directory);
    const bytes = randomBytes(3_000_001);
    const digest = upstream.putBlob(bytes);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    await cache.close();
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.blobBytes()).toBe(bytes.length);

    const second = await cacheAt(directory);
    expect((await readBlob(await second.cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(second.upstream.count()).toBe(0);
  });

  test('the size of a blob is the registry’s to say until the blob is held', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putBlob(randomBytes(5000));
    expect(await cache.statBlob(app, digest)).toEqual({ digest, sizeBytes: 5000 });
    await readBlob(await cache.blob(app, digest));
    await cache.close();
    upstream.forgetCalls();
    expect(await cache.statBlob(app, digest)).toEqual({ digest, sizeBytes: 5000, ageMs: expect.any(Number) });
    expect(upstream.count()).toBe(0);
    const unknown = digestOf(randomBytes(8));
    await expect(cache.statBlob(app, unknown)).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
  });

  test.each([
    ['that part', 'part', true, 0],
    ['the whole blob', undefined, false, 1],
    ['another part of it', { start: 0, end: 2 * MIB - 1 }, false, 1],
    ['a redirect', 'redirect', false, 0],
  ] as const)('a corrupt end in whose place upstream sends %s', async (_, sent, isWhole, cancellations) => {
    const directory = await dataDirectory();
    const { upstream, cache, layout } = await cacheAt(directory);
    const bytes = randomBytes(2 * MIB);
    const digest = upstream.putBlob(bytes);
    await readBlob(await cache.blob(app, digest));
    await cache.close();
    // The next process keeps the checksums by which the one after it checks each part.
    await readBlob(await (await cacheAt(directory, { upstream })).cache.blob(app, digest));
    const file = await open(join(layout, 'blobs/sha256', digest.slice('sha256:'.length)), 'r+');
    await file.write(Buffer.of((bytes.at(-1) ?? 0) ^ 1), 0, 1, bytes.length - 1);
    await file.close();
    const { cache: later } = await cacheAt(directory, { upstream });
    const { blob } = upstream;
    let cancelled = 0;
    upstream.blob = async (...asked) => {
      if (sent === 'redirect') return { kind: 'redirect', location: 'https://other.test/' };
      const content = await blob(...asked);
      const range = sent === 'part' ? {} : { range: sent };
      return { ...content, ...range, cancel: () => (cancelled += 1) } as never;
    };
    const read = later.blob(app, digest).then(readBlob);
    if (isWhole) expect((await read).equals(bytes)).toBe(true);
    else await expect(read).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(cancelled).toBe(cancellations);
  });

  test('a redirect to a blob’s storage is passed on after one request, and counts as bypass', async () => {
    const results: string[] = [];
    const { upstream, cache } = await cacheAt(await dataDirectory(), {
      onResult: (kind, result) => results.push(`${kind} ${result}`),
    });
    const redirect = { kind: 'redirect', location: 'https://cdn.test/x' } as const;
    let requests = 0;
    upstream.blob = async () => {
      requests += 1;
      return redirect;
    };
    expect(await cache.blob(app, upstream.putBlob(randomBytes(1000)))).toEqual(redirect);
    expect([requests, results]).toEqual([1, ['blob bypass']]);
  });

  test('a hundred concurrent clients cause one fetch', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(500_000);
    const digest = upstream.putBlob(bytes);
    const clients = Array.from({ length: 100 }, async () => readBlob(await cache.blob(app, digest)));
    for (const read of await Promise.all(clients)) expect(read.equals(bytes)).toBe(true);
    expect(upstream.blobBytes()).toBe(bytes.length);
    expect(upstream.count('blob')).toBe(1);
  });

  test('a blob without an announced size is served complete', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    upstream.saysSize = false;
    const bytes = randomBytes(200_000);
    const digest = upstream.putBlob(bytes);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  });

  test('wrong bytes never look complete and are never stored', async () => {
    const { upstream, cache, store, lines } = await cacheAt(await dataDirectory());
    const digest = upstream.putBlob(randomBytes(200_000));
    upstream.tamper = (bytes) => Buffer.concat([bytes.subarray(1), Buffer.from('x')]);
    await expect(readBlob(await cache.blob(app, digest))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await store.blob(digest)).toBeUndefined();
    const fields = { blob: `registry.test/team/app@${digest}`, reason: expect.stringContaining(digest) };
    const line = { level: 'warning', event: 'blob-download-failed', fields };
    await expect.poll(() => lines).toEqual([line]);
  });
});

describe('derived indexes in the cache', () => {
  test('are found after a restart', async () => {
    const directory = await dataDirectory();
    const { store, upstream } = await cacheAt(directory);
    const digest = upstream.putManifest(INDEX);
    const answer = await upstream.manifest(app, { kind: 'digest', digest });
    await store.derived.keep(app, answer);
    const again = await cacheAt(directory);
    expect(await again.store.derived.find(app, digest)).toEqual(answer);
    expect(await again.store.derived.find(app, digest, { partition: 'somebody' })).toBeUndefined();
  });
});

test('onResult() reports every response as hit, miss, coalesced, stale or bypass', async () => {
  const results: string[] = [];
  const { upstream, cache } = await cacheAt(await dataDirectory(), {
    onResult: (kind, result) => results.push(`${kind} ${result}`),
  });
  upstream.putManifest(INDEX, { tag: 'v1' });
  await cache.manifest(app, tagged('v1'));
  await cache.manifest(app, tagged('v1'));
  upstream.before = unreachable;
  await cache.manifest(app, tagged('v1'));
  expect(results).toEqual(['manifest miss', 'manifest hit', 'manifest stale', 'manifest hit']);

  results.length = 0;
  upstream.before = () => {};
  const digest = upstream.putBlob(randomBytes(200_000));
  const range = { kind: 'from', first: 100_000, last: 100_009 } as const;
  const part = await cache.blob(app, digest, { range });
  if (part.kind === 'content') part.cancel();
  const both = await Promise.all([cache.blob(app, digest), cache.blob(app, digest)]);
  await Promise.all(both.map(readBlob));
  expect(results).toEqual(['blob bypass', 'blob miss', 'blob coalesced']);
  // Readers are done before the disk is: until then the next one reads along.
  const again = async () => {
    await readBlob(await cache.blob(app, digest));
    return results.at(-1);
  };
  await expect.poll(again).toBe('blob hit');
});

describe('the Age header of cached content (RFC 9111, 4.2.3)', () => {
  const MINUTE_MS = 60_000;
  const isAboutAMinute = (ageMs: number | undefined) => Math.abs((ageMs ?? 0) - MINUTE_MS) < 30_000;

  test('is sent with a digest from memory and, after a restart, from disk, but not with content that the registry has just sent', async () => {
    const directory = await dataDirectory();
    let laterMs = 0;
    const wallClock = () => Date.now() + laterMs;
    const first = await cacheAt(directory, { wallClock });
    const reference = { kind: 'digest', digest: first.upstream.putManifest(INDEX, { tag: 'v1' }) } as const;
    const blob = first.upstream.putBlob(randomBytes(1000));
    expect(await first.cache.manifest(app, reference)).not.toHaveProperty('ageMs');
    const given = await first.cache.blob(app, blob);
    expect(given).not.toHaveProperty('ageMs');
    await readBlob(given);
    await first.cache.close();
    laterMs = MINUTE_MS;
    const second = await cacheAt(directory, { upstream: first.upstream, wallClock });
    for (const { cache } of [first, second]) {
      expect(isAboutAMinute((await cache.manifest(app, reference)).ageMs)).toBe(true);
      expect(isAboutAMinute((await cache.statBlob(app, blob)).ageMs)).toBe(true);
      const held = await cache.blob(app, blob);
      expect(held.kind === 'content' && isAboutAMinute(held.ageMs)).toBe(true);
      if (held.kind === 'content') held.cancel();
      // A tag is confirmed each time, and with it what it leads to.
      expect(await cache.manifest(app, tagged('v1'))).not.toHaveProperty('ageMs');
    }
    first.upstream.before = unreachable;
    expect(isAboutAMinute((await second.cache.manifest(app, tagged('v1'))).ageMs)).toBe(true);
  });
});

describe('a check before a push', () => {
  test('asks the registry whether the repository has the content, whatever the cache has for others', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putBlob(Buffer.from('a layer of another repository'));
    const manifest = upstream.putManifest(INDEX);
    await readBlob(await cache.blob(app, digest));
    await cache.manifest(app, { kind: 'digest', digest: manifest });
    const before = upstream.count();
    await cache.statBlob(app, digest);
    await cache.resolve(app, { kind: 'digest', digest: manifest });
    expect(upstream.count()).toBe(before);
    await cache.statBlob(app, digest, { beforePush: true });
    await cache.resolve(app, { kind: 'digest', digest: manifest }, { beforePush: true });
    expect(upstream.count()).toBe(before + 2);
  });

  test('a tag that was pushed is looked up for every client, whatever the maximum age of tags', async () => {
    const moved: string[] = [];
    const { upstream, cache } = await cacheAt(await dataDirectory(), {
      tagMaxAgeMs: 60_000,
      onTagMoved: (_repository, tag) => moved.push(tag),
    });
    upstream.putManifest(INDEX, { tag: 'v1' });
    const reader = { access: { partition: 'reader' } };
    await cache.manifest(app, tagged('v1'), reader);
    const pushed = upstream.putManifest({ ...INDEX, annotations: { pushed: 'yes' } }, { tag: 'v1' });
    const { tag } = tagged('v1') as { readonly tag: Tag };
    cache.expireTag(app, tag);
    expect(moved).toEqual(['v1']);
    expect((await cache.manifest(app, tagged('v1'), reader)).digest).toBe(pushed);
  });
});
