import { levelOf, platformVariant } from './architecture.ts';
import { effectiveFlags } from './effective-flags.ts';
import type { HostFacts } from './facts.ts';
import { claimedFeatures, hostFeatures, uniqueFeatures } from './features.ts';
import { identify } from './identify.ts';

/**
 * A host as the selection sees it: what `metahub detect --json` prints and `--profile FILE` reads.
 * schema/profile.schema.json describes every field.
 */
export interface HostProfile {
  readonly platform: HostPlatform;
  readonly cpu: CpuProfile;
  readonly gpus: readonly GpuProfile[];
  /** Data for rules of node-feature-discovery. Absent for a machine type. */
  readonly hardware?: HardwareProfile;
  /** Features such as `cpu:zen4`, `x86-64-v4`, `nvcap:9.0`. What they imply (ancestors, lower levels) is not listed. */
  readonly features: readonly string[];
  /** What could not be read, and why it matters. */
  readonly warnings: readonly string[];
}

export interface DeriveOptions {
  /** Answer as archspec does, also for guests with hidden flags. */
  readonly strictArchspec?: boolean | undefined;
  /** The warnings of the probes. The profile's own are added. */
  readonly warnings?: readonly string[] | undefined;
}

export interface HostPlatform {
  readonly os: string;
  readonly architecture: string;
  /** amd64: `v1` to `v4`; arm64: `v8`, `v8.1` and so on; ppc64le: `power9`. */
  readonly variant?: string;
}

export interface CpuProfile {
  /** archspec's name: `zen4`, `neoverse_v2`. */
  readonly microarchitecture: string;
  readonly vendor: string;
  /** All microarchitectures whose code this host runs, the best first. The first one is `microarchitecture`. */
  readonly compatible: readonly string[];
  /** The flags that programs can rely on. */
  readonly flags: readonly string[];
  /** Those of the flags that the kernel cannot print but the CPU's model has. */
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
  /** x86: family and model as numbers. */
  readonly cpuFamily?: number;
  readonly cpuModel?: number;
  /** The kernel's release: `6.8.0-49-generic`. */
  readonly kernel?: string;
  readonly osId?: string;
  readonly osVersion?: string;
  /** Vendor, device and class of all PCI functions, without repetitions: `10de:2330:0302`. */
  readonly pci?: readonly string[];
}

/**
 * Derives a profile from facts: the microarchitecture from the family tree, the variant from the level, and all
 * features that follow.
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
