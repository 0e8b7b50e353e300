/** Bounds the memory that many holders take together, counted in bytes. */
export class ByteBudget {
  readonly maxBytes: number;
  #usedBytes = 0;
  readonly #holders = new WeakMap<Buffer, number>();

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Takes so many bytes until the returned function is called; undefined when that is more than is left. */
  tryTake(sizeBytes: number): (() => void) | undefined {
    if (this.#usedBytes + sizeBytes > this.maxBytes) return undefined;
    this.#usedBytes += sizeBytes;
    let isTaken = true;
    return () => {
      if (isTaken) this.#usedBytes -= sizeBytes;
      isTaken = false;
    };
  }

  /** Takes a buffer's bytes, once for however many hold it at the same time. */
  tryHold(bytes: Buffer): (() => void) | undefined {
    const holders = this.#holders.get(bytes) ?? 0;
    if (holders === 0 && this.#usedBytes + bytes.length > this.maxBytes) return undefined;
    if (holders === 0) this.#usedBytes += bytes.length;
    this.#holders.set(bytes, holders + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const left = (this.#holders.get(bytes) ?? 1) - 1;
      this.#holders.set(bytes, left);
      if (left === 0) this.#usedBytes -= bytes.length;
    };
  }
}
