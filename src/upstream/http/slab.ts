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

/** Slabs for whoever streams; their memory is reused, so that a gigabyte costs no garbage. */
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
    if (keptBytes + memory.length > KEPT_MAX_BYTES) return;
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
