import { normalizeArchitecture } from '../lib/platform.ts';

/** GOARCH, as OCI platforms spell it -> the root of its family tree. */
const FAMILIES: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  ppc64le: 'ppc64le',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  loong64: 'loongarch64',
  '386': 'x86',
  arm: 'arm',
};

/** GOARCH of any spelling: `uname -m`, archspec's, Node's or GOARCH itself; undefined for an unknown one. */
export function canonicalArchitecture(written: string): string | undefined {
  const name = normalizeArchitecture(written);
  return Object.hasOwn(FAMILIES, name) ? name : undefined;
}

/** The root of an architecture's family tree, `x86_64` of `amd64`; the architecture itself when it has none. */
export function familyOfArchitecture(architecture: string): string {
  return FAMILIES[architecture] ?? architecture;
}

/** GOARCH of a family tree's root: `amd64` of `x86_64`. */
export function architectureOfFamily(family: string): string {
  return Object.keys(FAMILIES).find((goarch) => FAMILIES[goarch] === family) ?? family;
}

/** GOARCH spellings that `canonicalArchitecture` answers. */
export const KNOWN_ARCHITECTURES: readonly string[] = Object.keys(FAMILIES).sort();
