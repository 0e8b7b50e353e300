import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { BlobDownload } from '../../src/mirror/blob-download.ts';
import { cached } from '../../src/mirror/cache.ts';
import type { ContentStore, Ingest } from '../../src/oci/content-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { BlobContent } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { checkOnlyIngest } from '../../src/store/ingest.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { afterTest, readBlob, repository } from '../support/upstream.ts';

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

describe('a blob with wrong bytes, read through the cache', () => {
  test.each([
    [1, 0, true],
    [MIB, 0, true],
    [MIB + 1, MIB, true],
    [3 * MIB, 3 * MIB - 1, true],
    [1, 0, false],
    [MIB, 0, false],
    [3 * MIB, 3 * MIB - 1, false],
  ])('of %d bytes gives its reader at most %d (length announced: %s)', async (sizeBytes, most, saysSize) => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    upstream.saysSize = saysSize;
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

  test('puts its sender last in the order of endpoints for a while', async () => {
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

describe('a download whose bytes cannot be stored', () => {
  const announced = 2 * MIB;

  test.each([
    ['by one more than announced', 1],
    ['by many more than announced', 3 * MIB],
  ])('%s ends before the last one, and the next request starts a new download', async (_, more) => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    upstream.chunkBytes = MIB;
    const right = randomBytes(announced + more);
    const digest = upstream.putBlob(right);
    const { blob } = upstream;
    upstream.blob = async (from, of, options) => {
      const content = await blob(from, of, options);
      return content.kind === 'content' ? { ...content, sizeBytes: announced } : content;
    };
    const content = await cache.blob(app, digest);
    if (content.kind !== 'content') throw new Error('redirected');
    const { sink, bytes } = countingSink();
    await expect(content.writeTo(sink)).rejects.toThrow(/is longer than announced/);
    expect(bytes()).toBeLessThan(announced);
    upstream.blob = blob;
    expect((await readBlob(await cache.blob(app, digest))).equals(right)).toBe(true);
  });

  test('ends as soon as the store fails, and no later request waits for it', async () => {
    const upstream = createFakeRegistry();
    upstream.chunkBytes = MIB;
    const bytes = randomBytes(announced);
    const digest = upstream.putBlob(bytes);
    const content = await upstream.blob(app, digest, { verify: false });
    if (content.kind !== 'content') throw new Error('redirected');
    const { store } = await storeAt(await dataDirectory());
    const real = await store.ingest(digest, bytes.length, { repository: app, access: undefined });
    const ingest: Ingest = {
      ...heldIngest(real).ingest,
      write: () => Promise.reject(new Error('the hashing thread is gone')),
    };
    const download = new BlobDownload({ digest, name: 'app', content, ingest, lingerMs: 60_000 });
    const reader = download.open(undefined);
    await expect(reader.writeTo(countingSink().sink)).rejects.toThrow('the hashing thread is gone');
    expect(await download.finished).toMatchObject({ message: 'the hashing thread is gone' });
  });
});

describe('a download that the store takes no byte of', () => {
  /** Its content sends the parts one after another, each when the one before was taken. */
  async function unstored(parts: readonly Buffer[]) {
    const bytes = Buffer.concat(parts);
    const digest = digestOf(bytes);
    let taken = 0;
    const content: BlobContent = {
      kind: 'content',
      digest,
      sizeBytes: bytes.length,
      range: undefined,
      cancel: () => {},
      writeTo: async (sink) => {
        for (const part of parts) {
          // Overwritten when it is taken, as memory that is reused.
          const lent = Buffer.from(part);
          await new Promise<void>((resolve, reject) => {
            sink.write(lent, (error) => (error ? reject(error) : resolve()));
          });
          lent.fill(0xdb);
          taken += 1;
        }
      },
    };
    const ingest = checkOnlyIngest(digest);
    const download = new BlobDownload({ digest, name: 'app', content, ingest, lingerMs: 60_000 });
    return { download, bytes, taken: () => taken };
  }

  /** A client that takes one chunk each time it is told to, with what it has received. */
  function steppingSink() {
    const received: Buffer[] = [];
    const waiting: (() => void)[] = [];
    const sink = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _, done) => {
        waiting.push(() => {
          received.push(Buffer.from(chunk));
          done();
        });
      },
    });
    return { sink, waiting, step: () => waiting.shift()?.(), received: () => Buffer.concat(received) };
  }

  test('waits for its slowest client with each part, and all clients get every byte', async () => {
    const { download, bytes, taken } = await unstored([1, 2, 3].map(() => randomBytes(MIB)));
    const [slow, quick] = [steppingSink(), countingSink()];
    const reads = [slow.sink, quick.sink].map((sink) => download.open(undefined).writeTo(sink));
    // The last byte waits for the digest.
    for (const [at, quickBytes] of [MIB, 2 * MIB, 3 * MIB - 1].entries()) {
      await expect.poll(() => [quick.bytes(), slow.waiting.length]).toEqual([quickBytes, 1]);
      expect(taken()).toBe(at);
      slow.step();
    }
    await expect.poll(() => slow.waiting.length).toBe(1);
    slow.step();
    await Promise.all(reads);
    expect(slow.received().equals(bytes)).toBe(true);
    expect(quick.bytes()).toBe(bytes.length);
    expect(await download.finished).toBeUndefined();
  });

  test('goes on for the others when its slowest client leaves', async () => {
    const { download, bytes } = await unstored([1, 2, 3].map(() => randomBytes(MIB)));
    const [slow, quick] = [steppingSink(), countingSink()];
    const [leaving, staying] = [slow.sink, quick.sink].map((sink) => download.open(undefined).writeTo(sink));
    await expect.poll(() => slow.waiting.length).toBe(1);
    slow.sink.destroy();
    await expect(leaving).rejects.toThrow('the reader has left');
    await staying;
    expect(quick.bytes()).toBe(bytes.length);
  });
});

describe('a download that no reader has started', () => {
  /** The download of a blob in a registry whose connection counts how often it is given up. */
  async function unread(lingerMs: number) {
    const { store } = await storeAt(await dataDirectory());
    const bytes = randomBytes(1000);
    const digest = digestOf(bytes);
    let cancelled = 0;
    const content: BlobContent = {
      kind: 'content',
      digest,
      sizeBytes: bytes.length,
      range: undefined,
      cancel: () => {
        cancelled += 1;
      },
      writeTo: () => Promise.reject(new Error('nobody reads')),
    };
    const ingest = await store.ingest(digest, bytes.length, { repository: app, access: undefined });
    const download = new BlobDownload({ digest, name: 'app', content, ingest, lingerMs });
    return { download, cancelled: () => cancelled, store, digest };
  }

  test.each([
    ['is cancelled', 60_000],
    ['waits for one no longer', 1],
  ])('closes its connection when it %s, which is not logged as a failure', async (_, lingerMs) => {
    const { download, cancelled, store, digest } = await unread(lingerMs);
    if (lingerMs > 1000) download.cancel();
    expect(await download.finished).toBeUndefined();
    expect(cancelled()).toBe(1);
    expect(download.isOver).toBe(true);
    expect(download.canServe(undefined)).toBe(false);
    expect(await store.blob(digest)).toBeUndefined();
  });
});

test('a download continues for 30 seconds after its last client has left, and no longer', async () => {
  const { upstream, cache } = await cacheAt(await dataDirectory());
  const digest = upstream.putBlob(randomBytes(2 * MIB));
  const held = gate();
  afterTest(held.open);
  let cancelled: unknown;
  const { blob } = upstream;
  upstream.blob = async (...asked) => {
    const content = await blob(...asked);
    if (content.kind !== 'content') return content;
    const writeTo = async (sink: Writable) => {
      sink.once('close', () => {
        cancelled = sink.errored;
        held.open();
      });
      await held.opened;
      throw new Error('the connection was closed');
    };
    return { ...content, writeTo };
  };
  const clients = [await cache.blob(app, digest), await cache.blob(app, digest)];
  const leave = () => {
    const content = clients.pop();
    if (content?.kind === 'content') content.cancel();
  };
  leave();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    vi.advanceTimersByTime(60_000);
    leave();
    vi.advanceTimersByTime(20_000);
    clients.push(await cache.blob(app, digest));
    vi.advanceTimersByTime(20_000);
    leave();
    vi.advanceTimersByTime(29_999);
    expect(cancelled).toBeUndefined();
    vi.advanceTimersByTime(1);
  } finally {
    vi.useRealTimers();
  }
  await new Promise(setImmediate);
  expect(cancelled).toMatchObject({ code: 'UNAVAILABLE' });
});

