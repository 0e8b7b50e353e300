import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

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
