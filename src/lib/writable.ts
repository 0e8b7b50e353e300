import type { Writable } from 'node:stream';

/** Watches the other end of a sink; `reason` says why it takes no more bytes, once it does not. */
export interface SinkWatch {
  readonly reason: Error | undefined;
  stop(): void;
}

export function readerHasLeft(): Error {
  return new Error('the reader has left');
}

/** Calls `onGone` once, as soon as `sink` takes no more bytes: it failed, or its other end has left. */
export function watchSink(sink: Writable, onGone: (reason: Error) => void): SinkWatch {
  let reason: Error | undefined;
  const gone = (error?: Error) => {
    if (reason !== undefined) return;
    reason = error ?? readerHasLeft();
    onGone(reason);
  };
  const onClose = () => gone();
  sink.once('error', gone).once('close', onClose);
  if (sink.destroyed) gone();
  return {
    get reason() {
      return reason;
    },
    stop: () => {
      sink.off('error', gone).off('close', onClose);
    },
  };
}

/** Writes one chunk; resolves when its memory is free again, rejects when the sink takes no more bytes. */
export function writeChunk(sink: Writable, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const watch = watchSink(sink, reject);
    if (watch.reason !== undefined) return watch.stop();
    sink.write(chunk, (error) => {
      watch.stop();
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Bytes in memory that their source lends: call exactly one of the two, once. */
export interface LentBytes {
  readonly bytes: Buffer;
  /** Nothing reads from them any more: their memory may be lent again. */
  giveBack(): void;
  /** They may still be in use: the garbage collector gets their memory. */
  giveUp(): void;
}

/** Writes one or more chunks together, as {@link writeChunk} writes one. */
export function writeChunks(sink: Writable, chunks: readonly Buffer[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const watch = watchSink(sink, reject);
    if (watch.reason !== undefined) return watch.stop();
    const last = chunks.length - 1;
    sink.cork();
    for (const [at, chunk] of chunks.entries()) {
      if (at < last) sink.write(chunk);
      else
        sink.write(chunk, (error) => {
          watch.stop();
          if (error) reject(error);
          else resolve();
        });
    }
    sink.uncork();
  });
}

/** Chunks handed to a sink; each is released once it is written. */
export interface PipedWriter {
  write(chunk: Buffer, release: () => void): void;
  /** Resolves when no write is under way. */
  drained(): Promise<void>;
}

/**
 * Hands chunks to `sink`. A response whose connection is gone accepts writes until it closes and never calls back: then
 * its `close` event releases the chunks.
 */
export function pipeInto(sink: Writable): PipedWriter {
  const underWay = new Set<() => void>();
  let onDrained = () => {};
  const over = (release: () => void) => {
    if (!underWay.delete(release)) return;
    const isLast = underWay.size === 0;
    if (isLast) sink.off('close', letGo);
    // A producer that gets its memory back may write again immediately.
    release();
    if (isLast && underWay.size === 0) onDrained();
  };
  const letGo = () => {
    for (const release of underWay) over(release);
  };
  return {
    write: (chunk, release) => {
      if (underWay.size === 0) sink.once('close', letGo);
      underWay.add(release);
      sink.write(chunk, () => over(release));
    },
    drained: async () => {
      if (underWay.size === 0) return;
      await new Promise<void>((resolve) => {
        onDrained = resolve;
      });
    },
  };
}

/** Counts the readers of memory that its owner wants to reuse, and tells the owner when the last reader has left. */
interface Kept {
  readers: number;
  onFree: (() => void) | undefined;
}
const kept = new WeakMap<ArrayBufferLike, Kept>();

/**
 * Says that a reader still needs the memory behind a chunk, for readers that are behind and for whom the owner must not
 * wait. Returns what the reader calls when it is done; of one that never calls it the memory is the garbage collector's.
 */
export function keepMemory(chunk: Buffer): () => void {
  const entry = kept.get(chunk.buffer) ?? { readers: 0, onFree: undefined };
  kept.set(chunk.buffer, entry);
  entry.readers += 1;
  return () => {
    entry.readers -= 1;
    if (entry.readers > 0) return;
    kept.delete(chunk.buffer);
    entry.onFree?.();
  };
}

/** True when the owner may use this memory again. */
export function isReusable(memory: Buffer): boolean {
  return !kept.has(memory.buffer);
}

/** Calls `reuse` when the owner may use this memory again: at once, later or never. */
export function whenReusable(memory: Buffer, reuse: () => void): void {
  const entry = kept.get(memory.buffer);
  if (entry === undefined) reuse();
  else entry.onFree = reuse;
}
