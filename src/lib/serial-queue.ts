/** Runs the tasks of one key one after the other, in order of arrival; tasks of different keys run at the same time. */
export class SerialQueue<Key = string> {
  readonly #last = new Map<Key, Promise<unknown>>();

  /** Keys that have a task running or waiting. */
  get size(): number {
    return this.#last.size;
  }

  /** Resolves or rejects with the task's own outcome; a task that fails does not stop the next one. */
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
