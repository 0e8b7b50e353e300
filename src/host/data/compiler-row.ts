/** From its `since` on, and until a later row's, a compiler builds for a microarchitecture with these flags; empty: no longer. */
export type CompilerRow = readonly [
  microarchitecture: string,
  compiler: string,
  since: string,
  flags: string,
];
