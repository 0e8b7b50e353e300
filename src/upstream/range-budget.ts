/** A range that is fetched ahead of the reader is held in memory: at most this much of it. */
export const SEGMENT_BYTES = 4 * 1024 * 1024;
const BUFFERED_MAX_BYTES = 96 * 1024 * 1024;

/**
 * What all parallel downloads share: connections per host beyond the one that each download always has, and memory for
 * what arrives ahead of its turn.
 */
export class RangeBudget {
  readonly #connectionsPerHost: number;
  readonly #inUse = new Map<string, number>();
  readonly #free: Buffer[] = [];
  readonly #waiting = new Set<() => void>();
  #allocated = 0;

  /** @param connectionsPerHost for all downloads from one host together; 1 turns parallel ranges off */
  constructor(connectionsPerHost: number) {
    this.#connectionsPerHost = connectionsPerHost;
  }

  get connectionsPerHost(): number {
    return this.#connectionsPerHost;
  }

  /** Calls `onFreed` whenever a connection or a buffer is free again, until {@link leave}. */
  join(onFreed: () => void): void {
    this.#waiting.add(onFreed);
  }

  leave(onFreed: () => void): void {
    this.#waiting.delete(onFreed);
    if (this.#waiting.size > 0) return;
    this.#allocated -= this.#free.length;
    this.#free.length = 0;
  }

  /** Counts one more connection to `host`; false when it has as many as it may. */
  connect(host: string, isNeeded = false): boolean {
    const count = this.#inUse.get(host) ?? 0;
    if (!isNeeded && count >= this.#connectionsPerHost) return false;
    this.#inUse.set(host, count + 1);
    return true;
  }

  disconnect(host: string): void {
    const count = (this.#inUse.get(host) ?? 1) - 1;
    if (count > 0) this.#inUse.set(host, count);
    else this.#inUse.delete(host);
    this.#notify();
  }

  /** Memory for one segment; undefined when all of it is in use. */
  buffer(): Buffer | undefined {
    const kept = this.#free.pop();
    if (kept !== undefined) return kept;
    if ((this.#allocated + 1) * SEGMENT_BYTES > BUFFERED_MAX_BYTES) return undefined;
    this.#allocated += 1;
    return Buffer.allocUnsafeSlow(SEGMENT_BYTES);
  }

  release(buffer: Buffer): void {
    if (this.#waiting.size > 0) this.#free.push(buffer);
    else this.#allocated -= 1;
    this.#notify();
  }

  #notify(): void {
    for (const onFreed of this.#waiting) onFreed();
  }
}
