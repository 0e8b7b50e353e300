import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import { hasDigest } from './file-io.ts';
import type { HashOrder, HashReply } from './hash-worker.ts';

/** The digest of bytes that are still arriving. */
export interface RunningDigest {
  /** The file now holds bytes up to this offset, the last of which are `chunk`. */
  stored(chunk: Buffer, end: number): void;
  /** Bytes that follow and are in no file. The chunk is the caller's again once this resolves. */
  passed(chunk: Buffer): Promise<void>;
  /** To be asked once, after the last byte. Rejects when the file cannot be read back. */
  matches(): Promise<boolean>;
  /** Resolves when the descriptor is read no more and may be closed. */
  release(): Promise<void>;
}

export interface Hasher {
  /** @param sizeBytes when known: small content is hashed where it is. */
  start(digest: Digest, fd: number, sizeBytes: number | undefined): RunningDigest;
  /** Does this whole file have this digest? */
  hasDigest(fd: number, sizeBytes: number, digest: Digest): Promise<boolean>;
  close(): Promise<void>;
}

/** Below this, in bytes, asking a thread costs more than hashing. */
const THREAD_FROM_BYTES = 1024 * 1024;
const THREADS_MAX = 4;
/** Told in steps of this many bytes, so that a long file does not hold up the thread's other orders for long. */
const STEP_BYTES = 4 * 1024 * 1024;

/** Hashes on the calling thread. */
export function inlineDigest(digest: Digest): RunningDigest {
  const hash = hashFor(digest);
  return {
    stored: (chunk) => {
      hash.update(chunk);
    },
    passed: async (chunk) => {
      hash.update(chunk);
    },
    matches: async () => finishDigest(hash, algorithmOf(digest)) === digest,
    release: async () => {},
  };
}

interface Waiting {
  readonly resolve: (reply: HashReply) => void;
  readonly reject: (error: Error) => void;
}

function startWorker(): Worker {
  const built = new URL('./hash-worker.js', import.meta.url);
  if (import.meta.url.endsWith('.js')) return new Worker(built, { execArgv: [] });
  // Run from the sources, in tests and benchmarks: the thread has to be given a loader for them.
  const source = JSON.stringify(fileURLToPath(new URL('./hash-worker.ts', import.meta.url)));
  return new Worker(`require('tsx/cjs'); require(${source});`, { eval: true, execArgv: [] });
}

/** One hashing thread. It does not keep the process alive. */
class HashThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting[]>();
  #failure: Error | undefined;

  constructor() {
    this.#worker = startWorker();
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
      // Whoever waits for an answer keeps the process alive.
      this.#worker.ref();
      this.#worker.postMessage(order);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: HashReply): void {
    const waiting = this.#waiting.get(reply.id);
    // A failure of an order that nobody waits for is found out by the next question.
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

/** The digest of a growing file, computed by a thread that reads behind the writer. */
function threadDigest(thread: HashThread, id: number, digest: Digest, fd: number): RunningDigest {
  let told = 0;
  let end = 0;
  thread.tell({ kind: 'open', id, algorithm: algorithmOf(digest), fd });
  const advance = () => {
    for (; told < end; told = Math.min(end, told + STEP_BYTES)) {
      thread.tell({ kind: 'advance', id, end: Math.min(end, told + STEP_BYTES) });
    }
  };
  return {
    stored: (_chunk, storedEnd) => {
      end = storedEnd;
      if (end - told >= STEP_BYTES) advance();
    },
    passed: async (chunk) => {
      advance();
      await thread.ask({ kind: 'append', id, bytes: chunk });
    },
    matches: async () => {
      advance();
      const reply = await thread.ask({ kind: 'finish', id });
      return reply.kind === 'finished' && `${algorithmOf(digest)}:${reply.hex}` === digest;
    },
    release: async () => {
      await thread.ask({ kind: 'forget', id }).catch(() => {
        // A thread that is gone reads nothing.
      });
    },
  };
}

/** Hashing off the event loop's thread: on a machine without hash instructions it costs more than all the rest. */
export function createHasher(): Hasher {
  const threads: HashThread[] = [];
  const threadsMax = Math.max(1, Math.min(THREADS_MAX, availableParallelism() - 1));
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
    if (sizeBytes !== undefined && sizeBytes < THREAD_FROM_BYTES) return inlineDigest(digest);
    made += 1;
    return threadDigest(threadFor(made), made, digest, fd);
  }

  return {
    start,
    hasDigest: async (fd, sizeBytes, digest) => {
      if (sizeBytes < THREAD_FROM_BYTES) return hasDigest(fd, sizeBytes, digest);
      const running = start(digest, fd, sizeBytes);
      try {
        running.stored(Buffer.alloc(0), sizeBytes);
        return await running.matches();
      } catch {
        // The thread failed, which says nothing about the file.
        return await hasDigest(fd, sizeBytes, digest);
      } finally {
        await running.release();
      }
    },
    close: async () => {
      await Promise.all(threads.splice(0).map((thread) => thread.close()));
    },
  };
}
