/** Tells everybody who waits that something has changed; each then looks for themselves what. */
export interface Pulse {
  beat(): void;
  /** Resolves at the next beat. */
  next(): Promise<void>;
}

export function createPulse(): Pulse {
  let wake: (() => void) | undefined;
  let waiting: Promise<void> | undefined;
  return {
    beat: () => {
      waiting = undefined;
      wake?.();
    },
    next: () => {
      waiting ??= new Promise<void>((resolve) => {
        wake = resolve;
      });
      return waiting;
    },
  };
}
