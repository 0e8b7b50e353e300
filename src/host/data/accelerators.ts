/**
 * Accelerators that are identified by their PCI ids. `accel` is the value of the feature `accel:` of such a device.
 *
 * Sources (facts only): the PCI ID database (https://pci-ids.ucw.cz); Intel: the Linux kernel's
 * include/drm/intel/pciids.h and intel/compute-runtime; AWS: device ids of the Neuron driver (aws-neuronx-dkms,
 * neuron_device.h); Habana: drivers/accel/habanalabs and HabanaAI's driver for Gaudi 3; Qualcomm:
 * drivers/accel/qaic/qaic_drv.c; Google: hardware_utils of jax (Apache-2.0); Huawei: the Ascend driver's log
 * collection script (d100 310, d500 310P, d801 910, d802 910B, d803 910_93, which is sold as Atlas A3).
 */
export interface KnownAccelerator {
  readonly vendor: string;
  readonly name: string;
  readonly accel: string;
}

function rows(
  pciVendor: string,
  vendor: string,
  list: readonly (readonly [devices: string, name: string, accel: string])[],
): readonly (readonly [id: string, KnownAccelerator])[] {
  return list.flatMap(([devices, name, accel]) =>
    devices.split(' ').map((device) => [`${pciVendor}:${device}`, { vendor, name, accel }] as const),
  );
}

const BY_ID: ReadonlyMap<string, KnownAccelerator> = new Map([
  ...rows('1d0f', 'aws', [
    ['7064 7065 7066 7067', 'AWS Inferentia', 'neuron-inf1'],
    ['7164', 'AWS Trainium', 'neuron-trn1'],
    ['7264', 'AWS Inferentia2', 'neuron-inf2'],
    ['7364', 'AWS Trainium2', 'neuron-trn2'],
    ['7564 7565', 'AWS Trainium3', 'neuron-trn3'],
  ]),
  ...rows('1da3', 'habana', [
    ['0001', 'Habana Goya', 'habana-goya'],
    ['0030', 'Habana Greco', 'habana-greco'],
    ['1000 1001 1010 1011', 'Habana Gaudi', 'habana-gaudi'],
    ['1020 1021', 'Habana Gaudi2', 'habana-gaudi2'],
    ['1060 1061 1062 1063', 'Habana Gaudi3', 'habana-gaudi3'],
  ]),
  ...rows('1ae0', 'google', [
    ['0027', 'Google TPU v2 or v3', 'tpu-v3'],
    ['005e', 'Google TPU v4', 'tpu-v4'],
    ['0062', 'Google TPU v5p', 'tpu-v5p'],
    ['0063', 'Google TPU v5e', 'tpu-v5e'],
    ['006f', 'Google TPU v6e', 'tpu-v6e'],
    ['0076', 'Google TPU v7 (TPU7x)', 'tpu-v7'],
  ]),
  ...rows('17cb', 'qualcomm', [
    ['a080', 'Qualcomm Cloud AI 80', 'qaic-ai80'],
    ['a100', 'Qualcomm Cloud AI 100', 'qaic-ai100'],
    ['a110', 'Qualcomm Cloud AI 200', 'qaic-ai200'],
  ]),
  ...rows('19e5', 'huawei', [
    ['d100', 'Huawei Ascend 310', 'ascend-310'],
    ['d500', 'Huawei Ascend 310P', 'ascend-310p'],
    ['d801', 'Huawei Ascend 910', 'ascend-910'],
    ['d802', 'Huawei Ascend 910B', 'ascend-910b'],
    ['d803', 'Huawei Ascend 910C (Atlas A3)', 'ascend-a3'],
  ]),
]);

/** Intel's discrete GPUs. They count when a kernel driver that can compute is bound to them. */
const INTEL: ReadonlyMap<string, KnownAccelerator> = new Map(
  rows('8086', 'intel', [
    ['0bd0 0bd5 0bd6', 'Intel Data Center GPU Max 1550', 'intel-max'],
    ['0bd4', 'Intel Data Center GPU Max 1550VG', 'intel-max'],
    ['0b69', 'Intel Data Center GPU Max 1450', 'intel-max'],
    ['0bd7 0bd8', 'Intel Data Center GPU Max 1350', 'intel-max'],
    ['0bd9 0bda 0bdb', 'Intel Data Center GPU Max 1100', 'intel-max'],
    ['0b6e', 'Intel Data Center GPU Max 1100C', 'intel-max'],
    ['56c0', 'Intel Data Center GPU Flex 170', 'intel-flex'],
    ['56c2', 'Intel Data Center GPU Flex 170V', 'intel-flex'],
    ['56c1', 'Intel Data Center GPU Flex 140', 'intel-flex'],
    [
      '5690 5691 5692 5693 5694 5695 5696 5697 56a0 56a1 56a2 56a3 56a4 56a5 56a6 56b0 56b1 56b2 56b3 56ba 56bb 56bc 56bd 56be 56bf',
      'Intel Arc A-series',
      'intel-arc',
    ],
    ['e20b', 'Intel Arc B580', 'intel-battlemage'],
    ['e20c', 'Intel Arc B570', 'intel-battlemage'],
    ['e211', 'Intel Arc Pro B60', 'intel-battlemage'],
    ['e212', 'Intel Arc Pro B50', 'intel-battlemage'],
    [
      'e202 e209 e20d e210 e215 e216 e220 e221 e222 e223',
      'Intel Arc B-series (Battlemage)',
      'intel-battlemage',
    ],
  ]),
);

