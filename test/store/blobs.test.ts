import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { layoutOf } from '../../src/store/layout.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

test('a blob without a record is not opened: nothing says who may see it', async () => {
  const directory = await dataDirectory();
  const { store } = await storeAt(directory);
  const bytes = randomBytes(100);
  const digest = digestOf(bytes);
  await writeFile(layoutOf(directory).blob(digest), bytes);
  expect(await store.blob(digest)).toBeUndefined();
  expect(store.openBlob(digest)).toBeUndefined();
});

test('a blob whose eviction has begun is not opened again without waiting, so that it is not counted as stored', async () => {
  const { cache, store, upstream } = await cacheAt(await dataDirectory());
  const digest = upstream.putBlob(randomBytes(100));
  await readBlob(await cache.blob(repository('team/app'), digest));
  await cache.close();
  (await store.blob(digest))?.close();
  const open = store.openBlob(digest);
  expect(open?.sizeBytes).toBe(100);
  open?.close();
  await store.expireBlobs(Number.POSITIVE_INFINITY);
  const evicting = store.expireBlobs(0);
  // No turn of the event loop passes, so that the file is there until after this.
  for (let step = 0; step < 100 && store.heldBytes > 0; step += 1) await Promise.resolve();
  expect(store.heldBytes).toBe(0);
  expect(store.openBlob(digest)).toBeUndefined();
  await evicting;
  expect(store.heldBytes).toBe(0);
  expect(await store.blob(digest)).toBeUndefined();
});
