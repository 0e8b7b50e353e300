import { describe, expect, test } from 'vitest';
import { SerialQueue } from '../../src/lib/serial-queue.ts';

const settled = () => new Promise((resolve) => setImmediate(resolve));

function tasks() {
  const events: string[] = [];
  const finish = new Map<string, () => void>();
  const task = (name: string) => () =>
    new Promise<string>((resolve) => {
      events.push(`${name} starts`);
      finish.set(name, () => {
        events.push(`${name} ends`);
        resolve(name);
      });
    });
  return { events, finish, task };
}

describe('SerialQueue', () => {
  test('runs the tasks of one key one after the other', async () => {
    const queue = new SerialQueue();
    const { events, finish, task } = tasks();
    const both = Promise.all([queue.run('key', task('a')), queue.run('key', task('b'))]);
    await settled();
    expect(events).toEqual(['a starts']);
    finish.get('a')?.();
    await settled();
    finish.get('b')?.();
    expect(await both).toEqual(['a', 'b']);
    expect(events).toEqual(['a starts', 'a ends', 'b starts', 'b ends']);
  });

  test('runs tasks of different keys at the same time', async () => {
    const queue = new SerialQueue();
    const { events, task } = tasks();
    void queue.run('one', task('a'));
    void queue.run('other', task('b'));
    await settled();
    expect(events).toEqual(['a starts', 'b starts']);
  });

  test('goes on after a task that fails, and reports the failure to its own caller only', async () => {
    const queue = new SerialQueue();
    const failed = queue.run('key', () => Promise.reject(new Error('broken')));
    const next = queue.run('key', () => Promise.resolve('next'));
    await expect(failed).rejects.toThrow('broken');
    expect(await next).toBe('next');
  });

  test('forgets a key when its last task has ended', async () => {
    const queue = new SerialQueue();
    await queue.run('key', () => Promise.resolve());
    await settled();
    expect(queue.size).toBe(0);
  });
});
