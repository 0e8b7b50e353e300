import { randomBytes } from 'node:crypto';
import { chown, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BufferPool } from '../../src/store/file-io.ts';
import { createHasher, inlineDigest } from '../../src/store/hasher.ts';
import { openIngest } from '../../src/store/ingest.ts';
import { layoutOf } from '../../src/store/layout.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { afterTest, repository } from '../support/upstream.ts';

const provenance = { repository: repository('team/app'), access: undefined };

describe('committing an ingest', () => {
  const right = randomBytes(1000);

  test.each([
    ['bytes that were verified', { bytes: right, isVerified: true }, true],
    ['bytes that nobody has verified', { bytes: right, isVerified: false }, false],
    ['wrong bytes', { bytes: randomBytes(1000), isVerified: true }, false],
    ['fewer bytes', { bytes: right.subarray(1), isVerified: true }, false],
  ])('of %s', async (_, { bytes, isVerified }, isStored) => {
    const { store } = await storeAt(await dataDirectory());
    const ingest = await store.ingest(digestOf(right), undefined, provenance);
    await ingest.write(bytes);
    if (isVerified) expect(await ingest.verify()).toBe(isStored);
    await ingest.commit();
    await ingest.close();
    expect((await store.blob(digestOf(right)))?.sizeBytes).toBe(isStored ? 1000 : undefined);
  });

  test('whose bytes are right but were stored only in part stores nothing', async () => {
    const { store } = await storeAt(await dataDirectory(), { maxBytes: 100_000 });
    const bytes = randomBytes(150_000);
    const ingest = await store.ingest(digestOf(bytes), undefined, provenance);
    expect(await ingest.write(bytes.subarray(0, 60_000))).toBe(true);
    expect(await ingest.write(bytes.subarray(60_000))).toBe(false);
    expect(await ingest.verify()).toBe(true);
    await ingest.commit();
    await ingest.close();
    expect(await store.blob(digestOf(bytes))).toBeUndefined();
  });

  test.runIf(process.geteuid?.() === 0)('as root gives the file to the owner of the store', async () => {
    const directory = await dataDirectory();
    const { store } = await storeAt(directory);
    const digest = digestOf(right);
    const path = layoutOf(directory).blob(digest);
    await chown(dirname(path), 65_534, 65_534);
    const ingest = await store.ingest(digest, right.length, provenance);
    await ingest.write(right);
    expect(await ingest.verify()).toBe(true);
    await ingest.commit();
    await ingest.close();
    expect(await stat(path)).toMatchObject({ uid: 65_534, gid: 65_534 });
  });
});

describe('verifying an ingest whose hashing thread fails', () => {
  const right = randomBytes(1000);
  const failure = new Error('the thread is gone');

  /** An ingest of at most this many bytes, which has been given the bytes. */
  async function ingestOf(bytes: Buffer, maxBytes: number) {
    const incoming = await dataDirectory();
    const running = {
      ...inlineDigest(digestOf(right)),
      matches: () => Promise.reject(failure),
    };
    const ingest = await openIngest({
      mayGrow: () => true,
      ...{ digest: digestOf(right), sizeBytes: right.length, maxBytes, incoming },
      path: join(incoming, 'path'),
      pool: new BufferPool(),
      hasher: { ...createHasher({ useThreads: false }), start: () => running },
      onRefused: async () => false,
      onGivenUp: () => {},
      beforeCommit: async () => {},
      onCommitted: () => {},
      onClosed: () => {},
    });
    afterTest(() => ingest.close());
    for (const part of [bytes.subarray(0, 600), bytes.subarray(600)]) await ingest.write(part);
    return ingest;
  }

  test.each([
    ['right', right, true],
    ['wrong', randomBytes(1000), false],
  ])('reads %s bytes from the file again', async (_, bytes, isRight) => {
    expect(await (await ingestOf(bytes, 1000)).verify()).toBe(isRight);
  });

  test('fails when the file has only a part of them: nothing shows that they are wrong', async () => {
    await expect((await ingestOf(right, 999)).verify()).rejects.toBe(failure);
  });
});
