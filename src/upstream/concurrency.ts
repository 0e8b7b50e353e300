const WINDOW_MS = 100;
/** How long new connections may take to deliver their first byte before they are judged without it. */
const SETTLE_MAX_MS = 1000;
/** More connections are worth it when they bring at least this much more. */
const WORTHWHILE_GROWTH = 1.2;
const HOLD_MS = 2000;
const HOLD_MAX_MS = 16_000;
const THROTTLED_HOLD_MS = 10_000;

/**
 * Finds how many connections are worth using for one download: doubles while throughput grows, goes back when it does not,
 * tries again after a while, halves when the server asks for less.
 */
export class ConcurrencyController {
  readonly #max: number;
  readonly #now: () => number;
  #limit = 1;
  /** The limit and the throughput (bytes/ms) before the last doubling, while that is being judged. */
  #before: { readonly limit: number; readonly rate: number } | undefined;
  #windowStart: number;
  #windowBytes = 0;
  #settlingSince: number | undefined;
  #holdUntil = 0;
  #holdMs = HOLD_MS;
  #rate = 0;

  /** @param now monotonic milliseconds */
  constructor(max: number, now: () => number) {
    this.#max = max;
    this.#now = now;
    this.#windowStart = now();
  }

  /** Connections to use now, at least 1. */
  get limit(): number {
    return this.#limit;
  }

  /** Throughput of the last window, in bytes per millisecond; 0 before the first has passed. */
  get rate(): number {
    return this.#rate;
  }

  /** @param flowing connections that have delivered at least one byte */
  record(sizeBytes: number, flowing: number): void {
    this.#windowBytes += sizeBytes;
    const now = this.#now();
    const elapsed = now - this.#windowStart;
    if (elapsed < WINDOW_MS) return;
    const rate = this.#windowBytes / elapsed;
    this.#windowStart = now;
    this.#windowBytes = 0;
    if (this.#settlingSince !== undefined) {
      if (flowing < this.#limit && now - this.#settlingSince < SETTLE_MAX_MS) return;
      this.#settlingSince = undefined;
      return;
    }
    this.#judge(rate, now);
    this.#rate = rate;
  }

  /** The server refused a request for being one too many, or failed one. */
  back(): void {
    this.#limit = Math.max(1, this.#limit >> 1);
    this.#before = undefined;
    this.#settlingSince = undefined;
    this.#holdUntil = this.#now() + THROTTLED_HOLD_MS;
  }

  #judge(rate: number, now: number): void {
    if (this.#before !== undefined) {
      const { limit, rate: former } = this.#before;
      this.#before = undefined;
      if (rate < former * WORTHWHILE_GROWTH) {
        this.#limit = limit;
        this.#holdUntil = now + this.#holdMs;
        this.#holdMs = Math.min(this.#holdMs * 2, HOLD_MAX_MS);
        return;
      }
      this.#holdMs = HOLD_MS;
    }
    if (this.#limit >= this.#max || now < this.#holdUntil) return;
    this.#before = { limit: this.#limit, rate };
    this.#limit = Math.min(this.#max, this.#limit * 2);
    this.#settlingSince = now;
  }
}
