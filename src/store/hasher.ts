import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { startWorker } from '../lib/background-thread.ts';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import { hasDigest } from './file-io.ts';
import type { HashOrder, HashReply } from './hash-jobs.ts';

/** The digest of arriving bytes: call `take` with each chunk, then either `stored` or `passed`. */
export interface RunningDigest {
  /** Takes the next bytes, while they are being written. */
  take(chunk: Buffer): void;
  /** The file now has the bytes up to this offset. */
  stored(end: number): void;
  /** The bytes were not written to the file. Once this resolves, the chunk belongs to the caller again. */
  passed(chunk: Buffer): Promise<void>;
  /** Compares the digest. Call it once, after the last byte. Rejects when the file cannot be read back. */
  matches(): Promise<boolean>;
  /** Resolves when the descriptor is no longer read and may be closed. */
  release(): Promise<void>;
}

/** What reading a whole file showed. */
export interface ContentCheck {
  readonly hasDigest: boolean;
  /** The checksums of its blocks, if requested and the file was hashed on a thread. */
  readonly sums: Buffer | undefined;
}

export interface Hasher {
  /** @param sizeBytes if known: small content is hashed on the calling thread. */
  start(digest: Digest, fd: number, sizeBytes: number | undefined): RunningDigest;
  /** Reads a whole file. `withSums`: also compute the checksums of its blocks. */
  checkFile(fd: number, sizeBytes: number, digest: Digest, withSums: boolean): Promise<ContentCheck>;
  close(): Promise<void>;
}

export interface HasherOptions {
  /** Hash on a thread that reads the bytes back from the file. Default: when there are spare cores. */
  readonly useThreads?: boolean;
}

/**
 * With at most this many cores, a thread would take its time from the event loop, and reading the bytes back
 * costs another 0.1 s/GB.
 */
const FEW_CORES = 2;

/** For content below this size, a message to a thread costs more than hashing. */
const THREAD_FROM_BYTES = 1024 * 1024;
const THREADS_MAX = 4;
/** Progress is reported in steps of this size, so that a long file does not block the thread's other jobs. */
const STEP_BYTES = 4 * 1024 * 1024;

/** Hashes on the calling thread. */
export function inlineDigest(digest: Digest): RunningDigest {
  const hash = hashFor(digest);
  return {
    take: (chunk) => {
      hash.update(chunk);
    },
    stored: () => {},
    passed: async () => {},
    matches: async () => finishDigest(hash, algorithmOf(digest)) === digest,
    release: async () => {},
  };
}

interface Waiting {
  readonly resolve: (reply: HashReply) => void;
  readonly reject: (error: Error) => void;
}

/** One hashing thread. Only a pending request keeps the process running. */
class HashThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting[]>();
  #failure: Error | undefined;

  constructor() {
    this.#worker = startWorker('hash-worker', import.meta.filename);
    this.#worker.unref();
    this.#worker.on('message', (reply: HashReply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the hashing thread has ended')));
  }

  get isUsable(): boolean {
    return this.#failure === undefined;
  }

  tell(order: HashOrder): void {
    this.#worker.postMessage(order);
  }

  ask(order: HashOrder): Promise<HashReply> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const waiting = this.#waiting.get(order.id) ?? [];
      waiting.push({ resolve, reject });
      this.#waiting.set(order.id, waiting);
      // A caller that waits for a reply keeps the process running.
      this.#worker.ref();
      this.#worker.postMessage(order);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: HashReply): void {
    const waiting = this.#waiting.get(reply.id);
    // When nobody waits for this message, its failure shows with the next request.
    const first = waiting?.shift();
    if (waiting?.length === 0) this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.kind === 'failed') first?.reject(new Error(reply.message));
    else first?.resolve(reply);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.values()) for (const { reject } of waiting) reject(this.#failure);
    this.#waiting.clear();
  }
}

interface ThreadDigest extends RunningDigest {
  /** As `matches`, and also returns the checksums. */
  check(): Promise<ContentCheck>;
}

/** The digest of a growing file. A thread reads the file behind the writer. */
function threadDigest(
  thread: HashThread,
  id: number,
  digest: Digest,
  fd: number,
  withSums = false,
): ThreadDigest {
  let told = 0;
  let end = 0;
  thread.tell({ kind: 'open', id, algorithm: algorithmOf(digest), fd, withSums });
  const advance = () => {
    for (; told < end; told = Math.min(end, told + STEP_BYTES)) {
      thread.tell({ kind: 'advance', id, end: Math.min(end, told + STEP_BYTES) });
    }
  };
  const check = async (): Promise<ContentCheck> => {
    advance();
    const reply = await thread.ask({ kind: 'finish', id });
    if (reply.kind !== 'finished') return { hasDigest: false, sums: undefined };
    const { hex, sums } = reply;
    return { hasDigest: `${algorithmOf(digest)}:${hex}` === digest, sums: sums && Buffer.from(sums) };
  };
  return {
    check,
    take: () => {},
    stored: (storedEnd) => {
      end = storedEnd;
      if (end - told >= STEP_BYTES) advance();
    },
    passed: async (chunk) => {
      advance();
      await thread.ask({ kind: 'append', id, bytes: chunk });
    },
    matches: async () => (await check()).hasDigest,
    release: async () => {
      await thread.ask({ kind: 'forget', id }).catch(() => {
        // The thread has ended, so it no longer reads the descriptor.
      });
    },
  };
}

/** How many threads hash at once: the event loop keeps a core. */
export function hashThreads(cores: number): number {
  return Math.max(1, Math.min(THREADS_MAX, cores - 1));
}

/** Hashes on the calling thread or on others: on a CPU without SHA instructions, nothing else costs as much. */
export function createHasher({
  useThreads = availableParallelism() > FEW_CORES,
}: HasherOptions = {}): Hasher {
  const threads: HashThread[] = [];
  const threadsMax = hashThreads(availableParallelism());
  let made = 0;

  function threadFor(id: number): HashThread {
    const index = id % threadsMax;
    const known = threads[index];
    if (known?.isUsable) return known;
    const thread = new HashThread();
    threads[index] = thread;
    return thread;
  }

  function start(digest: Digest, fd: number, sizeBytes: number | undefined): RunningDigest {
    const isSmall = sizeBytes !== undefined && sizeBytes < THREAD_FROM_BYTES;
    if (isSmall || !useThreads) return inlineDigest(digest);
    made += 1;
    return threadDigest(threadFor(made), made, digest, fd);
  }

  return {
    start,
    checkFile: async (fd, sizeBytes, digest, withSums) => {
      const checkHere = async () => ({ hasDigest: await hasDigest(fd, sizeBytes, digest), sums: undefined });
      if (sizeBytes < THREAD_FROM_BYTES) return checkHere();
      made += 1;
      const running = threadDigest(threadFor(made), made, digest, fd, withSums);
      try {
        running.stored(sizeBytes);
        return await running.check();
      } catch {
        // The thread failed. That says nothing about the file.
        return await checkHere();
      } finally {
        await running.release();
      }
    },
    close: async () => {
      await Promise.all(threads.splice(0).map((thread) => thread.close()));
    },
  };
}
