import { setTimeout as delay } from 'node:timers/promises';
import { RegistryError } from '../oci/registry-error.ts';
import type { ConcurrencyController } from './concurrency-controller.ts';
import { type Body, BrokenBodyError } from './http/body.ts';
import { isNearlyRead, newSegment, type RangeBudget, SEGMENT_BYTES, type Segment } from './range-budget.ts';
import { waitBeforeRepeat } from './repetition.ts';
import { FRUITFUL_MIN_BYTES, type OpenedBlob } from './resumable-blob.ts';

/** A segment that is read directly needs no memory, so on a single connection it may be longer. */
const DIRECT_MAX_BYTES = 64 * 1024 * 1024;
const TRIES_MAX = 3;
/** Buffered bytes are delivered in slices of this size. */
const SLICE_BYTES = 256 * 1024;
/** At this many bytes that the reader has not released, delivery pauses. */
const HIGH_WATER_BYTES = 2 * 1024 * 1024;

export interface ParallelOptions {
  /** The response to the first range. */
  readonly first: OpenedBlob;
  /** The end of the requested bytes, as an offset in the blob. */
  readonly end: number;
  /** The host that connections are counted for. */
  readonly host: string;
  /** Opens bytes `start` to `end` of the same version of the blob. */
  readonly open: (start: number, end: number, signal: AbortSignal) => Promise<OpenedBlob>;
  readonly budget: RangeBudget;
  /** Pause before a broken range is opened again, in milliseconds. Doubled by each try. */
  readonly retryMs: number;
  /** A range failed and is opened again at `offset`. */
  readonly onRepeat: (offset: number, reason: string) => void;
}

type Take = Parameters<Body['read']>[0];

/**
 * The bytes of a blob in order, fetched as ranges over as many connections as are worthwhile. The first
 * outstanding range is delivered as it arrives; later ones wait in memory, within the budget.
 *
 * For its reader it is the {@link Body} of one response: when a range fails for good, the body breaks off, and
 * the reader requests the rest anew.
 */
export class ParallelBody implements Body {
  readonly #options: ParallelOptions;
  /** Set while the download runs. */
  #controller: ConcurrencyController | undefined;
  readonly #abort = new AbortController();
  /** In the order of the bytes. */
  readonly #segments: Segment[];
  #nextStart: number;
  /** Delivered, but not released by the reader. */
  #unreleasedBytes = 0;
  #take: Take | undefined;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #outcome: 'end' | Error | undefined;
  readonly #onFreed = () => this.#startSegments();

  constructor(options: ParallelOptions) {
    const { first } = options;
    this.#options = options;
    const end = first.end ?? first.start;
    this.#segments = [newSegment(first.start, end, first)];
    this.#nextStart = end;
  }

