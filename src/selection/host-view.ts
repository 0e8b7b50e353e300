import { cudaVersionsOf, parseFeature } from '../host/features.ts';
import { ancestorsOf } from '../host/identify.ts';
import type { HostProfile } from '../host/profile.ts';
import { normalizePlatform } from '../lib/platform.ts';
import { truncateText } from '../lib/text.ts';
import { parseVersion, type Version } from '../lib/version.ts';

/** A profile as sets and maps for fast lookups, with the ancestors that its CPU implies. */
export interface HostView {
  readonly profile: HostProfile;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
  /** The values of each kind of feature, as the profile lists them. */
  readonly claims: ReadonlyMap<string, readonly string[]>;
  readonly flags: ReadonlySet<string>;
  /** All microarchitectures whose code this host runs. */
  readonly runs: ReadonlySet<string>;
  /** The compute capability of each NVIDIA GPU. */
  readonly nvidia: readonly Version[];
  /** The target of each AMD GPU: `gfx90a`, `gfx942:sramecc+:xnack-`. */
  readonly amd: readonly string[];
}

const views = new WeakMap<HostProfile, HostView>();

/** The view of a profile. It is made once for each profile object. */
export function viewOf(profile: HostProfile): HostView {
  const known = views.get(profile);
  if (known !== undefined) return known;
  const view = makeView(profile);
  views.set(profile, view);
  return view;
}

function makeView(profile: HostProfile): HostView {
  const claims = claimsOf(profile);
  const { cpu } = profile;
  const { os, architecture, variant } = normalizePlatform(profile.platform);
  const capabilities = ofGpus(profile, 'computeCapability') ?? claims.get('nvcap') ?? [];
  return {
    profile,
    os,
    architecture,
    variant,
    claims,
    flags: new Set([...cpu.flags, ...(claims.get('cpuflag') ?? [])]),
    runs: new Set([cpu.microarchitecture, ...cpu.compatible].flatMap((name) => [name, ...ancestorsOf(name)])),
    nvidia: capabilities.map(parseVersion).filter((version) => version !== undefined),
    amd: ofGpus(profile, 'gfxTarget') ?? claims.get('gfx') ?? [],
  };
}

/** The property of each GPU that has it. Undefined when no GPU has it; then the profile's features count. */
function ofGpus(
  { gpus }: HostProfile,
  property: 'computeCapability' | 'gfxTarget',
): readonly string[] | undefined {
  const values = gpus.map((gpu) => gpu[property]).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : values;
}

function claimsOf({ features }: HostProfile): Map<string, readonly string[]> {
  const claims = new Map<string, string[]>();
  for (const text of features) {
    const feature = parseFeature(text);
    if (feature === undefined) continue;
    const values = claims.get(feature.kind);
    if (values === undefined) claims.set(feature.kind, [feature.value]);
    else values.push(feature.value);
  }
  const cuda = cudaVersionsOf(features);
  if (cuda.length > 0) claims.set('cuda', [...cuda]);
  return claims;
}

/** Whether a demand holds on a host, and if not, why: the end of a sentence for people. */
export type MatchResult = { readonly holds: true } | { readonly holds: false; readonly why: string };

export const MATCH: MatchResult = { holds: true };

/** A demand that does not hold. A long reason is truncated. */
export function mismatch(why: string): MatchResult {
  return { holds: false, why: truncateText(why) };
}
