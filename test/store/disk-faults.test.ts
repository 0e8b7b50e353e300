import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeWithDisk, mountDisk } from '../support/full-disk.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { asNobody, CAN_BE_UNPRIVILEGED } from '../support/unprivileged.ts';
import { afterTest, readBlob, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, manifests: [] };
const MIB = 1024 * 1024;

const refusals = (lines: readonly { readonly event: string }[]) =>
  lines.filter(({ event }) => event === 'cache-unwritable');

describeWithDisk('fault 31: the disk is full', () => {
  test('a blob that does not fit on the disk reaches all its readers complete, from one fetch', async () => {
    const { directory } = mountDisk(2 * MIB);
    const { upstream, cache, store, lines } = await cacheAt(directory);
    const bytes = randomBytes(5 * MIB);
    const digest = upstream.putBlob(bytes);
    const blobs = await Promise.all([
      cache.blob(app, digest),
      cache.blob(app, digest),
      cache.blob(app, digest),
    ]);
    for (const read of await Promise.all(blobs.map(readBlob))) expect(read.equals(bytes)).toBe(true);
    expect(upstream.blobBytes()).toBe(bytes.length);
    expect(await store.blob(digest)).toBeUndefined();
    expect(refusals(lines)).toHaveLength(1);
    expect(refusals(lines)[0]).toMatchObject({ level: 'warning', fields: { reason: 'the disk is full' } });
    expect(store.trouble).toBe('the disk is full');

    // Small things still fit, which is no reason to say it all again.
    await cache.manifest(app, { kind: 'digest', digest: upstream.putManifest(INDEX) });
    await readBlob(await cache.blob(app, upstream.putBlob(randomBytes(5 * MIB))));
    expect(refusals(lines)).toHaveLength(1);
  });

  test('a blob of unknown size that does not fit on the disk reaches all its readers complete, from one fetch', async () => {
    const { directory } = mountDisk(2 * MIB);
    const { upstream, cache } = await cacheAt(directory);
    upstream.saysSize = false;
    const bytes = randomBytes(5 * MIB);
    const digest = upstream.putBlob(bytes);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  });

  test('a small blob that the disk accepts only in part is served complete', async () => {
    const { directory } = mountDisk(64 * 1024);
    const { upstream, cache } = await cacheAt(directory);
    upstream.chunkBytes = 16 * 1024;
    const bytes = randomBytes(64 * 1024);
    const digest = upstream.putBlob(bytes);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  });

  test('wrong bytes of a blob that bypasses the disk never look complete', async () => {
    const { directory } = mountDisk(2 * MIB);
    const { upstream, cache } = await cacheAt(directory);
    const digest = upstream.putBlob(randomBytes(5 * MIB));
    upstream.tamper = (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.of((bytes.at(-1) ?? 0) ^ 1)]);
    await expect(readBlob(await cache.blob(app, digest))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('a client that joins after the blob has begun to bypass the disk gets all bytes', async () => {
    const { directory } = mountDisk(2 * MIB);
    const { upstream, cache } = await cacheAt(directory);
    const bytes = randomBytes(5 * MIB);
    const digest = upstream.putBlob(bytes);
    const late = new Promise<Buffer>((resolve, reject) => {
      upstream.beforeChunk = (offset) => {
        if (offset < 4 * MIB) return;
        upstream.beforeChunk = () => {};
        cache.blob(app, digest).then(readBlob).then(resolve, reject);
      };
    });
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect((await late).equals(bytes)).toBe(true);
  });

  test('the least recently used content is evicted when the disk is full, and storing continues', async () => {
    const { directory } = mountDisk(3 * MIB);
    const { upstream, cache, store } = await cacheAt(directory);
    const digests = Array.from({ length: 5 }, () => upstream.putBlob(randomBytes(MIB)));
    for (const digest of digests) await readBlob(await cache.blob(app, digest));
    await cache.close();
    const held = await Promise.all(digests.map((digest) => store.blob(digest)));
    for (const blob of held) blob?.close();
    expect(held[0]).toBeUndefined();
    expect(held[4]).toBeDefined();
  });

  test('a blob that does not fit even after all evictions is logged', async () => {
    const { directory } = mountDisk(2 * MIB);
    const { upstream, cache, lines } = await cacheAt(directory);
    const [small, large] = [randomBytes(MIB / 2), randomBytes(5 * MIB)];
    await readBlob(await cache.blob(app, upstream.putBlob(small)));
    expect((await readBlob(await cache.blob(app, upstream.putBlob(large)))).equals(large)).toBe(true);
    expect(refusals(lines)).toHaveLength(1);
  });

  test('a derived index is served from memory when the disk is full, as long as the process runs', async () => {
    const { directory } = mountDisk(64 * 1024);
    const { upstream, store } = await cacheAt(directory);
    const digest = upstream.putManifest({ ...INDEX, annotations: { filler: 'x'.repeat(100_000) } });
    const answer = await upstream.manifest(app, { kind: 'digest', digest });
    await store.derived.keep(app, answer);
    expect((await store.derived.find(app, digest))?.bytes.equals(answer.bytes)).toBe(true);
    expect(await store.derived.find(app, digest, { partition: 'somebody' })).toBeUndefined();
  });
});

describe.runIf(CAN_BE_UNPRIVILEGED)('fault 32: no permission', () => {
  test('a directory without write permission is reported once, and pulls succeed', async () => {
    const directory = await dataDirectory();
    await chmod(directory, 0o555);
    await asNobody(async () => {
      const { upstream, cache, lines } = await cacheAt(directory);
      const bytes = randomBytes(3 * MIB);
      const digest = upstream.putBlob(bytes);
      const manifest = upstream.putManifest(INDEX, { tag: 'v1' });
      expect((await cache.manifest(app, tagged('v1'))).digest).toBe(manifest);
      expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
      expect(refusals(lines)).toHaveLength(1);
    });
  });

  test('files without read permission are fetched again', async () => {
    const directory = await dataDirectory();
    const first = await cacheAt(directory);
    const bytes = randomBytes(10_000);
    const digest = first.upstream.putBlob(bytes);
    await readBlob(await first.cache.blob(app, digest));
    await first.cache.close();
    await chmod(join(first.layout, 'blobs/sha256', digest.slice(7)), 0);
    if (process.getuid?.() === 0) await chown(directory, 65534, 65534);
    await asNobody(async () => {
      const { cache } = await cacheAt(directory, { upstream: first.upstream });
      expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    });
  });
});

describe('fault 33: no file handles', () => {
  test('stored content waits for a file descriptor, other content bypasses the store', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const [held, other] = [randomBytes(10_000), randomBytes(3 * MIB)];
    const heldDigest = upstream.putBlob(held);
    const otherDigest = upstream.putBlob(other);
    await readBlob(await cache.blob(app, heldDigest));
    await cache.close();
    limitHandles();
    const release = takeAllHandles();
    try {
      expect((await readBlob(await cache.blob(app, otherDigest))).equals(other)).toBe(true);
      const waiting = cache.blob(app, heldDigest).then(readBlob);
      // The store has tried by then: each of these waits its turn for the threads that open files, and needs no handle.
      for (let turn = 0; turn < 20; turn += 1) await stat('/dev/null');
      release();
      expect((await waiting).equals(held)).toBe(true);
      // From the store: the registry was asked once for each.
      expect(upstream.blobBytes()).toBe(held.length + other.length);
    } finally {
      release();
    }
  });
});

/** Opens files until there is no handle left; what is returned gives them back. */
function takeAllHandles(): () => void {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    expect(error).toMatchObject({ code: 'EMFILE' });
  }
  return () => {
    for (const handle of taken.splice(0)) closeSync(handle);
  };
}

