/**
 * GOARCH, as OCI platforms spell it -> what else people and kernels write, and the root of its family tree.
 * @see https://github.com/opencontainers/image-spec/blob/main/image-index.md (platform.architecture)
 */
const ARCHITECTURES: Readonly<
  Record<string, { readonly family: string; readonly aliases: readonly string[] }>
> = {
  amd64: { family: 'x86_64', aliases: ['x86_64', 'x86-64', 'x64'] },
  arm64: { family: 'aarch64', aliases: ['aarch64', 'armv8l'] },
  ppc64le: { family: 'ppc64le', aliases: ['powerpc64le'] },
  ppc64: { family: 'ppc64', aliases: ['powerpc64'] },
  riscv64: { family: 'riscv64', aliases: ['rv64'] },
  s390x: { family: 's390x', aliases: [] },
  loong64: { family: 'loongarch64', aliases: ['loongarch64'] },
  '386': { family: 'x86', aliases: ['i386', 'i586', 'i686', 'ia32', 'x86'] },
  arm: { family: 'arm', aliases: ['armv6l', 'armv7l'] },
};

/** GOARCH of any spelling: `uname -m`, archspec's, Node's or GOARCH itself; nothing for one that is not known. */
export function canonicalArchitecture(written: string): string | undefined {
  const name = written.toLowerCase();
  if (Object.hasOwn(ARCHITECTURES, name)) return name;
  return Object.keys(ARCHITECTURES).find((goarch) => ARCHITECTURES[goarch]?.aliases.includes(name));
}

/** The root of an architecture's family tree, `x86_64` of `amd64`; the architecture itself when it has none. */
export function familyOfArchitecture(architecture: string): string {
  return ARCHITECTURES[architecture]?.family ?? architecture;
}

/** GOARCH of a family tree's root: `amd64` of `x86_64`. */
export function architectureOfFamily(family: string): string {
  return Object.keys(ARCHITECTURES).find((goarch) => ARCHITECTURES[goarch]?.family === family) ?? family;
}

/** GOARCH spellings that `canonicalArchitecture` answers. */
export const KNOWN_ARCHITECTURES: readonly string[] = Object.keys(ARCHITECTURES).sort();
