import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { ByteBudget } from '../lib/byte-budget.ts';
import { keepMemory } from '../lib/kept-memory.ts';
import { writeChunks } from '../lib/writable.ts';
import type { ByteRange } from '../oci/range.ts';

export interface BatchSinkOptions {
  /** Takes what has arrived; the next batch comes when it resolves. The chunks are the writer's again then. */
  readonly receive: (chunks: readonly Buffer[]) => Promise<void>;
  /** True when nothing is worth waiting for: everything is there, or nobody knows how much there will be. */
  readonly isComplete: () => boolean;
}

/** Bytes that may wait in memory while a batch is received. */
const WAITING_MAX_BYTES = 1024 * 1024;
/** After a batch smaller than this the next one is collected for so long: every batch has its price, however small. */
const BATCH_MIN_BYTES = 256 * 1024;
const COLLECT_MS = 10;

const sizeOf = (chunks: readonly Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0);

/** A sink that hands on in batches: what arrives meanwhile comes next, and where bytes arrive slowly they are collected. */
export function createBatchSink({ receive, isComplete }: BatchSinkOptions): Writable {
  let isFirst = true;
  const take = async (chunks: readonly Buffer[]) => {
    await receive(chunks);
    if (!isFirst && !isComplete() && sizeOf(chunks) < BATCH_MIN_BYTES) await delay(COLLECT_MS);
    isFirst = false;
  };
  return new Writable({
    highWaterMark: WAITING_MAX_BYTES,
    writev: (pending: readonly { readonly chunk: Buffer }[], done) => {
      take(pending.map(({ chunk }) => chunk)).then(() => done(), done);
    },
  });
}

/** What all downloads together may have on its way to clients, as memory that cannot be used again until they have it. */
const ON_ITS_WAY = new ByteBudget(64 * 1024 * 1024);

/** A part of a blob that is in memory, in chunks that still belong to their producer. */
export class MemoryPart implements ByteRange {
  readonly start: number;
  readonly end: number;
  readonly #chunks: readonly Buffer[];
  /** Of the whole pieces that the chunks are cut from. */
  readonly #memoryBytes: number;
  #writes = 0;

  constructor(start: number, chunks: readonly Buffer[]) {
    this.start = start;
    this.end = chunks.reduce((end, { length }) => end + length, start);
    this.#chunks = chunks;
    const memory = new Set(chunks.map(({ buffer }) => buffer));
    this.#memoryBytes = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  includes(position: number): boolean {
    return this.start <= position && position < this.end;
  }

  /** False when so much is on its way to clients that more of them had better read the file. */
  mayRelay(): boolean {
    return ON_ITS_WAY.usedBytes + this.#memoryBytes <= ON_ITS_WAY.maxBytes;
  }

  /** Writes the bytes from `position`, which it includes, to `end` or its own end; resolves with where that is. */
  async writeTo(target: Writable, position: number, end: number): Promise<number> {
    this.#writes += 1;
    const release = ON_ITS_WAY.tryTake(this.#memoryBytes);
    try {
      await writeChunks(target, this.#slices(position, end));
    } catch (error) {
      // The target is gone, but not its system calls, perhaps.
      this.#keep();
      throw error;
    } finally {
      release?.();
      this.#writes -= 1;
    }
    return Math.min(end, this.end);
  }

  /** To be called before the chunks are their owner's again: what is still being written is not to be used again. */
  letGo(): void {
    if (this.#writes > 0) this.#keep();
  }

  #keep(): void {
    for (const chunk of this.#chunks) keepMemory(chunk);
  }

  #slices(start: number, end: number): readonly Buffer[] {
    let position = this.start;
    return this.#chunks.flatMap((chunk) => {
      const slice = chunk.subarray(Math.max(0, start - position), Math.max(0, end - position));
      position += chunk.length;
      return slice.length > 0 ? [slice] : [];
    });
  }
}
