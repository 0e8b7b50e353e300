import {
  isIntelGraphics,
  JETPACK_BY_L4T,
  knownAccelerator,
  ROCKCHIP_NPUS,
  VULKAN,
} from '../host/data/accelerators.ts';
import type { GpuFacts } from '../host/facts.ts';
import type { HostRoot } from './host-root.ts';

/** A PCI function as the kernel lists it. Ids are lower-case hexadecimal of four digits, the class of six. */
export interface PciDevice {
  /** `0000:41:00.0`. */
  readonly address: string;
  readonly vendor: string;
  readonly device: string;
  /** `030200`: base class, subclass, interface. */
  readonly class: string;
  readonly driver?: string;
}

const DEVICES = '/sys/bus/pci/devices';

/** Every PCI function of the host; undefined when it has no PCI bus or its /sys is not visible. */
export function readPci(root: HostRoot): readonly PciDevice[] {
  const devices: PciDevice[] = [];
  for (const address of root.names(DEVICES) ?? []) {
    // One read has all attributes; they are single files too, but a large server has hundreds of functions.
    const text = root.text(`${DEVICES}/${address}/uevent`);
    const device = text === undefined ? undefined : parsePciUevent(address, text);
    const found = device ?? readAttributes(root, address);
    if (found !== undefined) devices.push(found);
  }
  return devices;
}

/**
 * Parses a PCI function's `uevent`: `PCI_CLASS=30200`, `PCI_ID=10DE:2330`, `DRIVER=nvidia`.
 * @see https://docs.kernel.org/PCI/sysfs-pci.html
 */
function parsePciUevent(address: string, text: string): PciDevice | undefined {
  const id = /^PCI_ID=([0-9A-F]{4}):([0-9A-F]{4})$/im.exec(text);
  const pciClass = /^PCI_CLASS=([0-9A-F]{1,6})$/im.exec(text)?.[1];
  const driver = /^DRIVER=(\S+)$/m.exec(text)?.[1];
  if (id?.[1] === undefined || id[2] === undefined || pciClass === undefined) return undefined;
  return {
    address,
    vendor: id[1].toLowerCase(),
    device: id[2].toLowerCase(),
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

/** Vendor, device and class (its first four digits), each kind once; undefined when no bus can be seen. */
export function pciKinds(root: HostRoot, devices: readonly PciDevice[]): readonly string[] | undefined {
  if (devices.length === 0 && root.names(DEVICES) === undefined) return undefined;
  const kinds = devices.map(({ vendor, device, class: code }) => `${vendor}:${device}:${code.slice(0, 4)}`);
  return [...new Set(kinds)].sort();
}

/** VGA, 3D and other display controllers: base class 03 of the PCI code and id assignment. */
export function isDisplay(device: PciDevice): boolean {
  return device.class.startsWith('03');
}

/** Every accelerator among the PCI functions that is neither NVIDIA's nor AMD's. */
export function findAccelerators(pci: readonly PciDevice[]): readonly GpuFacts[] {
  return pci.flatMap((device) => {
    const known = knownAccelerator(device);
    if (known === undefined) return [];
    const { vendor, name, accel } = known;
    return [{ vendor, name, accel, pciId: `${device.vendor}:${device.device}`, pciAddress: device.address }];
  });
}

/** What a host offers besides the devices on its PCI bus. */
export interface PlatformAccelerators {
  /** Values of `accel:`. */
  readonly accelerators?: readonly string[];
  /** `jp6`. */
  readonly jetpack?: string;
  /** Vendors of GPUs that are part of the processor: `intel`. */
  readonly graphics?: readonly string[];
}

/**
 * Rockchip's NPU, Vulkan, Jetson's JetPack and Intel's graphics, each detected by files that containers depend on too.
 */
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

/** `rknn-rk3588`: the chip by the device tree, where the vendor's kernel driver, which librknnrt needs, is loaded. */
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

/** `# R36 (release), REVISION: 4.3, …` of a Jetson is JetPack 6. */
function readJetpack(root: HostRoot): string | undefined {
  const release = /^# R(\d+) /m.exec(root.text('/etc/nv_tegra_release') ?? '')?.[1];
  return release === undefined ? undefined : JETPACK_BY_L4T.get(release);
}

const ICD_FOLDERS = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
/** ICD manifests -> the PCI vendor whose GPU they drive. */
const ICD_VENDORS: readonly (readonly [name: RegExp, pciVendor: string])[] = [
  [/^(radeon|amd|amdvlk|amdgpu)/, '1002'],
  [/^intel/, '8086'],
  [/^(nvidia|nouveau)/, '10de'],
];
/** Drivers of GPUs that sit on no PCI bus. */
const ICD_OF_CHIPS = /^(asahi|broadcom|freedreno|imagination|panfrost|panvk|powervr|tegra)/;

/**
 * Is there a Vulkan driver for a GPU of this host? llvmpipe (`lvp_icd`) is none: it computes on the CPU.
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

/** AMD's compute GPUs, as the kernel's fusion driver (KFD) lists them: one for each device, however it is partitioned. */
export function readAmd(root: HostRoot): readonly GpuFacts[] {
  const gpus = new Map<string, GpuFacts>();
  for (const node of root.names(NODES) ?? []) {
    const properties = parseKfdProperties(root.text(`${NODES}/${node}/properties`) ?? '');
    // Hygon's DCUs are on the same bus, with code of their own.
    if ((properties.get('vendor_id') ?? AMD) !== AMD) continue;
    // Nodes without SIMD units are CPUs.
    if (!((properties.get('simd_count') ?? 0n) > 0n)) continue;
    const gfxTarget = gfxName(properties.get('gfx_target_version') ?? 0n);
    const uniqueId = properties.get('unique_id') ?? 0n;
    // Partitions of one device share its id; old kernels and small GPUs say 0.
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

/** Parses `name value` lines; values have up to 64 bits. */
function parseKfdProperties(text: string): ReadonlyMap<string, bigint> {
  const lines = text.matchAll(/^(\w+) (\d+)$/gm);
  return new Map([...lines].map(([, name = '', value = '0']) => [name, BigInt(value)]));
}

/**
 * `90402` is `gfx942`: major, two digits of minor, two of step, the last two written in hexadecimal.
 * @see https://github.com/ROCm/ROCm/blob/develop/docs/reference/gpu-arch-specs.rst
 */
export function gfxName(version: bigint): string | undefined {
  if (version <= 0n) return undefined;
  const [major, minor, step] = [version / 10000n, (version / 100n) % 100n, version % 100n];
  return `gfx${major}${minor.toString(16)}${step.toString(16)}`;
}
