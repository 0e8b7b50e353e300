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

/** Every PCI function of the host; nothing when it has no PCI bus, or its /sys cannot be seen. */
export function readPci(root: HostRoot): readonly PciDevice[] {
  const devices: PciDevice[] = [];
  for (const address of root.names(DEVICES) ?? []) {
    // One read has all; the single attributes are there too, but a large server has hundreds of functions.
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
