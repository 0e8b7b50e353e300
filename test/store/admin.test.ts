import { randomBytes } from 'node:crypto';
import { readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { keepSums } from '../../src/store/block-checksums.ts';
import { layoutOf } from '../../src/store/layout.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { repository } from '../support/upstream.ts';

const app = repository('team/app');
const provenance = { repository: app, access: undefined };
const DISK_BLOCK_BYTES = 4096;

/** A store whose clock is set by hand, with a blob and a manifest of these sizes. */
async function stocked(blobBytes = 5000, manifestBytes = 100) {
  const directory = await dataDirectory();
  const clock = { nowMs: Date.now() };
  const opened = await storeAt(directory, { now: () => clock.nowMs });
  const [blob, bytes] = [randomBytes(blobBytes), randomBytes(manifestBytes)];
  const ingest = await opened.store.ingest(digestOf(blob), blob.length, provenance);
  await ingest.write(blob);
  await ingest.verify();
  await ingest.commit();
  await ingest.close();
  clock.nowMs += 1000;
  const manifest = { digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociIndex, bytes, maxAgeMs: 0 };
  await opened.store.keepManifest(manifest, provenance);
  return { ...opened, directory, clock, files: layoutOf(directory), blob: digestOf(blob), manifest };
}

describe('listing the stored content', () => {
  test('shows each content’s kind, repository, size and last use', async () => {
    const { store, clock, blob, manifest } = await stocked();
    const { digest, mediaType } = manifest;
    for (const tag of ['v1', 'v2'] as Tag[])
      await store.keepTag(app, tag, { digest, mediaType, sizeBytes: 100 });
    const items = await store.stock.list();
    const common = { repository: 'registry.test/team/app' };
    expect(items.map((item) => ({ ...item, tags: item.tags.toSorted() }))).toEqual([
      {
        ...{ ...common, digest: blob, kind: 'blob', mediaType: undefined, tags: [] },
        ...{ sizeBytes: 5000, diskBytes: 3 * DISK_BLOCK_BYTES, usedMs: clock.nowMs - 1000 },
      },
      {
        ...{ ...common, digest, kind: 'manifest', mediaType },
        tags: ['registry.test/team/app:v1', 'registry.test/team/app:v2'],
        ...{ sizeBytes: 100, diskBytes: 2 * DISK_BLOCK_BYTES, usedMs: clock.nowMs },
      },
    ]);
    expect(store.heldBytes).toBe(5 * DISK_BLOCK_BYTES);
  });

  test('includes content whose record is lost', async () => {
    const { store, directory, files, blob, manifest } = await stocked();
    await store.close();
    await rm(files.record(blob));
    const { store: next } = await storeAt(directory);
    const found = (await next.stock.list()).find(({ digest }) => digest === blob);
    expect(found).toMatchObject({ kind: undefined, repository: undefined, tags: [], sizeBytes: 5000 });
    expect(found?.usedMs).toBeCloseTo((await stat(files.blob(blob))).mtimeMs, 0);
    expect(await next.blob(blob)).toBeUndefined();
    expect(await next.manifest(manifest.digest)).toBeDefined();
  });
});

describe('verifying the stored content', () => {
  test('distinguishes intact, corrupt and missing content, and removes what is corrupt', async () => {
    const { store, files, lines, blob, manifest } = await stocked();
    await writeFile(files.blob(blob), randomBytes(5000));
    expect(await store.stock.verify(manifest.digest)).toBe(true);
    expect(lines).toEqual([]);
    expect(await store.stock.verify(blob)).toBe(false);
    expect(lines).toMatchObject([{ level: 'warning', event: 'content-corrupt', fields: { digest: blob } }]);
    await expect(stat(files.blob(blob))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await store.stock.verify(blob)).toBe(false);
    expect(lines).toHaveLength(1);
    expect((await store.stock.list()).map(({ digest }) => digest)).toEqual([manifest.digest]);
  });

  test('reads every byte again, even of content that this process has already verified', async () => {
    const bytes = 2 * 1024 * 1024;
    const { store, directory, files, blob } = await stocked(bytes);
    const { store: next } = await storeAt(directory);
    expect(await store.stock.verify(blob)).toBe(true);
    // The first reading has kept the sums of the blocks, which are no proof.
    expect(await next.stock.verify(blob)).toBe(true);
    const { mtime } = await stat(files.blob(blob));
    const spoilt = await readFile(files.blob(blob));
    spoilt[bytes - 1] = (spoilt[bytes - 1] ?? 0) ^ 1;
    await writeFile(files.blob(blob), spoilt);
    await utimes(files.blob(blob), mtime, mtime);
    expect(await next.stock.verify(blob)).toBe(false);
  });
});

test('removing content deletes its record and checksums too, on disk and in memory', async () => {
  const { store, files, blob, manifest } = await stocked();
  await keepSums(files, blob, Buffer.from('sums'));
  await store.manifest(manifest.digest);
  for (const digest of [blob, manifest.digest]) {
    await store.stock.remove(digest);
    for (const path of [files.blob(digest), files.record(digest), files.sums(digest)])
      await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  }
  expect([await store.blob(blob), store.openBlob?.(blob)]).toEqual([undefined, undefined]);
  expect(await store.manifest(manifest.digest)).toBeUndefined();
  expect(await store.stock.list()).toEqual([]);
  expect(store.heldBytes).toBe(0);
});

test('files that are no record of stored content are removed once they are old, and the index is rewritten', async () => {
  const { store, clock, files, blob, manifest } = await stocked();
  const stray = join(files.records, 'stray');
  await writeFile(stray, '');
  await rm(files.blob(manifest.digest));
  await store.close();
  expect(await readFile(files.index, 'utf8')).not.toContain(blob);
  const listed = async () => {
    const { manifests } = JSON.parse(await readFile(files.index, 'utf8'));
    return manifests.map(({ digest }: { readonly digest: string }) => digest);
  };
  clock.nowMs += 61_000;
  expect(await store.stock.removeOrphans()).toBe(2);
  await stat(files.record(blob));
  for (const path of [stray, files.record(manifest.digest)])
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  await store.close();
  expect(await listed()).toEqual([]);
});
