import { expect } from 'vitest';

/** Counts the inputs of a property that reach its assertion: with few the property proves little. */
export function countReached(): {
  /** Call once for each input. */
  readonly tried: () => void;
  /** Call where the assertion is. */
  readonly reached: () => void;
  /** Fails when less than this share of the inputs reached the assertion. */
  readonly expectShare: (least: number) => void;
} {
  let all = 0;
  let hits = 0;
  return {
    tried: () => {
      all += 1;
    },
    reached: () => {
      hits += 1;
    },
    expectShare: (least) => {
      expect(hits / all, `${hits} of ${all} inputs reached the assertion`).toBeGreaterThanOrEqual(least);
    },
  };
}
