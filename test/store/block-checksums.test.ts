import { randomBytes } from 'node:crypto';
import { chown, open, rename, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CorruptContentError } from '../../src/oci/content-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import {
  BlockChecker,
  BlockSummer,
  CHECKSUM_BLOCK_BYTES,
  keepSums,
  readSums,
} from '../../src/store/block-checksums.ts';
import { BufferPool } from '../../src/store/file-io.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { FUZZ_SEED } from '../support/fuzz.ts';
import { dataDirectory } from '../support/store.ts';
import { afterTest } from '../support/upstream.ts';

/** Nobody whom the store knows. */
const STRANGER = 65_534;

function sumsOf(...chunks: readonly Buffer[]): Buffer {
  const summer = new BlockSummer();
  for (const chunk of chunks) summer.update(chunk);
  return summer.finish();
}

/** A file of these bytes with a checker of their sums. */
async function checkedFile(bytes: Buffer) {
  const file = await open(join(await dataDirectory(), 'content'), 'w+');
  afterTest(() => file.close());
  await file.write(bytes);
  const checker = new BlockChecker(bytes.length, sumsOf(bytes));
  const pool = new BufferPool();
  return { file, check: (start: number, end: number) => checker.check(file.fd, start, end, pool) };
}

describe('block checksums', () => {
  test('do not depend on how the bytes were split into chunks', () => {
    const bytes = randomBytes(2 * CHECKSUM_BLOCK_BYTES + 12_345);
    const whole = sumsOf(bytes);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 6 }), (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = edges.slice(1).map((end, at) => bytes.subarray(edges[at], end));
        expect(sumsOf(...chunks).equals(whole)).toBe(true);
      }),
      { numRuns: 30, seed: FUZZ_SEED },
    );
  });

  test('detect a flipped bit in the block that is read, and only there', async () => {
    const bytes = randomBytes(3 * CHECKSUM_BLOCK_BYTES);
    const { file, check } = await checkedFile(bytes);
    const position = CHECKSUM_BLOCK_BYTES + 77;
    await file.write(Buffer.of((bytes[position] ?? 0) ^ 1), 0, 1, position);
    await check(0, CHECKSUM_BLOCK_BYTES);
    await check(2 * CHECKSUM_BLOCK_BYTES, 3 * CHECKSUM_BLOCK_BYTES);
    await expect(check(CHECKSUM_BLOCK_BYTES + 5, CHECKSUM_BLOCK_BYTES + 6)).rejects.toThrow(
      CorruptContentError,
    );
    await expect(check(0, 2 * CHECKSUM_BLOCK_BYTES)).rejects.toThrow(CorruptContentError);
  });

  test('free their memory when the disk fails', async () => {
    const pool = new BufferPool();
    const checker = new BlockChecker(CHECKSUM_BLOCK_BYTES, sumsOf(randomBytes(CHECKSUM_BLOCK_BYTES)));
    const directory = await open(tmpdir());
    afterTest(() => directory.close());
    // More often than the pool has buffers.
    for (let time = 0; time < 100; time += 1) {
      await expect(checker.check(directory.fd, 0, CHECKSUM_BLOCK_BYTES, pool)).rejects.toThrow('EISDIR');
    }
    expect(pool.lend(CHECKSUM_BLOCK_BYTES).buffer).toHaveLength(CHECKSUM_BLOCK_BYTES);
  });

  test('detect a file that has become shorter', async () => {
    const { file, check } = await checkedFile(randomBytes(CHECKSUM_BLOCK_BYTES + 100));
    await file.truncate(CHECKSUM_BLOCK_BYTES + 99);
    await check(0, CHECKSUM_BLOCK_BYTES);
    await expect(check(CHECKSUM_BLOCK_BYTES, CHECKSUM_BLOCK_BYTES + 100)).rejects.toThrow(
      CorruptContentError,
    );
  });

  test('are used only when they are intact and cover the size of the file', async () => {
    const layout = layoutOf(await dataDirectory());
    await prepareLayout(layout);
    const bytes = randomBytes(CHECKSUM_BLOCK_BYTES + 100);
    const digest = digestOf(bytes);
    const sums = sumsOf(bytes);
    const file = { sizeBytes: bytes.length, userId: process.geteuid?.() ?? 0 };
    expect(await readSums(layout, digest, file)).toBeUndefined();
    await keepSums(layout, digest, sums);
    expect(await readSums(layout, digest, file)).toEqual(sums);
    expect(await readSums(layout, digest, { ...file, sizeBytes: bytes.length - 1 })).toBeUndefined();
    for (let at = 0; at < sums.length; at += 1) {
      const spoilt = Buffer.from(sums);
      spoilt[at] = (spoilt[at] ?? 0) ^ 4;
      await keepSums(layout, digest, spoilt);
      expect(await readSums(layout, digest, file)).toBeUndefined();
    }
  });

  test('are not read through a symbolic link', async () => {
    const layout = layoutOf(await dataDirectory());
    await prepareLayout(layout);
    const bytes = randomBytes(CHECKSUM_BLOCK_BYTES + 100);
    const digest = digestOf(bytes);
    await keepSums(layout, digest, sumsOf(bytes));
    await rename(layout.sums(digest), join(layout.root, 'elsewhere'));
    await symlink(join(layout.root, 'elsewhere'), layout.sums(digest));
    const file = { sizeBytes: bytes.length, userId: process.geteuid?.() ?? 0 };
    expect(await readSums(layout, digest, file)).toBeUndefined();
  });

  test.runIf(process.geteuid?.() === 0)(
    'are not used when they or the content belong to a user other than this process’s',
    async () => {
      const layout = layoutOf(await dataDirectory());
      await prepareLayout(layout);
      const bytes = randomBytes(CHECKSUM_BLOCK_BYTES + 100);
      const digest = digestOf(bytes);
      const read = (userId: number) => readSums(layout, digest, { sizeBytes: bytes.length, userId });
      await keepSums(layout, digest, sumsOf(bytes));
      expect(await read(0)).toBeDefined();
      expect(await read(STRANGER)).toBeUndefined();
      await chown(layout.sums(digest), STRANGER, STRANGER);
      expect(await read(0)).toBeUndefined();
      expect(await read(STRANGER)).toBeUndefined();
      // Whoever can rename the folder can put one of their own in its place.
      await chown(layout.checksums, STRANGER, STRANGER);
      expect(await read(STRANGER)).toBeUndefined();
    },
  );
});