  read(take: Take): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#take = take;
      this.#settle = { resolve, reject };
      if (this.#outcome !== undefined) return reject(this.#outcome);
      const { budget, host } = this.#options;
      this.#controller = budget.join(host, this.#onFreed);
      const [front] = this.#segments;
      if (front !== undefined) this.#run(front);
      this.#startSegments();
    });
  }

  cancel(reason: Error = new Error('cancelled')): void {
    this.#finish(reason);
  }

  #finish(outcome: 'end' | Error): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    const { budget, host } = this.#options;
    if (outcome !== 'end') this.#abort.abort(outcome);
    for (const segment of this.#segments.splice(0)) {
      if (outcome !== 'end') segment.opened?.body.cancel(outcome);
      this.#releaseBuffer(segment);
    }
    budget.leave(host, this.#onFreed);
    if (outcome === 'end') this.#settle?.resolve();
    else this.#settle?.reject(outcome);
  }

  /** Returns a segment's memory, unless a body or the reader still uses it. Each of those calls this again. */
  #releaseBuffer(segment: Segment): void {
    const { buffer } = segment;
    const isInUse = segment.unreleasedSlices > 0 || (this.#outcome !== undefined && segment.isRunning);
    if (isInUse) return;
    segment.buffer = undefined;
    if (buffer !== undefined) this.#options.budget.release(buffer);
  }

  /** Starts as many ranges as the controller and the budget allow. */
  #startSegments(): void {
    const { end } = this.#options;
    while (this.#outcome === undefined && this.#take !== undefined && this.#nextStart < end) {
      const active = this.#segments.filter(({ isComplete }) => !isComplete);
      const isNeeded = active.length === 0 || (active.length === 1 && isNearlyRead(active[0]));
      if (active.some(({ failure }) => failure !== undefined)) return;
      const limit = this.#limit;
      if (!isNeeded && (active.length >= limit || this.#segments.length >= 2 * limit)) return;
      const buffer = this.#tryConnect(isNeeded, limit === 1);
      if (buffer === 'none') return;
      const start = this.#nextStart;
      const sizeBytes = buffer === undefined ? this.#directBytes() : SEGMENT_BYTES;
      this.#nextStart = Math.min(end, start + sizeBytes);
      const segment = newSegment(start, this.#nextStart);
      segment.buffer = buffer;
      this.#segments.push(segment);
      this.#run(segment, true);
    }
  }

  /**
   * Counts a connection. Returns the memory for its bytes; undefined when the connection is needed but there is
   * no memory; `none` when it must not be opened.
   */
  #tryConnect(isNeeded: boolean, isDirect: boolean): Buffer | undefined | 'none' {
    const { budget, host } = this.#options;
    if (!isNeeded) return budget.tryConnect(host)?.buffer ?? 'none';
    budget.connect(host);
    return isDirect ? undefined : budget.buffer();
  }

  /** How many connections this download may use now. */
  get #limit(): number {
    return this.#controller?.limit ?? 1;
  }

  /** The length of a segment that is read directly: each request has a cost, so it lasts until the next decision. */
  #directBytes(): number {
    const { undecidedBytes = 0 } = this.#controller ?? {};
    return Math.min(DIRECT_MAX_BYTES, Math.max(SEGMENT_BYTES, Math.round(undecidedBytes)));
  }

  /** Fetches a segment. `isCounted`: its connection has been counted already. */
  #run(segment: Segment, isCounted = false): void {
    const { budget, host } = this.#options;
    if (!isCounted) budget.connect(host);
    segment.isRunning = true;
    void this.#fetch(segment)
      .catch((error: Error) => {
        segment.failure = error;
      })
      .finally(() => {
        segment.isRunning = false;
        if (this.#outcome !== undefined) this.#releaseBuffer(segment);
        else this.#deliver();
        budget.disconnect(host);
        this.#startSegments();
      });
  }

  /** Fetches one range. When it breaks, it is resumed. */
  async #fetch(segment: Segment): Promise<void> {
    const { open, retryMs, onRepeat } = this.#options;
    for (let tries = 0; ; ) {
      const before = segment.receivedBytes;
      try {
        const from = segment.start + segment.receivedBytes;
        segment.opened ??= await open(from, segment.end, this.#abort.signal);
        // Without memory of its own, the response is read only when it is the first outstanding segment.
        if (segment.buffer === undefined && this.#segments[0] !== segment) return;
        await this.#read(segment, segment.opened.body);
        if (segment.isComplete) return;
        throw new BrokenBodyError('a range ended early');
      } catch (error) {
        segment.opened = undefined;
        const isUpstreams = error instanceof RegistryError || error instanceof BrokenBodyError;
        if (this.#outcome !== undefined || !isUpstreams) throw error;
        this.#controller?.back();
        tries = segment.receivedBytes - before >= FRUITFUL_MIN_BYTES ? 1 : tries + 1;
        if (tries >= TRIES_MAX) throw new BrokenBodyError(error.message, { cause: error });
        onRepeat(segment.start + segment.receivedBytes, error.message);
        const waitMs = waitBeforeRepeat(error, retryMs * 2 ** tries);
        await delay(waitMs, undefined, { signal: this.#abort.signal });
      }
    }
  }

  async #read(segment: Segment, body: Body): Promise<void> {
    await body.read((chunk, release) => this.#receive(segment, chunk, release));
    if (segment.start + segment.receivedBytes !== segment.end) return;
    segment.isComplete = true;
    this.#deliver();
  }

  #receive(segment: Segment, chunk: Buffer, release: () => void): void {
    if (this.#outcome !== undefined) {
      release();
      return;
    }
    if (segment.start + segment.receivedBytes + chunk.length > segment.end) {
      throw new BrokenBodyError('a range is longer than it was announced');
    }
    const { buffer, receivedBytes } = segment;
    segment.receivedBytes += chunk.length;
    let isReaderBehind = false;
    if (buffer === undefined) {
      // Only the first outstanding segment is read without memory of its own.
      isReaderBehind = this.#unreleasedBytes + chunk.length >= HIGH_WATER_BYTES;
      this.#handOver(chunk, release);
      if (this.#outcome !== undefined) throw this.#outcome;
    } else {
      chunk.copy(buffer, receivedBytes);
      release();
      this.#deliver();
    }
    const flowing = this.#segments.filter((each) => each.receivedBytes > 0).length;
    const limit = this.#limit;
    this.#controller?.record(this.#onFreed, { sizeBytes: chunk.length, flowing, isReaderBehind });
    if (this.#limit > limit || isNearlyRead(segment)) this.#startSegments();
  }

  /**
   * Passes a chunk to the reader. When the reader releases it, more of the buffered bytes are delivered. An
   * error of the reader ends the download: no range is at fault, so no retry helps.
   */
  #handOver(chunk: Buffer, onReleased: () => void): void {
    this.#unreleasedBytes += chunk.length;
    const release = once(() => {
      this.#unreleasedBytes -= chunk.length;
      onReleased();
      if (this.#outcome === undefined) this.#deliver();
    });
    try {
      this.#take?.(chunk, release);
    } catch (error) {
      this.#finish(error as Error);
    }
  }

  /** Delivers buffered bytes at the reader's pace, and removes completed segments. */
  #deliver(): void {
    for (let front = this.#segments[0]; front !== undefined; front = this.#segments[0]) {
      if (this.#outcome !== undefined || !this.#deliverBuffer(front)) return;
      if (front.failure !== undefined) {
        this.#finish(front.failure);
        return;
      }
      if (!front.isComplete) {
        const isWaiting = front.opened !== undefined && !front.isRunning && front.buffer === undefined;
        if (isWaiting) this.#run(front);
        return;
      }
      this.#segments.shift();
    }
    if (this.#outcome === undefined && this.#nextStart >= this.#options.end) this.#finish('end');
  }

  /** Delivers a segment's buffered bytes. True when none are left. */
  #deliverBuffer(segment: Segment): boolean {
    const { buffer } = segment;
    if (buffer === undefined) return true;
    while (segment.deliveredBytes < segment.receivedBytes) {
      if (this.#unreleasedBytes >= HIGH_WATER_BYTES || this.#outcome !== undefined) return false;
      const end = Math.min(segment.receivedBytes, segment.deliveredBytes + SLICE_BYTES);
      const slice = buffer.subarray(segment.deliveredBytes, end);
      segment.deliveredBytes = end;
      segment.unreleasedSlices += 1;
      this.#handOver(slice, () => {
        segment.unreleasedSlices -= 1;
        if (this.#outcome !== undefined) this.#releaseBuffer(segment);
      });
    }
    if (segment.unreleasedSlices > 0) return false;
    this.#releaseBuffer(segment);
    return true;
  }
}

/** Calls `action` at most once. */
function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    action();
  };
}
