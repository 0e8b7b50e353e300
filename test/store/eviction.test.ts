import { randomBytes } from 'node:crypto';
import { readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf, encodedOf } from '../../src/oci/digest.ts';
import { FreeSpaceFloor } from '../../src/store/disk.ts';
import { Eviction } from '../../src/store/eviction.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { diskBytesOf, type IndexedContent, LruIndex } from '../../src/store/lru-index.ts';
import { type ContentKind, createRecords } from '../../src/store/metadata.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { repository } from '../support/upstream.ts';

const provenance = { repository: repository('team/app'), access: undefined };
const KIB = 1024;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

interface Bounds {
  readonly maxBytes?: number;
  readonly maxItems?: number;
}

/** An inventory over real files whose clock stands still. */
async function inventoryAt(directory: string, { maxBytes = 1e9, maxItems }: Bounds = {}) {
  const layout = layoutOf(directory);
  await prepareLayout(layout);
  const records = createRecords(layout);
  const clock = { nowMs: Date.UTC(2026, 0, 1) };
  const evicted: Digest[] = [];
  const now = () => clock.nowMs;
  const onEvicted = (digest: Digest) => evicted.push(digest);
  const inventory = new Eviction({ floor: NO_FLOOR, layout, records, maxBytes, maxItems, now, onEvicted });
  const add = async (kind: ContentKind, sizeBytes = 100): Promise<Digest> => {
    const bytes = randomBytes(sizeBytes);
    const digest = digestOf(bytes);
    await records.add(digest, kind, undefined, provenance);
    await writeFile(layout.blob(digest), bytes);
    inventory.use(digest, kind, sizeBytes);
    clock.nowMs += 1;
    return digest;
  };
  const addAll = async (kind: ContentKind, count: number, sizeBytes?: number) => {
    const digests: Digest[] = [];
    for (let made = 0; made < count; made += 1) digests.push(await add(kind, sizeBytes));
    return digests;
  };
  return { layout, records, inventory, clock, evicted, add, addAll };
}

async function blocksBelow(directory: string): Promise<number> {
  const sizes = (await readdir(directory)).map(async (name) => (await stat(join(directory, name))).blocks);
  return (await Promise.all(sizes)).reduce((sum, blocks) => sum + blocks * 512, 0);
}

const NO_FLOOR = new FreeSpaceFloor({ directory: '/', minFreeShare: 0, log: () => {} });

describe('the space that content takes', () => {
  test('is counted in whole disk blocks for hundreds of tiny manifests', async () => {
    const { layout, inventory, addAll } = await inventoryAt(await dataDirectory(), { maxBytes: 240 * KIB });
    await addAll('manifest', 300, 60);
    await inventory.makeRoom();
    const onDisk =
      (await blocksBelow(layout.blob('sha256:' as Digest))) + (await blocksBelow(layout.records));
    expect(onDisk).toBeLessThanOrEqual(240 * KIB);
    expect(onDisk).toBe(inventory.heldBytes);
  });

  test('is limited by number of files too, however small they are', async () => {
    const { layout, inventory, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxItems: 40 });
    const digests = await addAll('manifest', 100);
    await inventory.makeRoom();
    expect(evicted).toEqual(digests.slice(0, 60));
    expect(await readdir(layout.records)).toHaveLength(40);
  });
});

