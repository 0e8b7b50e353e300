export { parseProfile } from './profile-json.ts';

/**
 * What a host is, judged: the answer of `metahub detect --json` and the question that a selection is made for. The
 * same shape is read back by `--profile FILE`; every field a reader may meet is listed in schema/profile.schema.json.
 */
export interface HostProfile {
  readonly platform: HostPlatform;
  readonly cpu: CpuProfile;
  readonly gpus: readonly GpuProfile[];
  /** Canonical claims, `cpu:zen4`, `x86-64-v4`, `nvcap:9.0`. What they imply (ancestors, lower levels) is not listed. */
  readonly features: readonly string[];
  /** What could not be read, and why it matters. */
  readonly warnings: readonly string[];
}

export interface HostPlatform {
  readonly os: string;
  readonly architecture: string;
  /** amd64 `v1`..`v4`, arm64 `v8`, `v8.1`.., ppc64le `power9`. */
  readonly variant?: string;
}

export interface CpuProfile {
  /** archspec's name: `zen4`, `neoverse_v2`. */
  readonly microarchitecture: string;
  readonly vendor: string;
  /** Every microarchitecture whose code this host runs, best first, `microarchitecture` itself included. */
  readonly compatible: readonly string[];
  readonly flags: readonly string[];
}

export interface GpuProfile {
  readonly vendor: string;
  readonly name?: string;
  readonly computeCapability?: string;
  readonly gfxTarget?: string;
  readonly integrated?: boolean;
}
