import { isReusable } from '../lib/kept-memory.ts';
import type { OpenedBlob } from './resumable-blob.ts';

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

  /** Counts a connection that a download cannot do without. */
  connect(host: string): void {
    this.#inUse.set(host, (this.#inUse.get(host) ?? 0) + 1);
  }

  /**
   * Counts one more connection to `host` with memory for what it brings: both, or undefined and neither. Whoever asks is
   * notified of what others give back, so nothing may be taken and given back again here: all who wait would take turns.
   */
  tryConnect(host: string): { readonly buffer: Buffer } | undefined {
    if ((this.#inUse.get(host) ?? 0) >= this.#connectionsPerHost) return undefined;
    const buffer = this.buffer();
    if (buffer === undefined) return undefined;
    this.connect(host);
    return { buffer };
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
    if (this.#waiting.size > 0 && isReusable(buffer)) this.#free.push(buffer);
    else this.#allocated -= 1;
    this.#notify();
  }

  #notify(): void {
    for (const onFreed of this.#waiting) onFreed();
  }
}

/** The next request is sent when this much of the present one is left, so that no round trip is waited for. */
const OPEN_AHEAD_BYTES = 1024 * 1024;

/** A range on its way: what of it has arrived stands in `buffer` until all before it has been handed over. */
export interface Segment {
  readonly start: number;
  readonly end: number;
  receivedBytes: number;
  deliveredBytes: number;
  unreleasedSlices: number;
  buffer: Buffer | undefined;
  opened: OpenedBlob | undefined;
  isRunning: boolean;
  isComplete: boolean;
  failure: Error | undefined;
}

export function newSegment(start: number, end: number, opened?: OpenedBlob): Segment {
  return {
    start,
    end,
    receivedBytes: 0,
    deliveredBytes: 0,
    unreleasedSlices: 0,
    buffer: undefined,
    opened,
    isRunning: false,
    isComplete: false,
    failure: undefined,
  };
}

export function isNearlyRead(segment: Segment | undefined): boolean {
  return segment !== undefined && segment.end - segment.start - segment.receivedBytes <= OPEN_AHEAD_BYTES;
}

const WINDOW_MS = 100;
/** How long new connections may take to deliver their first byte before they are judged without it. */
const SETTLE_MAX_MS = 1000;
/** More connections are worth it when they bring at least this much more. */
const WORTHWHILE_GROWTH = 1.2;
/** A connection that brings this much, in bytes per millisecond, is limited by nobody: more of them cost copies and bring nothing. */
const UNLIMITED_RATE = 100_000;
const HOLD_MS = 2000;
const HOLD_MAX_MS = 16_000;
const THROTTLED_HOLD_MS = 10_000;

/**
 * Finds how many connections are worth using for one download: doubles while throughput grows and each is slow enough to be
 * limited, goes back when it does not, tries again after a while, halves when the server asks for less.
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
    const isUnlimited = rate >= UNLIMITED_RATE * this.#limit;
    if (isUnlimited || this.#limit >= this.#max || now < this.#holdUntil) return;
    this.#before = { limit: this.#limit, rate };
    this.#limit = Math.min(this.#max, this.#limit * 2);
    this.#settlingSince = now;
  }
}
