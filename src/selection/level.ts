import type { HostView } from './host-view.ts';
import { fails, HOLDS, type Judgement } from './judgement.ts';

const LEVEL = /^(x86-64|arm64)-v(\d+)(?:\.(\d+))?$/;

interface Level {
  readonly family: 'amd64' | 'arm64';
  readonly major: number;
  readonly minor: number;
}

function parseLevel(text: string): Level | undefined {
  const [, family, major, minor] = LEVEL.exec(text) ?? [];
  if (family === undefined) return undefined;
  const level = { major: Number(major), minor: Number(minor ?? 0) };
  if (family === 'arm64') return { family: 'arm64', ...level };
  return level.major >= 1 && level.major <= 4 && minor === undefined
    ? { family: 'amd64', ...level }
    : undefined;
}

/** The node of the family tree that stands for a level: `x86_64_v3`, `armv8.2a`. */
export function nodeOfLevel(text: string): string | undefined {
  const level = parseLevel(text);
  if (level === undefined) return undefined;
  if (level.family === 'amd64') return level.major === 1 ? 'x86_64' : `x86_64_v${level.major}`;
  return level.major === 8 && level.minor === 0 ? 'aarch64' : `armv${level.major}.${level.minor}a`;
}

/** Armv9.N holds everything of Armv8.(N+5), by the Arm architecture's own rule. */
function reaches(has: Level, wants: Level): boolean {
  if (has.family !== wants.family) return false;
  if (has.major === wants.major) return has.minor >= wants.minor;
  if (has.family === 'amd64') return has.major > wants.major;
  return has.major === 9 && wants.major === 8 && has.minor + 5 >= wants.minor;
}

/** Levels the host has: the profile's own word, and its variant. */
function levelsOf(host: HostView): readonly string[] {
  const { variant } = host.profile.platform;
  const prefix = host.architecture === 'amd64' ? 'x86-64' : host.architecture;
  const own = variant === undefined ? [] : [`${prefix}-${variant}`];
  return [...new Set([...(host.claims.get('level') ?? []), ...own])];
}

/** `x86-64-v3`, `arm64-v8.2`: the host's level is at least this one. */
export function judgeLevel(wanted: string, host: HostView): Judgement {
  const level = parseLevel(wanted);
  const node = nodeOfLevel(wanted);
  if (level === undefined || node === undefined) return fails(`${wanted} is no level that exists`);
  if (host.runs.has(node)) return HOLDS;
  const levels = levelsOf(host);
  const has = levels.map(parseLevel).filter((known) => known !== undefined);
  if (has.some((known) => reaches(known, level))) return HOLDS;
  if (level.family !== host.architecture) return fails(`this host is ${host.architecture}`);
  return fails(levels.length === 0 ? 'this host has no such level' : `this host is ${levels.join(', ')}`);
}

const RISCV_PROFILES = ['rva20u64', 'rva22u64', 'rva23u64'];

/**
 * `platform.variant` of 32-bit arm (`v7` runs `v6` code) and riscv64. A riscv64 Linux host that does not say more is
 * rva20u64, which every Linux distribution for it demands.
 */
export function judgeVariant(wanted: string, host: HostView): Judgement {
  const { variant } = host.profile.platform;
  const own = variant ?? (host.architecture === 'riscv64' ? 'rva20u64' : 'v7');
  if (wanted === own) return HOLDS;
  const rank = (name: string) =>
    host.architecture === 'riscv64' ? RISCV_PROFILES.indexOf(name) : Number(/^v(\d+)$/.exec(name)?.[1] ?? -1);
  return rank(wanted) >= 0 && rank(own) >= rank(wanted) ? HOLDS : fails(`this host is ${own}`);
}
