import { levelOfNode, RISCV_PROFILES } from '../../host/architecture.ts';
import { familyOf, flagsOf, vendorOf } from '../../host/identify.ts';
import { canonicalName, requiredFlagSet } from '../../host/microarchitectures.ts';
import { type HostView, MATCH, type MatchResult, mismatch } from '../host-view.ts';
import type { SelectionPolicy } from '../policy.ts';

const LEVEL = /^(x86-64|arm64)-v(\d+)(?:\.(\d+))?$/;

interface Level {
  readonly family: 'amd64' | 'arm64';
  readonly major: number;
  readonly minor: number;
}

/** Parses a level: `x86-64-v3`, `arm64-v8.2`. Undefined for any other text. */
export function parseLevel(text: string): Level | undefined {
  const [, family, major, minor] = LEVEL.exec(text) ?? [];
  if (family === undefined) return undefined;
  const level = { major: Number(major), minor: Number(minor ?? 0) };
  if (family === 'arm64') return { family: 'arm64', ...level };
  return level.major >= 1 && level.major <= 4 && minor === undefined
    ? { family: 'amd64', ...level }
    : undefined;
}

/** The name of a level as a microarchitecture: `x86_64_v3`, `armv8.2a`. The family tree may not contain it. */
export function nodeNameOfLevel(text: string): string | undefined {
  const level = parseLevel(text);
  return level && nodeOf(level);
}

function nodeOf({ family, major, minor }: Level): string {
  if (family === 'amd64') return major === 1 ? 'x86_64' : `x86_64_v${major}`;
  return major === 8 && minor === 0 ? 'aarch64' : `armv${major}.${minor}a`;
}

/** The highest microarchitecture of the family tree that a level includes: the tree does not contain every level. */
export function treeNodeOfLevel(text: string): string | undefined {
  const level = parseLevel(text);
  for (let minor = level?.minor ?? -1; level !== undefined && minor >= 0; minor -= 1) {
    const node = nodeOf({ ...level, minor });
    if (flagsOf(node) !== undefined) return node;
  }
  return undefined;
}

/** Compares two levels of one architecture; negative when `a` is newer. Armv9.N ranks just after Armv8.(N+5). */
export function compareLevels(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => {
    const level = parseLevel(text);
    if (level === undefined) return -1;
    return level.family === 'arm64' && level.major === 9 ? level.minor + 5.5 : levelPlace(level);
  });
  return (right ?? -1) - (left ?? -1);
}

function levelPlace({ family, major, minor }: Level): number {
  return family === 'amd64' ? major : minor;
}

/** Armv9.N includes all of Armv8.(N+5), as the Arm architecture defines. */
function reaches(has: Level, wants: Level): boolean {
  if (has.family !== wants.family) return false;
  if (has.major === wants.major) return has.minor >= wants.minor;
  if (has.family === 'amd64') return has.major > wants.major;
  return has.major === 9 && wants.major === 8 && has.minor + 5 >= wants.minor;
}

/** The host's levels: those in its profile, and the one of its variant. */
function levelsOf(host: HostView): readonly string[] {
  const { variant } = host;
  const prefix = host.architecture === 'amd64' ? 'x86-64' : host.architecture;
  const own = variant === undefined ? [] : [`${prefix}-${variant}`];
  return [...new Set([...(host.claims.get('level') ?? []), ...own])];
}

/** Judges a level (`x86-64-v3`, `arm64-v8.2`): the host's level must be at least this one. */
export function judgeLevel(wanted: string, host: HostView): MatchResult {
  const level = parseLevel(wanted);
  const node = nodeNameOfLevel(wanted);
  if (level === undefined || node === undefined) return mismatch(`${wanted} is not a level that exists`);
  if (host.runs.has(node)) return MATCH;
  const levels = levelsOf(host);
  const has = levels.map(parseLevel).filter((known) => known !== undefined);
  if (has.some((known) => reaches(known, level))) return MATCH;
  if (level.family !== host.architecture) return mismatch(`this host is ${host.architecture}`);
  return mismatch(levels.length === 0 ? 'this host has no such level' : `this host is ${levels.join(', ')}`);
}

