import { compareVersions, parseVersion } from '../lib/version.ts';
import { ARM_COMPILER_FLAGS } from './data/compilers-arm.ts';
import { OTHER_COMPILER_FLAGS } from './data/compilers-other.ts';
import { X86_COMPILER_FLAGS } from './data/compilers-x86.ts';
import type { CompilerRow } from './data/rows.ts';

/** A compiler of the tables, and the oldest version that the flags must work with. */
export interface Compiler {
  readonly name: string;
  /** For example `12.3`. Default: the newest known version. */
  readonly version?: string;
}

export interface CompilerFlags {
  readonly flags: string;
  /** What the flags build for: the host's microarchitecture, or the best compatible one that this version supports. */
  readonly microarchitecture: string;
}

/** The compilers of the tables, by the names of programs. */
const PROGRAMS: Readonly<Record<string, string>> = {
  'g++': 'gcc',
  gfortran: 'gcc',
  'clang++': 'clang',
  llvm: 'clang',
  icc: 'intel',
  icpc: 'intel',
  icx: 'oneapi',
  icpx: 'oneapi',
  ifx: 'oneapi',
  'dpc++': 'dpcpp',
  nvc: 'nvhpc',
  'nvc++': 'nvhpc',
  nvfortran: 'nvhpc',
  armclang: 'arm',
};

const ROWS: readonly CompilerRow[] = [...X86_COMPILER_FLAGS, ...ARM_COMPILER_FLAGS, ...OTHER_COMPILER_FLAGS];

/** All names that `parseCompiler` accepts, those of the tables first. */
export const COMPILER_NAMES: readonly string[] = [
  ...new Set(ROWS.map(([, compiler]) => compiler)),
  ...Object.keys(PROGRAMS),
];

/** Parses `gcc@12.3`, `icx`, `nvc@24.1`. Undefined for an unknown compiler or a malformed version. */
export function parseCompiler(written: string): Compiler | undefined {
  const [, program = '', version] = /^([a-z+-]+)(?:@(\d+(?:\.\d+)*))?$/.exec(written) ?? [];
  const name = PROGRAMS[program] ?? program;
  if (!ROWS.some(([, compiler]) => compiler === name)) return undefined;
  return version === undefined ? { name } : { name, version };
}

/**
 * The flags that build for a host. `compatible`: all microarchitectures whose code it runs, the best first. A
 * version means its first release (`12` means `12.0`), so that the flags work with all later ones.
 */
export function flagsForHost(compatible: readonly string[], compiler: Compiler): CompilerFlags | undefined {
  for (const microarchitecture of compatible) {
    const known = rowsOf(microarchitecture, compiler.name).filter(
      ([, , since]) => compiler.version === undefined || compareReleases(since, compiler.version) <= 0,
    );
    const flags = known.at(-1)?.[3];
    if (flags) return { flags, microarchitecture };
  }
  return undefined;
}

/** The flags of all compilers for a microarchitecture, the oldest version first. */
export function allFlags(
  microarchitecture: string,
): Readonly<Record<string, readonly { readonly since: string; readonly flags: string }[]>> {
  const compilers = [...new Set(ROWS.filter(([name]) => name === microarchitecture).map(([, one]) => one))];
  return Object.fromEntries(
    compilers.map((compiler) => [
      compiler,
      rowsOf(microarchitecture, compiler).map(([, , since, flags]) => ({ since, flags })),
    ]),
  );
}

function rowsOf(microarchitecture: string, compiler: string): readonly CompilerRow[] {
  return ROWS.filter(([name, one]) => name === microarchitecture && one === compiler).sort(
    ([, , a], [, , b]) => compareReleases(a, b),
  );
}

function compareReleases(a: string, b: string): number {
  return compareVersions(parseVersion(a) ?? [], parseVersion(b) ?? []);
}
