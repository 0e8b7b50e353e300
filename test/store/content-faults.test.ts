import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chown, mkdir, open, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf, parseDigest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { RangeRequest } from '../../src/oci/range.ts';
import type { Blob } from '../../src/oci/registry.ts';
import { bundled } from '../support/bundled.ts';
import { unreachable } from '../support/fake-registry.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { numberedBlob, pullNumbered } from '../support/store-child.ts';
import { afterTest, readBlob, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, manifests: [] };
const MIB = 1024 * 1024;
const CHILD = await bundled(new URL('../support/store-child.ts', import.meta.url));

function startChild(...words: readonly string[]) {
  const child = spawn(process.execPath, [CHILD, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  afterTest(() => child.kill('SIGKILL'));
  return child;
}

const fileOf = (layout: string, digest: Digest) =>
  join(layout, 'blobs/sha256', digest.slice('sha256:'.length));

async function flipBit(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  await file.write(Buffer.of((byte[0] ?? 0) ^ 0x10), 0, 1, position);
  await file.close();
}

/** As after a start whose first reader has had the blob checked by its digest, so that there are sums of its blocks. */
async function holdingWithSums(sizeBytes: number) {
  const held = await holding(sizeBytes);
  const { cache } = await cacheAt(held.directory, { upstream: held.upstream });
  await readBlob(await cache.blob(app, held.digest, { range: { kind: 'from', first: 0, last: 9 } }));
  await cache.close();
  expect(held.upstream.count()).toBe(0);
  return held;
}

/** A cache that holds a blob of this size, with everything written. */
async function holding(sizeBytes: number) {
  const directory = await dataDirectory();
  const opened = await cacheAt(directory);
  const bytes = randomBytes(sizeBytes);
  const digest = opened.upstream.putBlob(bytes);
  await readBlob(await opened.cache.blob(app, digest));
  await opened.cache.close();
  opened.upstream.forgetCalls();
  return { ...opened, directory, bytes, digest, file: fileOf(opened.layout, digest) };
}

describe('fault 35: kill -9 in the middle of a write', () => {
  test('leaves nothing that counts as content, and the next start removes the remains', async () => {
    const directory = await dataDirectory();
    const child = startChild('half', directory);
    await once(child.stdout, 'data');
    expect(await readdir(join(directory, 'v1/incoming'))).toHaveLength(1);
    child.kill('SIGKILL');
    await once(child, 'exit');

    const { upstream, cache, layout } = await cacheAt(directory);
    expect(await readdir(join(layout, 'incoming'))).toEqual([]);
    const bytes = numberedBlob(14);
    const digest = upstream.putBlob(bytes);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  });

  /** A data directory whose process was killed while it kept answers, and the digests that it had announced. */
  async function killedWhileKeeping() {
    const directory = await dataDirectory();
    const child = startChild('answers', directory);
    let said = '';
    child.stdout.on('data', (text) => {
      said += text;
    });
    while (said.split('\n').length < 30) await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    return { directory, digests: said.split('\n').slice(0, -1) };
  }

  test('loses no entry of the OCI layout’s index once a mirror runs again', async () => {
    const { directory, digests } = await killedWhileKeeping();
    const { store, layout } = await storeAt(directory);
    await store.close();
    const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'));
    const listed = index.manifests.map(({ digest }: { readonly digest: string }) => digest);
    expect(listed).toEqual(expect.arrayContaining([...digests]));
  });

  test('loses no derived index that a client has been told of', async () => {
    const { directory, digests } = await killedWhileKeeping();
    const { store } = await storeAt(directory);
    for (const text of digests) {
      const digest = parseDigest(text);
      const found = digest && (await store.derived.find(app, digest));
      expect(found && digestOf(found.bytes)).toBe(text);
    }
  });
});

describe('fault 36: a flipped bit', () => {
  test.each([
    ['a small blob', 10_000],
    ['a large one that has not been read since a start', 9 * MIB],
  ])(
    'in %s is detected at the first read after a start, and the blob is fetched again',
    async (_, sizeBytes) => {
      const { directory, upstream, bytes, digest, file } = await holding(sizeBytes);
      await flipBit(file, sizeBytes - 5);
      const { cache, lines } = await cacheAt(directory, { upstream });
      expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
      expect(upstream.count('blob')).toBe(1);
      expect(lines).toContainEqual(
        expect.objectContaining({ fields: { digest, why: 'other bytes than its digest says' } }),
      );
      await cache.close();
      expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
      expect(upstream.count('blob')).toBe(1);
    },
  );

  test('in a large blob is detected during the read: the part before it comes from the cache, the rest from upstream', async () => {
    const { directory, upstream, bytes, digest, file } = await holdingWithSums(9 * MIB + 5);
    await flipBit(file, 6 * MIB + 17);
    const { cache } = await cacheAt(directory, { upstream });
    const range = { kind: 'from', first: MIB, last: 2 * MIB } as const;
    const sound = await readBlob(await cache.blob(app, digest, { range }));
    expect(sound.equals(bytes.subarray(MIB, 2 * MIB + 1))).toBe(true);
    expect(upstream.count()).toBe(0);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.blobBytes()).toBe(3 * MIB + 5);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.blobBytes()).toBe(12 * MIB + 10);
  });

  test.each<[string, (first: number, last: number) => RangeRequest | undefined]>([
    ['the whole blob', () => undefined],
    ['a range that begins later', (first, last) => ({ kind: 'from', first: first + 1, last })],
    ['a range that ends earlier', (first, last) => ({ kind: 'from', first, last: last - 1 })],
  ])('in a large blob ends the response when the upstream sends %s in place of the rest', async (_, sent) => {
    const { directory, upstream, bytes, digest, file } = await holdingWithSums(3 * MIB);
    await flipBit(file, MIB + 17);
    const { blob } = upstream;
    upstream.blob = (from, of, options) => blob(from, of, { ...options, range: sent(MIB, 3 * MIB - 1) });
    const { cache } = await cacheAt(directory, { upstream });
    const content = await cache.blob(app, digest);
    if (content.kind !== 'content') throw new Error('redirected');
    const received: Buffer[] = [];
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        received.push(Buffer.from(chunk));
        done();
      },
    });
    await expect(content.writeTo(sink)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(Buffer.concat(received).equals(bytes.subarray(0, MIB))).toBe(true);
  });

  test.runIf(process.geteuid?.() === 0)(
    'in a large blob that another user owns is detected before anything of it is sent',
    async () => {
      const { directory, upstream, bytes, digest, file } = await holdingWithSums(3 * MIB);
      await flipBit(file, 2 * MIB + 17);
      await chown(file, 65_534, 65_534);
      const { cache } = await cacheAt(directory, { upstream });
      const range = { kind: 'from', first: 0, last: 9 } as const;
      const sound = await readBlob(await cache.blob(app, digest, { range }));
      expect(sound).toEqual(bytes.subarray(0, 10));
      expect(upstream.count('blob')).toBe(1);
    },
  );

  test('in the checksums themselves only costs one computation of the digest', async () => {
    const { directory, upstream, bytes, digest, layout } = await holdingWithSums(3 * MIB);
    await flipBit(join(layout, 'checksums', digest.replace(':', '-')), 7);
    const { cache } = await cacheAt(directory, { upstream });
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.count()).toBe(0);
  });

  test('is detected while the mirror runs, too, when another program wrote to the file', async () => {
    const { cache, upstream, bytes, digest, file } = await holding(2 * MIB);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    await flipBit(file, 7);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.count('blob')).toBe(1);
  });

  test('is an error, never wrong bytes, when the upstream is unreachable', async () => {
    const { directory, upstream, digest, file } = await holding(10_000);
    await flipBit(file, 7);
    upstream.before = unreachable;
    const { cache } = await cacheAt(directory, { upstream });
    await expect(cache.blob(app, digest)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('in a manifest makes the mirror fetch it again', async () => {
    const directory = await dataDirectory();
    const { upstream, cache, layout } = await cacheAt(directory);
    const digest = upstream.putManifest(INDEX, { tag: 'v1' });
    const { bytes } = await cache.manifest(app, tagged('v1'));
    await flipBit(fileOf(layout, digest), 3);
    const again = await cacheAt(directory, { upstream });
    expect((await again.cache.manifest(app, tagged('v1'))).bytes.equals(bytes)).toBe(true);
    expect(upstream.count('manifest')).toBe(2);
  });

  test('in a derived index makes the mirror derive it again', async () => {
    const directory = await dataDirectory();
    const { upstream, store, layout } = await cacheAt(directory);
    const digest = upstream.putManifest(INDEX);
    const answer = await upstream.manifest(app, { kind: 'digest', digest });
    await store.derived.keep(app, answer);
    await flipBit(fileOf(layout, digest), 3);
    const again = await storeAt(directory);
    expect(await again.store.derived.find(app, digest)).toBeUndefined();
    await again.store.derived.keep(app, answer);
    expect((await again.store.derived.find(app, digest))?.bytes.equals(answer.bytes)).toBe(true);
  });
});

/** Spoils a held blob's file and asks for the blob: it is whole, and was fetched once more. */
async function expectFetchedAgain(spoil: (file: string, stranger: string) => Promise<unknown>) {
  const { directory, upstream, bytes, digest, file } = await holding(10_000);
  const stranger = join(directory, 'kept');
  await writeFile(stranger, bytes);
  await spoil(file, stranger);
  const { cache } = await cacheAt(directory, { upstream });
  expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  await cache.close();
  expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  expect(upstream.count('blob')).toBe(1);
  expect((await readFile(stranger)).equals(bytes)).toBe(true);
}

describe('fault 37: an empty file', () => {
  test.each([0, 5000])('of %d bytes in place of a blob is removed, and the blob is fetched again', (bytes) =>
    expectFetchedAgain((file) => truncate(file, bytes)),
  );

  test('a directory in place of a blob is removed, and the blob is fetched again', () =>
    expectFetchedAgain(async (file) => {
      await rm(file);
      await mkdir(file);
    }));
});

describe('fault 38: a symlink in the store', () => {
  test.each(['another file', 'itself'])('to %s is not followed, and the blob is fetched again', (where) =>
    expectFetchedAgain(async (file, stranger) => {
      await rm(file);
      await symlink(where === 'itself' ? file : stranger, file);
    }),
  );
});

/** A reader that stops after the first chunk until the function that is returned is called, which reads the rest. */
async function startSlowly(blob: Blob): Promise<() => Promise<Buffer>> {
  if (blob.kind !== 'content') throw new Error('redirected');
  const chunks: Buffer[] = [];
  let goOn = () => {};
  let started = () => {};
  const begun = new Promise<void>((resolve) => {
    started = resolve;
  });
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      const isFirst = chunks.length === 0;
      const take = () => {
        // Only now: what was overwritten meanwhile would be found out.
        chunks.push(Buffer.from(chunk));
        done();
      };
      if (!isFirst) return take();
      goOn = take;
      started();
    },
  });
  const written = blob.writeTo(sink);
  await begun;
  return async () => {
    goOn();
    await written;
    return Buffer.concat(chunks);
  };
}

