import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { SerialQueue } from '../lib/serial-queue.ts';
import { shapeOf } from '../oci/document-shape.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { CachedDecision } from './decision-cache.ts';
import { type JudgeRequest, judgeManifest } from './judge-manifest.ts';
import type { JudgeReply } from './judge-worker.ts';

/** Finds the answer for a manifest, on the event loop's thread or on one of its own. */
export interface Judge {
  /** @throws {RegistryError} MANIFEST_INVALID; UNAVAILABLE with 503 when too many large manifests wait. */
  judge(request: JudgeRequest): Promise<CachedDecision>;
  close(): Promise<void>;
}

/** About a hundred entries: a few milliseconds. A larger manifest would hold up every other request. */
const INLINE_VALUES_MAX = 2000;
const INLINE_MAX_BYTES = 128 * 1024;
/** Manifests that wait for the thread, in bytes together. */
const WAITING_MAX_BYTES = 32 * 1024 * 1024;
/** A manifest within the bounds of document-shape.ts takes a fraction of this, also on a busy machine, in milliseconds. */
const TIMEOUT_MS = 30_000;
/** How long the thread stays without work, in milliseconds. */
const IDLE_MS = 30_000;
/** The thread's heap, in MiB: a manifest within the bounds takes a fraction of it. */
const HEAP_MAX_MIB = 192;

function startWorker(): Worker {
  const resourceLimits = { maxOldGenerationSizeMb: HEAP_MAX_MIB };
  const built = new URL('./judge-worker.js', import.meta.url);
  if (import.meta.url.endsWith('.js')) return new Worker(built, { execArgv: [], resourceLimits });
  // Run from the sources, in tests and benchmarks: the thread has to be given a loader for them.
  const source = JSON.stringify(fileURLToPath(new URL('./judge-worker.ts', import.meta.url)));
  const code = `require('tsx/cjs'); require(${source});`;
  return new Worker(code, { eval: true, execArgv: [], resourceLimits });
}

/** Buffers cross threads as plain byte arrays. */
function withBuffers(decision: CachedDecision): CachedDecision {
  const revive = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revive(inner)]));
  };
  return { ...decision, outcome: revive(decision.outcome) as CachedDecision['outcome'] };
}

function decisionIn(reply: JudgeReply): CachedDecision {
  switch (reply.kind) {
    case 'judged':
      return withBuffers(reply.decision);
    case 'refused':
      throw new RegistryError('MANIFEST_INVALID', reply.message);
    case 'failed':
      throw new Error(reply.message);
  }
}

/** One thread that judges one manifest at a time; it starts with the first and ends when it has been idle. */
class JudgeThread {
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  judge(request: JudgeRequest): Promise<CachedDecision> {
    clearTimeout(this.#idle);
    this.#worker ??= startWorker();
    const worker = this.#worker;
    worker.ref();
    return new Promise<JudgeReply>((resolve, reject) => {
      const fail = (why: string) => {
        this.#worker = undefined;
        void worker.terminate();
        reject(new RegistryError('MANIFEST_INVALID', `the manifest could not be judged: ${why}`));
      };
      const timer = setTimeout(() => settle(() => fail(`it took more than ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
      const onMessage = (reply: JudgeReply) => settle(() => resolve(reply));
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
    })
      .then(decisionIn)
      .finally(() => this.#rest());
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #rest(): void {
    this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }
}

/** Small manifests are judged where they are, large ones on a thread: no publisher's index stalls other pulls. */
export function createJudge(): Judge {
  const thread = new JudgeThread();
  const queue = new SerialQueue();
  let waitingBytes = 0;
  return {
    judge: async (request) => {
      const { length } = request.bytes;
      const isSmall = length <= INLINE_MAX_BYTES && shapeOf(request.bytes).values <= INLINE_VALUES_MAX;
      if (isSmall) return judgeManifest(request);
      if (waitingBytes + length > WAITING_MAX_BYTES) {
        const headers = { 'retry-after': '1' };
        const message = 'this mirror is judging as many large manifests as it may';
        throw new RegistryError('UNAVAILABLE', message, { status: 503, headers });
      }
      waitingBytes += length;
      try {
        return await queue.run('', () => thread.judge(request));
      } finally {
        waitingBytes -= length;
      }
    },
    close: () => thread.close(),
  };
}
