/** A buffer on loan; exactly one of `giveBack` and `giveUp` is to be called, once. */
export interface Loan {
  readonly buffer: Buffer;
  /** Nothing reads from it any more: the next one may have it. */
  giveBack(): void;
  /** It may still be on its way: left to the collector. */
  giveUp(): void;
}

const MIB = 1024 * 1024;
const LARGE_BYTES = MIB;
const SMALL_BYTES = 256 * 1024;
/** For what is this small altogether: a part that a lazy reader asks for, a configuration. */
const LEAST_BYTES = 64 * 1024;
/** Streams at once beyond which each gets small buffers: a large one that waits for a slow reader is memory lost. */
const FEW_STREAMS = 8;
/** Memory on loan at most; beyond it readers get small throw-away buffers rather than waiting for slow ones. */
const POOL_BYTES = 64 * MIB;
/** Readers behind a blob that is still arriving come and go many times a second: that is no reason to let go of memory. */
const IDLE_MS = 1000;
/** What stays when there has been no reader for that long: a large pair, and enough for a burst of small parts. */
const KEPT_IDLE: ReadonlyMap<number, number> = new Map([
  [LARGE_BYTES, 2],
  [SMALL_BYTES, 0],
  [LEAST_BYTES, 16],
]);

/** Recycled memory for reading files: fresh large buffers cost more to allocate and collect than the reading itself. */
export class BufferPool {
  #streams = 0;
  #lentBytes = 0;
  #shrinking: NodeJS.Timeout | undefined;
  readonly #idle = new Map<number, Buffer[]>([
    [LARGE_BYTES, []],
    [SMALL_BYTES, []],
    [LEAST_BYTES, []],
  ]);

  /** Announces a stream; call what it returns when the stream is over. */
  enter(): () => void {
    this.#streams += 1;
    return () => {
      this.#streams -= 1;
      if (this.#streams === 0) this.#shrinking ??= setTimeout(() => this.#shrink(), IDLE_MS).unref();
    };
  }

  /** A buffer for the next part of `wantedBytes` that remain, smaller where there are many streams. */
  lend(wantedBytes: number): Loan {
    const sizeBytes = this.#sizeFor(wantedBytes);
    if (this.#lentBytes + sizeBytes > POOL_BYTES) {
      return {
        buffer: Buffer.allocUnsafe(Math.min(wantedBytes, LEAST_BYTES)),
        giveBack: () => {},
        giveUp: () => {},
      };
    }
    const buffer = this.#idle.get(sizeBytes)?.pop() ?? Buffer.allocUnsafeSlow(sizeBytes);
    this.#lentBytes += sizeBytes;
    const giveUp = () => {
      this.#lentBytes -= sizeBytes;
    };
    return {
      buffer,
      giveUp,
      giveBack: () => {
        giveUp();
        this.#idle.get(sizeBytes)?.push(buffer);
      },
    };
  }

  #sizeFor(wantedBytes: number): number {
    if (wantedBytes <= LEAST_BYTES) return LEAST_BYTES;
    return this.#streams > FEW_STREAMS ? SMALL_BYTES : LARGE_BYTES;
  }

  #shrink(): void {
    this.#shrinking = undefined;
    if (this.#streams > 0) return;
    for (const [sizeBytes, buffers] of this.#idle) buffers.splice(KEPT_IDLE.get(sizeBytes) ?? 0);
  }
}
