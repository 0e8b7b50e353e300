/** An operating system and an architecture (Go's GOOS and GOARCH), and possibly the architecture's variant. */
export interface PlatformName {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

/**
 * Other spellings of each GOARCH: those of `uname -m`, archspec and Node.js.
 * @see https://go.dev/doc/install/source#environment
 */
const ARCHITECTURE_SPELLINGS: Readonly<Record<string, readonly string[]>> = {
  amd64: ['x86_64', 'x86-64', 'x64'],
  arm64: ['aarch64', 'armv8l'],
  ppc64le: ['powerpc64le'],
  ppc64: ['powerpc64'],
  riscv64: ['rv64'],
  loong64: ['loongarch64'],
  '386': ['i386', 'i586', 'i686', 'ia32', 'x86'],
  arm: ['armhf', 'armel', 'armv5l', 'armv6l', 'armv7l'],
};

const ARCHITECTURE_OF: ReadonlyMap<string, string> = new Map(
  Object.entries(ARCHITECTURE_SPELLINGS).flatMap(([goarch, spellings]) =>
    spellings.map((spelling) => [spelling, goarch] as const),
  ),
);

/** The variant that some spellings of `arm` include. */
const ARM_VARIANT_OF: ReadonlyMap<string, string> = new Map([
  ['armhf', 'v7'],
  ['armel', 'v6'],
  ['armv5l', 'v5'],
  ['armv6l', 'v6'],
  ['armv7l', 'v7'],
]);

/** Normalizes an operating system to GOOS. An empty name means Linux, as in container runtimes on Linux. */
function normalizeOs(written: string): string {
  const os = written.toLowerCase();
  if (os === '') return 'linux';
  return os === 'macos' ? 'darwin' : os;
}

/** Normalizes an architecture to GOARCH. An unknown name becomes lower case. */
export function normalizeArchitecture(written: string): string {
  const name = written.toLowerCase();
  return ARCHITECTURE_OF.get(name) ?? name;
}

function normalizeVariant(written: string, architecture: string): string {
  const variant = written.toLowerCase();
  if (architecture !== 'arm' && architecture !== 'arm64') return variant;
  const named = /^\d+(?:\.\d+)?$/.test(variant) ? `v${variant}` : variant;
  // `v8.0` and `v9.0` become `v8` and `v9`.
  return architecture === 'arm64' ? named.replace(/^(v\d+)\.0$/, '$1') : named;
}

/**
 * Normalizes a platform: lower case, aliases resolved, `v` before the variants of arm. These are containerd's
 * rules, except that `v1` of amd64 and `v8` of arm64 are kept.
 * @see https://github.com/containerd/platforms (database.go)
 */
export function normalizePlatform({ os, architecture: written, variant }: PlatformName): PlatformName {
  const architecture = normalizeArchitecture(written);
  const implied = ARM_VARIANT_OF.get(written.toLowerCase());
  const said = implied ?? (written.toLowerCase() === 'i386' ? undefined : variant);
  const normalized = { os: normalizeOs(os), architecture };
  return said === undefined || said === ''
    ? normalized
    : { ...normalized, variant: normalizeVariant(said, architecture) };
}
