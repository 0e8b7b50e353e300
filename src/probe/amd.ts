import type { GpuFacts } from '../host/facts.ts';
import type { HostRoot } from './host-root.ts';

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
