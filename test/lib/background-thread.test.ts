import { Worker, type WorkerOptions } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BackgroundThread, ThreadBusyError, ThreadFailedError } from '../../src/lib/background-thread.ts';

/** A thread that runs `code` for each `request`. */
function threadOf(
  code: string,
  options: { waitingMaxBytes?: number; timeoutMs?: number; heapMaxMib?: number } = {},
) {
  let started = 0;
  let current: Worker | undefined;
  const thread = new BackgroundThread<unknown, unknown>({
    start: (workerOptions: WorkerOptions) => {
      started += 1;
      const body = `const { parentPort } = require('node:worker_threads');
        parentPort.on('message', (request) => { ${code} });`;
      current = new Worker(body, { ...workerOptions, eval: true });
      return current;
    },
    waitingMaxBytes: 100,
    ...options,
  });
  onTestFinished(() => thread.close());
  /** Sends the thread that was started last what no request of its owner is, and resolves when the thread has ended. */
  const sendFatal = async (message: unknown) => {
    const exit = new Promise((resolve) => current?.once('exit', resolve));
    current?.postMessage(message);
    await exit;
  };
  return { thread, started: () => started, sendFatal };
}

describe('BackgroundThread', () => {
  test('processes requests one after another on one thread', async () => {
    const { thread, started } = threadOf('parentPort.postMessage(request * 2);');
    expect(await Promise.all([1, 2, 3].map((one) => thread.run(one, 1)))).toEqual([2, 4, 6]);
    expect(started()).toBe(1);
  });

  test('limits the heap of its thread', async () => {
    const limitOf = async (options: { heapMaxMib?: number }) => {
      const code =
        "parentPort.postMessage(require('node:worker_threads').resourceLimits.maxOldGenerationSizeMb);";
      return threadOf(code, options).thread.run('', 1);
    };
    expect(await Promise.all([limitOf({}), limitOf({ heapMaxMib: 24 })])).toEqual([192, 24]);
  });

  test('refuses requests above its limit of waiting bytes, and accepts them again later', async () => {
    const { thread } = threadOf('parentPort.postMessage(request);');
    const first = thread.run('a', 60);
    await expect(thread.run('b', 60)).rejects.toThrow(ThreadBusyError);
    await first;
    expect(await thread.run('b', 60)).toBe('b');
  });

  test('reports itself busy, and rejects no request as invalid, while a thread cannot start', async () => {
    let canStart = false;
    const thread = new BackgroundThread<string, string>({
      start: () => {
        const worker = new Worker(
          'const { parentPort: port } = require("node:worker_threads"); port.on("message", (one) => port.postMessage(one));',
          { eval: true },
        );
        const error = Object.assign(new Error('EMFILE'), { code: 'ERR_WORKER_INIT_FAILED' });
        if (!canStart) queueMicrotask(() => worker.emit('error', error));
        return worker;
      },
      waitingMaxBytes: 100,
    });
    onTestFinished(() => thread.close());
    await expect(thread.run('a', 1)).rejects.toThrow(ThreadBusyError);
    canStart = true;
    expect(await thread.run('a', 1)).toBe('a');
  });

  test.each([
    ['ends', 'process.exit(0)'],
    ['fails', 'throw new Error("broken")'],
  ])('starts another thread after one that %s between two requests', async (_, code) => {
    const { thread, started, sendFatal } = threadOf(
      `if (request === 'fatal') { ${code}; } parentPort.postMessage(request);`,
    );
    for (const request of [1, 2, 3]) {
      expect(await thread.run(request, 1)).toBe(request);
      await sendFatal('fatal');
    }
    expect(started()).toBe(3);
  });

  test('rejects only the request that cannot be sent to a thread', async () => {
    const { thread, started } = threadOf('parentPort.postMessage(request);');
    await expect(thread.run(() => {}, 1)).rejects.toThrow('could not be cloned');
    for (const request of [1, 2]) expect(await thread.run(request, 1)).toBe(request);
    expect(started()).toBe(1);
  });

  test.each([
    ['never ends', 'if (request === "bad") for (;;);', 3000],
    ['throws', 'if (request === "bad") throw new Error("broken");', 10_000],
    ['ends the thread', 'if (request === "bad") process.exit(1);', 10_000],
    [
      'fills the memory',
      'if (request === "bad") for (const all = [];;) all.push(new Array(1e6).fill({}));',
      60_000,
    ],
  ])(
    'rejects a request that %s, and processes the next one on another thread',
    async (_, code, timeoutMs) => {
      const body = `${code} parentPort.postMessage(request);`;
      const { thread, started } = threadOf(body, { timeoutMs, heapMaxMib: 24 });
      const [bad, next] = await Promise.allSettled([thread.run('bad', 1), thread.run('good', 1)]);
      expect(bad).toMatchObject({ status: 'rejected', reason: expect.any(ThreadFailedError) });
      expect(next).toMatchObject({ status: 'fulfilled', value: 'good' });
      expect(started()).toBe(2);
    },
  );
});
