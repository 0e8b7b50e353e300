/** Memory that somebody still reads although its owner has been told that it is free. */
const kept = new WeakSet<ArrayBufferLike>();

/**
 * Says that the memory behind a chunk is still on its way to somebody: an owner that would use it again leaves it to the
 * collector. For readers that fell behind, whom the owner must not wait for.
 */
export function keepMemory(chunk: Buffer): void {
  kept.add(chunk.buffer);
}

/** May the owner use this memory again? */
export function isReusable(memory: Buffer): boolean {
  return !kept.has(memory.buffer);
}
