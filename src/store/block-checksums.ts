import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { writeAtomically } from '../lib/atomic-file.ts';
import { CorruptContentError } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { type BufferPool, readAt } from './file-io.ts';
import type { Layout } from './layout.ts';

/**
 * CRC-32 of each block of a file, computed while its digest was verified. A later process checks only the
 * blocks that it reads: much faster than the digest, and without reading the whole file first.
 */
export const CHECKSUM_BLOCK_BYTES = 1024 * 1024;
const SUM_BYTES = 4;
/** The sums are preceded by the number of bytes that they cover, as 48 bits. */
const SIZE_BYTES = 6;

const blockOf = (position: number) => Math.floor(position / CHECKSUM_BLOCK_BYTES);
const offsetOf = (block: number) => SIZE_BYTES + block * SUM_BYTES;
const fileBytes = (blocks: number) => offsetOf(blocks) + SUM_BYTES;

/** Computes the checksums of blocks from chunks of any size. */
export class BlockSummer {
  readonly #sums: number[] = [];
  #current = 0;
  #filledBytes = 0;
  #sizeBytes = 0;

  update(chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    for (let done = 0; done < chunk.length; ) {
      const part = chunk.subarray(done, done + CHECKSUM_BLOCK_BYTES - this.#filledBytes);
      this.#current = crc32(part, this.#current);
      this.#filledBytes += part.length;
      done += part.length;
      if (this.#filledBytes === CHECKSUM_BLOCK_BYTES) this.#close();
    }
  }

  /** The size, the sum of each block (the last block may be short), and a sum over both. All little-endian. */
  finish(): Buffer {
    if (this.#filledBytes > 0) this.#close();
    const bytes = Buffer.alloc(fileBytes(this.#sums.length));
    bytes.writeUIntLE(this.#sizeBytes, 0, SIZE_BYTES);
    for (const [block, sum] of this.#sums.entries()) bytes.writeUInt32LE(sum, offsetOf(block));
    bytes.writeUInt32LE(crc32(bytes.subarray(0, -SUM_BYTES)), bytes.length - SUM_BYTES);
    return bytes;
  }

  #close(): void {
    this.#sums.push(this.#current);
    this.#current = 0;
    this.#filledBytes = 0;
  }
}

/** Checks each block of a file when it is first read. */
export class BlockChecker {
  readonly #sizeBytes: number;
  readonly #sums: Buffer;
  readonly #checked: boolean[] = [];

  constructor(sizeBytes: number, sums: Buffer) {
    this.#sizeBytes = sizeBytes;
    this.#sums = sums;
  }

  /**
   * Undefined when these blocks have been checked before.
   * @throws {CorruptContentError} when the bytes of a block differ from the verified ones.
   */
  check(fd: number, start: number, end: number, pool: BufferPool): Promise<void> | undefined {
    for (let block = blockOf(start); block * CHECKSUM_BLOCK_BYTES < end; block += 1) {
      if (!this.#checked[block]) return this.#checkFrom(block, fd, start, end, pool);
    }
    return undefined;
  }

  async #checkFrom(first: number, fd: number, start: number, end: number, pool: BufferPool): Promise<void> {
    for (let block = first; block * CHECKSUM_BLOCK_BYTES < end; block += 1) {
      if (this.#checked[block]) continue;
      if (!(await this.#isSound(fd, block, pool))) throw new CorruptContentError(start);
      this.#checked[block] = true;
    }
  }

  async #isSound(fd: number, block: number, pool: BufferPool): Promise<boolean> {
    const first = block * CHECKSUM_BLOCK_BYTES;
    const last = Math.min(first + CHECKSUM_BLOCK_BYTES, this.#sizeBytes);
    let sum = 0;
    for (let position = first; position < last; ) {
      const loan = pool.lend(last - position);
      try {
        const wantedBytes = Math.min(loan.buffer.length, last - position);
        const bytesRead = await readAt(fd, loan.buffer, wantedBytes, position);
        if (bytesRead === 0) return false;
        sum = crc32(loan.buffer.subarray(0, bytesRead), sum);
        position += bytesRead;
      } finally {
        loan.giveBack();
      }
    }
    return sum === this.#sums.readUInt32LE(offsetOf(block));
  }
}

/** A stored file: its size, and the user who owns it. */
export interface SummedFile {
  readonly sizeBytes: number;
  readonly userId: number;
}

/** Reads the sums of a file, unless the file or its sums belong to another user than this process. */
async function readOwnSums(layout: Layout, digest: Digest, userId: number): Promise<Buffer | undefined> {
  const file = await open(layout.sums(digest), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const isOwn = userId === (process.geteuid?.() ?? userId) && userId === (await file.stat()).uid;
    return isOwn ? await file.readFile() : undefined;
  } finally {
    await file.close();
  }
}

/**
 * The stored sums of a file of this size; undefined when there are no valid ones. Whoever can write the sums
 * decides which bytes pass, so they count only if file and sums belong to this process's user. Otherwise the
 * digest decides.
 */
export async function readSums(
  layout: Layout,
  digest: Digest,
  { sizeBytes, userId }: SummedFile,
): Promise<Buffer | undefined> {
  const bytes = await readOwnSums(layout, digest, userId).catch(() => undefined);
  if (bytes?.length !== fileBytes(Math.ceil(sizeBytes / CHECKSUM_BLOCK_BYTES))) return undefined;
  if (bytes.readUIntLE(0, SIZE_BYTES) !== sizeBytes) return undefined;
  const own = bytes.readUInt32LE(bytes.length - SUM_BYTES);
  return crc32(bytes.subarray(0, -SUM_BYTES)) === own ? bytes : undefined;
}

/** Stores the sums. Rejects when the write fails. */
export function keepSums(layout: Layout, digest: Digest, sums: Buffer): Promise<void> {
  return writeAtomically(layout, layout.sums(digest), sums);
}
