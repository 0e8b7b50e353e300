/** What distinguishes a node besides its flags. Evidence restricts what the flags allow; it never extends it. */
export interface Evidence {
  /** ARM: the part number of the core, as /proc/cpuinfo prints it. */
  readonly part?: string;
  /** ARM: further part numbers of the same core, which archspec does not list. Separated by spaces. */
  readonly otherParts?: string;
  /** ARM: the flags are those of a parent, so only the part number distinguishes it. */
  readonly byPart?: true;
  /** POWER: runs on this generation and later ones. */
  readonly generation?: number;
  /** x86: the flags are those of a parent, so only family, model and stepping distinguish it. */
  readonly byModel?: true;
  /** RISC-V, s390x, loongarch64: possible prefixes of `uarch`, separated by spaces. */
  readonly machines?: string;
}

/** A node of the family tree. Parents and added flags are separated by spaces; a root has no parents. */
export type NodeRow = readonly [
  name: string,
  parents: string,
  vendor: string,
  addedFlags: string,
  evidence?: Evidence,
];

/**
 * The flags of a compiler for a microarchitecture, from version `since` up to the next row's. Empty: no longer
 * supported.
 */
export type CompilerRow = readonly [
  microarchitecture: string,
  compiler: string,
  since: string,
  flags: string,
];