/**
 * Vendors whose devices of these PCI classes (base class, or base class and subclass) are all one kind of
 * accelerator.
 */
interface KnownMaker extends KnownAccelerator {
  readonly classes: readonly string[];
}

/**
 * Sources (facts only): the PCI ID database; gpustack/runtime's detectors; for Hygon's class gpustack issue 5070,
 * where a K100 has the class 0b4000 (a co-processor).
 */
const BY_MAKER: ReadonlyMap<string, KnownMaker> = new Map([
  ['1ed5', { vendor: 'mthreads', name: 'Moore Threads GPU', accel: 'musa', classes: ['03', '12'] }],
  ['9999', { vendor: 'metax', name: 'MetaX GPU', accel: 'maca', classes: ['03', '12'] }],
  ['1d94', { vendor: 'hygon', name: 'Hygon DCU', accel: 'dtk', classes: ['03', '0b40', '12'] }],
  ['1e3e', { vendor: 'iluvatar', name: 'Iluvatar GPU', accel: 'corex', classes: ['03', '12'] }],
]);

const INTEL_DRIVERS: ReadonlySet<string> = new Set(['xe', 'i915']);

/** What identifies a PCI function. Ids and class are in lower-case hexadecimal. */
export interface PciIdentity {
  readonly vendor: string;
  readonly device: string;
  readonly class: string;
  readonly driver?: string;
}

/** The accelerator behind a PCI function. Undefined for NVIDIA and AMD, which have probes of their own. */
export function knownAccelerator(function_: PciIdentity): KnownAccelerator | undefined {
  const { vendor, device, driver } = function_;
  const id = `${vendor}:${device}`;
  // Machines with TPUs use them through vfio. For any other device, vfio means that a virtual machine has it.
  if (driver === 'vfio-pci' && vendor !== '1ae0') return undefined;
  if (vendor === '8086') return INTEL_DRIVERS.has(driver ?? '') ? INTEL.get(id) : undefined;
  const maker = BY_MAKER.get(vendor);
  if (maker === undefined) return BY_ID.get(id);
  return maker.classes.some((prefix) => function_.class.startsWith(prefix)) ? maker : undefined;
}

/** True for a display that Intel's compute-capable drivers are bound to: nearly always the integrated GPU. */
export function isIntelGraphics({ vendor, class: pciClass, driver }: PciIdentity): boolean {
  return vendor === '8086' && pciClass.startsWith('03') && INTEL_DRIVERS.has(driver ?? '');
}

/** Rockchip's systems on a chip with an NPU, by the `compatible` of the device tree. */
export const ROCKCHIP_NPUS: readonly string[] = ['rk3562', 'rk3566', 'rk3568', 'rk3576', 'rk3588'];

/** The general kind of each `accel:` value: `intel-battlemage` is an `intel-xpu`. */
const GENERAL: ReadonlyMap<string, string> = new Map([
  ...['intel-max', 'intel-flex', 'intel-arc', 'intel-battlemage'].map((one) => [one, 'intel-xpu'] as const),
  ...[...BY_ID.values()].map(({ accel }) => [accel, accel.slice(0, accel.indexOf('-'))] as const),
  ...ROCKCHIP_NPUS.map((chip) => [`rknn-${chip}`, 'rknn'] as const),
]);

/**
 * The general kind: `intel-xpu` for `intel-battlemage`, `neuron` for `neuron-trn2`. Undefined for a general kind
 * itself.
 */
export function generalAccelerator(accel: string): string | undefined {
  return GENERAL.get(accel);
}

/** Vulkan, with a driver whose hardware is present. */
export const VULKAN = 'vulkan';

/** All values of `accel:` that a host can have. */
export const ACCELERATOR_VALUES: ReadonlySet<string> = new Set([
  ...GENERAL.keys(),
  ...GENERAL.values(),
  ...[...BY_MAKER.values()].map(({ accel }) => accel),
  VULKAN,
]);

/** JetPack by the major release of L4T in /etc/nv_tegra_release. Source: NVIDIA's JetPack archive (facts only). */
export const JETPACK_BY_L4T: ReadonlyMap<string, string> = new Map([
  ['32', 'jp4'],
  ['34', 'jp5'],
  ['35', 'jp5'],
  ['36', 'jp6'],
  ['38', 'jp7'],
]);

/** The values of `gpu:`: vendors, and the interfaces that images name instead. */
export const GPU_VALUES: ReadonlySet<string> = new Set(['nvidia', 'amd', 'intel', 'cuda', 'rocm', 'opencl']);