/** A promise that a test resolves. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** An ingest that says when its bytes are verified and waits before it commits them. */
function heldIngest(real: Ingest) {
  const [verified, commit] = [gate(), gate()];
  const ingest: Ingest = {
    write: (...chunks) => real.write(...chunks),
    writeTo: (sink, range) => real.writeTo(sink, range),
    close: () => real.close(),
    get storedBytes() {
      return real.storedBytes;
    },
    verify: async () => {
      const isRight = await real.verify();
      setImmediate(verified.open);
      return isRight;
    },
    commit: async () => {
      await commit.opened;
      await real.commit();
    },
  };
  return { ingest, verified: verified.opened, commit: commit.open };
}

test('cancel() of a verified download lets a slow reader finish, and the blob is stored', async () => {
  const bytes = randomBytes(2 * MIB);
  const digest = digestOf(bytes);
  const { store } = await storeAt(await dataDirectory());
  const real = await store.ingest(digest, bytes.length, { repository: app, access: undefined });
  const { ingest, verified, commit } = heldIngest(real);
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
  const cancelled = gate();
  const received: Buffer[] = [];
  const slow = new Writable({
    write: (chunk: Buffer, _, done) => {
      received.push(Buffer.from(chunk));
      void cancelled.opened.then(() => done());
    },
  });
  const read = download.open(undefined).writeTo(slow);
  await verified;
  download.cancel();
  cancelled.open();
  await read;
  expect(Buffer.concat(received).equals(bytes)).toBe(true);
  commit();
  expect(await download.finished).toBeUndefined();
  const stored = await store.blob(digest);
  expect(stored?.sizeBytes).toBe(bytes.length);
  stored?.close();
});

