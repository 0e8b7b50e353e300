import { whenReusable } from '../../lib/writable.ts';
/** A block of memory that chunks are cut from. It is reused when the last chunk is released. */
export interface Slab {
  /** The free rest of the memory, at least {@link ROOM_MIN_BYTES}. */
  remaining(): Buffer;
  /** Cuts off the first `sizeBytes` of the rest as a chunk. Call `release` when the chunk is no longer used. */
  slice(sizeBytes: number): { readonly chunk: Buffer; readonly release: () => void };
  /** True when too little is left. */
  isFull(): boolean;
  /** No more chunks are cut. */
  release(): void;
}

/** Lends slabs and reuses their memory, so that streams produce no garbage. */
export interface SlabPool {
  take(): Slab;
  /** Bytes of the slabs that are in use, and of those kept for reuse. */
  readonly usage: () => { readonly usedBytes: number; readonly keptBytes: number };
}

const MIB = 1024 * 1024;
/** Read at once, because each read costs as much CPU time in JavaScript as hashing some 200 KiB. */
const SLAB_BYTES = 2 * MIB;
/**
 * The size of the next slab, by the bytes in use: smaller ones when many are in use, so that a thousand slow
 * readers do not cost a gigabyte. Not by the number of slabs, because a stream needs more of them the smaller
 * they are.
 */
const SIZES: readonly (readonly [usedBytes: number, sizeBytes: number])[] = [
  [28 * MIB, 64 * 1024],
  [16 * MIB, 256 * 1024],
  [0, SLAB_BYTES],
];
const KEPT_MAX_BYTES = 16 * MIB;
/** Reading into less is not worth a system call. */
const ROOM_MIN_BYTES = 64 * 1024;

export function createSlabPool(): SlabPool {
  const kept: Buffer[] = [];
  let keptBytes = 0;
  let usedBytes = 0;

  function allocate(): Buffer {
    const sizeBytes = SIZES.find(([fromBytes]) => usedBytes >= fromBytes)?.[1] ?? SLAB_BYTES;
    const at = kept.findIndex(({ length }) => length === sizeBytes);
    const [memory] = at < 0 ? [] : kept.splice(at, 1);
    if (memory === undefined) return Buffer.allocUnsafeSlow(sizeBytes);
    keptBytes -= sizeBytes;
    return memory;
  }

  function giveBack(memory: Buffer): void {
    usedBytes -= memory.length;
    whenReusable(memory, () => {
      kept.push(memory);
      keptBytes += memory.length;
      // The oldest are dropped: the sizes that come back now are those in demand.
      while (keptBytes > KEPT_MAX_BYTES) keptBytes -= kept.shift()?.length ?? 0;
    });
  }

  return {
    usage: () => ({ usedBytes, keptBytes }),
    take: () => {
      const memory = allocate();
      usedBytes += memory.length;
      let cutBytes = 0;
      // The cutter of chunks counts as one user, until it calls release().
      let users = 1;
      let isLeft = false;
      const drop = () => {
        users -= 1;
        if (users === 0) giveBack(memory);
      };
      return {
        remaining: () => memory.subarray(cutBytes),
        isFull: () => memory.length - cutBytes < ROOM_MIN_BYTES,
        slice: (sizeBytes) => {
          const chunk = memory.subarray(cutBytes, cutBytes + sizeBytes);
          cutBytes += sizeBytes;
          users += 1;
          let isReleased = false;
          const release = () => {
            if (isReleased) return;
            isReleased = true;
            drop();
          };
          return { chunk, release };
        },
        release: () => {
          if (isLeft) return;
          isLeft = true;
          drop();
        },
      };
    },
  };
}

/** The body of a response. It delivers chunks, and pauses the source while too many bytes are unreleased. */
export interface Body {
  /**
   * Passes each chunk to `take`. Resolves after the last one; rejects when the source breaks, stalls or is
   * cancelled, or when `take` throws. Call `release` when the chunk's memory is no longer needed: the source
   * continues only then. Call `read` once.
   */
  read(take: Take): Promise<void>;
  /** Aborts the exchange, however much was read. */
  cancel(reason?: Error): void;
}

