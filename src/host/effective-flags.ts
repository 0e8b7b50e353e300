import { compareVersions, parseVersion } from '../lib/version.ts';
import { FIRST_PRINTED, FLAG_DEPENDENCIES, NEVER_PRINTED, NOT_PRINTED_THROUGH } from './data/x86.ts';
import type { CpuFacts, HostFacts, SystemFacts } from './facts.ts';
import { nodeOfModel } from './identify.ts';
import { flagSet } from './microarchitectures.ts';

/** The flags that programs can rely on, and how they differ from those that the kernel prints. */
export interface EffectiveFlags {
  readonly flags: readonly string[];
  /** Not printed, but assumed: the CPU's model has them, and its kernel cannot print them. */
  readonly assumed: readonly string[];
  /** Printed, but not counted, because a flag that they depend on is missing. */
  readonly ignored: readonly string[];
}

/**
 * The flags of an x86 CPU that programs can use. A flag without its dependencies does not count, because its
 * instructions trap. A flag that the kernel is too old to print counts when the model has it and no hypervisor
 * hides it.
 *
 * @param system the kernel's release, and whether the machine is virtual
 */
export function effectiveFlags(
  cpu: CpuFacts,
  architecture: string,
  system: Pick<SystemFacts, 'kernel' | 'virtual'>,
): EffectiveFlags {
  if (architecture !== 'amd64') return { flags: cpu.flags, assumed: [], ignored: [] };
  const printed = new Set(cpu.flags);
  const usable = withoutUnmet(printed);
  const candidates = unprintedFlags(cpu, printed, system);
  const complete = withoutUnmet(new Set([...usable, ...candidates]));
  const assumed = candidates.filter((flag) => complete.has(flag));
  return {
    flags: [...cpu.flags.filter((flag) => usable.has(flag)), ...assumed],
    assumed,
    ignored: [...printed].filter((flag) => !usable.has(flag)),
  };
}

/** A host's CPU with the flags that count. */
export function effectiveCpu({ cpu, architecture, system }: HostFacts): CpuFacts {
  return { ...cpu, flags: effectiveFlags(cpu, architecture, system).flags };
}

/** Removes flags whose dependencies are missing, until none is left. */
function withoutUnmet(flags: ReadonlySet<string>): ReadonlySet<string> {
  const kept = new Set(flags);
  for (let before = -1; before !== kept.size; ) {
    before = kept.size;
    for (const flag of kept) {
      if (FLAG_DEPENDENCIES[flag]?.some((needed) => !kept.has(needed))) kept.delete(flag);
    }
  }
  return kept;
}

function unprintedFlags(
  cpu: CpuFacts,
  printed: ReadonlySet<string>,
  { kernel, virtual }: Pick<SystemFacts, 'kernel' | 'virtual'>,
): readonly string[] {
  const model = nodeOfModel(cpu);
  // A hypervisor can hide itself from the CPU flags (QEMU: -cpu host,-hypervisor), but not from the firmware
  // tables.
  if (virtual === true) return [];
  // WSL 1 prints what Windows reports, with a release number that Linux never had.
  if (model === undefined || printed.has('hypervisor') || /microsoft/i.test(kernel ?? '')) return [];
  const release = parseVersion(kernel ?? '');
  // A kernel that prints one of these flags prints all of them.
  const printsAll = NEVER_PRINTED.some((flag) => printed.has(flag));
  return [...(flagSet(model) ?? [])].filter((flag) => {
    if (printed.has(flag)) return false;
    if (NEVER_PRINTED.includes(flag)) return !printsAll && isAtMost(release, NOT_PRINTED_THROUGH);
    const since = FIRST_PRINTED[flag];
    return since !== undefined && release !== undefined && isBefore(release, since);
  });
}

type Release = ReturnType<typeof parseVersion>;

/** An unknown release counts as a checked one, because captures seldom contain it. */
function isAtMost(release: Release, last: string): boolean {
  return release === undefined || compareVersions(release.slice(0, 2), parseVersion(last) ?? []) <= 0;
}

function isBefore(release: NonNullable<Release>, since: string): boolean {
  return compareVersions(release, parseVersion(since) ?? []) < 0;
}