describe('a reader that comes when all bytes are stored and none is verified', () => {
  test.each([
    [MIB, 0, true],
    [MIB + 1, MIB, true],
    [MIB, 0, false],
    [MIB + 1, MIB, false],
  ])('gets of %d wrong bytes at most %d (length announced: %s)', async (sizeBytes, most, saysSize) => {
    const right = randomBytes(sizeBytes);
    const digest = digestOf(right);
    const wrong = Buffer.concat([right.subarray(0, -1), Buffer.from([0xff ^ (right.at(-1) ?? 0)])]);
    const { store } = await storeAt(await dataDirectory());
    const real = await store.ingest(digest, sizeBytes, { repository: app, access: undefined });
    const [stored, verify] = [gate(), gate()];
    const ingest: Ingest = {
      ...heldIngest(real).ingest,
      get storedBytes() {
        return real.storedBytes;
      },
      verify: async () => {
        stored.open();
        await verify.opened;
        return real.verify();
      },
    };
    const content: BlobContent = {
      kind: 'content',
      digest,
      sizeBytes: saysSize ? sizeBytes : undefined,
      range: undefined,
      cancel: () => {},
      writeTo: (sink) =>
        new Promise((resolve, reject) => sink.write(wrong, (error) => (error ? reject(error) : resolve()))),
    };
    const download = new BlobDownload({ digest, name: 'app', content, ingest, lingerMs: 60_000 });
    const first = download.open(undefined).writeTo(countingSink().sink);
    await stored.opened;
    const late = countingSink();
    const reading = download.open(undefined).writeTo(late.sink);
    await expect.poll(late.bytes).toBeGreaterThanOrEqual(most);
    verify.open();
    for (const each of [first, reading]) await expect(each).rejects.toThrow(/do not have that digest/);
    expect(late.bytes()).toBe(most);
  });
});

describe('statBlob() of a blob whose size the upstream does not announce', () => {
  /** A cache in which one client has all bytes of such a blob, which is not yet in the store. */
  async function downloaded() {
    const upstream = createFakeRegistry();
    const bytes = randomBytes(5000);
    const digest = upstream.putBlob(bytes);
    upstream.saysSize = false;
    const { store } = await storeAt(await dataDirectory());
    let commit = () => {};
    const holding: ContentStore = {
      ...store,
      ingest: async (...asked) => {
        const held = heldIngest(await store.ingest(...asked));
        commit = held.commit;
        return held.ingest;
      },
    };
    const cache = cached({ next: upstream, store: holding, log: () => {}, now: () => 0 });
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    return { cache, upstream, digest, bytes, commit: () => commit() };
  }

  test('returns the size as soon as a client has the last byte, before the blob is committed', async () => {
    const { cache, digest, bytes, commit } = await downloaded();
    expect(await cache.statBlob(app, digest)).toEqual({ digest, sizeBytes: bytes.length });
    // A range needs the size as well.
    const part = await cache.blob(app, digest, { range: { kind: 'suffix', length: 10 } });
    expect((await readBlob(part)).equals(bytes.subarray(-10))).toBe(true);
    commit();
    await cache.close();
  });

  test('rejects for a login that the upstream refuses, though another client downloads the blob', async () => {
    const { cache, upstream, digest, commit } = await downloaded();
    upstream.statBlob = async () => {
      throw new RegistryError('DENIED', 'not for you');
    };
    const access = { partition: 'stranger' };
    await expect(cache.statBlob(app, digest, { access })).rejects.toThrow('not for you');
    commit();
    await cache.close();
  });
});

test('a download that ends while the store is being queried is not repeated', async () => {
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
