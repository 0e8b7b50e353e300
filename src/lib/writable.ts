import type { Writable } from 'node:stream';

/** Watches a sink's other end; `reason` is why it can take no more, once it cannot. */
export interface SinkWatch {
  readonly reason: Error | undefined;
  stop(): void;
}

/** Calls `onGone` once, as soon as `sink` can take no more: it failed, or its other end has left. */
export function watchSink(sink: Writable, onGone: (reason: Error) => void): SinkWatch {
  let reason: Error | undefined;
  const gone = (error?: Error) => {
    if (reason !== undefined) return;
    reason = error ?? new Error('the reader has left');
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

/** Writes one chunk; resolves when its memory is free again, rejects when the sink can take no more. */
export function writeChunk(sink: Writable, chunk: Buffer): Promise<void> {
  return writeChunks(sink, [chunk]);
}

/** Writes chunks together, as {@link writeChunk} writes one; at least one. */
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

/** Chunks handed to a sink, each released once it is written. */
export interface PipedWriter {
  write(chunk: Buffer, release: () => void): void;
  /** Resolves when none is under way. */
  drained(): Promise<void>;
}

/**
 * Hands chunks to `sink`. A response whose connection is gone takes what is written before it closes and never calls back:
 * then its close is what releases.
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
