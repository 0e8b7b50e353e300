/** Tells everybody who waits that something has changed; each then looks for themselves what. */
export interface Condition {
  notifyAll(): void;
  /** Resolves at the next beat. */
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
