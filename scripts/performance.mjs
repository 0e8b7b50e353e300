// The clock that bundles have instead of `performance` of node:perf_hooks, which loads a dozen modules of Node.js
// for its other parts: 2 ms of a start. No bundle uses another part.
export const performance = {
  /** Milliseconds of the same monotonic clock, since the boot of the machine. */
  now: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1e3 + nanoseconds / 1e6;
  },
};
