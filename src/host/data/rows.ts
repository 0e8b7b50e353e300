/** What distinguishes a node beside its flags. Evidence narrows what the flags allow; it never adds to it. */
export interface Evidence {
  /** ARM: the core's part number, as /proc/cpuinfo prints it. */
  readonly part?: string;
  /** ARM: further part numbers of the same core, space separated, which the reference does not list. */
  readonly otherParts?: string;
  /** ARM: its flags are those of a parent; only the part number distinguishes them. */
  readonly byPart?: true;
  /** POWER: runs on this generation and later ones. */
  readonly generation?: number;
  /** x86: its flags are those of a parent; only family, model and stepping distinguish them. */
  readonly byModel?: true;
  /** RISC-V, s390x, loongarch64: what `uarch` begins with, space separated, any of them. */
  readonly machines?: string;
}

/** A node of the family tree: parents and added flags are space separated; a root has no parents. */
export type NodeRow = readonly [
  name: string,
  parents: string,
  vendor: string,
  addedFlags: string,
  evidence?: Evidence,
];

/** From its `since` on, and until a later row's, a compiler builds for a microarchitecture with these flags; empty: no longer. */
export type CompilerRow = readonly [
  microarchitecture: string,
  compiler: string,
  since: string,
  flags: string,
];