describe('fault 39: pruned while it is read', () => {
  test('by another process: the reader gets every byte', async () => {
    const { cache, bytes, digest, file } = await holding(8 * MIB);
    const readOn = await startSlowly(await cache.blob(app, digest));
    await rm(file);
    expect((await readOn()).equals(bytes)).toBe(true);
  });

  test('by another process: the blob is fetched again, and the next process finds it', async () => {
    const { cache, directory, bytes, digest } = await holding(2 * MIB);
    const { store: other } = await storeAt(directory);
    await other.stock.remove(digest);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    await cache.close();
    const { store: next } = await storeAt(directory);
    const held = await next.blob(digest);
    expect(held?.sizeBytes).toBe(bytes.length);
    held?.close();
  });

  test('by another process: a derived index is stored again before a client is told of it again', async () => {
    const directory = await dataDirectory();
    const [{ store }, { store: other }] = [await storeAt(directory), await storeAt(directory)];
    const bytes = Buffer.from(JSON.stringify(INDEX));
    const answer = { digest: digestOf(bytes), bytes, mediaType: MEDIA_TYPE.ociIndex, maxAgeMs: 0 };
    await store.derived.keep(app, answer);
    await other.stock.remove(answer.digest);
    await store.derived.keep(app, answer);
    const { store: next } = await storeAt(directory);
    expect(await next.derived.find(app, answer.digest)).toMatchObject({ bytes });
  });

  test('by eviction: content that is being read stays, other content is removed', async () => {
    const directory = await dataDirectory();
    const { upstream, cache, store } = await cacheAt(directory, { maxBytes: 10 * MIB });
    const [read, idle, young] = [8 * MIB, MIB, 4 * MIB].map((size) => randomBytes(size));
    if (!read || !idle || !young) throw new Error('three blobs');
    const digests = [upstream.putBlob(read), upstream.putBlob(idle), upstream.putBlob(young)] as const;
    await readBlob(await cache.blob(app, digests[0]));
    await cache.close();
    const readOn = await startSlowly(await cache.blob(app, digests[0]));
    await readBlob(await cache.blob(app, digests[1]));
    await cache.close();
    await readBlob(await cache.blob(app, digests[2]));
    await cache.close();
    expect(await store.blob(digests[1])).toBeUndefined();
    upstream.forgetCalls();
    expect((await readBlob(await cache.blob(app, digests[0]))).equals(read)).toBe(true);
    expect(upstream.count()).toBe(0);
    expect((await readOn()).equals(read)).toBe(true);
  });
});

