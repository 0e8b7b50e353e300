import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

/** Replaces a function of node:fs, for everyone who has imported it, until the test ends. */
function replace<Name extends 'fstatSync' | 'read'>(
  name: Name,
  by: (...asked: Parameters<(typeof fs)[Name]>) => unknown,
) {
  const original = fs[name];
  const set = (value: unknown) => {
    Object.assign(fs, { [name]: value });
    syncBuiltinESMExports();
  };
  set(by);
  onTestFinished(() => set(original));
}

/** The next fstat of a file descriptor fails, as for a file that is gone at a file server. */
function loseNextFile() {
  const { fstatSync } = fs;
  const lost = { isNoticed: false };
  replace('fstatSync', (...asked) => {
    if (lost.isNoticed) return fstatSync(...asked);
    lost.isNoticed = true;
    throw Object.assign(new Error('ESTALE: stale file handle, fstat'), { code: 'ESTALE' });
  });
  return lost;
}

/** Every read fails, as on a damaged disk. */
function spoilReads() {
  replace('read', (...asked) => {
    (asked.at(-1) as unknown as (error: Error) => void)(new Error('EIO: i/o error, read'));
  });
}

const app = repository('team/app');

test('an open file whose state cannot be read any more is opened again', async () => {
  const { cache, upstream, store } = await cacheAt(await dataDirectory());
  const bytes = randomBytes(1000);
  const digest = upstream.putBlob(bytes);
  await readBlob(await cache.blob(app, digest));
  await cache.close();
  await readBlob(await cache.blob(app, digest));
  (await cache.smallBlob?.(app, digest, {}))?.lent.giveBack();
  const first = loseNextFile();
  expect(cache.smallBlob?.(app, digest, {})).toBeUndefined();
  expect(first.isNoticed).toBe(true);
  await readBlob(await cache.blob(app, digest));
  const second = loseNextFile();
  expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  expect(second.isNoticed).toBe(true);
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
  spoilReads();
  expect(await store.manifest(manifest.digest)).toBeUndefined();
  expect(lines).toMatchObject([
    { event: 'content-corrupt', fields: { why: 'it cannot be read: EIO: i/o error, read' } },
  ]);
  expect(store.trouble).toBeUndefined();
});
