import { type BigIntStats, read } from 'node:fs';
import type { Writable } from 'node:stream';
import { type LentBytes, writeChunk } from '../lib/writable.ts';
import { SMALL_PART_BYTES } from '../oci/content-store.ts';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';

/** A borrowed buffer. Call `giveBack` or `giveUp`, once. */
export interface Loan {
  readonly buffer: Buffer;
  /** Returns the buffer to the pool, when nothing reads from it any more. */
  giveBack(): void;
  /** Leaves the buffer to the garbage collector, when something may still read from it. */
  giveUp(): void;
}

const MIB = 1024 * 1024;
const LARGE_BYTES = MIB;
const SMALL_BYTES = 256 * 1024;
/** For small reads: a configuration, or a part that a lazy reader (eStargz, SOCI) requests. */
const LEAST_BYTES = SMALL_PART_BYTES;
/** With more concurrent streams than this, each gets medium buffers: large ones would wait for slow readers. */
const FEW_STREAMS = 8;
/** With at most this many streams, each gets a large buffer from its first read on. */
const ALONE_STREAMS = 2;
/** With more streams than this, each gets the smallest buffers: so many at once are slow readers. */
const MANY_STREAMS = 32;
/** Limit of lent memory. Beyond it readers get small temporary buffers; they never wait for one another. */
const POOL_BYTES = 64 * MIB;
/** How long the pool keeps its memory without a stream: readers of an arriving blob come and go often. */
const IDLE_MS = 1000;
/**
 * How many buffers of each size stay after that: two large ones, and enough small ones for a burst of reads.
 */
const KEPT_IDLE: ReadonlyMap<number, number> = new Map([
  [LARGE_BYTES, 2],
  [SMALL_BYTES, 0],
  [LEAST_BYTES, 16],
]);

/** Recycles the memory for reading files: allocating and collecting large buffers costs more than reading. */
export class BufferPool {
  #streams = 0;
  #lentBytes = 0;
  #shrinking: NodeJS.Timeout | undefined;
  readonly #idle = new Map<number, Buffer[]>([
    [LARGE_BYTES, []],
    [SMALL_BYTES, []],
    [LEAST_BYTES, []],
  ]);

  /** Counts a stream. Call the returned function when the stream ends. */
  enter(): () => void {
    this.#streams += 1;
    return () => {
      this.#streams -= 1;
      if (this.#streams === 0) this.#shrinking ??= setTimeout(() => this.#shrink(), IDLE_MS).unref();
    };
  }

  /**
   * Lends a buffer for the next of `wantedBytes`. It is smaller when there are many streams. `isFirst`: the
   * first part of a stream; it is small unless few streams run, because many streams that begin together would
   * each get a large one.
   */
  lend(wantedBytes: number, isFirst = false): Loan {
    const sizeBytes = isFirst && this.#streams > ALONE_STREAMS ? LEAST_BYTES : this.#sizeFor(wantedBytes);
    if (this.#lentBytes + sizeBytes > POOL_BYTES) {
      return {
        buffer: Buffer.allocUnsafe(Math.min(wantedBytes, LEAST_BYTES)),
        giveBack: () => {},
        giveUp: () => {},
      };
    }
    const buffer = this.#idle.get(sizeBytes)?.pop() ?? Buffer.allocUnsafeSlow(sizeBytes);
    this.#lentBytes += sizeBytes;
    const giveUp = () => {
      this.#lentBytes -= sizeBytes;
    };
    return {
      buffer,
      giveUp,
      giveBack: () => {
        giveUp();
        this.#idle.get(sizeBytes)?.push(buffer);
      },
    };
  }

  #sizeFor(wantedBytes: number): number {
    if (wantedBytes <= LEAST_BYTES || this.#streams > MANY_STREAMS) return LEAST_BYTES;
    return this.#streams > FEW_STREAMS ? SMALL_BYTES : LARGE_BYTES;
  }

  #shrink(): void {
    this.#shrinking = undefined;
    if (this.#streams > 0) return;
    for (const [sizeBytes, buffers] of this.#idle) buffers.splice(KEPT_IDLE.get(sizeBytes) ?? 0);
  }
}

/**
 * Reads at a position (`pread`), without moving the descriptor's offset. Resolves with the number of bytes
 * read.
 */
export function readAt(fd: number, buffer: Buffer, sizeBytes: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, sizeBytes, position, (error, bytesRead) => {
      if (error) reject(error);
      else resolve(bytesRead);
    });
  });
}

/** Called before a part of a file is read; rejects when the part must not be sent. */
export type PartCheck = (start: number, end: number) => Promise<void> | undefined;

const UNCHECKED: PartCheck = () => undefined;

async function readPart(
  fd: number,
  pool: BufferPool,
  { start, end }: ByteRange,
  check: PartCheck,
  isFirst = false,
) {
  const loan = pool.lend(end - start, isFirst);
  try {
    const wantedBytes = Math.min(loan.buffer.length, end - start);
    const checking = check(start, start + wantedBytes);
    if (checking) await checking;
    const bytesRead = await readAt(fd, loan.buffer, wantedBytes, start);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${start} instead of ${end}`);
    return { loan, bytesRead };
  } catch (error) {
    loan.giveBack();
    throw error;
  }
}

/** Reads a part of at most {@link SMALL_PART_BYTES}. Rejects when the file is shorter or `check` rejects. */
export async function readSmallPart(
  fd: number,
  range: ByteRange,
  pool: BufferPool,
  check: PartCheck,
): Promise<LentBytes> {
  const leave = pool.enter();
  try {
    const { loan, bytesRead } = await readPart(fd, pool, range, check);
    const { buffer, giveBack, giveUp } = loan;
    if (bytesRead === range.end - range.start)
      return { bytes: buffer.subarray(0, bytesRead), giveBack, giveUp };
    giveBack();
    throw new Error(`the file ends at byte ${range.start + bytesRead} instead of ${range.end}`);
  } finally {
    leave();
  }
}

/** Copies a range that fits into one buffer, where reading and writing need not overlap. */
async function copyPart(fd: number, sink: Writable, range: ByteRange, pool: BufferPool, check: PartCheck) {
  const { loan, bytesRead } = await readPart(fd, pool, range, check);
  await writeAndGiveBack(sink, loan, bytesRead);
  return bytesRead;
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
 * Copies a range of an open file to a sink. Reads the next part while it writes the last one, with at most two
 * buffers. Once this settles, no read is running. If `check` rejects, everything before that part has been
 * written.
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
    let position = range.start;
    const sizeBytes = range.end - range.start;
    if (sizeBytes > 0 && sizeBytes <= LEAST_BYTES) position += await copyPart(fd, sink, range, pool, check);
    while (position < range.end) {
      const isFirst = position === range.start;
      const part = readPart(fd, pool, { start: position, end: range.end }, check, isFirst);
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
        // Awaited in the next round or at the end. Without this, a read error first would leave an unhandled
        // rejection.
      });
    }
    await writing;
  } finally {
    leave();
  }
}

const CHUNK_BYTES = 1024 * 1024;

/** Reads an open file and compares its bytes with a digest. */
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

/**
 * Compares the identity of files. It changes when a file is replaced or written to. Whoever writes to a file can set its
 * modification time back, but not its change time.
 */
export function isSameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.ctimeNs === b.ctimeNs && a.size === b.size && a.ino === b.ino && a.dev === b.dev;
}

/** The identity that {@link isSameFile} compares, as a key. */
export function identityOf({ dev, ino, size, ctimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${ctimeNs}`;
}
