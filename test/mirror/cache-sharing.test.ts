import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { cached } from '../../src/mirror/cache.ts';
import type { ContentStore } from '../../src/oci/content-store.ts';
import type { Blob } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { createContent, serveContent, startServer } from '../support/hostile-registry.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { afterTest, closing, readBlob, repository, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const MIB = 1024 * 1024;

/** Something that is held up until it is let go. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** A cache, and what waits until so many requests for blobs have looked into its store and joined a fetch. */
async function cacheWithJoins() {
  const { store } = await storeAt(await dataDirectory());
  let lookups = 0;
  const counted: ContentStore = {
    ...store,
    blob: async (...asked) => {
      const found = await store.blob(...asked);
      lookups += 1;
      return found;
    },
  };
  const joined = async (requests: number) => {
    await expect.poll(() => lookups).toBeGreaterThanOrEqual(requests);
    // A request joins in the turn of the event loop in which its look-up ends.
    await new Promise(setImmediate);
  };
  return { ...(await cacheAt(await dataDirectory(), { store: counted })), joined };
}

/** A reader that leaves after so many bytes. */
async function readAndLeave(blob: Blob, sizeBytes: number): Promise<void> {
  if (blob.kind !== 'content') throw new Error('redirected');
  let left = sizeBytes;
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      left -= chunk.length;
      if (left <= 0) sink.destroy();
      done();
    },
  });
  await expect(blob.writeTo(sink)).rejects.toThrow('the reader has left');
}

describe('a range of a blob that is being downloaded', () => {
  const RECEIVED = 1024;
  test.each([
    ['joins the download', RECEIVED + 16 * MIB, 1],
    ['is fetched apart', RECEIVED + 16 * MIB + 1, 2],
  ])('%s, where it begins at byte %d: %d requests', async (_, first, requests) => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(17 * MIB);
    upstream.chunkBytes = RECEIVED;
    const digest = upstream.putBlob(bytes);
    const [arrived, rest] = [gate(), gate()];
    afterTest(rest.open);
    upstream.beforeChunk = (offset) => {
      if (offset !== RECEIVED || upstream.count('blob') > 1) return;
      arrived.open();
      return rest.opened;
    };
    const whole = cache.blob(app, digest).then(readBlob);
    await arrived.opened;
    upstream.chunkBytes = MIB;
    const part = await cache.blob(app, digest, { range: { kind: 'from', first, last: first + 99 } });
    expect(upstream.count('blob')).toBe(requests);
    rest.open();
    expect(await readBlob(part)).toEqual(bytes.subarray(first, first + 100));
    await whole;
  });
});

describe('fault 44: a hundred clients and one blob', () => {
  test('a late client reads what has arrived, then follows the download', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(4 * MIB);
    const digest = upstream.putBlob(bytes);
    const [halfWay, rest] = [gate(), gate()];
    upstream.beforeChunk = (offset) => {
      if (offset !== 2 * MIB) return;
      halfWay.open();
      return rest.opened;
    };
    const first = cache.blob(app, digest).then(readBlob);
    await halfWay.opened;
    const late = Array.from({ length: 99 }, () => cache.blob(app, digest).then(readBlob));
    const part = await cache.blob(app, digest, { range: { kind: 'from', first: 100, last: MIB } });
    // The part has arrived, so it is answered though the rest is still to come.
    expect((await readBlob(part)).equals(bytes.subarray(100, MIB + 1))).toBe(true);
    rest.open();
    for (const read of await Promise.all([first, ...late])) expect(read.equals(bytes)).toBe(true);
    expect(upstream.count('blob')).toBe(1);
    expect(upstream.blobBytes()).toBe(bytes.length);
  });

  test('an upstream’s refusal goes to all of them, and the next request asks upstream again', async () => {
    const { upstream, cache, joined } = await cacheWithJoins();
    const bytes = randomBytes(1000);
    const digest = upstream.putBlob(bytes);
    const answer = gate();
    upstream.before = async () => {
      await answer.opened;
      throw new RegistryError('UNAVAILABLE', 'not now');
    };
    const asked = Array.from({ length: 10 }, () => cache.blob(app, digest));
    await joined(10);
    answer.open();
    for (const { status } of await Promise.allSettled(asked)) expect(status).toBe('rejected');
    expect(upstream.count()).toBe(1);
    upstream.before = () => {};
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  });

  test('an upstream that breaks off fails all of them, and leaves no partial file', async () => {
    const { upstream, cache, store } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(MIB);
    const digest = upstream.putBlob(bytes);
    upstream.beforeChunk = (offset) => {
      if (offset === MIB / 2) throw new RegistryError('UNAVAILABLE', 'broke off');
    };
    const reads = Array.from({ length: 5 }, () => cache.blob(app, digest).then(readBlob));
    for (const result of await Promise.allSettled(reads)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { message: 'broke off' } });
    }
    expect(await store.blob(digest)).toBeUndefined();
    upstream.beforeChunk = () => {};
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  });
});

