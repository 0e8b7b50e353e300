import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { BlobDownload } from '../../src/mirror/blob-download.ts';
import { cached } from '../../src/mirror/cache.ts';
import type { ContentStore, Ingest } from '../../src/oci/content-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { BlobContent } from '../../src/oci/registry.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

const app = repository('team/app');
const MIB = 1024 * 1024;

/** A sink that counts, and what became of it. */
function countingSink() {
  let bytes = 0;
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      bytes += chunk.length;
      done();
    },
  });
  sink.on('error', () => {});
  return { sink, bytes: () => bytes };
}

describe('a blob whose bytes are wrong, through the cache', () => {
  test.each([
    [1, 0],
    [MIB, 0],
    [MIB + 1, MIB],
    [3 * MIB, 3 * MIB - 1],
  ])('of %d bytes gives its reader %d at most', async (sizeBytes, most) => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putBlob(randomBytes(sizeBytes));
    upstream.tamper = (right) =>
      Buffer.concat([right.subarray(0, -1), Buffer.from([0xff ^ (right.at(-1) ?? 0)])]);
    const { blob } = upstream;
    // The cache verifies by itself: the registry hands on all it has.
    upstream.blob = (from, of, options) => blob(from, of, { ...options, verify: false });
    const content = await cache.blob(app, digest);
    if (content.kind !== 'content') throw new Error('redirected');
    const { sink, bytes } = countingSink();
    await expect(content.writeTo(sink)).rejects.toThrow(/do not have that digest/);
    expect(bytes()).toBeLessThanOrEqual(most);
  });

  test('has its sender asked last for a while', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putBlob(randomBytes(5000));
    upstream.tamper = () => randomBytes(5000);
    let distrusted = 0;
    const { blob } = upstream;
    upstream.blob = async (from, of, options) => {
      const content = await blob(from, of, { ...options, verify: false });
      return content.kind === 'content' ? { ...content, distrust: () => (distrusted += 1) } : content;
    };
    await expect(cache.blob(app, digest).then(readBlob)).rejects.toThrow(/do not have that digest/);
    expect(distrusted).toBe(1);
  });
});

test('a download that is verified is not cancelled: its readers finish, and it is stored', async () => {
  const bytes = randomBytes(2 * MIB);
  const digest = digestOf(bytes);
  const { store } = await storeAt(await dataDirectory());
  const real = await store.ingest(digest, bytes.length, { repository: app, access: undefined });
  let commit = () => {};
  const committing = new Promise<void>((resolve) => {
    commit = resolve;
  });
  const ingest: Ingest = {
    ...real,
    get storedBytes() {
      return real.storedBytes;
    },
    commit: async () => {
      await committing;
      await real.commit();
    },
  };
  const content: BlobContent = {
    kind: 'content',
    digest,
    sizeBytes: bytes.length,
    range: undefined,
    cancel: () => {},
    writeTo: (sink) =>
      new Promise((resolve, reject) => sink.write(bytes, (error) => (error ? reject(error) : resolve()))),
  };
  const download = new BlobDownload({ digest, name: 'app', content, ingest, lingerMs: 60_000 });
  const read = readBlob(download.open(undefined));
  expect((await read).equals(bytes)).toBe(true);
  download.cancel();
  commit();
  expect(await download.finished).toBeUndefined();
  const stored = await store.blob(digest);
  expect(stored?.sizeBytes).toBe(bytes.length);
  stored?.close();
});

test('a download that ends while the store is looked at is not made twice', async () => {
  const upstream = createFakeRegistry();
  const bytes = randomBytes(3 * MIB);
  const digest = upstream.putBlob(bytes);
  const { store } = await storeAt(await dataDirectory());
  /** The second look at the store sees nothing, and takes until the first download has ended. */
  let endOfFirst: Promise<void> = Promise.resolve();
  let looks = 0;
  const slow: ContentStore = {
    ...store,
    blob: async (of) => {
      looks += 1;
      if (looks !== 2) return store.blob(of);
      await endOfFirst;
      return undefined;
    },
  };
  const cache = cached({ next: upstream, store: slow, log: () => {}, now: () => 0 });
  const first = await cache.blob(app, digest);
  let end = () => {};
  endOfFirst = new Promise<void>((resolve) => {
    end = resolve;
  });
  const second = cache.blob(app, digest).then(readBlob);
  await readBlob(first);
  await cache.close();
  end();
  expect((await second).equals(bytes)).toBe(true);
  expect(upstream.count('blob')).toBe(1);
});
