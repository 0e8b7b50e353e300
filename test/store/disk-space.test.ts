import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { defaultCacheBytes, FreeSpaceFloor, readDiskSpace } from '../../src/store/disk.ts';
import { describeWithDisk, mountDisk } from '../support/full-disk.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { repository } from '../support/upstream.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const provenance = { repository: repository('team/app'), access: undefined };

/** A floor over a disk of these sizes, with what it logs. */
function floorOf(space: { totalBytes: number; freeBytes: number }, minFreeShare: number) {
  const events: string[] = [];
  const floor = new FreeSpaceFloor({
    directory: '/',
    minFreeShare,
    log: (_level, event) => events.push(event),
    read: async () => space,
  });
  return { floor, events, space };
}

describe('FreeSpaceFloor', () => {
  test.each([
    [150, 0, 0],
    [150, 1, 1],
    [149, 0, 1],
    [1000, 850, 0],
    [1000, 851, 1],
    [0, 0, 150],
  ])(
    'of 15 % of 1000 bytes: with %d free, a write of %d is %d too many',
    async (freeBytes, sizeBytes, shortage) => {
      const { floor } = floorOf({ totalBytes: 1000, freeBytes }, 0.15);
      expect(await floor.shortageFor(sizeBytes)).toBe(shortage);
    },
  );

  test('counts what is still to be written of content that began to arrive earlier', async () => {
    const { floor, space } = floorOf({ totalBytes: 1000, freeBytes: 1000 }, 0.15);
    const [first, second] = [floor.begin(500), floor.begin(400)];
    expect([await floor.shortageUpTo(first), await floor.shortageUpTo(second)]).toEqual([0, 50]);
    first.leftBytes = 100;
    space.freeBytes = 600;
    expect(await floor.shortageUpTo(second)).toBe(50);
    floor.end(first);
    expect(await floor.shortageUpTo(second)).toBe(0);
  });

  test('reports once that the disk is full, and once that it has space again', async () => {
    const { floor, events, space } = floorOf({ totalBytes: 1000, freeBytes: 1000 }, 0.15);
    await floor.shortageFor(0);
    expect(events).toEqual([]);
    space.freeBytes = 100;
    await floor.shortageFor(0);
    await floor.shortageFor(0);
    space.freeBytes = 150;
    await floor.shortageFor(0);
    expect(events).toEqual(['disk-low', 'disk-low-over']);
  });

  test.each([
    [100 * GIB, 16 * MIB, false],
    [100 * GIB, 16 * MIB - 1, true],
    [100 * MIB, MIB, false],
    [100 * MIB, MIB - 1, true],
  ])(
    'on a disk of %d bytes keeps the last ones free: with %d free, it refuses: %s',
    async (totalBytes, freeBytes, refuses) => {
      const { floor } = floorOf({ totalBytes, freeBytes }, 0.15);
      const outcome = floor.refuseLastBytes().then(
        () => 'allowed',
        (error: NodeJS.ErrnoException) => error.code,
      );
      expect(await outcome).toBe(refuses ? 'ENOSPC' : 'allowed');
    },
  );

  test('of 0 refuses nothing, and does not query the file system', async () => {
    const { floor } = floorOf({ totalBytes: 1000, freeBytes: 0 }, 0);
    expect(await floor.shortageFor(1e9)).toBe(0);
    await floor.refuseLastBytes();
  });
});

test('the default size limit is a tenth of the file system and at most 50 GiB, also for a directory that does not exist yet', async () => {
  const space = await readDiskSpace('/tmp');
  expect(await defaultCacheBytes('/tmp/not/there/yet')).toBe(
    Math.min(50 * GIB, Math.floor((space?.totalBytes ?? 0) / 10)),
  );
});

/** Stores a blob of so many random bytes; answers its digest. */
async function put(store: Awaited<ReturnType<typeof storeAt>>['store'], sizeBytes: number, known = true) {
  const bytes = randomBytes(sizeBytes);
  const digest = digestOf(bytes);
  const ingest = await store.ingest(digest, known ? sizeBytes : undefined, provenance);
  for (let at = 0; at < bytes.length; at += MIB) await ingest.write(bytes.subarray(at, at + MIB));
  await ingest.verify();
  await ingest.commit();
  await ingest.close();
  return digest;
}

