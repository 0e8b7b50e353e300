import { createRequire } from 'node:module';
import { constants, getPriority, setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import { parentPort, type Transferable, Worker, type WorkerOptions } from 'node:worker_threads';
import { FairBudget, NO_SHARE, type Share } from './fair-budget.ts';
import { packagedWorker } from './packaged-files.ts';
import { FairSemaphore } from './queue.ts';

/** The code of the workers that were started from the sources, by the path of their file. */
const bundledSources = new Map<string, string>();

/**
 * Bundles a worker in tests and benchmarks, which run from the sources: a thread that loads its modules with a loader for
 * TypeScript takes half a second of CPU time to start.
 */
function bundleSource(path: string): string {
  const known = bundledSources.get(path);
  if (known !== undefined) return known;
  const { buildSync }: typeof import('esbuild') = createRequire(path)('esbuild');
  const { outputFiles } = buildSync({
    entryPoints: [path],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    define: {
      // Files that ship with the program are found from this folder (packaged-files.ts). No worker starts workers.
      'import.meta.dirname': JSON.stringify(import.meta.dirname),
      'import.meta.filename': JSON.stringify(path),
    },
  });
  const code = outputFiles.map(({ text }) => text).join('');
  bundledSources.set(path, code);
  return code;
}

/** Starts the worker `NAME.js` of the bundle, or `NAME.ts` of the sources, beside the file `besides`. */
export function startWorker(name: string, besides: string, options: WorkerOptions = {}): Worker {
  const packaged = packagedWorker(name);
  if (packaged !== undefined) return new Worker(packaged, { ...options, eval: true, execArgv: [] });
  const path = join(dirname(besides), name);
  if (besides.endsWith('.js')) return new Worker(`${path}.js`, { ...options, execArgv: [] });
  return new Worker(bundleSource(`${path}.ts`), { ...options, eval: true, execArgv: [] });
}

/**
 * By how much a thread's nice value is increased, so that the event loop goes first where cores are few. With more,
 * other programs on a busy machine would keep the thread waiting past its time limit.
 */
const NICER = 3;

/** Lowers the priority of this thread below the event loop's. */
function giveWay(): void {
  // On Linux this changes the calling thread only, elsewhere the whole process.
  if (process.platform !== 'linux') return;
  try {
    setPriority(Math.min(getPriority() + NICER, constants.priority.PRIORITY_LOW));
  } catch {
    // A sandbox may forbid it. The thread then has an equal share of the cores.
  }
}

/** Answers each message to this thread with one message. */
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

/** Too many bytes are waiting for the thread, or it cannot start now. */
export class ThreadBusyError extends Error {
  override readonly name = 'ThreadBusyError';
}

/** The thread failed because of its input: it took too long, ran out of memory, or threw. */
export class ThreadFailedError extends Error {
  override readonly name = 'ThreadFailedError';
}

/** True when the thread could not start because file descriptors or memory ran out. The input is not the reason. */
function isStarved({ code }: NodeJS.ErrnoException): boolean {
  return ['ERR_WORKER_INIT_FAILED', 'EMFILE', 'ENFILE'].includes(code ?? '');
}

export interface BackgroundThreadOptions {
  /** Starts the worker, which answers each message with one. */
  readonly start: (options: WorkerOptions) => Worker;
  /** Limit of all requests that wait or run, in bytes. */
  readonly waitingMaxBytes: number;
  /** Time limit of one request, in milliseconds. A request usually takes a fraction of it, even on a busy machine. */
  readonly timeoutMs?: number;
  /** The thread's heap, in MiB. */
  readonly heapMaxMib?: number;
}

const TIMEOUT_MS = 30_000;
const HEAP_MAX_MIB = 192;
/** How long an idle thread is kept, in milliseconds. */
const IDLE_MS = 30_000;

export interface Turn {
  /** Waiting requests take turns by their share. */
  readonly share?: Share | undefined;
  /** Ends the wait for a turn. */
  readonly signal?: AbortSignal | undefined;
  /** What is transferred to the thread with the request, instead of copied. */
  readonly transfer?: readonly Transferable[];
}

/**
 * One thread that handles one request at a time. It starts with the first request, and ends after a while without
 * one.
 */
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
      // Not removeAllListeners: Node.js has listeners of its own on a worker.
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
    // The thread may also fail between two requests. The next request then starts another one.
    return worker.on('error', forget).on('exit', forget);
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }
}
