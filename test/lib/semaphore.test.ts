import { describe, expect, test } from 'vitest';
import { Semaphore } from '../../src/lib/semaphore.ts';

/** Tasks that end when the test says so, and how many run. */
function tasks() {
  const finish: (() => void)[] = [];
  const started: number[] = [];
  const task = (name: number) => () =>
    new Promise<number>((resolve) => {
      started.push(name);
      finish.push(() => resolve(name));
    });
  return { finish, started, task };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('Semaphore', () => {
  test('runs as many tasks at once as it has permits, and starts the rest in order', async () => {
    const semaphore = new Semaphore(2);
    const { finish, started, task } = tasks();
    const all = Promise.all([1, 2, 3, 4].map((name) => semaphore.run(task(name))));
    await settled();
    expect(started).toEqual([1, 2]);
    expect(semaphore.waiting).toBe(2);
    finish[1]?.();
    await settled();
    expect(started).toEqual([1, 2, 3]);
    finish[0]?.();
    await settled();
    finish[2]?.();
    finish[3]?.();
    expect(await all).toEqual([1, 2, 3, 4]);
    expect(semaphore.waiting).toBe(0);
  });

  test('gives the permit of a failed task to the next one', async () => {
    const semaphore = new Semaphore(1);
    const failed = semaphore.run(() => Promise.reject(new Error('broken')));
    const next = semaphore.run(() => Promise.resolve('next'));
    await expect(failed).rejects.toThrow('broken');
    expect(await next).toBe('next');
  });

  test('lets a task run at once again after all have ended', async () => {
    const semaphore = new Semaphore(1);
    await semaphore.run(() => Promise.resolve());
    const { started, task } = tasks();
    void semaphore.run(task(1));
    expect(started).toEqual([1]);
  });
});
