import { type BigIntStats, read } from 'node:fs';
import type { Writable } from 'node:stream';
import { writeChunk } from '../lib/writable.ts';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BufferPool, Loan } from './buffer-pool.ts';

/** Reads at a position, whatever else reads the same descriptor; answers how many bytes there were. */
export function readAt(fd: number, buffer: Buffer, sizeBytes: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, sizeBytes, position, (error, bytesRead) => {
      if (error) reject(error);
      else resolve(bytesRead);
    });
  });
}

/** Asked before a part of a file is read; rejects when it must not be handed on. */
export type PartCheck = (start: number, end: number) => Promise<void>;

const UNCHECKED: PartCheck = async () => {};

async function readPart(fd: number, pool: BufferPool, { start, end }: ByteRange, check: PartCheck) {
  const loan = pool.lend(end - start);
  try {
    const wantedBytes = Math.min(loan.buffer.length, end - start);
    await check(start, start + wantedBytes);
    const bytesRead = await readAt(fd, loan.buffer, wantedBytes, start);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${start} instead of ${end}`);
    return { loan, bytesRead };
  } catch (error) {
    loan.giveBack();
    throw error;
  }
}

async function writeAndGiveBack(sink: Writable, loan: Loan, sizeBytes: number): Promise<void> {
  try {
    await writeChunk(sink, loan.buffer.subarray(0, sizeBytes));
  } catch (error) {
    loan.giveUp();
    throw error;
  }
  loan.giveBack();
}

/**
 * Copies a part of an open file to a sink: the next part is read while the last is being written, so at most two
 * buffers are in use. Once this settles, no read is under way, and if `check` rejected, everything before has been written.
 */
export async function copyFile(
  fd: number,
  sink: Writable,
  range: ByteRange,
  pool: BufferPool,
  check: PartCheck = UNCHECKED,
): Promise<void> {
  const leave = pool.enter();
  let writing: Promise<void> = Promise.resolve();
  try {
    for (let position = range.start; position < range.end; ) {
      const part = readPart(fd, pool, { start: position, end: range.end }, check);
      const [written, read] = await Promise.allSettled([writing, part]);
      if (written.status === 'rejected') {
        if (read.status === 'fulfilled') read.value.loan.giveBack();
        throw written.reason;
      }
      if (read.status === 'rejected') throw read.reason;
      const { loan, bytesRead } = read.value;
      position += bytesRead;
      writing = writeAndGiveBack(sink, loan, bytesRead);
      writing.catch(() => {
        // Awaited in the next round or at the end; a read error in between must not leave it unhandled.
      });
    }
    await writing;
  } finally {
    leave();
  }
}

const CHUNK_BYTES = 1024 * 1024;

/** Do the bytes of this open file have this digest? */
export async function hasDigest(fd: number, sizeBytes: number, digest: Digest): Promise<boolean> {
  const hash = hashFor(digest);
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(sizeBytes, 1)));
  for (let position = 0; position < sizeBytes; ) {
    const bytesRead = await readAt(fd, buffer, Math.min(buffer.length, sizeBytes - position), position);
    if (bytesRead === 0) return false;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
  return finishDigest(hash, algorithmOf(digest)) === digest;
}

/** What changes when a file is replaced or written to: the check that was made of one identity says nothing of another. */
export function identityOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}`;
}
