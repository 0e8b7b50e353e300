import { isReusable } from '../../lib/kept-memory.ts';
/** A piece of memory that many chunks are cut from, used again when the last of them is released. */
export interface Slab {
  /** What is still free, at least {@link ROOM_MIN_BYTES} long. */
  remaining(): Buffer;
  /** The first `sizeBytes` of the room as a chunk, and what to call when its bytes are no longer needed. */
  slice(sizeBytes: number): { readonly chunk: Buffer; readonly release: () => void };
  /** Is the room used up? */
  isFull(): boolean;
  /** No more chunks will be cut. */
  release(): void;
}

/** Lends slabs to streams and reuses their memory: a gigabyte leaves no garbage. */
export interface SlabPool {
  take(): Slab;
  /** Slabs in use now, and kept for later, in bytes. */
  readonly usage: () => { readonly usedBytes: number; readonly keptBytes: number };
}

const SLAB_BYTES = 1024 * 1024;
/** What streams get when many are open, by how many slabs are in use: a thousand slow readers must not cost a gigabyte. */
const SIZES: readonly (readonly [slabsInUse: number, sizeBytes: number])[] = [
  [64, 64 * 1024],
  [16, 256 * 1024],
  [0, SLAB_BYTES],
];
const KEPT_MAX_BYTES = 16 * SLAB_BYTES;
/** A read into less is not worth a system call. */
const ROOM_MIN_BYTES = 64 * 1024;

export function createSlabPool(): SlabPool {
  const kept: Buffer[] = [];
  let keptBytes = 0;
  let usedBytes = 0;
  let slabs = 0;

  function allocate(): Buffer {
    const sizeBytes = SIZES.find(([slabsInUse]) => slabs >= slabsInUse)?.[1] ?? SLAB_BYTES;
    const at = kept.findIndex(({ length }) => length === sizeBytes);
    const [memory] = at < 0 ? [] : kept.splice(at, 1);
    if (memory === undefined) return Buffer.allocUnsafeSlow(sizeBytes);
    keptBytes -= sizeBytes;
    return memory;
  }

  function giveBack(memory: Buffer): void {
    slabs -= 1;
    usedBytes -= memory.length;
    if (keptBytes + memory.length > KEPT_MAX_BYTES || !isReusable(memory)) return;
    kept.push(memory);
    keptBytes += memory.length;
  }

  return {
    usage: () => ({ usedBytes, keptBytes }),
    take: () => {
      const memory = allocate();
      slabs += 1;
      usedBytes += memory.length;
      let cutBytes = 0;
      // The one who cuts is a user as well, until it leaves.
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

/** A response's body: chunks handed over one by one, the source paused while too many are unreleased. */
export interface Body {
  /**
   * Hands every chunk to `take` and resolves after the last; rejects when the source breaks, stalls or is cancelled, or
   * when `take` throws. `release` is to be called once the chunk's memory is no longer needed: it is what makes the
   * source go on. Call once.
   */
  read(take: Take): Promise<void>;
  /** Ends the exchange, whatever has been read of it. */
  cancel(reason?: Error): void;
}

type Take = (chunk: Buffer, release: () => void) => void;

/** The valve of whatever produces the bytes. */
export interface FlowControl {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** What the producer calls. */
export interface BodyStream extends Body {
  /** @param onReleased called once the chunk's memory is no longer needed, also when nobody wanted it */
  push(chunk: Buffer, onReleased?: () => void): void;
  end(): void;
  fail(error: Error): void;
}

/** The source broke off; what came before it is whole, so that the rest can be asked for. */
export class BrokenBodyError extends Error {
  override readonly name = 'BrokenBodyError';
}

/** The source went on, if at all, too slowly to be of use. */
export class StalledBodyError extends BrokenBodyError {}

/** Unreleased bytes at which the source is paused, and below which it goes on. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = 256 * 1024;
/** Less than this in one idle window, with nobody holding it up, is a source that has stalled. */
const WINDOW_MIN_BYTES = 16 * 1024;

/** Nothing in memory stalls: any time will do. */
const MEMORY_IDLE_MS = 60_000;

/** A body fed by `push`, `end` and `fail`, which starts paused: the producer must not push before it is read. */
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

/** Bytes in memory as a body. */
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
