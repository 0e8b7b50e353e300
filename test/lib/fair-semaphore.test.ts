import { describe, expect, test } from 'vitest';
import { FairSemaphore, QueueFullError, type ShareKey } from '../../src/lib/fair-semaphore.ts';

const NEVER = new AbortController().signal;

/** A semaphore of one permit that a first task occupies; the order in which the others run is noted. */
function occupied(waitingMax = 100) {
  const semaphore = new FairSemaphore(1, waitingMax);
  const order: string[] = [];
  let finish = () => {};
  const first = semaphore.run(['first', ''], NEVER, () => new Promise<void>((resolve) => (finish = resolve)));
  const add = (name: string, share: ShareKey, signal: AbortSignal = NEVER) =>
    semaphore.run(share, signal, async () => void order.push(name));
  const release = () => {
    finish();
    return first;
  };
  return { semaphore, order, add, finish: release };
}

describe('FairSemaphore', () => {
  test('runs as many tasks at once as it has permits', async () => {
    const semaphore = new FairSemaphore(2, 10);
    let running = 0;
    let most = 0;
    const task = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    };
    await Promise.all(Array.from({ length: 9 }, () => semaphore.run(['a', 'b'], NEVER, task)));
    expect(most).toBe(2);
  });

  test('gives a newcomer its turn before the backlog of another share', async () => {
    const { add, finish, order } = occupied();
    const tasks = [
      add('a1', ['a', 'x']),
      add('a2', ['a', 'x']),
      add('a3', ['a', 'x']),
      add('b1', ['b', 'x']),
    ];
    await finish();
    await Promise.all(tasks);
    expect(order).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  test('shares the turns of one outer key among its inner keys', async () => {
    const { add, finish, order } = occupied();
    const tasks = [
      add('ax1', ['a', 'x']),
      add('ax2', ['a', 'x']),
      add('ay1', ['a', 'y']),
      add('b1', ['b', 'x']),
      add('b2', ['b', 'x']),
    ];
    await finish();
    await Promise.all(tasks);
    expect(order).toEqual(['ax1', 'b1', 'ay1', 'b2', 'ax2']);
  });

  test('forgets a task whose caller has left', async () => {
    const { semaphore, add, finish, order } = occupied();
    const leaving = new AbortController();
    const gone = add('gone', ['a', 'x'], leaving.signal);
    const stays = add('stays', ['a', 'x']);
    leaving.abort(new Error('left'));
    await expect(gone).rejects.toThrow('left');
    expect(semaphore.waiting).toBe(1);
    await finish();
    await stays;
    expect(order).toEqual(['stays']);
  });

  test('drops the newest task of the share with the most waiting when its queue is full', async () => {
    const { add, finish, order } = occupied(3);
    const kept = [add('a1', ['a', 'x']), add('a2', ['a', 'x'])];
    const dropped = add('a3', ['a', 'x']);
    const newcomer = add('b1', ['b', 'x']);
    await expect(dropped).rejects.toThrow(QueueFullError);
    await finish();
    await Promise.all([...kept, newcomer]);
    expect(order).toEqual(['a1', 'b1', 'a2']);
  });

  test('passes the permit on when a task fails', async () => {
    const semaphore = new FairSemaphore(1, 10);
    const failing = semaphore.run(['a', ''], NEVER, () => Promise.reject(new Error('the task failed')));
    const next = semaphore.run(['a', ''], NEVER, async () => 'ran');
    await expect(failing).rejects.toThrow('the task failed');
    expect(await next).toBe('ran');
  });
});
