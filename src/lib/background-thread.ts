import { constants, getPriority, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parentPort, type Transferable, Worker, type WorkerOptions } from 'node:worker_threads';
import { FairBudget, NO_SHARE, type Share } from './fair-budget.ts';
import { packagedWorker } from './packaged-files.ts';
import { FairSemaphore } from './queue.ts';

/** Starts `NAME.js` of the bundle, or `NAME.ts` of the sources, beside the file with this `import.meta.url`. */
export function startWorker(name: string, besides: string, options: WorkerOptions = {}): Worker {
  const packaged = packagedWorker(name);
  if (packaged !== undefined) return new Worker(packaged, { ...options, eval: true, execArgv: [] });
  const built = new URL(`./${name}.js`, besides);
  if (besides.endsWith('.js')) return new Worker(built, { ...options, execArgv: [] });
  // From the sources, in tests and benchmarks: the thread needs a loader for TypeScript.
  const source = JSON.stringify(fileURLToPath(new URL(`./${name}.ts`, besides)));
  return new Worker(`require('tsx/cjs'); require(${source});`, { ...options, eval: true, execArgv: [] });
}

/**
 * How much nicer than the event loop's thread: where cores are few, that one goes first. Beyond it, work for other programs
 * would keep this thread waiting past its time on a busy machine.
 */
const NICER = 3;

/** Has the event loop's thread go before this one. */
function giveWay(): void {
  // On Linux a priority is the calling thread's alone; elsewhere it would be the whole process's.
  if (process.platform !== 'linux') return;
  try {
    setPriority(Math.min(getPriority() + NICER, constants.priority.PRIORITY_LOW));
  } catch {
    // A sandbox may forbid it; the thread then has an equal share of the cores.
  }
}

/** Answers each message to this thread with one. */
export function serveMessages<Request, Reply>(
  replyTo: (request: Request) => Reply | Promise<Reply>,
  transferOf: (reply: Reply) => readonly Transferable[] = () => [],
): void {
  if (parentPort === null) return;
  const port = parentPort;
  giveWay();
  port.on('message', async (request: Request) => {
    const reply = await replyTo(request);
    port.postMessage(reply, [...transferOf(reply)]);
  });
}

/** As many bytes wait for the thread as may, or it cannot start now. */
export class ThreadBusyError extends Error {
  override readonly name = 'ThreadBusyError';
}

/** The thread took too long, ran out of memory or failed otherwise, because of its input. */
export class ThreadFailedError extends Error {
  override readonly name = 'ThreadFailedError';
}

/** True when the thread could not start because the process has no file handles or memory left; the input is not the reason. */
function isStarved({ code }: NodeJS.ErrnoException): boolean {
  return ['ERR_WORKER_INIT_FAILED', 'EMFILE', 'ENFILE'].includes(code ?? '');
}

export interface BackgroundThreadOptions {
  /** Starts the worker, which posts one answer for each message. */
  readonly start: (options: WorkerOptions) => Worker;
  /** Bound of all requests that wait or run, in bytes. */
  readonly waitingMaxBytes: number;
  /** Time limit of one request, in milliseconds; on a busy machine too, a request takes a fraction of it. */
  readonly timeoutMs?: number;
  /** The thread's heap, in MiB. */
  readonly heapMaxMib?: number;
}

const TIMEOUT_MS = 30_000;
const HEAP_MAX_MIB = 192;
/** For how long the thread stays idle before it ends, in milliseconds. */
const IDLE_MS = 30_000;

export interface Turn {
  /** Those who wait take turns by their share. */
  readonly share?: Share | undefined;
  /** Gives up waiting. */
  readonly signal?: AbortSignal | undefined;
  /** What moves to the thread with the request instead of being copied. */
  readonly transfer?: readonly Transferable[];
}

/** One thread that deals with one request at a time; it starts with the first and ends when it has been idle. */
export class BackgroundThread<Request, Reply> {
  readonly #options: BackgroundThreadOptions;
  readonly #queue = new FairSemaphore(1);
  readonly #waiting: FairBudget;
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: BackgroundThreadOptions) {
    this.#options = options;
    this.#waiting = new FairBudget(options.waitingMaxBytes);
  }

  /** @throws {ThreadBusyError} @throws {ThreadFailedError} */
  async run(
    request: Request,
    sizeBytes: number,
    { share = NO_SHARE, signal, transfer = [] }: Turn = {},
  ): Promise<Reply> {
    const release = this.#waiting.tryTake(sizeBytes, share);
    if (release === undefined) throw new ThreadBusyError('too much work waits for a thread');
    try {
      return await this.#queue.run([share.client, share.source], signal, () => this.#ask(request, transfer));
    } finally {
      release();
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #ask(request: Request, transfer: readonly Transferable[]): Promise<Reply> {
    clearTimeout(this.#idle);
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    this.#worker ??= this.#start();
    const worker = this.#worker;
    worker.ref();
    return new Promise<Reply>((resolve, reject) => {
      const fail = (why: string, Failure: new (why: string) => Error = ThreadFailedError) => {
        this.#worker = undefined;
        void worker.terminate();
        reject(new Failure(why));
      };
      const timer = setTimeout(() => settle(() => fail(`it took more than ${timeoutMs} ms`)), timeoutMs);
      const onMessage = (reply: Reply) => settle(() => resolve(reply));
      const onError = (error: NodeJS.ErrnoException) =>
        settle(() => fail(error.message, isStarved(error) ? ThreadBusyError : ThreadFailedError));
      const onExit = () => settle(() => fail('its thread has ended'));
      // Not all listeners: Node.js keeps some of its own on a worker.
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        worker.unref();
        finish();
      };
      worker.once('message', onMessage).once('error', onError).once('exit', onExit);
      try {
        worker.postMessage(request, [...transfer]);
      } catch (error) {
        settle(() => reject(error));
      }
    }).finally(() => this.#rest());
  }

  #start(): Worker {
    const { start, heapMaxMib = HEAP_MAX_MIB } = this.#options;
    const worker = start({ resourceLimits: { maxOldGenerationSizeMb: heapMaxMib } });
    const forget = () => {
      if (this.#worker === worker) this.#worker = undefined;
    };
    // It may also fail between two requests: the next one then starts another.
    return worker.on('error', forget).on('exit', forget);
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }
}
