import { performance } from 'node:perf_hooks';

/**
 * Spreads heavy synchronous work over the event loop: one piece per turn, and after each as much time for everything else
 * as the piece took. Many pieces that become ready at once would otherwise run one behind the other.
 */
export class TurnQueue {
  readonly #waiting: (() => void)[] = [];
  #isBusy = false;

  /** Resolves when it is the caller's turn; the work is what the caller does before it awaits something else. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#isBusy) this.#grant();
    });
  }

  #grant(): void {
    const resolve = this.#waiting.shift();
    this.#isBusy = resolve !== undefined;
    if (resolve === undefined) return;
    const startedMs = performance.now();
    resolve();
    // Runs when the caller's synchronous work is done.
    setImmediate(() => setTimeout(() => this.#grant(), performance.now() - startedMs));
  }
}
