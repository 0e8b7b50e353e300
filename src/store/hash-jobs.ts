import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import type { DigestAlgorithm } from '../oci/digest.ts';
import { BlockSummer } from './block-checksums.ts';

/**
 * Messages to a hashing thread. A file descriptor belongs to the whole process: the thread reads the bytes
 * itself, from the page cache behind the writer, and no bytes are copied between threads.
 */
export type HashOrder =
  | {
      readonly kind: 'open';
      readonly id: number;
      readonly algorithm: DigestAlgorithm;
      readonly fd: number;
      /** Also compute the checksums of its blocks. */
      readonly withSums: boolean;
    }
  /** The file has bytes up to this offset. */
  | { readonly kind: 'advance'; readonly id: number; readonly end: number }
  /** The next bytes, which are not in the file. */
  | { readonly kind: 'append'; readonly id: number; readonly bytes: Uint8Array }
  /** No bytes follow. The reply has the digest in hexadecimal, and the checksums if requested. */
  | { readonly kind: 'finish'; readonly id: number }
  | { readonly kind: 'forget'; readonly id: number };

export type HashReply =
  /** The thread has processed an `append`; or, after `forget`, it no longer reads the descriptor. */
  | { readonly kind: 'done'; readonly id: number }
  | {
      readonly kind: 'finished';
      readonly id: number;
      readonly hex: string;
      readonly sums: Uint8Array | undefined;
    }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string };

interface Job {
  readonly fd: number;
  readonly hash: Hash;
  readonly summer: BlockSummer | undefined;
  position: number;
}

const BUFFER_BYTES = 512 * 1024;

/** Returns the function that processes one message; it returns the reply, if the message has one. */
export function createHashJobs(): (order: HashOrder) => HashReply | undefined {
  const jobs = new Map<number, Job>();
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);

  function readUpTo(job: Job, end: number): void {
    while (job.position < end) {
      const wanted = Math.min(buffer.length, end - job.position);
      const bytesRead = readSync(job.fd, buffer, 0, wanted, job.position);
      if (bytesRead === 0) throw new Error(`the file ends at byte ${job.position}`);
      const bytes = buffer.subarray(0, bytesRead);
      job.hash.update(bytes);
      job.summer?.update(bytes);
      job.position += bytesRead;
    }
  }

  function deal(order: HashOrder): HashReply | undefined {
    const { id } = order;
    if (order.kind === 'open') {
      const summer = order.withSums ? new BlockSummer() : undefined;
      jobs.set(id, { fd: order.fd, hash: createHash(order.algorithm), summer, position: 0 });
      return undefined;
    }
    if (order.kind === 'forget') {
      jobs.delete(id);
      return { kind: 'done', id };
    }
    const job = jobs.get(id);
    if (!job) return { kind: 'failed', id, message: 'no such job' };
    switch (order.kind) {
      case 'advance':
        readUpTo(job, order.end);
        return undefined;
      case 'append':
        job.hash.update(order.bytes);
        return { kind: 'done', id };
      case 'finish':
        return { kind: 'finished', id, hex: job.hash.digest('hex'), sums: job.summer?.finish() };
    }
  }

  return (order) => {
    try {
      return deal(order);
    } catch (error) {
      jobs.delete(order.id);
      return { kind: 'failed', id: order.id, message: (error as Error).message };
    }
  };
}