type Take = (chunk: Buffer, release: () => void) => void;

/** Pauses and resumes the producer of the bytes. */
export interface FlowControl {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** The producer's side of a body. */
export interface BodyStream extends Body {
  /** @param onReleased called when the chunk's memory is no longer needed, even if nobody read the chunk */
  push(chunk: Buffer, onReleased?: () => void): void;
  end(): void;
  fail(error: Error): void;
}

/** The source broke off. The bytes before are correct, so the rest can be requested. */
export class BrokenBodyError extends Error {
  override readonly name = 'BrokenBodyError';
}

/** The source delivered too little in the idle window. */
export class StalledBodyError extends BrokenBodyError {}

/** The source pauses at this many unreleased bytes, and resumes below the second number. */
const HIGH_WATER_BYTES = 2 * MIB;
const LOW_WATER_BYTES = 512 * 1024;
/** A source has stalled when it delivers less than this in an idle window without being paused. */
const WINDOW_MIN_BYTES = 16 * 1024;

/** A body in memory cannot stall, so any value is right. */
const MEMORY_IDLE_MS = 60_000;

/** A body that is fed by `push`, `end` and `fail`. It starts paused: the producer pushes only after `resume`. */
export function createBodyStream(valve: FlowControl, idleMs: number): BodyStream {
  let take: Take | undefined;
  let settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  let outcome: 'end' | Error | undefined;
  let unreleasedBytes = 0;
  let windowBytes = 0;
  let paused = true;
  let heldUp = false;
  let watchdog: NodeJS.Timeout | undefined;

  const finish = (result: 'end' | Error) => {
    if (outcome !== undefined) return;
    outcome = result;
    clearInterval(watchdog);
    if (result === 'end') settle?.resolve();
    else settle?.reject(result);
  };
  const abort = (reason: Error) => {
    if (outcome !== undefined) return;
    finish(reason);
    valve.abort(reason);
  };
  const watch = () => {
    if (!paused && !heldUp && windowBytes < WINDOW_MIN_BYTES) {
      abort(new StalledBodyError(`the body stalled: ${windowBytes} bytes within ${idleMs} ms`));
    }
    windowBytes = 0;
    heldUp = paused;
  };
  const release = (sizeBytes: number) => {
    unreleasedBytes -= sizeBytes;
    if (!paused || unreleasedBytes > LOW_WATER_BYTES || outcome !== undefined) return;
    paused = false;
    valve.resume();
  };

  return {
    read: (taker) =>
      new Promise<void>((resolve, reject) => {
        take = taker;
        settle = { resolve, reject };
        if (outcome === 'end') return resolve();
        if (outcome !== undefined) return reject(outcome);
        watchdog = setInterval(watch, idleMs);
        paused = false;
        valve.resume();
      }),
    cancel: (reason = new Error('cancelled')) => abort(reason),
    push: (chunk, onReleased = () => {}) => {
      if (outcome !== undefined || take === undefined) return onReleased();
      unreleasedBytes += chunk.length;
      windowBytes += chunk.length;
      if (unreleasedBytes >= HIGH_WATER_BYTES && !paused) {
        paused = true;
        heldUp = true;
        valve.pause();
      }
      try {
        take(chunk, () => {
          onReleased();
          release(chunk.length);
        });
      } catch (error) {
        onReleased();
        abort(error as Error);
      }
    },
    end: () => finish('end'),
    fail: (error) => finish(error),
  };
}

/** A body from bytes in memory. */
export function bodyOf(bytes: Buffer): Body {
  const stream = createBodyStream(
    {
      pause: () => {},
      resume: () => {
        stream.push(bytes);
        stream.end();
      },
      abort: () => {},
    },
    MEMORY_IDLE_MS,
  );
  return stream;
}
