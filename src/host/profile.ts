import { effectiveFlags } from './effective-flags.ts';
import type { HostFacts } from './facts.ts';
import { claimedFeatures, hostFeatures, uniqueFeatures } from './features.ts';
import { identify } from './identify.ts';
import { levelOf, platformVariant } from './levels.ts';

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

export interface DeriveOptions {
  /** Answer as the reference implementation does, masked guests included. */
  readonly strictArchspec?: boolean | undefined;
  /** What the probes could not read; the derivation's own come after them. */
  readonly warnings?: readonly string[] | undefined;
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
  /** Those that programs may rely on. */
  readonly flags: readonly string[];
  /** Of these, those that the kernel cannot print and the model has. */
  readonly assumedFlags?: readonly string[];
}

export interface GpuProfile {
  readonly vendor: string;
  readonly name?: string;
  readonly computeCapability?: string;
  readonly gfxTarget?: string;
  readonly integrated?: boolean;
}

/** Judges facts: the microarchitecture by the family tree, the variant by its level, and every feature that follows. */
export function deriveProfile(facts: HostFacts, options: DeriveOptions = {}): HostProfile {
  const { os, architecture } = facts;
  const strictArchspec = options.strictArchspec ?? false;
  const { flags, assumed, ignored } = strictArchspec
    ? { flags: facts.cpu.flags, assumed: [], ignored: [] }
    : effectiveFlags(facts.cpu, architecture, facts.system);
  const cpu = { ...facts.cpu, flags };
  const identified = identify(cpu, architecture, { strictArchspec });
  const { microarchitecture } = identified;
  const level = levelOf(architecture, flags);
  const variant = platformVariant({ ...cpu, architecture, microarchitecture, level });
  const local = claimedFeatures(facts.local);
  return {
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    cpu: {
      microarchitecture,
      vendor: cpu.vendor,
      compatible: identified.compatible,
      flags,
      ...(assumed.length === 0 ? {} : { assumedFlags: assumed }),
    },
    gpus: facts.gpus.map(({ pciId: _id, pciAddress: _address, mig: _mig, accel: _accel, ...gpu }) => gpu),
    features: uniqueFeatures([
      `cpu:${microarchitecture}`,
      ...(level === undefined ? [] : [level]),
      ...hostFeatures(facts),
      ...local.features,
    ]),
    warnings: [
      ...(options.warnings ?? []),
      ...ignoredFlags(ignored),
      ...identified.warnings,
      ...local.warnings,
    ],
  };
}

function ignoredFlags(ignored: readonly string[]): readonly string[] {
  if (ignored.length === 0) return [];
  const shown =
    ignored.slice(0, 4).join(', ') + (ignored.length > 4 ? ` and ${ignored.length - 4} more` : '');
  return [`the kernel reports ${shown} without the CPU flags that they need: they do not count`];
}
