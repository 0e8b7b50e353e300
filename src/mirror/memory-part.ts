import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { FairBudget } from '../lib/fair-budget.ts';
import { keepMemory, writeChunks } from '../lib/writable.ts';
import type { ByteRange } from '../oci/range.ts';

export interface BatchSinkOptions {
  /** Takes what has arrived; the next batch follows when it resolves. The chunks then belong to the writer again. */
  readonly receive: (chunks: readonly Buffer[]) => Promise<void>;
  /** True when waiting for more is pointless: everything has arrived, or the size is unknown. */
  readonly isComplete: () => boolean;
  /** Resolves after so many milliseconds; by the system's clock when not given. */
  readonly wait?: (ms: number) => Promise<void>;
}

/** Bytes that may wait in memory while a batch is received. */
const WAITING_MAX_BYTES = 1024 * 1024;
/** After a batch smaller than this, the next one is collected for this long: every batch has a fixed cost. */
const BATCH_MIN_BYTES = 256 * 1024;
const COLLECT_MS = 10;
/** Or until so much has come: half of what pauses a source, so that it goes on while this is stored. */
const ENOUGH_BYTES = 512 * 1024;

const sizeOf = (chunks: readonly Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0);

/** A sink that delivers in batches: what arrives during one comes in the next, and slow arrivals are collected. */
class BatchSink extends Writable {
  readonly #options: BatchSinkOptions;
  #isFirst = true;
  /** Of the batch that was delivered last: they count as buffered until the next one may come. */
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
    this.#deliver(pending.map(({ chunk }) => chunk)).then(() => done(), done);
  }

  async #deliver(chunks: readonly Buffer[]): Promise<void> {
    const { receive, isComplete, wait = delay } = this.#options;
    this.#deliveredBytes = sizeOf(chunks);
    await receive(chunks);
    const isSmall = this.#deliveredBytes < BATCH_MIN_BYTES && !this.#hasEnough;
    if (!this.#isFirst && isSmall && !isComplete()) {
      // A source that is only held up by the wait must not be: TLS brings a fast one in small pieces.
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

/** Bound of the memory that all downloads together have on its way to clients and cannot reuse. */
const ON_ITS_WAY = new FairBudget(64 * 1024 * 1024);

/** A part of a blob in memory, in chunks that still belong to their producer. */
export class MemoryPart implements ByteRange {
  readonly start: number;
  readonly end: number;
  readonly #chunks: readonly Buffer[];
  /** Size of the memory pieces that the chunks are cut from. */
  readonly #memoryBytes: number;
  #writes = 0;
  /** To be called when the writes that are under way since {@link letGo} have ended. */
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

  /** False when so many bytes are on their way to clients that further readers should read the file. */
  mayRelay(): boolean {
    return this.#memoryBytes <= ON_ITS_WAY.free;
  }

  /** Writes the bytes from `position`, which it includes, to `end` or its own end; resolves with that position. */
  async writeTo(target: Writable, position: number, end: number): Promise<number> {
    this.#writes += 1;
    const release = ON_ITS_WAY.tryTake(this.#memoryBytes);
    try {
      await writeChunks(target, this.#slices(position, end));
    } catch (error) {
      // The target is gone, but its system calls may still run.
      this.#keep();
      throw error;
    } finally {
      release?.();
      this.#writes -= 1;
      if (this.#writes === 0) for (const free of this.#kept.splice(0)) free();
    }
    return Math.min(end, this.end);
  }

  /** Call it before the chunks belong to their owner again: memory that is still being written must not be reused. */
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