describe('eviction', () => {
  test('keeps 200,000 contents unless another limit is set', async () => {
    const { inventory, evicted } = await inventoryAt(await dataDirectory(), { maxBytes: 1e12 });
    const use = (at: number) => inventory.use(`sha256:${at}` as Digest, 'blob', 1);
    for (let at = 0; at < 200_000; at += 1) use(at);
    await inventory.makeRoom();
    expect(evicted).toEqual([]);
    use(200_000);
    await inventory.makeRoom();
    expect(evicted).toEqual(['sha256:0']);
  });

  test('removes blobs before manifests, the least recently used first', async () => {
    const { inventory, evicted, add, addAll } = await inventoryAt(await dataDirectory(), { maxItems: 5 });
    await add('manifest');
    const blobs = await addAll('blob', 6);
    inventory.use(blobs[0] as Digest, 'blob', 100);
    await inventory.makeRoom();
    expect(evicted).toEqual(blobs.slice(1, 3));
  });

  test('keeps content that is being read', async () => {
    const { inventory, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxItems: 2 });
    const [first, second, third] = (await addAll('blob', 3)) as [Digest, Digest, Digest];
    const [unpin, unpinAgain] = [inventory.pin(first), inventory.pin(first)];
    unpin();
    unpin();
    await inventory.makeRoom();
    expect(evicted).toEqual([second]);
    unpinAgain();
    inventory.use(third, 'blob', 100);
    const release = inventory.reserve(1e9);
    await inventory.makeRoom();
    release();
    expect(evicted).toEqual([second, first, third]);
  });

  test('keeps content that is being read, though an earlier reader has released it twice', async () => {
    const { inventory, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxItems: 1 });
    const [first, second] = (await addAll('blob', 2)) as [Digest, Digest];
    const leave = inventory.pin(first);
    leave();
    inventory.pin(first);
    leave();
    await inventory.makeRoom();
    expect(evicted).toEqual([second]);
  });

  test('counts the space of a reservation that was released twice only once', async () => {
    const maxBytes = 3 * diskBytesOf(100);
    const { inventory, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxBytes });
    const release = inventory.reserve(100);
    release();
    release();
    const [first] = await addAll('blob', 4);
    await inventory.makeRoom();
    expect(evicted).toEqual([first]);
  });

  test('removes content beyond the limit as soon as it is no longer read', async () => {
    const { inventory, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxItems: 1 });
    const [first, second] = (await addAll('blob', 2)) as [Digest, Digest];
    const [unpin, unpinSecond] = [inventory.pin(first), inventory.pin(second)];
    await inventory.makeRoom();
    expect(evicted).toEqual([]);
    unpin();
    await expect.poll(() => evicted).toEqual([first]);
    unpinSecond();
    await inventory.makeRoom();
    expect(evicted).toEqual([first]);
  });

  test('removes manifests once they take more than a quarter of the space', async () => {
    const { inventory, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxItems: 8 });
    const blobs = await addAll('blob', 4);
    const manifests = await addAll('manifest', 6);
    await inventory.makeRoom();
    expect(evicted).toEqual(manifests.slice(0, 2));
    await addAll('blob', 1);
    await inventory.makeRoom();
    expect(evicted).toEqual(manifests.slice(0, 3));
    expect(evicted).not.toContain(blobs[0]);
  });

  test('removes no manifest when even all manifests together would not make enough space', async () => {
    const maxBytes = 100 * KIB;
    const { inventory, evicted, add, addAll } = await inventoryAt(await dataDirectory(), { maxBytes });
    await addAll('manifest', 2);
    const [read, idle] = [await add('blob', 40 * KIB), await add('blob', 8 * KIB)];
    const unpin = inventory.pin(read);
    const release = inventory.reserve(60 * KIB);
    await inventory.makeRoom();
    expect(evicted).toEqual([idle]);
    unpin();
    release();
  });

  test('removes manifests for a blob that needs nearly all the space', async () => {
    const maxBytes = 100 * KIB;
    const { inventory, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxBytes });
    const manifests = await addAll('manifest', 2);
    inventory.reserve(92 * KIB);
    await inventory.makeRoom();
    expect(evicted).toEqual(manifests);
  });

  test('removes a derived index only when it was unused for a day, or for ten minutes when nothing else can go', async () => {
    const { inventory, clock, evicted, addAll } = await inventoryAt(await dataDirectory(), { maxItems: 3 });
    const [first, second, third] = await addAll('derived', 5);
    await inventory.makeRoom();
    expect(evicted).toEqual([]);
    clock.nowMs += 11 * MINUTE_MS;
    inventory.use(first as Digest, 'derived', 100);
    const [manifest] = await addAll('manifest', 1);
    await inventory.makeRoom();
    expect(evicted).toEqual([manifest, second, third]);
    clock.nowMs += 25 * HOUR_MS;
    await addAll('derived', 1);
    await inventory.makeRoom();
    expect(evicted).toHaveLength(4);
    expect(evicted).not.toContain(first);
  });
});

