import type { Writable } from 'node:stream';

/** Chunks handed to a sink, each released once it is written. */
export interface Handover {
  write(chunk: Buffer, release: () => void): void;
  /** Resolves when none is under way. */
  drained(): Promise<void>;
}

/**
 * Hands chunks to `sink`. A response whose connection is gone takes what is written before it closes and never calls back:
 * then its close is what releases.
 */
export function handOverTo(sink: Writable): Handover {
  const underWay = new Set<() => void>();
  let onDrained = () => {};
  const over = (release: () => void) => {
    if (!underWay.delete(release)) return;
    release();
    if (underWay.size > 0) return;
    sink.off('close', letGo);
    onDrained();
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
