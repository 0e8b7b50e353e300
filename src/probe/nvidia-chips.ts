/**
 * NVIDIA's PCI device ids by chip, and the compute capability of each chip.
 *
 * NVIDIA assigns device ids to its chips in ranges, since Turing in whole blocks of 128, so a few dozen rows also
 * cover GPUs that are not sold yet. Up to Volta, a row covers only ids that have been seen.
 *
 * Sources: ids from the PCI ID database (https://pci-ids.ucw.cz, 3-clause BSD or GPL-2.0-or-later; facts only) and,
 * for Blackwell's blocks, NVIDIA's gpu-admin-tools (MIT); capabilities from https://developer.nvidia.com/cuda-gpus
 * and https://developer.nvidia.com/cuda-legacy-gpus. For a row without a capability none is published; nvidia-smi
 * reports it.
 */
export interface NvidiaChip {
  readonly chip: string;
  /** For example `9.0`. Absent until it is published. */
  readonly computeCapability?: string;
  /** True for a GPU in a system on a chip that is on the chip's PCI bus. */
  readonly integrated?: boolean;
}

type Run = readonly [first: number, last: number, chip: string, computeCapability?: string];

/** In ascending order. */
const RUNS: readonly Run[] = [
  [0x06c0, 0x06df, 'GF100', '2.0'],
  [0x0dc0, 0x0dda, 'GF106', '2.1'],
  [0x0de0, 0x0dfc, 'GF108', '2.1'],
  [0x0e22, 0x0e3b, 'GF104', '2.1'],
  [0x0f00, 0x0f06, 'GF108', '2.1'],
  [0x0fbc, 0x0fbc, 'GM107', '5.0'],
  [0x0fc0, 0x0fff, 'GK107', '3.0'],
  [0x1001, 0x1023, 'GK110', '3.5'],
  [0x1024, 0x1024, 'GK180', '3.5'],
  [0x1026, 0x102a, 'GK110', '3.5'],
  [0x102d, 0x102d, 'GK210', '3.7'],
  [0x102e, 0x103f, 'GK110', '3.5'],
  [0x1040, 0x107d, 'GF119', '2.1'],
  [0x1080, 0x109b, 'GF110', '2.0'],
  [0x1140, 0x1140, 'GF117', '2.1'],
  [0x1180, 0x11bf, 'GK104', '3.0'],
  [0x11c0, 0x11fc, 'GK106', '3.0'],
  [0x1200, 0x1213, 'GF114', '2.1'],
  [0x1241, 0x1251, 'GF116', '2.1'],
  [0x1280, 0x12ba, 'GK208', '3.5'],
  [0x1340, 0x137d, 'GM108', '5.0'],
  [0x1380, 0x13bd, 'GM107', '5.0'],
  [0x13c0, 0x13fb, 'GM204', '5.2'],
  [0x1401, 0x1436, 'GM206', '5.2'],
  [0x15f0, 0x15fc, 'GP100', '6.0'],
  [0x1617, 0x1667, 'GM204', '5.2'],
  [0x1725, 0x172f, 'GP100', '6.0'],
  [0x174d, 0x174e, 'GM108', '5.0'],
  [0x1789, 0x179c, 'GM107', '5.0'],
  [0x17c2, 0x17fd, 'GM200', '5.2'],
  [0x1b00, 0x1b78, 'GP102', '6.1'],
  [0x1b80, 0x1be1, 'GP104', '6.1'],
  [0x1c00, 0x1c70, 'GP106', '6.1'],
  [0x1c81, 0x1cfb, 'GP107', '6.1'],
  [0x1d01, 0x1d56, 'GP108', '6.1'],
  [0x1d81, 0x1df6, 'GV100', '7.0'],
  [0x1e00, 0x1e7f, 'TU102', '7.5'],
  [0x1e80, 0x1eff, 'TU104', '7.5'],
  [0x1f00, 0x1f7f, 'TU106', '7.5'],
  [0x1f80, 0x1fff, 'TU117', '7.5'],
  [0x2080, 0x20ff, 'GA100', '8.0'],
  [0x2180, 0x21ff, 'TU116', '7.5'],
  [0x2200, 0x227f, 'GA102', '8.6'],
  [0x2300, 0x23ff, 'GH100', '9.0'],
  [0x2400, 0x247f, 'GA103', '8.6'],
  [0x2480, 0x24ff, 'GA104', '8.6'],
  [0x2500, 0x257f, 'GA106', '8.6'],
  [0x2580, 0x25ff, 'GA107', '8.6'],
  [0x2680, 0x26ff, 'AD102', '8.9'],
  [0x2700, 0x277f, 'AD103', '8.9'],
  [0x2780, 0x27ff, 'AD104', '8.9'],
  [0x2800, 0x287f, 'AD106', '8.9'],
  [0x2880, 0x28ff, 'AD107', '8.9'],
  [0x2900, 0x297f, 'GB100', '10.0'],
  [0x2980, 0x29bb, 'GB102'],
  // B100
  [0x29bc, 0x29bc, 'GB102', '10.0'],
  [0x29bd, 0x29ff, 'GB102'],
  [0x2b00, 0x2b00, 'GB10B', '11.0'],
  [0x2b80, 0x2bff, 'GB202', '12.0'],
  [0x2c00, 0x2c7f, 'GB203', '12.0'],
  [0x2d00, 0x2d7f, 'GB206', '12.0'],
  [0x2d80, 0x2dff, 'GB207', '12.0'],
  // N1X, sold as RTX Spark
  [0x2e03, 0x2e03, 'GB20B', '12.1'],
  [0x2e06, 0x2e06, 'GB20B', '12.1'],
  [0x2e12, 0x2e13, 'GB20B', '12.1'],
  [0x2e2a, 0x2e2a, 'GB20B', '12.1'],
  [0x2f00, 0x2f7f, 'GB205', '12.0'],
  // Rubin in Vera Rubin NVL, as users report it: https://github.com/kubevirt/kubevirt/pull/19070
  [0x3041, 0x3041, 'Rubin'],
  [0x307f, 0x307f, 'Rubin'],
  [0x3180, 0x31ff, 'GB110', '10.3'],
  [0x3200, 0x327f, 'GB112'],
];

/** Jetson AGX Thor, the first Tegra whose GPU is a PCI function. */
const INTEGRATED_CHIPS = new Set(['GB10B']);

/** The chip of a device id (`2330`). Undefined when the table does not have it. */
export function nvidiaChip(device: string): NvidiaChip | undefined {
  const id = Number.parseInt(device, 16);
  const run = RUNS.find(([first, last]) => id >= first && id <= last);
  if (run === undefined) return undefined;
  const [, , chip, computeCapability] = run;
  return {
    chip,
    ...(computeCapability === undefined ? {} : { computeCapability }),
    ...(INTEGRATED_CHIPS.has(chip) ? { integrated: true } : {}),
  };
}

/** True for an id older than Fermi, which no later row can cover. Nothing is built for such GPUs any more. */
export function isBeforeFermi(device: string): boolean {
  return Number.parseInt(device, 16) < 0x1340 && nvidiaChip(device) === undefined;
}

/**
 * The compute capability of each Tegra chip, by the name in its device tree (`nvidia,tegra…`). Source:
 * https://developer.nvidia.com/cuda-gpus (Jetson); names of the chips from the kernel's device-tree bindings.
 */
export const TEGRA_CAPABILITY: Readonly<Record<string, string>> = {
  tegra210: '5.3',
  tegra186: '6.2',
  tegra194: '7.2',
  tegra234: '8.7',
  tegra264: '11.0',
};
