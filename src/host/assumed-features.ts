import {
  architectureOfFamily,
  familyOfArchitecture,
  LEVEL_NODES,
  levelOfNode,
  nodeOfLevel,
  platformVariant,
} from './architecture.ts';
import { driverFeatures, type Feature, formatFeature, parseFeature, uniqueFeatures } from './features.ts';
import {
  ancestorsOf,
  compareMicroarchitectures,
  familyOf,
  flagsOf,
  isAncestorOrSelf,
  vendorOf,
} from './identify.ts';
import { allNodes, canonicalName } from './microarchitectures.ts';
import type { GpuProfile, HostProfile } from './profile.ts';
import { similarNames } from './why-not.ts';

/** `--set nvcap:none`: the host has no feature of this kind. */
export const NOTHING = 'none';
const OPERATING_SYSTEMS: ReadonlySet<string> = new Set(['linux', 'darwin', 'windows']);

/**
 * The profile as if the host had these features. A kind that is named replaces what was detected of that kind.
 * `cpu:X` brings the ancestors, level, variant and flags of X in the family tree. A CPU flag is added to the
 * detected ones. The value `none` removes a kind.
 * @throws {Error} for a text that is not a feature, for an unknown microarchitecture, or for two of them.
 */
export function withFeatures(profile: HostProfile, features: readonly string[]): HostProfile {
  const claims = claimsOf(features);
  return [withCpu, withLevel, withFlags, withGpus, withSystem].reduce(
    (changed, change) => change(changed, claims),
    profile,
  );
}

/**
 * The profile of a machine of which only features are known. Without a CPU among them, it has the baseline of its
 * architecture (by default amd64 on Linux) and runs nothing that demands more.
 * @throws {Error} as `withFeatures`.
 */
export function profileOfFeatures(
  features: readonly string[],
  base?: Pick<HostProfile, 'platform'>,
): HostProfile {
  const { os = 'linux', architecture = 'amd64' } = base?.platform ?? {};
  const bare: HostProfile = {
    platform: { os, architecture },
    cpu: cpuNamed(familyOfArchitecture(architecture)),
    gpus: [],
    features: [],
    warnings: [],
  };
  const assumed = withFeatures(withVariant(bare, levelPromisedBy(bare.cpu.microarchitecture)), features);
  // As written, because `match: exact` compares these features with an entry's.
  return { ...assumed, features: uniqueFeatures(features.map((text) => formatFeature(parsed(text)))) };
}

/** The values of each kind, in the given order. */
type Claims = ReadonlyMap<string, readonly string[]>;

function claimsOf(features: readonly string[]): Claims {
  const claims = new Map<string, string[]>();
  for (const { kind, value } of features.map(parsed)) {
    const values = claims.get(kind);
    if (values === undefined) claims.set(kind, [value]);
    else values.push(value);
  }
  return claims;
}

function parsed(text: string): Feature {
  const feature = parseFeature(text);
  if (feature === undefined)
    throw new Error(`“${text}” is not a feature: write kind:value, such as cpu:zen4 or nvcap:9.0`);
  if (feature.kind === 'cpuflag' && feature.value === text.trim()) refuseUnknownFlag(feature.value);
  return feature;
}

/**
 * A bare word must be a flag of some known CPU: otherwise a microarchitecture without its kind would count as a
 * flag.
 */
function refuseUnknownFlag(word: string): void {
  for (const { name } of allNodes()) if (flagsOf(name)?.has(word)) return;
  const meant = canonicalName(word) === undefined ? `cpuflag:${word}` : `cpu:${word}`;
  throw new Error(`“${word}” is not a known CPU flag; did you mean ${meant}?`);
}

function withCpu(profile: HostProfile, claims: Claims): HostProfile {
  const named = single(claims, 'cpu');
  if (named === undefined) return profile;
  const name = canonicalName(named);
  if (name === undefined) {
    const similar = similarNames(named);
    const meant = similar.length === 0 ? '' : `; similar: ${similar.join(', ')}`;
    throw new Error(`there is no microarchitecture “${named}”${meant}`);
  }
  const cpu = cpuNamed(name);
  const level = levelPromisedBy(name);
  const { os } = profile.platform;
  const architecture = architectureOfFamily(familyOf(name));
  const changed = { ...profile, platform: { os, architecture }, cpu };
  const vendor = cpu.vendor === 'generic' ? [] : [`cpuvendor:${cpu.vendor}`];
  return withVariant(
    replaceKinds(
      changed,
      ['cpu', 'level', 'cpuvendor'],
      [`cpu:${name}`, ...(level ? [level] : []), ...vendor],
    ),
    level,
  );
}

