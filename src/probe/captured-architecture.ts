import type { HostRoot } from './host-root.ts';

/** Keys of /proc/cpuinfo, and a Mac's of sysctl, that one architecture alone writes, strongest first. */
const SIGNS: readonly (readonly [sign: RegExp, architecture: string])[] = [
  [/^CPU implementer\s*:/m, 'arm64'],
  [/^vendor_id\s*:\s*IBM\/S390/m, 's390x'],
  [/^vendor_id\s*:/m, 'amd64'],
  [/^isa\s*:\s*rv64/m, 'riscv64'],
  // Big-endian POWER of today is rare; it has to be said with --arch.
  [/^cpu\s*:\s*power|^timebase\s*:/im, 'ppc64le'],
  [/^CPU Family\s*:\s*Loongson/im, 'loong64'],
  [/^hw\.optional\.arm64: 1$|^machdep\.cpu\.brand_string: Apple/m, 'arm64'],
  [/^machdep\.cpu\.vendor:/m, 'amd64'],
];

/** GOARCH of a captured tree, by the way its CPU is described; nothing when it is not. */
export function capturedArchitecture(root: HostRoot): string | undefined {
  const text = root.head('/proc/cpuinfo') ?? root.text('/sysctl.txt') ?? '';
  return SIGNS.find(([sign]) => sign.test(text))?.[1];
}
