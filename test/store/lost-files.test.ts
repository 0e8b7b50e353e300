import { randomBytes } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

/** File descriptors of which nothing can be learned, as of a file that is gone at a file server. */
const lost = vi.hoisted(() => ({ isLost: false }));

vi.mock(import('node:fs'), async (original) => {
  const fs = await original();
  const fstatSync = ((...asked: Parameters<typeof fs.fstatSync>) => {
    if (!lost.isLost) return fs.fstatSync(...asked);
    lost.isLost = false;
    throw Object.assign(new Error('ESTALE: stale file handle, fstat'), { code: 'ESTALE' });
  }) as typeof fs.fstatSync;
  return { ...fs, fstatSync };
});

const app = repository('team/app');

test('an open file whose state cannot be read any more is opened again', async () => {
  const { cache, upstream, store } = await cacheAt(await dataDirectory());
  const bytes = randomBytes(1000);
  const digest = upstream.putBlob(bytes);
  await readBlob(await cache.blob(app, digest));
  await cache.close();
  await readBlob(await cache.blob(app, digest));
  (await cache.smallBlob?.(app, digest, {}))?.lent.giveBack();
  lost.isLost = true;
  expect(cache.smallBlob?.(app, digest, {})).toBeUndefined();
  expect(lost.isLost).toBe(false);
  await readBlob(await cache.blob(app, digest));
  lost.isLost = true;
  expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  expect(lost.isLost).toBe(false);
  expect(upstream.count('blob')).toBe(1);
  // Nothing keeps it pinned.
  await store.expireBlobs(-1);
  expect(await store.blob(digest)).toBeUndefined();
});