/** With a CPU, the level replaces that CPU's level. Alone, it means a CPU with exactly this level. */
function withLevel(profile: HostProfile, claims: Claims): HostProfile {
  const level = single(claims, 'level');
  if (level === undefined) return profile;
  if (!claims.has('cpu')) return withCpu(profile, new Map([['cpu', [demandNodeOfLevel(level)]]]));
  return withVariant(replaceKinds(profile, ['level'], [level]), level);
}

function withFlags(profile: HostProfile, claims: Claims): HostProfile {
  const flags = claims.get('cpuflag');
  if (flags === undefined) return profile;
  const cpu = { ...profile.cpu, flags: [...new Set([...profile.cpu.flags, ...flags])] };
  return { ...profile, cpu, features: uniqueFeatures([...profile.features, ...flags]) };
}

function withGpus(profile: HostProfile, claims: Claims): HostProfile {
  const assume = (current: HostProfile, kind: string, vendor: string, gpu: (value: string) => GpuProfile) => {
    const values = valuesOf(claims, kind);
    if (values === undefined) return current;
    const others = current.gpus.filter((one) => one.vendor !== vendor);
    const claim = `gpu:${vendor}`;
    const features = current.features.filter((feature) => feature !== claim);
    return {
      ...current,
      gpus: [...others, ...values.map(gpu)],
      features: values.length === 0 ? features : uniqueFeatures([...features, claim]),
    };
  };
  const nvidia = assume(profile, 'nvcap', 'nvidia', (computeCapability) => ({
    vendor: 'nvidia',
    computeCapability,
  }));
  return assume(nvidia, 'gfx', 'amd', (gfxTarget) => ({ vendor: 'amd', gfxTarget }));
}

function withSystem(profile: HostProfile, claims: Claims): HostProfile {
  const kinds = [...claims.keys()].filter((kind) => !['cpu', 'level', 'cpuflag'].includes(kind));
  const stated = kinds.flatMap((kind) => (valuesOf(claims, kind) ?? []).map((value) => `${kind}:${value}`));
  // A driver implies a CUDA version, unless one is given.
  const driver = single(claims, 'nvdriver');
  const follows = driver !== undefined && !claims.has('cuda');
  const implied = driver === undefined || driver === NOTHING || !follows ? [] : driverFeatures(driver);
  const changed = replaceKinds(profile, follows ? [...kinds, 'cuda'] : kinds, [...stated, ...implied]);
  const os = single(claims, 'os');
  if (os === undefined || !OPERATING_SYSTEMS.has(os)) return changed;
  return { ...changed, platform: { ...changed.platform, os } };
}

function cpuNamed(name: string): HostProfile['cpu'] {
  return {
    microarchitecture: name,
    vendor: vendorOf(name),
    compatible: [name, ...ancestorsOf(name)].sort(compareMicroarchitectures),
    flags: [...(flagsOf(name) ?? [])].sort(),
  };
}

/** The highest level that a node includes. */
function levelPromisedBy(name: string): string | undefined {
  const node = LEVEL_NODES.find((one) => isAncestorOrSelf(one, name));
  return node === undefined ? undefined : levelOfNode(node);
}

function demandNodeOfLevel(level: string): string {
  const node = nodeOfLevel(level);
  if (node === undefined) throw new Error(`there is no level “${level}”`);
  return node;
}

function withVariant(profile: HostProfile, level: string | undefined): HostProfile {
  const { os, architecture } = profile.platform;
  const variant = platformVariant({
    architecture,
    microarchitecture: profile.cpu.microarchitecture,
    level,
  });
  return { ...profile, platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } };
}

function replaceKinds(
  profile: HostProfile,
  kinds: readonly string[],
  features: readonly string[],
): HostProfile {
  const replaced = new Set(kinds);
  const kept = profile.features.filter((text) => !replaced.has(parseFeature(text)?.kind ?? ''));
  return { ...profile, features: uniqueFeatures([...kept, ...features]) };
}

/** The values of a kind: an empty list for `none`; undefined when the kind is not given. */
function valuesOf(claims: Claims, kind: string): readonly string[] | undefined {
  return claims.get(kind)?.filter((value) => value !== NOTHING);
}

function single(claims: Claims, kind: string): string | undefined {
  const values = [...new Set(claims.get(kind))];
  if (values.length > 1) throw new Error(`a host has one ${kind}, not ${values.join(' and ')}`);
  return values[0];
}
