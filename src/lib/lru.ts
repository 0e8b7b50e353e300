const one = () => 1;

/**
 * Options of an LRU cache of `count` entries that takes memory as it fills. By `max`, lru-cache takes that of all entries
 * when it is made.
 */
export function entriesAtMost(count: number): {
  readonly maxSize: number;
  readonly sizeCalculation: () => number;
} {
  return { maxSize: count, sizeCalculation: one };
}
