import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { packagedWorker } from './packaged-files.ts';
import { SerialQueue } from './queue.ts';

/** Starts `NAME.js` of the built program, or `NAME.ts` of the sources, beside the file whose `import.meta.url` is given. */
export function startWorker(name: string, besides: string, options: WorkerOptions = {}): Worker {
  const packaged = packagedWorker(name);
  if (packaged !== undefined) return new Worker(packaged, { ...options, eval: true, execArgv: [] });
  const built = new URL(`./${name}.js`, besides);
  if (besides.endsWith('.js')) return new Worker(built, { ...options, execArgv: [] });
  // Run from the sources, in tests and benchmarks: the thread has to be given a loader for them.
  const source = JSON.stringify(fileURLToPath(new URL(`./${name}.ts`, besides)));
  return new Worker(`require('tsx/cjs'); require(${source});`, { ...options, eval: true, execArgv: [] });
}

/** As many bytes wait for the thread as may. */
export class ThreadBusyError extends Error {
  override readonly name = 'ThreadBusyError';
}

/** The thread took too long, ran out of memory or failed otherwise: what it was given is to blame. */
export class ThreadFailedError extends Error {
  override readonly name = 'ThreadFailedError';
}

export interface BackgroundThreadOptions {
  /** Starts the worker, which answers each message with one. */
  readonly start: (options: WorkerOptions) => Worker;
  /** Of requests that wait or run, in bytes together. */
  readonly waitingMaxBytes: number;
  /** One request takes a fraction of this, also on a busy machine, in milliseconds. */
  readonly timeoutMs?: number;
  /** The thread's heap, in MiB. */
  readonly heapMaxMib?: number;
}

const TIMEOUT_MS = 30_000;
const HEAP_MAX_MIB = 192;
/** How long the thread stays without work, in milliseconds. */
const IDLE_MS = 30_000;

/** One thread that deals with one request at a time; it starts with the first and ends when it has been idle. */
export class BackgroundThread<Request, Reply> {
  readonly #options: BackgroundThreadOptions;
  readonly #queue = new SerialQueue();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #waitingBytes = 0;

  constructor(options: BackgroundThreadOptions) {
    this.#options = options;
  }

  /** @throws {ThreadBusyError} @throws {ThreadFailedError} */
  async run(request: Request, sizeBytes: number): Promise<Reply> {
    if (this.#waitingBytes + sizeBytes > this.#options.waitingMaxBytes) {
      throw new ThreadBusyError('too much work waits for a thread');
    }
    this.#waitingBytes += sizeBytes;
    try {
      return await this.#queue.run('', () => this.#ask(request));
    } finally {
      this.#waitingBytes -= sizeBytes;
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #ask(request: Request): Promise<Reply> {
    clearTimeout(this.#idle);
    const { start, timeoutMs = TIMEOUT_MS, heapMaxMib = HEAP_MAX_MIB } = this.#options;
    this.#worker ??= start({ resourceLimits: { maxOldGenerationSizeMb: heapMaxMib } });
    const worker = this.#worker;
    worker.ref();
    return new Promise<Reply>((resolve, reject) => {
      const fail = (why: string) => {
        this.#worker = undefined;
        void worker.terminate();
        reject(new ThreadFailedError(why));
      };
      const timer = setTimeout(() => settle(() => fail(`it took more than ${timeoutMs} ms`)), timeoutMs);
      const onMessage = (reply: Reply) => settle(() => resolve(reply));
      const onError = (error: Error) => settle(() => fail(error.message));
      const onExit = () => settle(() => fail('its thread has ended'));
      // Only these: Node.js keeps listeners of its own on a worker.
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        worker.unref();
        finish();
      };
      worker.once('message', onMessage).once('error', onError).once('exit', onExit);
      worker.postMessage(request);
    }).finally(() => this.#rest());
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }
}
