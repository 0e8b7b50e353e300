import type { Diagnostics } from './diagnostics.ts';
import type { HostRoot } from './host-root.ts';
import type { PciDevice } from './pci.ts';

const CLASS = '/sys/class/infiniband';

/** Drivers whose link layer says less than their name. */
const FABRIC_BY_DRIVER: Readonly<Record<string, string>> = {
  hfi1: 'opa',
  efa: 'efa',
  cxgb4: 'iwarp',
  iw_cxgb4: 'iwarp',
};
const FABRIC_BY_LINK_LAYER: Readonly<Record<string, string>> = { InfiniBand: 'ib', Ethernet: 'roce' };

/** High-speed fabrics with a working port: `ib`, `roce`, `opa`, `efa`, `iwarp`, `slingshot`, each once. */
export function readFabrics(
  root: HostRoot,
  pci: readonly PciDevice[],
  problems: Diagnostics,
): readonly string[] {
  const fabrics = new Set<string>();
  for (const device of root.names(CLASS) ?? []) {
    for (const port of root.names(`${CLASS}/${device}/ports`) ?? []) {
      const fabric = fabricOf(root, device, port);
      if (fabric === undefined) continue;
      // `4: ACTIVE`; anything else cannot carry a job.
      const state = root.text(`${CLASS}/${device}/ports/${port}/state`) ?? '';
      if (state.startsWith('4')) fabrics.add(fabric);
      else
        problems.warn(
          `port ${port} of ${device} is ${stateName(state)}: fabric:${fabric} is not claimed for it`,
        );
    }
  }
  // EFA leaves its link layer unsaid, and is a plain PCI function until its driver is loaded.
  if (pci.some(({ vendor, device }) => vendor === '1d0f' && /^efa[0-4]$/.test(device))) fabrics.add('efa');
  if ((root.names('/sys/class/cxi') ?? []).length > 0) fabrics.add('slingshot');
  return [...fabrics].sort();
}

function fabricOf(root: HostRoot, device: string, port: string): string | undefined {
  const driver = root.linkName(`${CLASS}/${device}/device/driver`) ?? '';
  const linkLayer = root.text(`${CLASS}/${device}/ports/${port}/link_layer`) ?? '';
  return FABRIC_BY_DRIVER[driver] ?? FABRIC_BY_LINK_LAYER[linkLayer];
}

function stateName(state: string): string {
  return /^\d+: (\w+)$/.exec(state)?.[1]?.toLowerCase() ?? 'in an unknown state';
}
