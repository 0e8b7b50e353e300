import { CONTAINERD } from './containerd.ts';
import { DOCKER } from './docker.ts';
import type { ConfigFiles } from './files.ts';
import { K3S } from './k3s.ts';
import { APPTAINER, CRI_O, PODMAN } from './registries-conf.ts';
import type { MirrorTarget, RuntimeSetup, SetupPlan } from './runtime.ts';

export const RUNTIME_SETUPS: readonly RuntimeSetup[] = [DOCKER, CONTAINERD, PODMAN, CRI_O, K3S, APPTAINER];

const PROGRAM_FOLDERS = [
  '/usr/bin',
  '/usr/sbin',
  '/usr/local/bin',
  '/usr/local/sbin',
  '/bin',
  '/sbin',
  '/opt/bin',
];

/** Returns the runtimes whose programs are installed. */
export function installedRuntimes(files: ConfigFiles): readonly RuntimeSetup[] {
  const isInstalled = (program: string) =>
    PROGRAM_FOLDERS.some((folder) => files.exists(`${folder}/${program}`));
  return RUNTIME_SETUPS.filter(({ programs }) => programs.some(isInstalled));
}

/**
 * Returns the plan, with or without a fallback, that leaves nothing to change; undefined when the files of
 * the runtime do not name the mirror.
 */
export function planInForce(
  runtime: RuntimeSetup,
  files: ConfigFiles,
  target: MirrorTarget,
): SetupPlan | undefined {
  const plans = [false, true].map((strict) => runtime.configure(files, { ...target, strict }));
  return plans.find(({ changes }) => changes.length === 0);
}
