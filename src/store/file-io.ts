import { type BigIntStats, read } from 'node:fs';
import type { Writable } from 'node:stream';
import { writeChunk } from '../lib/writable.ts';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';

/** A buffer on loan; exactly one of `giveBack` and `giveUp` is to be called, once. */
export interface Loan {
  readonly buffer: Buffer;
  /** Nothing reads from it any more: the next one may have it. */
  giveBack(): void;
  /** It may still be on its way: left to the collector. */
  giveUp(): void;
}

const MIB = 1024 * 1024;
const LARGE_BYTES = MIB;
const SMALL_BYTES = 256 * 1024;
/** For what is this small altogether: a part that a lazy reader asks for, a configuration. */
const LEAST_BYTES = 64 * 1024;
/** Streams at once beyond which each gets small buffers: a large one that waits for a slow reader is memory lost. */
const FEW_STREAMS = 8;
/** And beyond which they get the smallest: so many readers are slow ones. */
const MANY_STREAMS = 32;
/** Memory on loan at most; beyond it readers get small throw-away buffers rather than waiting for slow ones. */
const POOL_BYTES = 64 * MIB;
/** Readers behind a blob that is still arriving come and go many times a second: that is no reason to let go of memory. */
const IDLE_MS = 1000;
/** What stays when there has been no reader for that long: a large pair, and enough for a burst of small parts. */
const KEPT_IDLE: ReadonlyMap<number, number> = new Map([
  [LARGE_BYTES, 2],
  [SMALL_BYTES, 0],
  [LEAST_BYTES, 16],
]);

/** Recycled memory for reading files: fresh large buffers cost more to allocate and collect than the reading itself. */
export class BufferPool {
  #streams = 0;
  #lentBytes = 0;
  #shrinking: NodeJS.Timeout | undefined;
  readonly #idle = new Map<number, Buffer[]>([
    [LARGE_BYTES, []],
    [SMALL_BYTES, []],
    [LEAST_BYTES, []],
  ]);

  /** Announces a stream; call what it returns when the stream is over. */
  enter(): () => void {
    this.#streams += 1;
    return () => {
      this.#streams -= 1;
      if (this.#streams === 0) this.#shrinking ??= setTimeout(() => this.#shrink(), IDLE_MS).unref();
    };
  }

  /** A buffer for the next part of `wantedBytes` that remain, smaller where there are many streams. */
  lend(wantedBytes: number): Loan {
    const sizeBytes = this.#sizeFor(wantedBytes);
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