/** Limits this process to a few handles more than it has; unlimited again after the test. */
function limitHandles(): void {
  const pid = String(process.pid);
  const limitOf = (text: string) => execFileSync('prlimit', ['--pid', pid, `--nofile=${text}:`]);
  const query = ['--pid', pid, '--nofile', '--output', 'SOFT', '--noheadings'];
  const before = execFileSync('prlimit', query).toString().trim();
  limitOf(String(readdirSync('/proc/self/fd').length + 40));
  afterTest(() => limitOf(before));
}

describeWithDisk('fault 34: the disk becomes read-only', () => {
  test('stored content is served, other content bypasses the store, and storing resumes later', async () => {
    const disk = mountDisk(64 * MIB);
    const { upstream, cache, store, lines } = await cacheAt(disk.directory);
    const [old, young] = [randomBytes(2 * MIB), randomBytes(2 * MIB)];
    const [oldDigest, youngDigest] = [upstream.putBlob(old), upstream.putBlob(young)];
    await readBlob(await cache.blob(app, oldDigest));
    await cache.close();
    disk.readOnly(true);
    afterTest(() => disk.readOnly(false));
    upstream.forgetCalls();
    expect((await readBlob(await cache.blob(app, oldDigest))).equals(old)).toBe(true);
    expect(upstream.count()).toBe(0);
    expect((await readBlob(await cache.blob(app, youngDigest))).equals(young)).toBe(true);
    expect(refusals(lines)).toHaveLength(1);

    disk.readOnly(false);
    expect((await readBlob(await cache.blob(app, youngDigest))).equals(young)).toBe(true);
    await cache.close();
    const held = await store.blob(youngDigest);
    expect(held?.sizeBytes).toBe(young.length);
    held?.close();
    expect(lines.map(({ event }) => event)).toContain('cache-writable');
  });
});

describe('a missing data directory', () => {
  test('is created again when it was removed while the mirror runs', async () => {
    const directory = await dataDirectory();
    const { upstream, cache, store } = await cacheAt(directory);
    execFileSync('rm', ['-rf', join(directory, 'v1')]);
    const digest = upstream.putManifest(INDEX);
    await cache.manifest(app, { kind: 'digest', digest });
    await mkdir(directory, { recursive: true });
    const again = await storeAt(directory);
    expect((await again.store.manifest(digest))?.mediaType).toBe((await store.manifest(digest))?.mediaType);
  });
});