describe('fault 45: the first client leaves', () => {
  test('the others get the complete blob', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(4 * MIB);
    const digest = upstream.putBlob(bytes);
    const blobs = await Promise.all([1, 2, 3].map(() => cache.blob(app, digest)));
    const [first, ...others] = blobs;
    if (!first) throw new Error('no blob');
    const reads = others.map(readBlob);
    await readAndLeave(first, MIB);
    for (const read of await Promise.all(reads)) expect(read.equals(bytes)).toBe(true);
    expect(upstream.blobBytes()).toBe(bytes.length);
  });

  test('while the upstream has not answered yet: the others get the blob', async () => {
    const { upstream, cache, joined } = await cacheWithJoins();
    const bytes = randomBytes(1000);
    const digest = upstream.putBlob(bytes);
    const [asked, answer] = [gate(), gate()];
    upstream.before = () => {
      asked.open();
      return answer.opened;
    };
    const leaving = new AbortController();
    const first = cache.blob(app, digest, { signal: leaving.signal });
    const second = cache.blob(app, digest);
    await asked.opened;
    await joined(2);
    leaving.abort();
    await expect(first).rejects.toMatchObject({ name: 'AbortError' });
    answer.open();
    expect((await readBlob(await second)).equals(bytes)).toBe(true);
    expect(upstream.count()).toBe(1);
  });

  test('while space is being made for the blob: a later client gets it from its own fetch', async () => {
    const content = createContent();
    const bytes = randomBytes(2 * MIB);
    const digest = content.putBlob(bytes);
    const server = closing(await startServer(serveContent(content)));
    const { store, layout } = await storeAt(await dataDirectory());
    const [opening, room, opened] = [gate(), gate(), gate()];
    const slow: ContentStore = {
      ...store,
      ingest: async (...asked) => {
        opening.open();
        await room.opened;
        const intake = await store.ingest(...asked);
        opened.open();
        return intake;
      },
    };
    const next = upstreamTo(upstreamAt(server.url));
    const cache = closing(cached({ next, store: slow, log: () => {}, now: () => performance.now() }));
    const leaving = new AbortController();
    const left = cache.blob(app, digest, { signal: leaving.signal });
    await opening.opened;
    leaving.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    room.open();
    await opened.opened;
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    await expect.poll(() => readdir(join(layout, 'incoming'))).toEqual([]);
  });

  test('and no client is left: the fetch continues for a while, so that a retry finds it', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(4 * MIB);
    const digest = upstream.putBlob(bytes);
    await readAndLeave(await cache.blob(app, digest), MIB);
    const rest = await cache.blob(app, digest, { range: { kind: 'from', first: MIB, last: undefined } });
    expect((await readBlob(rest)).equals(bytes.subarray(MIB))).toBe(true);
    expect(upstream.count('blob')).toBe(1);
  });

  test('and no client returns: the fetch is cancelled', async () => {
    const { upstream, cache, store, layout } = await cacheAt(await dataDirectory(), { lingerMs: 0 });
    const digest = upstream.putBlob(randomBytes(64 * MIB));
    await readAndLeave(await cache.blob(app, digest), MIB);
    await expect.poll(() => readdir(join(layout, 'incoming'))).toEqual([]);
    expect(upstream.blobBytes()).toBeLessThan(64 * MIB);
    expect(await store.blob(digest)).toBeUndefined();
  });
});

describe('a range of a blob', () => {
  test('that is in the cache comes from the store', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(5000);
    const digest = upstream.putBlob(bytes);
    await readBlob(await cache.blob(app, digest));
    await cache.close();
    const part = await cache.blob(app, digest, { range: { kind: 'suffix', length: 500 } });
    expect(part).toMatchObject({ sizeBytes: 5000, range: { start: 4500, end: 5000 } });
    expect((await readBlob(part)).equals(bytes.subarray(4500))).toBe(true);
    await expect(
      cache.blob(app, digest, { range: { kind: 'from', first: 5000, last: undefined } }),
    ).rejects.toMatchObject({
      code: 'RANGE_INVALID',
      headers: { 'content-range': 'bytes */5000' },
    });
    expect(upstream.count('blob')).toBe(1);
  });

  test('is requested alone from upstream when it begins in the middle of a blob that is not stored', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(5000);
    const digest = upstream.putBlob(bytes);
    const part = await cache.blob(app, digest, { range: { kind: 'from', first: 1000, last: 1999 } });
    expect((await readBlob(part)).equals(bytes.subarray(1000, 2000))).toBe(true);
    expect(upstream.blobBytes()).toBe(1000);
  });
});
