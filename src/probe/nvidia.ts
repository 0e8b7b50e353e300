import type { GpuFacts } from '../host/facts.ts';
import { isNewerThanTable } from '../host/features.ts';
import { isDisplay, type PciDevice } from './accelerators.ts';
import type { Diagnostics, HostRoot } from './host-root.ts';
import { isBeforeFermi, nvidiaChip, TEGRA_CAPABILITY } from './nvidia-chips.ts';
import type { SmiAnswer, SmiGpu } from './nvidia-smi.ts';

export interface NvidiaFacts {
  readonly gpus: readonly GpuFacts[];
  /** For example `535.104.05`. */
  readonly driver?: string;
  /** The highest CUDA version that the driver reports. Only asked when the driver is newer than the table. */
  readonly cuda?: string;
}

export interface NvidiaOptions {
  readonly root: HostRoot;
  readonly pci: readonly PciDevice[];
  readonly problems: Diagnostics;
  /** Runs nvidia-smi (or `program`), only for ids that are not in the table, and never for a captured folder. */
  readonly querySmi: (program?: string) => Promise<SmiAnswer>;
  readonly queryCuda: (program?: string) => Promise<string | undefined>;
}

const PROC = '/proc/driver/nvidia';

/** NVIDIA's GPUs by PCI id, and Tegra chips by device tree. For known ids no program is run. */
export async function readNvidia(options: NvidiaOptions): Promise<NvidiaFacts> {
  const { root, pci, problems } = options;
  const cards = pci.filter((device) => device.vendor === '10de' && isDisplay(device));
  if (cards.length === 0 && isWsl2(root)) return readWsl2(options);
  const onPci = cards.filter((device) => device.driver !== 'vfio-pci');
  if (onPci.length < cards.length) {
    problems.warn(
      'an NVIDIA GPU is passed through to virtual machines (vfio-pci): MetaHub does not count it',
    );
  }
  const driver = readNvidiaDriver(root);
  const found = onPci.map((device) => describe(root, device));
  const gpus = await completed(found, driver, options);
  const tegra = gpus.length === 0 ? readTegra(root) : undefined;
  if (gpus.length > 0 && driver === undefined) {
    problems.warn('no NVIDIA driver is loaded: containers cannot use the GPU until it is');
  }
  const cuda =
    root.isLive && driver !== undefined && isNewerThanTable(driver) ? await options.queryCuda() : undefined;
  return {
    gpus: tegra === undefined ? gpus : [tegra],
    ...(driver === undefined ? {} : { driver }),
    ...(cuda === undefined ? {} : { cuda }),
  };
}

/** True in Windows Subsystem for Linux 2, where all GPUs are behind one device and not on a PCI bus. */
function isWsl2(root: HostRoot): boolean {
  return root.names('/dev')?.includes('dxg') ?? false;
}

/** Where Windows puts the nvidia-smi of its driver. */
const WSL2_SMI = '/usr/lib/wsl/lib/nvidia-smi';

async function readWsl2({ root, problems, querySmi, queryCuda }: NvidiaOptions): Promise<NvidiaFacts> {
  if (!root.isLive) {
    problems.warn(
      'GPUs of Windows (/dev/dxg) are known to nvidia-smi alone, which a captured tree cannot run',
    );
    return { gpus: [] };
  }
  const answer = await querySmi(WSL2_SMI);
  if (answer.kind === 'unavailable') {
    problems.warn(
      `GPUs of Windows (/dev/dxg) are known to nvidia-smi alone, and ${WSL2_SMI} ${answer.why}: no NVIDIA GPU is claimed`,
    );
    return { gpus: [] };
  }
  const driver = answer.gpus[0]?.driver;
  const cuda = await queryCuda(WSL2_SMI);
  return {
    gpus: answer.gpus.map(({ driver: _driver, ...gpu }) => ({ vendor: 'nvidia', ...gpu })),
    ...(driver === undefined ? {} : { driver }),
    ...(cuda === undefined ? {} : { cuda }),
  };
}

/** The version of the loaded driver, from its module or from /proc/driver/nvidia/version. */
function readNvidiaDriver(root: HostRoot): string | undefined {
  const module = root.text('/sys/module/nvidia/version');
  if (module !== undefined && /^\d+(\.\d+)+$/.test(module)) return module;
  const version = root.text(`${PROC}/version`);
  return version === undefined ? undefined : parseNvidiaVersion(version);
}

