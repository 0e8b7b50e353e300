import type { GpuFacts } from '../host/facts.ts';
import type { PciDevice } from './pci.ts';

/**
 * Accelerators that a PCI id is enough for: `vendor:device` -> maker and name.
 * Sources: the PCI ID database (https://pci-ids.ucw.cz); TPU ids from jax's hardware_utils (Apache-2.0; facts only).
 */
const ACCELERATORS: Readonly<Record<string, readonly [vendor: string, name: string]>> = {
  '1d0f:7064': ['aws', 'AWS Inferentia'],
  '1d0f:7164': ['aws', 'AWS Trainium'],
  '1d0f:7264': ['aws', 'AWS Inferentia2'],
  '1d0f:7364': ['aws', 'AWS Neuron device 7364'],
  '1d0f:7564': ['aws', 'AWS Neuron device 7564'],
  '1d0f:7565': ['aws', 'AWS Neuron device 7565'],
  '1da3:0001': ['habana', 'Habana Goya'],
  '1da3:0030': ['habana', 'Habana Greco'],
  '1da3:1000': ['habana', 'Habana Gaudi'],
  '1da3:1010': ['habana', 'Habana Gaudi'],
  '1da3:1020': ['habana', 'Habana Gaudi2'],
  '1ae0:0027': ['google', 'Google TPU v2 or v3'],
  '1ae0:005e': ['google', 'Google TPU v4'],
  '1ae0:0062': ['google', 'Google TPU v5p'],
  '1ae0:0063': ['google', 'Google TPU v5e'],
  '1ae0:006f': ['google', 'Google TPU v6e'],
};

/** Intel's data-centre GPUs; they count when a compute-capable kernel driver holds them. */
const INTEL_DATA_CENTRE: Readonly<Record<string, string>> = {
  '0bd5': 'Intel Data Center GPU Max 1550',
  '0bd6': 'Intel Data Center GPU Max 1550',
  '0bd7': 'Intel Data Center GPU Max 1350',
  '0bd8': 'Intel Data Center GPU Max 1350',
  '0bd9': 'Intel Data Center GPU Max 1100',
  '0bda': 'Intel Data Center GPU Max 1100',
  '0bdb': 'Intel Data Center GPU Max 1100',
  '56c0': 'Intel Data Center GPU Flex 170',
  '56c1': 'Intel Data Center GPU Flex 140',
};
const INTEL_DRIVERS = new Set(['xe', 'i915']);

/** Intel, AWS Neuron, Habana and TPU devices among the PCI functions. */
export function findAccelerators(pci: readonly PciDevice[]): readonly GpuFacts[] {
  return pci.flatMap((device) => {
    const made = maker(device);
    if (made === undefined) return [];
    const [vendor, name] = made;
    return [{ vendor, name, pciId: `${device.vendor}:${device.device}`, pciAddress: device.address }];
  });
}

function maker(device: PciDevice): readonly [vendor: string, name: string] | undefined {
  if (device.vendor !== '8086') return ACCELERATORS[`${device.vendor}:${device.device}`];
  const name = INTEL_DATA_CENTRE[device.device];
  return name !== undefined && INTEL_DRIVERS.has(device.driver ?? '') ? ['intel', name] : undefined;
}
