/** Settles as `promise` does, or rejects when `signal` aborts. The work itself continues for other callers. */
function waitFor<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

interface Flight<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  isOver: boolean;
}

/**
 * Runs work once for all callers that request the same key while it runs. A caller that aborts does not end the
 * work for the others. When the last caller has aborted, the work's signal aborts.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #isStartersOwn: (error: unknown) => boolean;

  /** @param isStartersOwn failures that concern only the first caller: callers that joined it start the work again */
  constructor(isStartersOwn: (error: unknown) => boolean = () => false) {
    this.#isStartersOwn = isStartersOwn;
  }

  async share(
    key: string,
    signal: AbortSignal | undefined,
    start: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const joined = this.#flights.get(key);
    const flight = joined ?? this.#start(key, start);
    flight.waiting += 1;
    try {
      return await waitFor(flight.result, signal);
    } catch (error) {
      if (joined === undefined || !flight.isOver || !this.#isStartersOwn(error)) throw error;
      return this.share(key, signal, start);
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0 && !flight.isOver) {
        // A new caller must not join work that is being aborted.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.controller.abort(new Error('every caller has left'));
      }
    }
  }

  #start(key: string, start: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const result = start(controller.signal);
    const flight: Flight<T> = { result, controller, waiting: 0, isOver: false };
    this.#flights.set(key, flight);
    const over = () => {
      flight.isOver = true;
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    result.then(over, over);
    return flight;
  }
}
