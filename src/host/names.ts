import { findNode } from './family-tree.ts';

/**
 * What authors and compilers write -> the node whose code it is. A name of GCC's that differs from the table's only by
 * `-` for `_` needs no line here.
 * @see https://gcc.gnu.org/onlinedocs/gcc/x86-Options.html
 * @see https://gcc.gnu.org/onlinedocs/gcc/AArch64-Options.html
 */
const ALIASES: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  x64: 'x86_64',
  x86_64_v1: 'x86_64',
  i386: 'x86',

  corei7: 'nehalem',
  corei7_avx: 'sandybridge',
  core_avx_i: 'ivybridge',
  core_avx2: 'haswell',
  kabylake: 'skylake',
  coffeelake: 'skylake',
  // As machine types of 2019 spell it.
  coffelake: 'skylake',
  whiskeylake: 'skylake',
  amberlake: 'skylake',
  cometlake: 'skylake',
  skx: 'skylake_avx512',
  skylake_server: 'skylake_avx512',
  clx: 'cascadelake',
  knl: 'mic_knl',
  icelake_client: 'icelake',
  icelake_server: 'icelake',
  rocketlake: 'icelake',
  raptorlake: 'alderlake',
  meteorlake: 'alderlake',
  gracemont: 'alderlake',
  lunarlake: 'arrowlake_s',

  amdfam10: 'k10',
  barcelona: 'k10',
  bdver1: 'bulldozer',
  bdver2: 'piledriver',
  bdver3: 'steamroller',
  bdver4: 'excavator',
  znver1: 'zen',
  zen1: 'zen',
  znver2: 'zen2',
  znver3: 'zen3',
  znver4: 'zen4',
  znver5: 'zen5',
  hygon: 'dhyana',

  arm64: 'aarch64',
  armv8_a: 'aarch64',
  'armv8.0_a': 'aarch64',
  'armv8.0a': 'aarch64',
  armv9_a: 'armv9.0a',
  thunderx2t99: 'thunderx2',
  apple_m1: 'm1',
  apple_m2: 'm2',
  apple_m3: 'm3',
  apple_m4: 'm4',
  kunpeng920: 'tsv110',
  graviton: 'cortex_a72',
  graviton2: 'neoverse_n1',
  graviton3: 'neoverse_v1',
  graviton4: 'neoverse_v2',
  graviton5: 'neoverse_v3',
  grace: 'neoverse_v2',
  axion: 'neoverse_v2',
  cobalt100: 'neoverse_n2',

  arch11: 'z13',
  arch12: 'z14',
  arch13: 'z15',
  arch14: 'z16',
  arch15: 'z17',
  loong64: 'loongarch64',
  sifive_u74: 'u74mc',
  sifive_p550: 'p550',
  spacemit_x60: 'x60',
};

/** The table's name for what an author wrote (`znver3`, `skylake-avx512`, `x86-64-v3`); nothing for a stranger. */
export function canonicalName(written: string): string | undefined {
  const name = written.trim().toLowerCase();
  const plain = name.replaceAll('-', '_');
  // GCC writes armv8.2-a where the table has armv8.2a.
  const versioned = name.replace(/^(armv\d+\.\d+)-a$/, '$1a');
  const node = [name, plain, versioned].find((spelling) => findNode(spelling) !== undefined);
  return node ?? (Object.hasOwn(ALIASES, plain) ? ALIASES[plain] : undefined);
}

/** Every spelling that `canonicalName` knows by heart. */
export const ALIAS_NAMES: readonly string[] = Object.keys(ALIASES);
