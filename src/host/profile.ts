import { levelOf, platformVariant } from './architecture.ts';
import { effectiveFlags } from './effective-flags.ts';
import type { HostFacts } from './facts.ts';
import { claimedFeatures, hostFeatures, uniqueFeatures } from './features.ts';
import { identify } from './identify.ts';

/**
 * A host as selection sees it: what `metahub detect --json` prints and `--profile FILE` reads.
 * schema/profile.schema.json lists every field.
 */
export interface HostProfile {
  readonly platform: HostPlatform;
  readonly cpu: CpuProfile;
  readonly gpus: readonly GpuProfile[];
  /** Data for rules of node-feature-discovery; absent for a machine type. */
  readonly hardware?: HardwareProfile;
  /** Canonical claims, `cpu:zen4`, `x86-64-v4`, `nvcap:9.0`. What they imply (ancestors, lower levels) is not listed. */
  readonly features: readonly string[];
  /** What could not be read, and why it matters. */
  readonly warnings: readonly string[];
}

export interface DeriveOptions {
  /** Answer as archspec does, for masked guests too. */
  readonly strictArchspec?: boolean | undefined;
  /** What the probes could not read; the profile's own warnings follow. */
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
  /** Flags that programs may rely on. */
  readonly flags: readonly string[];
  /** Of these, those that the kernel cannot print but the model has. */
  readonly assumedFlags?: readonly string[];
}

export interface GpuProfile {
  readonly vendor: string;
  readonly name?: string;
  readonly computeCapability?: string;
  readonly gfxTarget?: string;
  readonly integrated?: boolean;
}

/** Numbers and names of a machine that are not features. */
export interface HardwareProfile {
  /** x86, as numbers. */
  readonly cpuFamily?: number;
  readonly cpuModel?: number;
  /** The kernel's release: `6.8.0-49-generic`. */
  readonly kernel?: string;
  readonly osId?: string;
  readonly osVersion?: string;
  /** Vendor, device and class of the PCI functions, each kind once: `10de:2330:0302`. */
  readonly pci?: readonly string[];
}

/**
 * Derives a profile from facts: the microarchitecture by the family tree, the variant by its level, and every feature
 * that follows.
 */
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
    hardware: hardwareOf(facts),
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

function hardwareOf({ cpu, system, pci }: HostFacts): HardwareProfile {
  const { kernel, osId, osVersion } = system;
  const all = { cpuFamily: cpu.family, cpuModel: cpu.model, kernel, osId, osVersion, pci };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function ignoredFlags(ignored: readonly string[]): readonly string[] {
  if (ignored.length === 0) return [];
  const shown =
    ignored.slice(0, 4).join(', ') + (ignored.length > 4 ? ` and ${ignored.length - 4} more` : '');
  return [`the kernel reports ${shown} without the CPU flags that they need: they do not count`];
}
