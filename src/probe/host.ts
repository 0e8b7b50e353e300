import { canonicalArchitecture } from '../host/architecture.ts';
import type { HostFacts } from '../host/facts.ts';
import { findAccelerators, pciKinds, readAmd, readPci, readPlatformAccelerators } from './accelerators.ts';
import { capturedArchitecture, readCpu } from './cpu.ts';
import { collectDiagnostics, type Diagnostics, type HostRoot, openHostRoot } from './host-root.ts';
import { readLocalFeatures } from './local-features.ts';
import type { NonLinuxFacts } from './non-linux.ts';
import { readNvidia } from './nvidia.ts';

import { readFabrics, readSystem } from './system.ts';

export interface ProbeOptions {
  /**
   * `/` for this machine, otherwise a folder that represents one; for that, no program runs and no service is
   * queried.
   */
  readonly root: string;
  /** GOARCH. Default: this machine's; for a captured folder, what its CPU description shows. */
  readonly architecture?: string | undefined;
  /** Ask the cloud's metadata service for the instance type, for at most one second. */
  readonly cloud?: boolean | undefined;
  /** Wraps the host root, for a caller that records what is read. */
  readonly through?: ((root: HostRoot) => HostRoot) | undefined;
  readonly now: () => Date;
  readonly signal?: AbortSignal | undefined;
}

export interface HostProbe {
  readonly facts: HostFacts;
  readonly warnings: readonly string[];
  /** True when a probe failed, so that the facts are incomplete. More serious than a fact that is absent. */
  readonly failed: boolean;
}

/**
 * Reads all facts that detection uses. What cannot be read becomes a warning and an absent fact.
 * @throws {Error} with a `code` when the root is not a readable directory
 */
export async function probeHost(options: ProbeOptions): Promise<HostProbe> {
  const problems = collectDiagnostics();
  const opened = openHostRoot(options.root, {
    onUnreadable: (path, code) =>
      problems.fail(`${path} cannot be read (${code}): what it contains is missing`),
  });
  const root = options.through?.(opened) ?? opened;
  const architecture = options.architecture ?? architectureOf(root);
  const other = await readOther(root, problems);
  const facts =
    other === undefined
      ? await readLinux({ root, architecture, problems, options })
      : { ...other, architecture, gpus: [], local: [] };
  return { facts, warnings: problems.warnings, failed: problems.failed() };
}

function architectureOf(root: HostRoot): string {
  const captured = root.isLive ? undefined : capturedArchitecture(root);
  return captured ?? canonicalArchitecture(process.arch) ?? process.arch;
}

/** Reads a system other than Linux. The code for that is not loaded on Linux. */
async function readOther(root: HostRoot, problems: Diagnostics): Promise<NonLinuxFacts | undefined> {
  if (root.isLive ? process.platform === 'linux' : root.names('/proc') !== undefined) return undefined;
  return (await import('./non-linux.ts')).readNonLinux(root, process.platform, problems);
}

interface LinuxProbe {
  readonly root: HostRoot;
  readonly architecture: string;
  readonly problems: Diagnostics;
  readonly options: ProbeOptions;
}

async function readLinux({ root, architecture, problems, options }: LinuxProbe): Promise<HostFacts> {
  const { now, signal } = options;
  const cpu = readCpu({ root, architecture, problems });
  const pci = readPci(root);
  const nvidia = await readNvidia({
    root,
    pci,
    problems,
    querySmi: async (program) => (await import('./nvidia-smi.ts')).queryNvidiaSmi({ program, signal }),
    queryCuda: async (program) => (await import('./nvidia-smi.ts')).queryCudaVersion({ program, signal }),
  });
  const system = readSystem(root, problems);
  const fabrics = readFabrics(root, pci, problems);
  const kinds = pciKinds(root, pci);
  const instanceType = system.instanceType ?? (await queryCloud(root, options, problems));
  return {
    os: 'linux',
    architecture,
    cpu,
    ...(kinds === undefined ? {} : { pci: kinds }),
    gpus: [...nvidia.gpus, ...readAmd(root), ...findAccelerators(pci)],
    system: {
      ...system,
      ...readPlatformAccelerators(root, pci),
      ...(nvidia.driver === undefined ? {} : { nvidiaDriver: nvidia.driver }),
      ...(nvidia.cuda === undefined ? {} : { cuda: nvidia.cuda }),
      ...(fabrics.length === 0 ? {} : { fabrics }),
      ...(instanceType === undefined ? {} : { instanceType }),
    },
    local: readLocalFeatures(root, now(), problems),
  };
}

async function queryCloud(
  root: HostRoot,
  { cloud = false, signal }: ProbeOptions,
  problems: Diagnostics,
): Promise<string | undefined> {
  if (!cloud || !root.isLive) return undefined;
  return (await import('./cloud.ts')).queryInstanceType({ problems, signal });
}
