import { parseFeature } from '../../../../host/features.ts';
import type { HostProfile } from '../../../../host/profile.ts';
import { UserError } from '../../../user-error.ts';

/** archspec's names -> the folders that EESSI builds for. Source: software-layer-scripts, eessi_arch_*.spec (facts only). */
const TARGETS: ReadonlyMap<string, string> = new Map([
  ['haswell', 'x86_64/intel/haswell'],
  ['skylake_avx512', 'x86_64/intel/skylake_avx512'],
  ['cascadelake', 'x86_64/intel/cascadelake'],
  ['icelake', 'x86_64/intel/icelake'],
  ['sapphirerapids', 'x86_64/intel/sapphirerapids'],
  ['zen2', 'x86_64/amd/zen2'],
  ['zen3', 'x86_64/amd/zen3'],
  ['zen4', 'x86_64/amd/zen4'],
  ['neoverse_n1', 'aarch64/neoverse_n1'],
  ['neoverse_v1', 'aarch64/neoverse_v1'],
  ['neoverse_v2', 'aarch64/nvidia/grace'],
  ['a64fx', 'aarch64/a64fx'],
]);
const GENERIC: ReadonlyMap<string, string> = new Map([
  ['amd64', 'x86_64/generic'],
  ['arm64', 'aarch64/generic'],
  ['riscv64', 'riscv64/generic'],
]);

function acceleratorOf(profile: HostProfile): string | undefined {
  const features = profile.features.map(parseFeature);
  const value = (kind: string) => features.find((feature) => feature?.kind === kind)?.value;
  const capability = value('nvcap');
  if (capability !== undefined) return `accel/nvidia/cc${capability.replace('.', '')}`;
  const target = value('gfx');
  return target === undefined ? undefined : `accel/amd/${target.replace(/:.*/, '')}`;
}

/**
 * The variables by which EESSI takes its software for this host: the best folder whose code this CPU runs.
 * @throws {UserError} where EESSI builds nothing.
 */
export function renderEessi(profile: HostProfile): string {
  const { cpu, platform } = profile;
  const best = cpu.compatible.map((name) => TARGETS.get(name)).find((target) => target !== undefined);
  const folder = best ?? GENERIC.get(platform.architecture);
  if (folder === undefined) throw new UserError(`EESSI has no software for ${platform.architecture}`);
  const accelerator = acceleratorOf(profile);
  return [
    `export EESSI_SOFTWARE_SUBDIR_OVERRIDE=${folder}\n`,
    ...(accelerator === undefined ? [] : [`export EESSI_ACCELERATOR_TARGET_OVERRIDE=${accelerator}\n`]),
  ].join('');
}
