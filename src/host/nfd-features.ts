import { NFD_ARM64, NFD_X86 } from './data/nfd-cpuid.ts';
import type { HostProfile } from './profile.ts';

/** The value of an element: a text; `null` when it is known to be absent; undefined when this host cannot tell. */
export type NfdValue = string | null | undefined;

/** One feature of node-feature-discovery, as far as a profile describes it. */
export interface NfdFeature {
  readonly valueOf: (name: string) => NfdValue;
  /** The elements that are known to be present. */
  readonly names: readonly string[];
  /** True for flags, which are present or absent and have no value. */
  readonly isFlags: boolean;
}

/** Features by name (`cpu.cpuid`, `kernel.version`). A feature with instances (`pci.device`) has one item for each. */
export type NfdFeatures = ReadonlyMap<string, readonly NfdFeature[]>;

/** The vendor names of klauspost/cpuid, by those of the kernel. */
const VENDORS: Readonly<Record<string, string>> = {
  GenuineIntel: 'Intel',
  AuthenticAMD: 'AMD',
  HygonGenuine: 'Hygon',
};

/**
 * The features that node-feature-discovery would report for this host, as far as the profile knows them. Any other
 * feature is unknown.
 * @see
 * https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/customization-guide.html#available-features
 */
export function nfdFeatures(profile: HostProfile): NfdFeatures {
  const { hardware = {}, platform, cpu } = profile;
  const features = new Map<string, readonly NfdFeature[]>();
  features.set('cpu.cpuid', [cpuid(profile)]);
  features.set('cpu.model', [
    attributes({
      vendor_id: platform.architecture === 'amd64' ? VENDORS[cpu.vendor] : undefined,
      family: hardware.cpuFamily?.toString(),
      id: hardware.cpuModel?.toString(),
    }),
  ]);
  const smt = profile.features.find((feature) => feature.startsWith('smt:'));
  features.set('cpu.topology', [
    attributes({ hardware_multithreading: smt === undefined ? undefined : `${smt === 'smt:on'}` }),
  ]);
  const [, major, minor, revision] = /^(\d+)\.(\d+)\.(\d+)/.exec(hardware.kernel ?? '') ?? [];
  features.set('kernel.version', [attributes({ full: hardware.kernel, major, minor, revision })]);
  const [osMajor, osMinor] = hardware.osVersion?.split('.') ?? [];
  features.set('system.osrelease', [
    attributes({
      ID: hardware.osId,
      VERSION_ID: hardware.osVersion,
      'VERSION_ID.major': osMajor,
      'VERSION_ID.minor': osMinor,
    }),
  ]);
  if (hardware.pci !== undefined) features.set('pci.device', hardware.pci.map(pciDevice));
  return features;
}

function cpuid({ platform, cpu }: HostProfile): NfdFeature {
  const table = new Map({ amd64: NFD_X86, arm64: NFD_ARM64 }[platform.architecture] ?? []);
  const known = new Set(table.values());
  const has = new Set(cpu.flags.map((flag) => table.get(flag)).filter((name) => name !== undefined));
  // The kernel prints SSE3 as pni, other systems as sse3. SSSE3 implies it.
  if (has.has('SSSE3')) has.add('SSE3');
  return {
    valueOf: (name) => (has.has(name) ? '' : known.has(name) ? null : undefined),
    names: [...has],
    isFlags: true,
  };
}

function attributes(values: Readonly<Record<string, string | undefined>>): NfdFeature {
  const known = new Map(Object.entries(values));
  return {
    valueOf: (name) => known.get(name),
    names: [...known].flatMap(([name, value]) => (value === undefined ? [] : [name])),
    isFlags: false,
  };
}

/** Parses a PCI function of a profile: `10de:2330:0302`, which is vendor, device and class. */
function pciDevice(text: string): NfdFeature {
  const [vendor, device, pciClass] = text.split(':');
  return attributes({ vendor, device, class: pciClass });
}