/**
 * Parses `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 …`, and for the open modules `NVRM
 * version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build …`.
 */
export function parseNvidiaVersion(text: string): string | undefined {
  return /^NVRM version:.*?Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)/m.exec(text)?.[1];
}

function describe(root: HostRoot, device: PciDevice): GpuFacts {
  const chip = nvidiaChip(device.device);
  const information = root.text(`${PROC}/gpus/${device.address}/information`) ?? '';
  const model = /^Model:\s*(\S.*)$/m.exec(information)?.[1]?.trim();
  const minor = /^Device Minor:\s*(\d+)$/m.exec(information)?.[1];
  const name = model !== undefined && model !== 'Unknown' ? model : chip && `NVIDIA ${chip.chip}`;
  return {
    vendor: 'nvidia',
    ...(name === undefined ? {} : { name }),
    pciId: `${device.vendor}:${device.device}`,
    pciAddress: device.address,
    ...(chip?.computeCapability === undefined ? {} : { computeCapability: chip.computeCapability }),
    ...(chip?.integrated ? { integrated: true } : {}),
    ...(minor !== undefined && hasMigInstances(root, minor) ? { mig: true } : {}),
  };
}

/** True for a GPU that is partitioned: each GPU instance has a folder of capabilities. */
function hasMigInstances(root: HostRoot, minor: string): boolean {
  const names = root.names(`${PROC}/capabilities/gpu${minor}/mig`) ?? [];
  return names.some((name) => /^gi\d+$/.test(name));
}

async function completed(
  gpus: readonly GpuFacts[],
  driver: string | undefined,
  { root, problems, querySmi }: NvidiaOptions,
): Promise<readonly GpuFacts[]> {
  const unknown = gpus.filter((gpu) => gpu.computeCapability === undefined && !isAncient(gpu));
  if (unknown.length === 0) return gpus;
  const answer: SmiAnswer = !root.isLive
    ? { kind: 'unavailable', why: 'cannot be run for a captured tree' }
    : driver === undefined
      ? { kind: 'unavailable', why: 'has no loaded driver to query' }
      : await querySmi();
  const reported = answer.kind === 'gpus' ? answer.gpus : [];
  const filled = gpus.map((gpu) => withAnswer(gpu, reported, gpus.length));
  for (const gpu of filled) {
    if (gpu.computeCapability !== undefined || isAncient(gpu)) continue;
    const why = answer.kind === 'unavailable' ? answer.why : 'did not report its compute capability';
    problems.fail(
      `the NVIDIA GPU ${gpu.pciId} at ${gpu.pciAddress} is unknown and nvidia-smi ${why}: no nvcap feature for it`,
    );
  }
  return filled;
}

function isAncient(gpu: GpuFacts): boolean {
  return isBeforeFermi(gpu.pciId?.slice(5) ?? '');
}

function withAnswer(gpu: GpuFacts, reported: readonly SmiGpu[], count: number): GpuFacts {
  if (gpu.computeCapability !== undefined) return gpu;
  const byAddress = reported.find((one) => one.pciAddress === gpu.pciAddress);
  const answer = byAddress ?? (count === 1 && reported.length === 1 ? reported[0] : undefined);
  return {
    ...gpu,
    ...(answer?.computeCapability === undefined ? {} : { computeCapability: answer.computeCapability }),
    ...(gpu.name !== undefined || answer?.name === undefined ? {} : { name: answer.name }),
  };
}

/** The GPU of a Jetson, which is not on a PCI bus. The device tree names the chip (`nvidia,tegra234`) and the board. */
function readTegra(root: HostRoot): GpuFacts | undefined {
  const tree = '/sys/firmware/devicetree/base';
  const compatible = root.text(`${tree}/compatible`) ?? root.text('/proc/device-tree/compatible') ?? '';
  const chip = compatible
    .split('\0')
    .map((name) => /^nvidia,(tegra\d+)$/.exec(name)?.[1])
    .find((name) => name !== undefined && name in TEGRA_CAPABILITY);
  const computeCapability = chip === undefined ? undefined : TEGRA_CAPABILITY[chip];
  if (chip === undefined || computeCapability === undefined) return undefined;
  const name = root.text(`${tree}/model`) ?? root.text('/proc/device-tree/model') ?? `NVIDIA ${chip}`;
  return { vendor: 'nvidia', name, computeCapability, integrated: true };
}
