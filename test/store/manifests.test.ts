import { randomBytes } from 'node:crypto';
import { open, rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { ClientCredential, MANIFEST_MAX_BYTES } from '../../src/oci/registry.ts';
import { layoutOf } from '../../src/store/layout.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { repository } from '../support/upstream.ts';

const app = repository('team/app');
const MIB = 1024 * 1024;

function manifestOf(bytes: Buffer) {
  return { digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociIndex, bytes, maxAgeMs: 0 };
}

describe('a stored manifest', () => {
  test('that is stored again for another partition is visible to both, also after a restart', async () => {
    const directory = await dataDirectory();
    const { store } = await storeAt(directory);
    const manifest = manifestOf(randomBytes(100));
    const accesses = ['one', 'two'].map((partition) => ({ partition }));
    for (const access of accesses) await store.keepManifest(manifest, { repository: app, access });
    for (const { store: each } of [{ store }, await storeAt(directory)]) {
      const held = await each.manifest(manifest.digest);
      expect(accesses.map((access) => held?.isVisibleTo(access, app))).toEqual([true, true]);
      expect(held?.isVisibleTo({ partition: 'three' }, app)).toBe(false);
    }
  });

  test('that another repository delivers as well is of both, also after a restart', async () => {
    const directory = await dataDirectory();
    const { store } = await storeAt(directory);
    const manifest = manifestOf(randomBytes(100));
    const repositories = [app, repository('team/other'), repository('team/app', 'ghcr.io')];
    for (const each of repositories)
      await store.keepManifest(manifest, { repository: each, access: undefined });
    for (const { store: each } of [{ store }, await storeAt(directory)]) {
      const held = await each.manifest(manifest.digest);
      expect(repositories.map((one) => held?.isFrom(one))).toEqual([true, true, true]);
      expect(held?.isFrom(repository('team/third'))).toBe(false);
    }
  });

  test.each([
    [MANIFEST_MAX_BYTES, true],
    [MANIFEST_MAX_BYTES + 1, false],
  ])('of %d bytes on disk is read into memory: %s', async (sizeBytes, isRead) => {
    const directory = await dataDirectory();
    const { store } = await storeAt(directory);
    const manifest = manifestOf(randomBytes(sizeBytes));
    await store.keepManifest(manifest, { repository: app, access: undefined });
    const { store: next } = await storeAt(directory);
    expect((await next.manifest(manifest.digest))?.bytes.length).toBe(isRead ? sizeBytes : undefined);
  });

  test('in memory is not read again, and counts only while its file exists', async () => {
    const directory = await dataDirectory();
    const { store } = await storeAt(directory);
    const manifest = manifestOf(randomBytes(100));
    await store.keepManifest(manifest, { repository: app, access: undefined });
    const path = layoutOf(directory).blob(manifest.digest);
    await writeFile(path, 'other bytes');
    expect((await store.manifest(manifest.digest))?.bytes).toEqual(manifest.bytes);
    await rm(path);
    expect(await store.manifest(manifest.digest)).toBeUndefined();
  });

  test('whose bytes have changed since their checksums were computed is fetched again', async () => {
    const directory = await dataDirectory();
    const manifest = manifestOf(randomBytes(2 * MIB));
    await (await storeAt(directory)).store.keepManifest(manifest, { repository: app, access: undefined });
    // The first read after a start sums the blocks.
    expect(await (await storeAt(directory)).store.manifest(manifest.digest)).toBeDefined();
    const file = await open(layoutOf(directory).blob(manifest.digest), 'r+');
    await file.write(Buffer.of((manifest.bytes.at(-1) ?? 0) ^ 1), 0, 1, 2 * MIB - 1);
    await file.close();
    const { store, lines } = await storeAt(directory);
    expect(await store.manifest(manifest.digest)).toBeUndefined();
    expect(lines.map(({ event }) => event)).toContain('content-corrupt');
  });
});

describe('the memory of manifests', () => {
  const provenance = { repository: app, access: undefined };
  /** With the 256 bytes that each costs besides its bytes, these two take 32 MiB. */
  const [large, small] = [manifestOf(Buffer.alloc(32 * MIB - 2 * 256 - 100)), manifestOf(randomBytes(100))];
  const more = manifestOf(Buffer.of(1));

  test('holds 32 MiB; beyond that, those used longest ago are read from the disk', async () => {
    const directory = await dataDirectory();
    const { store } = await storeAt(directory);
    /** True when it is found although its file has other bytes. */
    const isInMemory = async ({ digest }: typeof small) => {
      await writeFile(layoutOf(directory).blob(digest), 'other bytes');
      return (await store.manifest(digest)) !== undefined;
    };
    for (const manifest of [large, small]) await store.keepManifest(manifest, provenance);
    expect(await isInMemory(large)).toBe(true);
    await store.keepManifest(more, provenance);
    expect(await isInMemory(large)).toBe(true);
    expect(await isInMemory(small)).toBe(false);
  });

  test('holds 32 MiB of those that cannot be written, and drops those used longest ago', async () => {
    const directory = await dataDirectory();
    const { store } = await storeAt(directory);
    const { incoming } = layoutOf(directory);
    await rm(incoming, { recursive: true });
    await writeFile(incoming, 'no directory');
    const found = async () => {
      const all = await Promise.all([small, large].map(({ digest }) => store.manifest(digest)));
      return all.map((one) => one !== undefined);
    };
    for (const manifest of [large, small]) await store.keepManifest(manifest, provenance);
    expect(await found()).toEqual([true, true]);
    await store.keepManifest(more, provenance);
    expect(await found()).toEqual([false, true]);
  });
});

test('a derived index is visible to a client’s own login only after a new check by the registry', async () => {
  const { store } = await storeAt(await dataDirectory());
  const manifest = manifestOf(randomBytes(100));
  const own = { partition: 'own', credential: new ClientCredential(app.host, 'Basic YTph') };
  for (const [access, maxAgeMs] of [
    [own, 0],
    [{ partition: 'site' }, Number.POSITIVE_INFINITY],
    [undefined, Number.POSITIVE_INFINITY],
  ] as const) {
    await store.derived.keep(app, manifest, access);
    expect(await store.derived.find(app, manifest.digest, access)).toMatchObject({ maxAgeMs });
  }
});
