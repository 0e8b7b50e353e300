import { createHash } from 'node:crypto';
import type { HostProfile } from './profile.ts';

/**
 * A short key of everything that a selection depends on. Hosts that get the same answers have equal keys, whatever
 * their names, warnings and board numbers are.
 */
export function profileKey(profile: HostProfile): string {
  const { platform, cpu } = profile;
  // JSON writes an absent item of a list as null.
  const gpus = profile.gpus.map((gpu) =>
    JSON.stringify([gpu.vendor, gpu.computeCapability, gpu.gfxTarget, gpu.integrated ?? false]),
  );
  const decisive = JSON.stringify([
    [platform.os, platform.architecture, platform.variant],
    [cpu.microarchitecture, cpu.vendor, cpu.compatible, [...cpu.flags].sort()],
    gpus.sort(),
    [...profile.features].sort(),
    profile.hardware ?? {},
  ]);
  return `${cpu.microarchitecture}-${createHash('sha256').update(decisive).digest('hex').slice(0, 16)}`;
}
