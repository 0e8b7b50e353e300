import {
  isIntelGraphics,
  JETPACK_BY_L4T,
  knownAccelerator,
  ROCKCHIP_NPUS,
  VULKAN,
} from '../host/data/accelerators.ts';
import type { GpuFacts } from '../host/facts.ts';
import type { HostRoot } from './host-root.ts';

/** A PCI function as the kernel lists it. Ids are four digits in lower-case hexadecimal, the class is six. */
export interface PciDevice {
  /** For example `0000:41:00.0`. */
  readonly address: string;
  readonly vendor: string;
  readonly device: string;
  /** Base class, subclass and interface: `030200`. */
  readonly class: string;
  readonly driver?: string;
}

const DEVICES = '/sys/bus/pci/devices';

/** All PCI functions of the host. Empty when there is no PCI bus, or /sys is not visible. */
export function readPci(root: HostRoot): readonly PciDevice[] {
  const devices: PciDevice[] = [];
  for (const address of root.names(DEVICES) ?? []) {
    // One read returns all attributes. Each is also a file of its own, but a large server has hundreds of
    // functions.
    const text = root.text(`${DEVICES}/${address}/uevent`);
    const device = text === undefined ? undefined : parsePciUevent(address, text);
    const found = device ?? readAttributes(root, address);
    if (found !== undefined) devices.push(found);
  }
  return devices;
}

/** Vendor, device and class. One expression, because compiling three takes longer than the rest of a function. */
const IDS = /^[0-9A-F]{4}:[0-9A-F]{4} [0-9A-F]{1,6}$/i;

/**
 * Parses the `uevent` of a PCI function: `PCI_CLASS=30200`, `PCI_ID=10DE:2330`, `DRIVER=nvidia`.
 * @see https://docs.kernel.org/PCI/sysfs-pci.html
 */
function parsePciUevent(address: string, text: string): PciDevice | undefined {
  const lines = text.split('\n');
  const value = (start: string) => lines.find((line) => line.startsWith(start))?.slice(start.length);
  const [id = '', pciClass = '', driver] = [value('PCI_ID='), value('PCI_CLASS='), value('DRIVER=')];
  if (!IDS.test(`${id} ${pciClass}`)) return undefined;
  return {
    address,
    vendor: id.slice(0, 4).toLowerCase(),
    device: id.slice(5).toLowerCase(),
    class: pciClass.toLowerCase().padStart(6, '0'),
    ...(driver === undefined ? {} : { driver }),
  };
}

function readAttributes(root: HostRoot, address: string): PciDevice | undefined {
  const hex = (name: string) =>
    /^0x([0-9a-f]+)$/i.exec(root.text(`${DEVICES}/${address}/${name}`) ?? '')?.[1];
  const [vendor, device, pciClass] = [hex('vendor'), hex('device'), hex('class')];
  if (vendor === undefined || device === undefined || pciClass === undefined) return undefined;
  const driver = root.linkName(`${DEVICES}/${address}/driver`);
  return {
    address,
    vendor: vendor.toLowerCase().padStart(4, '0'),
    device: device.toLowerCase().padStart(4, '0'),
    class: pciClass.toLowerCase().padStart(6, '0'),
    ...(driver === undefined ? {} : { driver }),
  };
}

/**
 * Vendor, device and class (its first four digits) of all functions, without repetitions. Undefined without a PCI
 * bus.
 */
export function pciKinds(root: HostRoot, devices: readonly PciDevice[]): readonly string[] | undefined {
  if (devices.length === 0 && root.names(DEVICES) === undefined) return undefined;
  const kinds = devices.map(({ vendor, device, class: code }) => `${vendor}:${device}:${code.slice(0, 4)}`);
  return [...new Set(kinds)].sort();
}

/** True for VGA, 3D and other display controllers (PCI base class 03). */
export function isDisplay(device: PciDevice): boolean {
  return device.class.startsWith('03');
}

/** The accelerators on the PCI bus that are neither NVIDIA's nor AMD's. */
export function findAccelerators(pci: readonly PciDevice[]): readonly GpuFacts[] {
  return pci.flatMap((device) => {
    const known = knownAccelerator(device);
    if (known === undefined) return [];
    const { vendor, name, accel } = known;
    return [{ vendor, name, accel, pciId: `${device.vendor}:${device.device}`, pciAddress: device.address }];
  });
}

/** What a host has besides the devices on its PCI bus. */
export interface PlatformAccelerators {
  /** Values of `accel:`. */
  readonly accelerators?: readonly string[];
  /** The JetPack release: `jp6`. */
  readonly jetpack?: string;
  /** Vendors of integrated GPUs: `intel`. */
  readonly graphics?: readonly string[];
}

/** Reads Rockchip's NPU, Vulkan, Jetson's JetPack and Intel's graphics, from files that containers depend on too. */
export function readPlatformAccelerators(root: HostRoot, pci: readonly PciDevice[]): PlatformAccelerators {
  const npu = readRockchipNpu(root);
  const accelerators = [...(npu === undefined ? [] : [npu]), ...(hasVulkan(root, pci) ? [VULKAN] : [])];
  const jetpack = readJetpack(root);
  return {
    ...(accelerators.length === 0 ? {} : { accelerators }),
    ...(jetpack === undefined ? {} : { jetpack }),
    ...(pci.some(isIntelGraphics) ? { graphics: ['intel'] } : {}),
  };
}

