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
  readonly flags: readonly string[];
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
  const { os, architecture, cpu } = facts;
  const identified = identify(cpu, architecture, { strictArchspec: options.strictArchspec ?? false });
  const { microarchitecture } = identified;
  const level = levelOf(architecture, cpu.flags);
  const variant = platformVariant({ architecture, microarchitecture, level, isa: cpu.isa });
  const local = claimedFeatures(facts.local);
  return {
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    cpu: {
      microarchitecture,
      vendor: cpu.vendor,
      compatible: identified.compatible,
      flags: cpu.flags,
    },
    gpus: facts.gpus.map(({ pciId: _id, pciAddress: _address, mig: _mig, accel: _accel, ...gpu }) => gpu),
    features: uniqueFeatures([
      `cpu:${microarchitecture}`,
      ...(level === undefined ? [] : [level]),
      ...hostFeatures(facts),
      ...local.features,
    ]),
    warnings: [...(options.warnings ?? []), ...identified.warnings, ...local.warnings],
  };
}

/**
 * A short key of everything that a selection depends on: equal for hosts that get the same answers, whatever their
 * names, warnings and board numbers. Not a cryptographic hash.
 */
export function profileKey(profile: HostProfile): string {
  const { platform, cpu } = profile;
  const gpus = profile.gpus.map((gpu) => [
    gpu.vendor,
    gpu.computeCapability ?? '',
    gpu.gfxTarget ?? '',
    gpu.integrated ?? false,
  ]);
  const decisive = JSON.stringify([
    [platform.os, platform.architecture, platform.variant ?? ''],
    [cpu.microarchitecture, cpu.vendor, cpu.compatible, [...cpu.flags].sort()],
    gpus.map((gpu) => JSON.stringify(gpu)).sort(),
    [...profile.features].sort(),
  ]);
  return `${cpu.microarchitecture}-${fnv1a64(decisive)}`;
}

/** @see http://www.isthe.com/chongo/tech/comp/fnv/ (FNV-1a, 64 bits, over UTF-16 code units) */
function fnv1a64(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (let at = 0; at < text.length; at++) {
    hash = ((hash ^ BigInt(text.charCodeAt(at))) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash.toString(16).padStart(16, '0');
}
