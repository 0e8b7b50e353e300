import { isReusable } from '../lib/writable.ts';
import { ConcurrencyController } from './concurrency-controller.ts';
import type { OpenedBlob } from './resumable-blob.ts';

/** The size of a range that waits in memory, at most. */
export const SEGMENT_BYTES = 4 * 1024 * 1024;
const BUFFERED_MAX_BYTES = 96 * 1024 * 1024;

/**
 * What all parallel downloads share: connections for each host, beyond the one that a download always has, and
 * memory for bytes that arrive early.
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
   * Registers a download from `host`. `onFreed` identifies it, and is called whenever a connection or a buffer
   * becomes free, until {@link leave}. Returns the controller that decides how many connections it uses.
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

  /** Counts a connection that a download needs in any case. */
  connect(host: string): void {
    this.#inUse.set(host, (this.#inUse.get(host) ?? 0) + 1);
  }

  /**
   * Counts another connection to `host`, with memory for its bytes. Undefined when there is no connection or no
   * memory; then nothing was taken. It must not take and return anything, because each return notifies the
   * waiting downloads, and they would notify one another forever.
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

/** The next range is requested when this much of the current one is left, so that no round trip is lost. */
const OPEN_AHEAD_BYTES = 1024 * 1024;

/** A range that is being fetched. Bytes that arrive early wait in `buffer` until those before them are delivered. */
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
