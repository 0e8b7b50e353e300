import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { FairBudget } from '../lib/fair-budget.ts';
import { keepMemory, writeChunks } from '../lib/writable.ts';
import type { ByteRange } from '../oci/range.ts';

export interface BatchSinkOptions {
  /** Receives a batch. The next batch follows when it resolves; the chunks are then returned to the writer. */
  readonly receive: (chunks: readonly Buffer[]) => Promise<void>;
  /** True when there is no use in waiting for more: everything has arrived, or the size is unknown. */
  readonly isComplete: () => boolean;
  /** Resolves after this many milliseconds. Default: a timer. */
  readonly wait?: (ms: number) => Promise<void>;
}

/** How many bytes may wait in memory while a batch is received. */
const WAITING_MAX_BYTES = 2 * 1024 * 1024;
/** After a batch smaller than this, more is collected for {@link COLLECT_MS}, because each batch has a fixed cost. */
const BATCH_MIN_BYTES = 512 * 1024;
const COLLECT_MS = 20;
/** Collecting ends at this size: a quarter of what pauses a source, so that the source continues meanwhile. */
const ENOUGH_BYTES = 512 * 1024;

const sizeOf = (chunks: readonly Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0);

/** Joins chunks that lie side by side in memory, because each one costs a call for hashing, storing and sending. */
function joinAdjacent(chunks: readonly Buffer[]): readonly Buffer[] {
  const joined: Buffer[] = [];
  for (const chunk of chunks) {
    const last = joined.at(-1);
    const isAdjacent = last?.buffer === chunk.buffer && last.byteOffset + last.length === chunk.byteOffset;
    if (isAdjacent)
      joined.splice(-1, 1, Buffer.from(last.buffer, last.byteOffset, last.length + chunk.length));
    else joined.push(chunk);
  }
  return joined;
}

/** A sink that delivers in batches. What arrives during one batch is in the next; slow arrivals are collected. */
class BatchSink extends Writable {
  readonly #options: BatchSinkOptions;
  #isFirst = true;
  /** The size of the last batch. The stream counts these bytes as buffered until the next batch. */
  #deliveredBytes = 0;
  #stopCollecting = () => {};

  constructor(options: BatchSinkOptions) {
    super({ highWaterMark: WAITING_MAX_BYTES });
    this.#options = options;
  }

  get #hasEnough(): boolean {
    return this.writableLength - this.#deliveredBytes >= ENOUGH_BYTES;
  }

  override write(chunk: unknown, ...rest: readonly unknown[]): boolean {
    const goesOn = super.write(chunk, ...(rest as []));
    if (this.#hasEnough) this.#stopCollecting();
    return goesOn;
  }

  override _writev(pending: readonly { readonly chunk: Buffer }[], done: (error?: Error) => void): void {
    this.#deliver(joinAdjacent(pending.map(({ chunk }) => chunk))).then(() => done(), done);
  }

  async #deliver(chunks: readonly Buffer[]): Promise<void> {
    const { receive, isComplete, wait = delay } = this.#options;
    this.#deliveredBytes = sizeOf(chunks);
    await receive(chunks);
    const isSmall = this.#deliveredBytes < BATCH_MIN_BYTES && !this.#hasEnough;
    if (!this.#isFirst && isSmall && !isComplete()) {
      // The wait ends early when enough has arrived, so that it never slows down a fast source: TLS delivers in
      // small pieces.
      const enough = new Promise<void>((resolve) => {
        this.#stopCollecting = resolve;
      });
      await Promise.race([wait(COLLECT_MS), enough]);
    }
    this.#isFirst = false;
  }
}

export function createBatchSink(options: BatchSinkOptions): Writable {
  return new BatchSink(options);
}

/** Limit of the memory that is being written to clients and cannot be reused, for all downloads together. */
const ON_ITS_WAY = new FairBudget(64 * 1024 * 1024);

/** A part of a blob in memory, in chunks that belong to their producer. */
export class MemoryPart implements ByteRange {
  readonly start: number;
  readonly end: number;
  readonly #chunks: readonly Buffer[];
  /** The size of the memory blocks that the chunks are cut from. */
  readonly #memoryBytes: number;
  #writes = 0;
  /** Functions that free the memory when the writes have ended that were running at {@link letGo}. */
  #kept: (() => void)[] = [];

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

  /** False when so much is being written to clients that other readers should read the file. */
  mayRelay(): boolean {
    return this.#memoryBytes <= ON_ITS_WAY.free;
  }

  /**
   * Writes from `position` up to `end` or the part's own end, and resolves with that. `position` must be in this
   * part.
   */
  async writeTo(target: Writable, position: number, end: number): Promise<number> {
    this.#writes += 1;
    const release = ON_ITS_WAY.tryTake(this.#memoryBytes);
    try {
      await writeChunks(target, this.#slices(position, end));
    } catch (error) {
      // The target is gone, but its system calls may still be running.
      this.#keep();
      throw error;
    } finally {
      release?.();
      this.#writes -= 1;
      if (this.#writes === 0) for (const free of this.#kept.splice(0)) free();
    }
    return Math.min(end, this.end);
  }

  /**
   * Call this before the chunks are returned to their producer, so that memory is not reused while it is being
   * written.
   */
  letGo(): void {
    if (this.#writes > 0) this.#kept = this.#keep();
  }

  #keep(): (() => void)[] {
    return this.#chunks.map(keepMemory);
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