/** The rank of a variant within its architecture, higher for newer; negative for an unknown variant. */
export function placeOfVariant(variant: string, architecture: string): number {
  return architecture === 'riscv64'
    ? RISCV_PROFILES.indexOf(variant)
    : Number(/^v(\d+)$/.exec(variant)?.[1] ?? -1);
}

/**
 * The host's variant. A riscv64 host that reports none is rva20u64, which all Linux distributions for riscv64
 * require; 32-bit arm is v7, as in container runtimes.
 */
export function variantOf(host: HostView): string {
  return host.variant ?? (host.architecture === 'riscv64' ? 'rva20u64' : 'v7');
}

/** Judges `platform.variant` of 32-bit arm (`v7` runs `v6` code) and riscv64. */
export function judgeVariant(wanted: string, host: HostView): MatchResult {
  const own = variantOf(host);
  if (wanted === own) return MATCH;
  const place = placeOfVariant(wanted, host.architecture);
  return place >= 0 && placeOfVariant(own, host.architecture) >= place
    ? MATCH
    : mismatch(`this host is ${own}`);
}

const SHOWN_FLAGS = 4;

/** How code for a microarchitecture runs here: natively, by its flags on another vendor's CPU, or not at all. */
export type CpuFit = 'native' | 'foreign' | 'none';

/** @param name the canonical name of a microarchitecture */
export function fitOf(name: string, host: HostView, policy: SelectionPolicy): CpuFit {
  if (host.runs.has(name)) return 'native';
  const level = levelOfNode(name);
  if (level !== undefined) return judgeLevel(level, host).holds ? 'native' : 'none';
  return policy.allowForeignVendor && runsByFlags(name, host) ? 'foreign' : 'none';
}

function missingFlags(name: string, host: HostView): readonly string[] {
  return [...(requiredFlagSet(name) ?? [])].filter((flag) => !host.flags.has(flag));
}

function runsByFlags(name: string, host: HostView): boolean {
  return host.runs.has(familyOf(name)) && missingFlags(name, host).length === 0;
}

/** Judges `cpu:X`: X must be the host's microarchitecture or an ancestor of it, in any spelling. */
export function judgeCpu(written: string, host: HostView, policy: SelectionPolicy): MatchResult {
  const name = canonicalName(written);
  if (name === undefined) return mismatch(`${written} is not a known microarchitecture`);
  return fitOf(name, host, policy) === 'none' ? mismatch(whyNot(name, host)) : MATCH;
}

function whyNot(name: string, host: HostView): string {
  const { microarchitecture, vendor } = host.profile.cpu;
  const family = familyOf(name);
  if (!host.runs.has(family)) return `it is ${family} code, this host is ${microarchitecture}`;
  const needed = missingFlags(name, host);
  // A microarchitecture may be identified by flags that its code does not need.
  const missing =
    needed.length > 0 ? needed : [...(flagsOf(name) ?? [])].filter((flag) => !host.flags.has(flag));
  if (missing.length > 0) {
    const more = missing.length > SHOWN_FLAGS ? ` and ${missing.length - SHOWN_FLAGS} more` : '';
    return `this host is ${microarchitecture} and lacks ${missing.slice(0, SHOWN_FLAGS).join(', ')}${more}`;
  }
  const maker = vendorOf(name);
  if (maker !== 'generic' && maker !== vendor) {
    return `this host is ${microarchitecture}, of another vendor (allowForeignVendor would accept it by its flags)`;
  }
  return `this host is ${microarchitecture}, which does not descend from it`;
}

/** Judges a CPU flag: every core must have it. */
export function judgeFlag(flag: string, host: HostView): MatchResult {
  return host.flags.has(flag) ? MATCH : mismatch('this CPU lacks it');
}
