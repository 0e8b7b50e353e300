const one = () => 1;

/**
 * Options for an LRU cache of `count` entries that allocates memory as it fills. With `max`, lru-cache allocates
 * for all entries when it is created.
 */
export function entriesAtMost(count: number): {
  readonly maxSize: number;
  readonly sizeCalculation: () => number;
} {
  return { maxSize: count, sizeCalculation: one };
}