test('eviction orders content of an earlier process by its kind and its last use', async () => {
  const directory = await dataDirectory();
  const earlier = await inventoryAt(directory);
  const manifest = await earlier.add('manifest');
  const blobs = await earlier.addAll('blob', 5);
  for (const [age, digest] of blobs.entries()) {
    const used = new Date(earlier.clock.nowMs - age * HOUR_MS);
    await utimes(earlier.layout.record(digest), used, used);
  }
  const { inventory, evicted } = await inventoryAt(directory, { maxItems: 4 });
  await inventory.makeRoom();
  expect(evicted).toEqual([blobs[4], blobs[3]]);
  expect(inventory.holdings.map(({ digest }) => digest)).toContain(manifest);
});

test('content with a date in the future counts as last used when it was found', async () => {
  const directory = await dataDirectory();
  const earlier = await inventoryAt(directory);
  const dated = await earlier.add('blob');
  const ahead = new Date(earlier.clock.nowMs + 365 * 24 * HOUR_MS);
  await utimes(earlier.layout.record(dated), ahead, ahead);
  const { inventory, clock, evicted, addAll } = await inventoryAt(directory, { maxItems: 2 });
  await inventory.scan();
  clock.nowMs += 1;
  await addAll('blob', 2);
  await inventory.makeRoom();
  expect(evicted).toEqual([dated]);
});

describe('recording the last use for the next process', () => {
  test.each([
    ['an hour after the last one that was, not before', [HOUR_MS - 1, HOUR_MS, HOUR_MS + 1], HOUR_MS],
    ['when the clock was set back by an hour', [1 - HOUR_MS, -HOUR_MS], -HOUR_MS],
  ])('%s', async (_, uses, writtenMs) => {
    const { layout, inventory, clock, add } = await inventoryAt(await dataDirectory());
    const addedMs = clock.nowMs;
    const digest = await add('blob');
    for (const laterMs of uses) {
      clock.nowMs = addedMs + laterMs;
      inventory.use(digest, 'blob', 100);
    }
    await expect
      .poll(async () => (await stat(layout.record(digest))).mtimeMs - addedMs)
      .toBeCloseTo(writtenMs, 0);
  });
});

test('evictions run concurrently, so that small content does not arrive faster than they free space', async () => {
  const directory = await dataDirectory();
  const { layout, records, addAll } = await inventoryAt(directory);
  await addAll('blob', 10);
  let going = 0;
  const inventory = new Eviction({
    floor: NO_FLOOR,
    layout,
    records: {
      ...records,
      remove: async (digest) => {
        going += 1;
        await expect.poll(() => going).toBe(10);
        await records.remove(digest);
      },
    },
    maxBytes: 0,
    maxItems: 0,
    now: Date.now,
    onEvicted: () => {},
  });
  await inventory.makeRoom();
  expect(await readdir(layout.records)).toEqual([]);
});

test('evictions of more than 64 contents run 64 at once, so that they leave file handles to others', async () => {
  const { layout, addAll } = await inventoryAt(await dataDirectory());
  const digests = await addAll('blob', 65);
  const going: Digest[] = [];
  let goOn = () => {};
  const told = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const inventory = new Eviction({
    floor: NO_FLOOR,
    layout,
    records: {
      ...createRecords(layout),
      remove: async (digest) => {
        going.push(digest);
        await told;
      },
    },
    maxBytes: 0,
    now: Date.now,
    onEvicted: () => {},
  });
  const evicting = inventory.makeRoom();
  await expect.poll(() => going.length).toBeGreaterThanOrEqual(64);
  expect(inventory.holdings).toHaveLength(1);
  goOn();
  await evicting;
  expect(going.toSorted()).toEqual(digests.toSorted());
});

test('content that arrives again while it is being evicted is stored completely, and counted', async () => {
  const { store, layout } = await storeAt(await dataDirectory(), { maxItems: 3 });
  const take = async (bytes: Buffer) => {
    const ingest = await store.ingest(digestOf(bytes), bytes.length, provenance);
    await ingest.write(bytes);
    await ingest.verify();
    await ingest.commit();
    ingest.close();
  };
  const blobs = Array.from({ length: 6 }, (_, number) => Buffer.alloc(1000, number));
  for (let round = 0; round < 50; round += 1) await Promise.all(blobs.map(take));
  const namesIn = async (folder: string) =>
    (await readdir(join(layout, folder))).map((name) => name.replace(/^sha256-|\.json$/g, '')).sort();
  await expect.poll(() => namesIn('blobs/sha256')).toHaveLength(3);
  // A record goes after its content.
  await expect.poll(() => namesIn('records')).toHaveLength(3);
  const held = await namesIn('blobs/sha256');
  expect(await namesIn('records')).toEqual(held);
  expect((await store.stock.list()).map(({ digest }) => encodedOf(digest)).sort()).toEqual(held);
});