describe('fault 40: two daemons on one store', () => {
  test('that fetch, read and evict the same blobs never serve each other wrong bytes', {
    tags: 'slow',
  }, async () => {
    const directory = await dataDirectory();
    const child = startChild('pulls', directory, '60');
    const exited = once(child, 'exit');
    await pullNumbered(directory, 60, 4_000_000);
    expect((await exited)[0]).toBe(0);
    const { layout } = await storeAt(directory);
    for (const name of await readdir(join(layout, 'blobs/sha256'))) {
      const file = await open(join(layout, 'blobs/sha256', name));
      expect(digestOf(await file.readFile())).toBe(`sha256:${name}`);
      await file.close();
    }
    expect(await readdir(join(layout, 'incoming'))).toEqual([]);
  });

  test('keep the access that one granted when the other grants access to another partition', async () => {
    const { store: one, directory, digest } = await holding(1000);
    const { store: two } = await storeAt(directory);
    const eyes = ['anna', 'otto'].map((partition) => ({ partition }));
    (await two.blob(digest))?.close();
    await one.grant(digest, { repository: app, access: eyes[0] });
    await two.grant(digest, { repository: app, access: eyes[1] });
    const { store: next } = await storeAt(directory);
    const held = await next.blob(digest);
    expect([undefined, ...eyes].map((access) => held?.isVisibleTo(access, app))).toEqual([true, true, true]);
    held?.close();
  });

  test('keep a tag that one recorded when the other writes tags of the same repository', async () => {
    const directory = await dataDirectory();
    const [one, two] = [await cacheAt(directory), await cacheAt(directory)];
    for (const [number, { cache, upstream }] of [one, two, one, two].entries()) {
      upstream.putManifest({ ...INDEX, annotations: { number: String(number) } }, { tag: `v${number}` });
      await cache.manifest(app, tagged(`v${number}`));
    }
    for (const { cache, upstream } of [one, two, await cacheAt(directory)]) {
      upstream.before = unreachable;
      for (const tag of ['v0', 'v1', 'v2', 'v3']) {
        expect((await cache.manifest(app, tagged(tag))).notices).toHaveProperty('warning');
      }
    }
  });
});

describe('fault 43: a clock that is a year off', () => {
  test('neither loses content nor keeps it forever', async () => {
    const directory = await dataDirectory();
    const year = 365 * 24 * 60 * 60 * 1000;
    const provenance = { repository: app, access: undefined };
    const ahead = await storeAt(directory, { now: () => Date.now() + year });
    const bytes = randomBytes(1000);
    const digest = digestOf(bytes);
    const ingest = await ahead.store.ingest(digest, bytes.length, provenance);
    await ingest.write(bytes);
    expect(await ingest.verify()).toBe(true);
    await ingest.commit();
    await ingest.close();

    const { upstream, cache, store } = await cacheAt(directory, { maxBytes: 15_000 });
    upstream.putBlob(bytes);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.count()).toBe(0);
    await readBlob(await cache.blob(app, upstream.putBlob(randomBytes(1000))));
    await cache.close();
    expect(await store.blob(digest)).toBeUndefined();
  });
});
