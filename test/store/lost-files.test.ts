import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

/**
 * `isLost`: the next fstat of a file descriptor fails, as for a file that is gone at a file server. `isUnreadable`:
 * every read fails, as on a damaged disk.
 */
const lost = vi.hoisted(() => ({ isLost: false, isUnreadable: false }));

vi.mock(import('node:fs'), async (original) => {
  const fs = await original();
  const fstatSync = ((...asked: Parameters<typeof fs.fstatSync>) => {
    if (!lost.isLost) return fs.fstatSync(...asked);
    lost.isLost = false;
    throw Object.assign(new Error('ESTALE: stale file handle, fstat'), { code: 'ESTALE' });
  }) as typeof fs.fstatSync;
  const read = ((...asked: Parameters<typeof fs.read>) => {
    if (!lost.isUnreadable) return fs.read(...asked);
    (asked.at(-1) as unknown as (error: Error) => void)(new Error('EIO: i/o error, read'));
  }) as typeof fs.read;
  return { ...fs, fstatSync, read };
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

test('a manifest that cannot be read is reported as unreadable, not as a failed write', async () => {
  const directory = await dataDirectory();
  const bytes = randomBytes(1000);
  const manifest = { digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociIndex, bytes, maxAgeMs: 0 };
  await (await storeAt(directory)).store.keepManifest(manifest, { repository: app, access: undefined });
  const { store, lines } = await storeAt(directory);
  expect(await store.stock.verify(manifest.digest)).toBe(true);
  lost.isUnreadable = true;
  onTestFinished(() => void Object.assign(lost, { isUnreadable: false }));
  expect(await store.manifest(manifest.digest)).toBeUndefined();
  expect(lines).toMatchObject([
    { event: 'content-corrupt', fields: { why: 'it cannot be read: EIO: i/o error, read' } },
  ]);
  expect(store.trouble).toBeUndefined();
});
