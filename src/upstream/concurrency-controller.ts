const WINDOW_MS = 100;
/** How long new connections may take to deliver their first byte, in milliseconds. Then they are judged without it. */
const SETTLE_MAX_MS = 1000;
/** A doubling of the connections stays when the throughput grows by at least this factor. */
const WORTHWHILE_GROWTH = 1.2;
/** Bytes per millisecond and connection. Above it nothing limits a connection, and more of them only cost copies. */
const UNLIMITED_RATE = 100_000;
const HOLD_MS = 2000;
const HOLD_MAX_MS = 16_000;
const THROTTLED_HOLD_MS = 10_000;

/** What one download has just received. */
export interface Receipt {
  readonly sizeBytes: number;
  /** Connections of this download that have delivered at least one byte. */
  readonly flowing: number;
  /** True when the reader has not yet taken what came before. */
  readonly isReaderBehind: boolean;
}

/**
 * Finds how many connections are worth using for each download from one host. It doubles them while the total
 * throughput grows, each connection is slower than {@link UNLIMITED_RATE}, and the readers keep up. It undoes a
 * doubling that brings no growth and tries again after a while. It halves them when the server asks for less.
 * All downloads from the host are judged together: judged alone, a download would mistake another's share of
 * the line or the CPU for growth.
 */
export class ConcurrencyController {
  readonly #max: number;
  readonly #now: () => number;
  /** The number of connections that deliver, for each download. */
  readonly #downloads = new Map<object, number>();
  #limit = 1;
  /** The limit and the throughput (bytes/ms) before the last doubling, until that doubling has been judged. */
  #before: { readonly limit: number; readonly rate: number } | undefined;
  #windowStart: number;
  #windowBytes = 0;
  /** How many of the window's bytes arrived while the reader was behind. */
  #behindBytes = 0;
  #wasReaderBehind = false;
  #settlingSince: number | undefined;
  #holdUntil = 0;
  #holdMs = HOLD_MS;
  #rate = 0;

  /**
   * @param max limit of connections to the host, for all downloads together
   * @param now monotonic milliseconds
   */
  constructor(max: number, now: () => number) {
    this.#max = max;
    this.#now = now;
    this.#windowStart = now();
  }

  /** How many connections each download may use now, at least 1. */
  get limit(): number {
    return this.#limit;
  }

  get isUsed(): boolean {
    return this.#downloads.size > 0;
  }

  join(download: object): void {
    this.#downloads.set(download, 0);
    this.#startOver();
  }

  leave(download: object): void {
    if (this.#downloads.delete(download)) this.#startOver();
  }

  /** How many bytes one download is likely to receive before the next decision. */
  get undecidedBytes(): number {
    if (this.#wasReaderBehind) return Number.POSITIVE_INFINITY;
    const undecidedMs = Math.max(2.5 * WINDOW_MS, this.#holdUntil - this.#now());
    return (this.#rate * undecidedMs) / Math.max(1, this.#downloads.size);
  }

  record(download: object, { sizeBytes, flowing, isReaderBehind }: Receipt): void {
    this.#downloads.set(download, flowing);
    this.#windowBytes += sizeBytes;
    if (isReaderBehind) this.#behindBytes += sizeBytes;
    const now = this.#now();
    const elapsed = now - this.#windowStart;
    if (elapsed < WINDOW_MS) return;
    const rate = this.#windowBytes / elapsed;
    this.#wasReaderBehind = this.#behindBytes > this.#windowBytes / 2;
    this.#beginWindow();
    if (this.#settlingSince !== undefined) {
      if (!this.#flowsAsWanted() && now - this.#settlingSince < SETTLE_MAX_MS) return;
      this.#settlingSince = undefined;
      return;
    }
    this.#judge(rate, now);
    this.#rate = rate;
  }

  /** Reports that the server refused or failed a request, perhaps because there were too many. Halves the limit. */
  back(): void {
    this.#limit = Math.max(1, this.#limit >> 1);
    this.#before = undefined;
    this.#settlingSince = undefined;
    this.#holdUntil = this.#now() + THROTTLED_HOLD_MS;
  }

  /** Discards a doubling that is being judged: with other downloads, its throughput means nothing. */
  #startOver(): void {
    if (this.#before !== undefined) this.#limit = this.#before.limit;
    this.#before = undefined;
    this.#settlingSince = undefined;
    this.#beginWindow();
  }

  #beginWindow(): void {
    this.#windowStart = this.#now();
    this.#windowBytes = 0;
    this.#behindBytes = 0;
  }

  get #wanted(): number {
    return Math.min(this.#max, this.#limit * this.#downloads.size);
  }

  #flowsAsWanted(): boolean {
    let flowing = 0;
    for (const each of this.#downloads.values()) flowing += each;
    return flowing >= this.#wanted;
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
    const isUnlimited = rate >= UNLIMITED_RATE * this.#wanted;
    const isEnough = isUnlimited || this.#wasReaderBehind || this.#wanted >= this.#max;
    if (isEnough || now < this.#holdUntil) return;
    this.#before = { limit: this.#limit, rate };
    this.#limit = Math.min(this.#max, this.#limit * 2);
    this.#settlingSince = now;
  }
}
