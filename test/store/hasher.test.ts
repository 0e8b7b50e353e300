import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { BlockSummer } from '../../src/store/block-checksums.ts';
import { createHasher, hashThreads } from '../../src/store/hasher.ts';
import { dataDirectory } from '../support/store.ts';
import { afterTest, closing } from '../support/upstream.ts';

const MIB = 1024 * 1024;

async function fileOf(bytes: Buffer) {
  const file = await open(join(await dataDirectory(), 'content'), 'w+');
  afterTest(() => file.close());
  await file.write(bytes);
  return file;
}

describe('hashing in a worker thread', () => {
  test.each(['sha256', 'sha512'] as const)('computes the %s digest of a growing file', async (algorithm) => {
    const bytes = randomBytes(9 * MIB + 1);
    const digest = digestOf(bytes, algorithm);
    const file = await fileOf(Buffer.alloc(0));
    const running = closing(createHasher({ useThreads: true })).start(digest, file.fd, bytes.length);
    for (let start = 0; start < bytes.length; start += MIB) {
      const chunk = bytes.subarray(start, start + MIB);
      await file.write(chunk, 0, chunk.length, start);
      running.take(chunk);
      running.stored(start + chunk.length);
    }
    expect(await running.matches()).toBe(true);
    await running.release();
  });

  test('continues with bytes that are in no file', async () => {
    const bytes = randomBytes(6 * MIB);
    const file = await fileOf(bytes.subarray(0, 5 * MIB));
    const running = closing(createHasher({ useThreads: true })).start(digestOf(bytes), file.fd, undefined);
    running.take(bytes.subarray(0, 5 * MIB));
    running.stored(5 * MIB);
    const chunk = Buffer.from(bytes.subarray(5 * MIB));
    running.take(chunk);
    await running.passed(chunk);
    // The chunk is the caller's again.
    chunk.fill(0);
    expect(await running.matches()).toBe(true);
    await running.release();
  });

  test('detects wrong bytes', async () => {
    const bytes = randomBytes(2 * MIB);
    const hasher = closing(createHasher());
    const file = await fileOf(bytes);
    const check = (digest: Digest) => hasher.checkFile(file.fd, bytes.length, digest, false);
    expect(await check(digestOf(bytes))).toEqual({ hasDigest: true, sums: undefined });
    expect(await check(digestOf(Buffer.from('else')))).toEqual({ hasDigest: false, sums: undefined });
  });

  test('fails without a digest for a file that is shorter than expected', async () => {
    const bytes = randomBytes(2 * MIB);
    const file = await fileOf(bytes.subarray(0, MIB));
    const running = closing(createHasher({ useThreads: true })).start(digestOf(bytes), file.fd, bytes.length);
    running.take(bytes);
    running.stored(bytes.length);
    await expect(running.matches()).rejects.toThrow('the file ends at byte');
    await running.release();
  });

  test('starts another thread for the next file after a thread has ended', async () => {
    const bytes = randomBytes(2 * MIB);
    const hasher = createHasher({ useThreads: true });
    afterTest(() => hasher.close());
    const file = await fileOf(bytes);
    const running = hasher.start(digestOf(bytes), file.fd, bytes.length);
    running.take(bytes);
    running.stored(bytes.length);
    await hasher.close();
    await expect(running.matches()).rejects.toThrow('the hashing thread has ended');
    const check = await hasher.checkFile(file.fd, bytes.length, digestOf(bytes), false);
    expect(check.hasDigest).toBe(true);
  });

  test('computes the block checksums of a complete file too', async () => {
    const bytes = randomBytes(3 * MIB + 5);
    const file = await fileOf(bytes);
    const summer = new BlockSummer();
    summer.update(bytes);
    const check = await closing(createHasher()).checkFile(file.fd, bytes.length, digestOf(bytes), true);
    expect(check).toEqual({ hasDigest: true, sums: summer.finish() });
  });
});

describe('hashing without a worker thread', () => {
  test('needs no file for bytes that are stored or passed through', async () => {
    const bytes = randomBytes(3 * MIB);
    const running = closing(createHasher({ useThreads: false })).start(digestOf(bytes), -1, undefined);
    running.take(bytes.subarray(0, 2 * MIB));
    running.stored(2 * MIB);
    running.take(bytes.subarray(2 * MIB));
    await running.passed(bytes.subarray(2 * MIB));
    expect(await running.matches()).toBe(true);
    await running.release();
  });
});

test.each([
  [1, 1],
  [2, 1],
  [3, 2],
  [5, 4],
  [6, 4],
  [128, 4],
])('on %d cores, at most %d threads hash', (cores, threads) => {
  expect(hashThreads(cores)).toBe(threads);
});
