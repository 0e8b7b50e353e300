import type { HostRoot } from './host-root.ts';

/** Where distributions keep the C library, most common first. */
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
 * The version of the host's glibc, found without running anything: from the banner of the `ldd` script, the name that
 * `libc.so.6` links to (before 2.34), or the banner inside the library. Absent on musl.
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
