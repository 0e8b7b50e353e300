import type { Writable } from 'node:stream';

/** Watches a sink. `reason`: why it takes no more bytes; undefined while it does. */
export interface SinkWatch {
  readonly reason: Error | undefined;
  stop(): void;
}

export function readerHasLeft(): Error {
  return new Error('the reader has left');
}

/** Calls `onGone` once, as soon as the sink takes no more bytes, because it failed or its reader has left. */
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

/** Writes one chunk. Resolves when its memory may be reused; rejects when the sink takes no more bytes. */
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

/** Borrowed bytes in memory. Call `giveBack` or `giveUp`, once. */
export interface LentBytes {
  readonly bytes: Buffer;
  /** Returns the memory, when nothing reads from it any more. */
  giveBack(): void;
  /** Leaves the memory to the garbage collector, when something may still read from it. */
  giveUp(): void;
}

/** Writes one or more chunks together. Settles as {@link writeChunk} does. */
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

/** Writes chunks to a sink, and releases each when it is written. */
export interface PipedWriter {
  write(chunk: Buffer, release: () => void): void;
  /** Resolves when no write is running. */
  drained(): Promise<void>;
}

/**
 * Returns a writer of chunks to `sink`. A response whose connection has gone accepts writes until it closes, but
 * never calls back; then its `close` event releases the chunks.
 */
export function pipeInto(sink: Writable): PipedWriter {
  const underWay = new Set<() => void>();
  let onDrained = () => {};
  const over = (release: () => void) => {
    if (!underWay.delete(release)) return;
    const isLast = underWay.size === 0;
    if (isLast) sink.off('close', letGo);
    // A producer that gets its memory back may write again at once.
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

/** The number of readers of memory that its owner wants to reuse, and what to call when the last one is done. */
interface Kept {
  readers: number;
  onFree: (() => void) | undefined;
}
const kept = new WeakMap<ArrayBufferLike, Kept>();

/**
 * Declares that a slow reader still needs the memory of a chunk, so that its owner need not wait. The reader calls
 * the returned function when it is done. If it never does, the memory is left to the garbage collector.
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

/** True when the owner may reuse this memory. */
export function isReusable(memory: Buffer): boolean {
  return !kept.has(memory.buffer);
}

/** Calls `reuse` when the owner may reuse this memory: at once, later or never. */
export function whenReusable(memory: Buffer, reuse: () => void): void {
  const entry = kept.get(memory.buffer);
  if (entry === undefined) reuse();
  else entry.onFree = reuse;
}
