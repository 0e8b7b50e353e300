import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import {
  FairSemaphore,
  PacedStarts,
  QueueFullError,
  SerialQueue,
  type ShareKey,
} from '../../src/lib/queue.ts';

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
  test('runs the tasks of one key one after another', async () => {
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

  test('continues after a task that fails, and reports the failure only to the caller of that task', async () => {
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
  return { order, add, finish: release };
}

describe('FairSemaphore', () => {
  test('runs at most as many tasks at once as it has permits', async () => {
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

  test('runs the first task of a new share before the waiting ones of another share', async () => {
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

  test('divides the turns of one outer key among its inner keys', async () => {
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

  test('drops a task whose caller has left', async () => {
    const { add, finish, order } = occupied(2);
    const leaving = new AbortController();
    const gone = add('gone', ['a', 'x'], leaving.signal);
    const stays = add('stays', ['a', 'x']);
    leaving.abort(new Error('left'));
    await expect(gone).rejects.toThrow('left');
    // Its place in the queue is free again.
    const next = add('next', ['a', 'x']);
    await finish();
    await Promise.all([stays, next]);
    expect(order).toEqual(['stays', 'next']);
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

/** Starts work under names; `started` grows as it begins. */
function newStarts() {
  const starts = new PacedStarts();
  const started: string[] = [];
  const add = (client: string, count: number) => {
    for (let at = 0; at < count; at += 1) starts.start(client, () => started.push(client));
  };
  return { add, started };
}

test('PacedStarts begins a task that arrives alone at once, each time', async () => {
  const { add, started } = newStarts();
  for (let turns = 1; turns <= 40; turns += 1) {
    add('alice', 1);
    expect(started).toHaveLength(turns);
    await turn();
  }
});

test('PacedStarts begins a burst in its order, a few tasks in each turn of the event loop', async () => {
  const starts = new PacedStarts();
  const started: number[] = [];
  for (let at = 0; at < 100; at += 1) starts.start('mallory', () => started.push(at));
  const counts = [started.length];
  while (started.length < 100) {
    await turn();
    counts.push(started.length);
  }
  const steps = counts.map((count, at) => count - (counts[at - 1] ?? 0));
  expect(Math.max(...steps)).toBe(16);
  expect(started).toEqual(Array.from({ length: 100 }, (_, at) => at));
});

test('PacedStarts begins another client’s task in the next turn after a burst of one client', async () => {
  const { add, started } = newStarts();
  add('mallory', 1000);
  add('alice', 3);
  await turn();
  expect(started.filter((client) => client === 'alice')).toHaveLength(3);
  expect(started.length).toBeLessThan(50);
});

test('PacedStarts limits tasks started by other tasks within the same turn of the event loop', async () => {
  const starts = new PacedStarts();
  let begun = 0;
  const again = () => {
    begun += 1;
    if (begun < 100) starts.start('mallory', again);
  };
  starts.start('mallory', again);
  expect(begun).toBeLessThanOrEqual(16);
  await expect.poll(() => begun).toBe(100);
});
