import { Worker, type WorkerOptions } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BackgroundThread, ThreadBusyError, ThreadFailedError } from '../../src/lib/background-thread.ts';

/** A thread that runs `code` for each `request`. */
function threadOf(code: string, options: { waitingMaxBytes?: number; timeoutMs?: number } = {}) {
  let started = 0;
  const thread = new BackgroundThread<unknown, unknown>({
    start: (workerOptions: WorkerOptions) => {
      started += 1;
      const body = `const { parentPort } = require('node:worker_threads');
        parentPort.on('message', (request) => { ${code} });`;
      return new Worker(body, { ...workerOptions, eval: true });
    },
    waitingMaxBytes: 100,
    ...options,
  });
  onTestFinished(() => thread.close());
  return { thread, started: () => started };
}

describe('BackgroundThread', () => {
  test('answers requests in turn on one thread', async () => {
    const { thread, started } = threadOf('parentPort.postMessage(request * 2);');
    expect(await Promise.all([1, 2, 3].map((one) => thread.run(one, 1)))).toEqual([2, 4, 6]);
    expect(started()).toBe(1);
  });

  test('refuses what would make more bytes wait than may, and takes it when they are dealt with', async () => {
    const { thread } = threadOf('parentPort.postMessage(request);');
    const first = thread.run('a', 60);
    await expect(thread.run('b', 60)).rejects.toThrow(ThreadBusyError);
    await first;
    expect(await thread.run('b', 60)).toBe('b');
  });

  test.each([
    ['never ends', 'if (request === "bad") for (;;);', 300],
    ['throws', 'if (request === "bad") throw new Error("broken");', 10_000],
    ['ends the thread', 'if (request === "bad") process.exit(1);', 10_000],
    [
      'fills the memory',
      'if (request === "bad") for (const all = [];;) all.push(new Array(1e6).fill({}));',
      60_000,
    ],
  ])(
    'blames a request that %s, and deals with the next on another thread',
    async (_, code, timeoutMs) => {
      const { thread, started } = threadOf(`${code} parentPort.postMessage(request);`, { timeoutMs });
      const [bad, next] = await Promise.allSettled([thread.run('bad', 1), thread.run('good', 1)]);
      expect(bad).toMatchObject({ status: 'rejected', reason: expect.any(ThreadFailedError) });
      expect(next).toMatchObject({ status: 'fulfilled', value: 'good' });
      expect(started()).toBe(2);
    },
    60_000,
  );
});
