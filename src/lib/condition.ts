/** Wakes all waiters when something has changed; each waiter then checks what. */
export interface Condition {
  notifyAll(): void;
  /** Resolves at the next notifyAll(). */
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