/** `rknn-rk3588`: the chip in the device tree, if the vendor's kernel driver is loaded, which librknnrt needs. */
function readRockchipNpu(root: HostRoot): string | undefined {
  const hasDriver = ['/sys/bus/platform/drivers/RKNPU', '/sys/module/rknpu'].some(
    (folder) => root.names(folder) !== undefined,
  );
  if (!hasDriver) return undefined;
  const compatible = root.text('/sys/firmware/devicetree/base/compatible') ?? '';
  const chips = compatible.split('\0').map((name) => /^rockchip,(rk\d+)/.exec(name)?.[1]);
  const chip = ROCKCHIP_NPUS.find((known) => chips.includes(known));
  return chip === undefined ? undefined : `rknn-${chip}`;
}

/** Reads the JetPack release: `# R36 (release), REVISION: 4.3, …` means JetPack 6. */
function readJetpack(root: HostRoot): string | undefined {
  const text = root.text('/etc/nv_tegra_release');
  const release = text === undefined ? undefined : /^# R(\d+) /m.exec(text)?.[1];
  return release === undefined ? undefined : JETPACK_BY_L4T.get(release);
}

const ICD_FOLDERS = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
/** The PCI vendors whose GPUs the drivers (ICD) of Vulkan are for, by the names of their manifests. */
const ICD_VENDORS: readonly (readonly [name: RegExp, pciVendor: string])[] = [
  [/^(radeon|amd|amdvlk|amdgpu)/, '1002'],
  [/^intel/, '8086'],
  [/^(nvidia|nouveau)/, '10de'],
];
/** Drivers for GPUs that are not on a PCI bus. */
const ICD_OF_CHIPS = /^(asahi|broadcom|freedreno|imagination|panfrost|panvk|powervr|tegra)/;

/**
 * True when there is a Vulkan driver for a GPU of this host. llvmpipe (`lvp_icd`) does not count, because it
 * computes on the CPU.
 * @see https://github.com/KhronosGroup/Vulkan-Loader/blob/main/docs/LoaderDriverInterface.md#driver-discovery
 */
function hasVulkan(root: HostRoot, pci: readonly PciDevice[]): boolean {
  const manifests = ICD_FOLDERS.flatMap((folder) => root.names(folder) ?? []).filter((name) =>
    name.endsWith('.json'),
  );
  if (manifests.length === 0) return false;
  const hasDisplay = (vendor: string) =>
    pci.some(
      (device) => device.vendor === vendor && device.class.startsWith('03') && device.driver !== 'vfio-pci',
    );
  const hasRenderNode = () => (root.names('/sys/class/drm') ?? []).some((name) => /^renderD\d+$/.test(name));
  return manifests.some((name) => {
    const vendor = ICD_VENDORS.find(([pattern]) => pattern.test(name))?.[1];
    return vendor === undefined ? ICD_OF_CHIPS.test(name) && hasRenderNode() : hasDisplay(vendor);
  });
}

const NODES = '/sys/class/kfd/kfd/topology/nodes';
const AMD = 0x1002n;

/**
 * AMD's compute GPUs, as the kernel's compute driver (KFD) lists them: one for each device, even when it is
 * partitioned.
 */
export function readAmd(root: HostRoot): readonly GpuFacts[] {
  const gpus = new Map<string, GpuFacts>();
  for (const node of root.names(NODES) ?? []) {
    const properties = parseKfdProperties(root.text(`${NODES}/${node}/properties`) ?? '');
    // Hygon's DCUs are listed too, but run other code.
    if ((properties.get('vendor_id') ?? AMD) !== AMD) continue;
    // Nodes without SIMD units are CPUs.
    if (!((properties.get('simd_count') ?? 0n) > 0n)) continue;
    const gfxTarget = gfxName(properties.get('gfx_target_version') ?? 0n);
    const uniqueId = properties.get('unique_id') ?? 0n;
    // The partitions of a device share its id. Old kernels and small GPUs report 0.
    const key = uniqueId === 0n ? `node ${node}` : String(uniqueId);
    if (gpus.has(key)) continue;
    const device = properties.get('device_id');
    gpus.set(key, {
      vendor: 'amd',
      ...(gfxTarget === undefined ? {} : { name: `AMD ${gfxTarget}` }),
      ...(device === undefined ? {} : { pciId: `1002:${device.toString(16).padStart(4, '0')}` }),
      ...(gfxTarget === undefined ? {} : { gfxTarget }),
    });
  }
  return [...gpus.values()];
}

/** Parses lines `name value`. Values have up to 64 bits. */
function parseKfdProperties(text: string): ReadonlyMap<string, bigint> {
  const lines = text.matchAll(/^(\w+) (\d+)$/gm);
  return new Map([...lines].map(([, name = '', value = '0']) => [name, BigInt(value)]));
}

/**
 * Converts a version to a target: `90402` is `gfx942`. The digits are major, two for minor and two for step; minor
 * and step are written in hexadecimal.
 * @see https://github.com/ROCm/ROCm/blob/develop/docs/reference/gpu-arch-specs.rst
 */
export function gfxName(version: bigint): string | undefined {
  if (version <= 0n) return undefined;
  const [major, minor, step] = [version / 10000n, (version / 100n) % 100n, version % 100n];
  return `gfx${major}${minor.toString(16)}${step.toString(16)}`;
}
