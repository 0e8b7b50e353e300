import { isReusable } from '../lib/writable.ts';
import { ConcurrencyController } from './concurrency-controller.ts';
import type { OpenedBlob } from './resumable-blob.ts';

/** A range fetched ahead of the reader is held in memory: at most this much of it. */
export const SEGMENT_BYTES = 4 * 1024 * 1024;
const BUFFERED_MAX_BYTES = 96 * 1024 * 1024;

/**
 * Shared by all parallel downloads: connections per host, beyond the one that each download always has, and memory for
 * bytes that arrive ahead of their turn.
 */
export class RangeBudget {
  readonly #connectionsPerHost: number;
  readonly #now: () => number;
  readonly #controllers = new Map<string, ConcurrencyController>();
  readonly #inUse = new Map<string, number>();
  readonly #free: Buffer[] = [];
  readonly #waiting = new Set<() => void>();
  #allocated = 0;

  /**
   * @param connectionsPerHost for all downloads from one host together; 1 disables parallel ranges
   * @param now monotonic milliseconds
   */
  constructor(connectionsPerHost: number, now: () => number) {
    this.#connectionsPerHost = connectionsPerHost;
    this.#now = now;
  }

  get connectionsPerHost(): number {
    return this.#connectionsPerHost;
  }

  /**
   * A download from `host` begins: calls `onFreed`, which stands for it, whenever a connection or a buffer becomes free,
   * until {@link leave}. Answers what decides on its connections.
   */
  join(host: string, onFreed: () => void): ConcurrencyController {
    this.#waiting.add(onFreed);
    const controller =
      this.#controllers.get(host) ?? new ConcurrencyController(this.#connectionsPerHost, this.#now);
    this.#controllers.set(host, controller);
    controller.join(onFreed);
    return controller;
  }

  leave(host: string, onFreed: () => void): void {
    const controller = this.#controllers.get(host);
    controller?.leave(onFreed);
    if (controller?.isUsed === false) this.#controllers.delete(host);
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
   * Counts one more connection to `host` with memory for its bytes: both, or undefined and neither. Waiting downloads
   * are notified of everything that is returned, so nothing may be taken and returned again here: they would notify
   * each other for ever.
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

/** The next request is sent when this much of the current one is left, so that no round trip is wasted. */
const OPEN_AHEAD_BYTES = 1024 * 1024;

/** A range under way: the bytes that have arrived are in `buffer` until everything before them has been delivered. */
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
