import { readFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { writeAtomically } from '../lib/atomic-file.ts';
import { CorruptContentError } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { type BufferPool, readAt } from './file-io.ts';
import type { Layout } from './layout.ts';

/**
 * Checksums of a file's blocks, taken while its digest was being verified. They let a later process find a flipped bit in
 * the very block that it reads, at several times the speed of the digest and without reading the rest first.
 */
export const CHECKSUM_BLOCK_BYTES = 1024 * 1024;
const SUM_BYTES = 4;
/** In front of the sums: how many bytes they are of, as 48 bits. */
const SIZE_BYTES = 6;

const offsetOf = (block: number) => SIZE_BYTES + block * SUM_BYTES;
const fileBytes = (blocks: number) => offsetOf(blocks) + SUM_BYTES;

/** Sums blocks of bytes that come in chunks of any size. */
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

  /** The size, the sums of everything so far, the last of a shorter block, and a sum over all that. */
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

/** Checks each block of a file before it is first read. */
export class BlockChecker {
  readonly #sizeBytes: number;
  readonly #sums: Buffer;
  readonly #checked: boolean[] = [];

  constructor(sizeBytes: number, sums: Buffer) {
    this.#sizeBytes = sizeBytes;
    this.#sums = sums;
  }

  /** @throws {CorruptContentError} when bytes of these blocks are not those that were verified. */
  async check(fd: number, start: number, end: number, pool: BufferPool): Promise<void> {
    for (
      let block = Math.floor(start / CHECKSUM_BLOCK_BYTES);
      block * CHECKSUM_BLOCK_BYTES < end;
      block += 1
    ) {
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

/** The sums that were kept of a file of this size, or undefined when there are none that can be trusted. */
export async function readSums(
  layout: Layout,
  digest: Digest,
  sizeBytes: number,
): Promise<Buffer | undefined> {
  const bytes = await readFile(layout.sums(digest)).catch(() => undefined);
  if (bytes?.length !== fileBytes(Math.ceil(sizeBytes / CHECKSUM_BLOCK_BYTES))) return undefined;
  if (bytes.readUIntLE(0, SIZE_BYTES) !== sizeBytes) return undefined;
  const own = bytes.readUInt32LE(bytes.length - SUM_BYTES);
  return crc32(bytes.subarray(0, -SUM_BYTES)) === own ? bytes : undefined;
}

/** Rejects when the disk refuses. */
export function keepSums(layout: Layout, digest: Digest, sums: Buffer): Promise<void> {
  return writeAtomically(layout, layout.sums(digest), sums);
}
