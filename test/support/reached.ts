import { expect } from 'vitest';

/** Counts the inputs of a property that reach its assertion: one that few reach proves little. */
export function countReached(): {
  /** Call once for each input. */
  readonly tried: () => void;
  /** Call where the assertion is. */
  readonly reached: () => void;
  /** Fails below a share of the inputs. */
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