test('eviction stops on a disk that frees no space', async () => {
  const { layout, records, evicted, addAll } = await inventoryAt(await dataDirectory());
  await addAll('blob', 5);
  const refusing = new Eviction({
    floor: NO_FLOOR,
    layout,
    records: { ...records, remove: () => Promise.reject(new Error('read-only')) },
    maxBytes: 0,
    maxItems: 0,
    now: Date.now,
    onEvicted: (digest) => evicted.push(digest),
  });
  await refusing.makeRoom();
  expect(evicted).toEqual([]);
  expect(refusing.holdings).toHaveLength(5);
});

test('content whose reader leaves while other content is evicted is evicted too', async () => {
  const { layout, records, addAll } = await inventoryAt(await dataDirectory());
  const [read] = (await addAll('blob', 2)) as [Digest];
  const evicted: Digest[] = [];
  let leave = () => {};
  const eviction = new Eviction({
    floor: NO_FLOOR,
    layout,
    records: {
      ...records,
      remove: async (digest) => {
        leave();
        await records.remove(digest);
      },
    },
    maxBytes: 0,
    maxItems: 0,
    now: Date.now,
    onEvicted: (digest) => evicted.push(digest),
  });
  leave = eviction.pin(read);
  await eviction.makeRoom();
  await expect.poll(() => evicted).toHaveLength(2);
  expect(evicted.at(-1)).toBe(read);
});

test('a reader that leaves starts no eviction when the disk has just refused one', async () => {
  const { layout, records, addAll } = await inventoryAt(await dataDirectory());
  const [read] = (await addAll('blob', 2)) as [Digest];
  let refused = 0;
  const refusing = new Eviction({
    floor: NO_FLOOR,
    layout,
    records: {
      ...records,
      remove: async () => {
        refused += 1;
        throw new Error('read-only');
      },
    },
    maxBytes: 0,
    maxItems: 0,
    now: Date.now,
    onEvicted: () => {},
  });
  const leave = refusing.pin(read);
  await refusing.makeRoom();
  leave();
  // It comes after whatever the reader has started.
  await refusing.expireBlobs(Number.POSITIVE_INFINITY);
  expect(refused).toBe(1);
});

const KINDS = ['blob', 'manifest', 'derived', undefined] as const;

test('totals and eviction order equal those of a simple list for random operations', () => {
  const change = fc.record({
    digest: fc.integer({ min: 0, max: 8 }).map((number) => `sha256:${number}` as Digest),
    kind: fc.constantFrom(...KINDS),
    sizeBytes: fc.integer({ min: 0, max: 20_000 }),
    isPut: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const holdings = new LruIndex();
      let plain: IndexedContent[] = [];
      for (const [usedMs, { isPut, ...content }] of changes.entries()) {
        plain = plain.filter(({ digest }) => digest !== content.digest);
        if (isPut) {
          const holding = { ...content, usedMs, notedMs: usedMs };
          holdings.put(holding);
          plain.push(holding);
        } else holdings.delete(content.digest);
      }
      const sum = (list: readonly IndexedContent[]) =>
        list.reduce((bytes, { sizeBytes }) => bytes + diskBytesOf(sizeBytes), 0);
      expect([holdings.count, holdings.diskBytes]).toEqual([plain.length, sum(plain)]);
      holdings.sort();
      expect(holdings.all()).toEqual(plain);
      for (const kind of KINDS) {
        const own = plain.filter((holding) => holding.kind === kind);
        expect([...holdings.byAge(kind ?? 'unsorted')]).toEqual(own);
        if (kind)
          expect([holdings.countOf(kind), holdings.diskBytesOf(kind)]).toEqual([own.length, sum(own)]);
      }
    }),
    { numRuns: FUZZ_RUNS },
  );
});
