import type { SystemFacts } from '../host/facts.ts';
import type { PciDevice } from './accelerators.ts';
import type { Diagnostics, HostRoot } from './host-root.ts';

/** Where distributions keep the C library, the most common first. */
const LIBRARY_FOLDERS = [
  '/lib64',
  '/usr/lib64',
  '/lib/x86_64-linux-gnu',
  '/lib/aarch64-linux-gnu',
  '/lib/powerpc64le-linux-gnu',
  '/lib/riscv64-linux-gnu',
  '/lib/s390x-linux-gnu',
  '/lib/loongarch64-linux-gnu',
  '/usr/lib',
  '/lib',
];

/**
 * The version of the host's glibc, without running a program: from the banner of the script `ldd`, from the target
 * of the link `libc.so.6` (before 2.34), or from the banner in the library. Undefined with musl.
 */
export function readGlibc(root: HostRoot): string | undefined {
  const banner = /\bldd \([^)\n]*\) (\d+\.\d+)/.exec(root.text('/usr/bin/ldd') ?? '')?.[1];
  if (banner !== undefined) return banner;
  for (const folder of LIBRARY_FOLDERS) {
    const linked = /^libc-(\d+\.\d+)\.so$/.exec(root.linkName(`${folder}/libc.so.6`) ?? '')?.[1];
    if (linked !== undefined) return linked;
    const library = root.text(`${folder}/libc.so.6`);
    const version = /GNU C Library [^\n]*?release version (\d+\.\d+)/.exec(library ?? '')?.[1];
    if (version !== undefined) return version;
  }
  return undefined;
}

/** Kernel, C library, operating system, SMT, NUMA, memory and instance type, each if it can be read. */
export function readSystem(root: HostRoot, problems: Diagnostics): SystemFacts {
  const kernel = root.text('/proc/sys/kernel/osrelease');
  if (kernel === undefined) {
    problems.warn(
      '/proc/sys/kernel/osrelease is missing: entries that demand a kernel version will not match',
    );
  }
  return defined({
    kernel,
    virtual: isVirtualMachine(root) ? true : undefined,
    glibc: readGlibc(root),
    ...parseOsRelease(root.text('/etc/os-release') ?? root.text('/usr/lib/os-release') ?? ''),
    smt: readSmt(root),
    instanceType: readInstanceType(root),
    numaNodes: countNumaNodes(root),
    memoryBytes: parseMemTotal(root.text('/proc/meminfo') ?? ''),
    hugepages: readHugepages(root),
  });
}

type Defined<T> = { [Key in keyof T]: Exclude<T[Key], undefined> };

/** Removes what could not be read: an absent fact is a missing key. */
function defined<T extends object>(facts: T): Partial<Defined<T>> {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as Partial<
    Defined<T>
  >;
}

/** @see https://www.freedesktop.org/software/systemd/man/latest/os-release.html */
export function parseOsRelease(text: string): { osId: string | undefined; osVersion: string | undefined } {
  const value = (key: string) =>
    new RegExp(`^${key}=(["']?)(.*)\\1$`, 'm').exec(text)?.[2]?.trim() || undefined;
  return { osId: value('ID'), osVersion: value('VERSION_ID') };
}

/** Parses `MemTotal:  131072 kB` to bytes. */
function parseMemTotal(text: string): number | undefined {
  const kibibytes = /^MemTotal:\s+(\d+) kB$/m.exec(text)?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

function readSmt(root: HostRoot): boolean | undefined {
  const active = root.text('/sys/devices/system/cpu/smt/active');
  if (active === '0' || active === '1') return active === '1';
  // Kernels before 4.18 only tell which CPUs share a core with CPU 0.
  const siblings = root.text('/sys/devices/system/cpu/cpu0/topology/thread_siblings_list');
  return siblings === undefined ? undefined : /[,-]/.test(siblings);
}

function countNumaNodes(root: HostRoot): number | undefined {
  const nodes = root
    .names('/sys/devices/system/node')
    ?.filter((name) => name.startsWith('node') && /^node\d+$/.test(name));
  return nodes === undefined || nodes.length === 0 ? undefined : nodes.length;
}

/** The sizes of reserved huge pages in Kubernetes' notation: `2Mi`, `1Gi`. */
function readHugepages(root: HostRoot): readonly string[] | undefined {
  const folder = '/sys/kernel/mm/hugepages';
  const sizes = root.names(folder)?.flatMap((name) => {
    const kibibytes = /^hugepages-(\d+)kB$/.exec(name)?.[1];
    if (kibibytes === undefined || !(Number(root.text(`${folder}/${name}/nr_hugepages`)) > 0)) return [];
    return [Number(kibibytes)];
  });
  return sizes?.sort((a, b) => a - b).map(binarySize);
}

function binarySize(kibibytes: number): string {
  if (kibibytes % (1024 * 1024) === 0) return `${kibibytes / (1024 * 1024)}Gi`;
  return kibibytes % 1024 === 0 ? `${kibibytes / 1024}Mi` : `${kibibytes}Ki`;
}

/**
 * What hypervisors write into the firmware tables, as vendor or product.
 * @see https://github.com/systemd/systemd/blob/main/src/basic/virt.c (the table of `systemd-detect-virt`)
 */
const VIRTUAL_FIRMWARE =
  /^(?:QEMU|VMware|VMW|innotek GmbH|VirtualBox|Xen|Bochs|Parallels|BHYVE|KVM|KubeVirt|OpenStack|Virtual Machine$|Apple Virtualization|Google Compute Engine)/i;

function isVirtualMachine(root: HostRoot): boolean {
  const [maker = '', product = ''] = ['sys_vendor', 'product_name'].map((name) =>
    root.text(`/sys/class/dmi/id/${name}`),
  );
  if (maker === 'Amazon EC2') return !/\.metal\b/.test(product);
  return [maker, product].some((text) => text !== '' && VIRTUAL_FIRMWARE.test(text));
}

/**
 * Only EC2 writes the instance type (`c5.9xlarge`) into the firmware tables. Other clouds are queried with
 * `--cloud`.
 */
function readInstanceType(root: HostRoot): string | undefined {
  if (root.text('/sys/class/dmi/id/sys_vendor') !== 'Amazon EC2') return undefined;
  const product = root.text('/sys/class/dmi/id/product_name') ?? '';
  return /^[a-z][a-z0-9-]*\.[a-z0-9-]+$/.test(product) ? product : undefined;
}

const CLASS = '/sys/class/infiniband';

/** Drivers whose name says more than their link layer. */
const FABRIC_BY_DRIVER: Readonly<Record<string, string>> = {
  hfi1: 'opa',
  efa: 'efa',
  cxgb4: 'iwarp',
  iw_cxgb4: 'iwarp',
};
const FABRIC_BY_LINK_LAYER: Readonly<Record<string, string>> = { InfiniBand: 'ib', Ethernet: 'roce' };

/** High-speed fabrics with an active port: `ib`, `roce`, `opa`, `efa`, `iwarp`, `slingshot`, each once. */
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
      // Any state but `4: ACTIVE` cannot carry traffic.
      const state = root.text(`${CLASS}/${device}/ports/${port}/state`) ?? '';
      if (state.startsWith('4')) fabrics.add(fabric);
      else
        problems.warn(
          `port ${port} of ${device} is ${stateName(state)}: fabric:${fabric} is not claimed for it`,
        );
    }
  }
  // EFA reports no link layer, and is a plain PCI function until its driver is loaded.
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