describeWithDisk('a store on a small disk', () => {
  test('the default size limit on a file system of 64 MiB is 6.4 MiB', async () => {
    const { directory: disk } = mountDisk(64 * MIB);
    expect(await defaultCacheBytes(disk)).toBe(Math.floor(6.4 * MIB));
  });

  test.each([
    [499, 49.9],
    [500, 50],
    [501, 50],
  ])('the default size limit on a file system of %d GiB is %d GiB', async (sizeGib, limitGib) => {
    const { directory: disk } = mountDisk(sizeGib * GIB);
    expect(await defaultCacheBytes(disk)).toBe(Math.floor(limitGib * GIB));
  });

  test.each([
    [64, true],
    [-64, false],
  ])(
    'a blob of unknown size is stored where there is room for a MiB: with %d KiB more',
    async (more, isStored) => {
      const { directory: disk } = mountDisk(64 * MIB);
      const { store } = await storeAt(disk, { minFreeShare: 0.5 });
      const space = await readDiskSpace(disk);
      // The store's own small files take some pages, when it comes to them.
      const freeBytes = 33 * MIB + more * 1024;
      await writeFile(join(disk, 'filler'), Buffer.alloc((space?.freeBytes ?? 0) - freeBytes));
      const kept = await store.blob(await put(store, 1000, false));
      kept?.close();
      expect(kept !== undefined).toBe(isStored);
    },
  );

  test('the file system is never filled below its floor: old blobs are evicted for new ones', async () => {
    const { directory: disk } = mountDisk(64 * MIB);
    const { store } = await storeAt(disk, { minFreeShare: 0.5 });
    const digests = [];
    for (let count = 0; count < 8; count += 1) {
      digests.push(await put(store, 8 * MIB));
      const space = await readDiskSpace(disk);
      expect(space?.freeBytes).toBeGreaterThanOrEqual(32 * MIB);
    }
    const [oldest, latest] = [digests[0], digests.at(-1)];
    if (!oldest || !latest) throw new Error('nothing was put');
    expect(await store.blob(oldest)).toBeUndefined();
    const kept = await store.blob(latest);
    expect(kept?.sizeBytes).toBe(8 * MIB);
    kept?.close();
  });

  test('of two blobs that arrive together and are too much together, the first is stored', async () => {
    const { directory: disk } = mountDisk(64 * MIB);
    const { store } = await storeAt(disk, { minFreeShare: 0.5 });
    const blobs = [randomBytes(20 * MIB), randomBytes(20 * MIB)];
    const arriving = await Promise.all(
      blobs.map(async (bytes) => {
        const digest = digestOf(bytes);
        return { bytes, digest, ingest: await store.ingest(digest, bytes.length, provenance) };
      }),
    );
    for (let at = 0; at < 20 * MIB; at += MIB) {
      for (const { bytes, ingest } of arriving) await ingest.write(bytes.subarray(at, at + MIB));
      expect((await readDiskSpace(disk))?.freeBytes).toBeGreaterThanOrEqual(32 * MIB);
    }
    const isStored = await Promise.all(
      arriving.map(async ({ digest, ingest }) => {
        expect(await ingest.verify()).toBe(true);
        await ingest.commit();
        await ingest.close();
        const kept = await store.blob(digest);
        kept?.close();
        return kept !== undefined;
      }),
    );
    expect(isStored).toEqual([true, false]);
  });

  test('a blob is not stored to its end when another program has taken the room for it', async () => {
    const { directory: disk } = mountDisk(64 * MIB);
    const { store } = await storeAt(disk, { minFreeShare: 0.5 });
    const bytes = randomBytes(28 * MIB);
    const ingest = await store.ingest(digestOf(bytes), bytes.length, provenance);
    const stored: boolean[] = [];
    for (let at = 0; at < bytes.length; at += MIB) {
      if (at === 10 * MIB) await writeFile(join(disk, 'filler'), Buffer.alloc(8 * MIB));
      stored.push(await ingest.write(bytes.subarray(at, at + MIB)));
    }
    expect(stored.indexOf(false)).toBe(16);
    expect(await ingest.verify()).toBe(true);
    await ingest.commit();
    await ingest.close();
    expect(await store.blob(digestOf(bytes))).toBeUndefined();
  });

  test('a blob that alone would exceed the free space is not stored, and nothing is evicted for it', async () => {
    const { directory: disk } = mountDisk(64 * MIB);
    const { store } = await storeAt(disk, { minFreeShare: 0.5 });
    const small = await put(store, MIB);
    const large = await put(store, 40 * MIB);
    expect(await store.blob(large)).toBeUndefined();
    const kept = await store.blob(small);
    expect(kept?.sizeBytes).toBe(MIB);
    kept?.close();
  });
});

test('a store looks at its limits every ten seconds, because other programs fill the disk as well', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  let wallMs = 1_000_000;
  const { store } = await storeAt(await dataDirectory(), { now: () => wallMs, blobMaxIdleMs: 1 });
  await put(store, 1000);
  wallMs += 1;
  vi.advanceTimersByTime(9_999);
  // What the timer starts comes before this.
  await store.expireBlobs(2);
  expect(store.heldBytes).toBeGreaterThan(0);
  vi.advanceTimersByTime(1);
  await store.expireBlobs(2);
  expect(store.heldBytes).toBe(0);
});

test('a transit cache evicts blobs that were unused for its retention time, and keeps manifests', async () => {
  let wallMs = 1_000_000;
  const { store } = await storeAt(await dataDirectory(), { now: () => wallMs });
  const [old, used] = [await put(store, 1000), await put(store, 1000)];
  const bytes = Buffer.from('{}');
  const manifest = { digest: digestOf(bytes), mediaType: 'application/json', bytes, maxAgeMs: 0 };
  await store.keepManifest(manifest, provenance);
  wallMs += 60_000;
  (await store.blob(used))?.close();
  wallMs += 30_000;
  await store.expireBlobs(90_000);
  expect(await store.blob(old)).toBeUndefined();
  const kept = await store.blob(used);
  expect(kept?.sizeBytes).toBe(1000);
  kept?.close();
  expect(await store.manifest(manifest.digest)).toBeDefined();
});

test('a transit cache evicts what was used while the clock was ahead, and what was used after it was set right', async () => {
  let wallMs = 1_000_000_000;
  const { store } = await storeAt(await dataDirectory(), { now: () => wallMs });
  await put(store, 1000);
  wallMs = 1_000_000;
  await put(store, 1000);
  wallMs += 89_999;
  await store.expireBlobs(90_000);
  expect(store.heldBytes).toBe(8192);
  wallMs += 1;
  await store.expireBlobs(90_000);
  expect(store.heldBytes).toBe(0);
});
