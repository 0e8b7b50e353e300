/** Runs the tasks of each key one after another, in order of arrival. Tasks of different keys run concurrently. */
export class SerialQueue<Key = string> {
  readonly #last = new Map<Key, Promise<unknown>>();

  /** The number of keys with running or waiting tasks. */
  get size(): number {
    return this.#last.size;
  }

  /** Settles with the task's result. A failed task does not stop the next one. */
  run<T>(key: Key, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const turn = before.then(task, task);
    this.#last.set(key, turn);
    const leave = () => {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    };
    turn.then(leave, leave);
    return turn;
  }
}

/** Wakes all waiters when something has changed. Each waiter then checks what. */
export interface Condition {
  notifyAll(): void;
  /** Resolves at the next call of notifyAll(). */
  wait(): Promise<void>;
}

export function createCondition(): Condition {
  let wake: (() => void) | undefined;
  let waiting: Promise<void> | undefined;
  return {
    notifyAll: () => {
      waiting = undefined;
      wake?.();
    },
    wait: () => {
      waiting ??= new Promise<void>((resolve) => {
        wake = resolve;
      });
      return waiting;
    },
  };
}

/** The task was dropped from a full queue because its share had the most tasks waiting. */
export class QueueFullError extends Error {
  override readonly name = 'QueueFullError';
}

interface Waiting {
  readonly start: () => void;
  readonly drop: (reason: Error) => void;
}

/** The share of a task, by two keys. */
export type ShareKey = readonly [outer: string, inner: string];

/**
 * Runs at most `permits` tasks concurrently. Waiting tasks take turns: each outer key gets an equal part, and
 * within it each inner key does. A full queue drops the newest task of the outer key that has the most waiting.
 */
export class FairSemaphore {
  /** The waiting tasks by outer and inner key. Each level is in the order of turns. */
  readonly #shares = new Map<string, Map<string, Waiting[]>>();
  readonly #waitingMax: number;
  #waiting = 0;
  #free: number;

  constructor(permits: number, waitingMax = Number.POSITIVE_INFINITY) {
    this.#free = permits;
    this.#waitingMax = waitingMax;
  }

  /**
   * @param signal removes a waiting task from the queue; it does not stop a running one
   * @throws {QueueFullError} when the queue is full and this task was dropped
   */
  async run<T>(share: ShareKey, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(share, signal);
    try {
      return await task();
    } finally {
      const next = this.#takeNext();
      if (next === undefined) this.#free += 1;
      else next.start();
    }
  }

  #wait(share: ShareKey, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (this.#remove(share, waiting)) reject(signal?.reason);
      };
      const settle = (done: () => void) => {
        signal?.removeEventListener('abort', leave);
        done();
      };
      const waiting: Waiting = {
        start: () => settle(resolve),
        drop: (reason) => settle(() => reject(reason)),
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#add(share, waiting);
      if (this.#waiting > this.#waitingMax) this.#dropFromLongest();
    });
  }

  #add([outer, inner]: ShareKey, waiting: Waiting): void {
    const share = this.#shares.get(outer) ?? new Map<string, Waiting[]>();
    this.#shares.set(outer, share);
    const tasks = share.get(inner) ?? [];
    share.set(inner, tasks);
    tasks.push(waiting);
    this.#waiting += 1;
  }

  #remove([outer, inner]: ShareKey, waiting: Waiting): boolean {
    const share = this.#shares.get(outer);
    const tasks = share?.get(inner);
    const at = tasks?.indexOf(waiting) ?? -1;
    if (share === undefined || tasks === undefined || at < 0) return false;
    tasks.splice(at, 1);
    this.#waiting -= 1;
    if (tasks.length === 0) share.delete(inner);
    if (share.size === 0) this.#shares.delete(outer);
    return true;
  }

  /** Takes the first task of the share whose turn it is, and moves that share to the end. */
  #takeNext(): Waiting | undefined {
    const [outerEntry] = this.#shares;
    if (outerEntry === undefined) return undefined;
    const [outer, share] = outerEntry;
    const [innerEntry] = share;
    if (innerEntry === undefined) return undefined;
    const [inner, tasks] = innerEntry;
    const next = tasks.shift();
    this.#waiting -= 1;
    share.delete(inner);
    if (tasks.length > 0) share.set(inner, tasks);
    this.#shares.delete(outer);
    if (share.size > 0) this.#shares.set(outer, share);
    return next;
  }

  #dropFromLongest(): void {
    let longest: readonly [outer: string, inner: string, tasks: Waiting[]] | undefined;
    let mostWaiting = 0;
    for (const [outer, share] of this.#shares) {
      const queues = [...share];
      const count = queues.reduce((sum, [, tasks]) => sum + tasks.length, 0);
      if (count <= mostWaiting) continue;
      mostWaiting = count;
      const [inner, tasks] = queues.reduce((a, b) => (b[1].length > a[1].length ? b : a));
      longest = [outer, inner, tasks];
    }
    const dropped = longest?.[2].at(-1);
    if (longest === undefined || dropped === undefined) return;
    this.#remove([longest[0], longest[1]], dropped);
    dropped.drop(new QueueFullError('too many tasks are waiting'));
  }
}

/** How many requests are started in one turn of the event loop: a few milliseconds of work. */
const STARTS_PER_TURN = 16;

/**
 * Starts requests a few at a time in each turn of the event loop, client by client. So a burst of one client is
 * spread over many turns, and others are served between them. Without a burst every request starts at once.
 */
export class PacedStarts {
  /** The waiting requests of each client, in the order of turns. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #startedInTurn = 0;
  #next: NodeJS.Immediate | undefined;

  /** True when a request would start at once. */
  get isFree(): boolean {
    return this.#startedInTurn < STARTS_PER_TURN && this.#waiting.size === 0;
  }

  /** Counts a request that starts at once. */
  count(): void {
    this.#next ??= setImmediate(() => this.#beginTurn());
    this.#startedInTurn += 1;
  }

  start(client: string, work: () => void): void {
    if (this.isFree) {
      this.count();
      work();
      return;
    }
    this.#next ??= setImmediate(() => this.#beginTurn());
    const queue = this.#waiting.get(client);
    if (queue) queue.push(work);
    else this.#waiting.set(client, [work]);
  }

  #beginTurn(): void {
    this.#next = undefined;
    this.#startedInTurn = 0;
    while (this.#waiting.size > 0 && this.#startedInTurn < STARTS_PER_TURN) {
      this.#startedInTurn += 1;
      this.#takeNext()?.();
    }
    if (this.#waiting.size > 0) this.#next ??= setImmediate(() => this.#beginTurn());
  }

  /** Takes the first request of the client whose turn it is, and moves that client to the end. */
  #takeNext(): (() => void) | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const [client, queue] = first;
    const work = queue.shift();
    this.#waiting.delete(client);
    if (queue.length > 0) this.#waiting.set(client, queue);
    return work;
  }
}
