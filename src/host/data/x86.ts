import type { NodeRow } from './node-row.ts';

/**
 * The family tree of x86 and x86_64: each node with what it adds to its parents.
 * Facts (names, parents, vendors, flags, part numbers) from archspec's microarchitectures.json, Apache-2.0 OR MIT.
 * @see https://github.com/archspec/archspec-json
 */
export const X86_NODES: readonly NodeRow[] = [
  ['x86', '', 'generic', ''],
  ['i686', 'x86', 'GenuineIntel', ''],
  ['pentium2', 'i686', 'GenuineIntel', 'mmx'],
  ['pentium3', 'pentium2', 'GenuineIntel', 'sse'],
  ['pentium4', 'pentium3', 'GenuineIntel', 'sse2'],
  ['prescott', 'pentium4', 'GenuineIntel', 'sse3'],
  ['x86_64', '', 'generic', ''],
  ['x86_64_v2', 'x86_64', 'generic', 'cx16 lahf_lm mmx sse sse2 ssse3 sse4_1 sse4_2 popcnt'],
  ['x86_64_v3', 'x86_64_v2', 'generic', 'avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'],
  ['x86_64_v4', 'x86_64_v3', 'generic', 'avx512f avx512bw avx512cd avx512dq avx512vl'],
  ['nocona', 'x86_64', 'GenuineIntel', 'mmx sse sse2 sse3'],
  ['core2', 'nocona', 'GenuineIntel', 'ssse3'],
  ['nehalem', 'core2 x86_64_v2', 'GenuineIntel', ''],
  ['westmere', 'nehalem', 'GenuineIntel', 'aes pclmulqdq'],
  ['sandybridge', 'westmere', 'GenuineIntel', 'avx'],
  ['ivybridge', 'sandybridge', 'GenuineIntel', 'rdrand f16c'],
  ['haswell', 'ivybridge x86_64_v3', 'GenuineIntel', ''],
  ['broadwell', 'haswell', 'GenuineIntel', 'rdseed adx'],
  ['skylake', 'broadwell', 'GenuineIntel', 'clflushopt xsavec xsaveopt'],
  ['mic_knl', 'broadwell', 'GenuineIntel', 'avx512f avx512pf avx512er avx512cd'],
  ['skylake_avx512', 'skylake x86_64_v4', 'GenuineIntel', 'clwb'],
  ['cannonlake', 'skylake x86_64_v4', 'GenuineIntel', 'avx512vbmi avx512ifma sha_ni'],
  ['cascadelake', 'skylake_avx512', 'GenuineIntel', 'avx512_vnni'],
  [
    'icelake',
    'cascadelake cannonlake',
    'GenuineIntel',
    'rdpid gfni avx512_vbmi2 avx512_vpopcntdq avx512_bitalg vpclmulqdq vaes',
  ],
  [
    'sapphirerapids',
    'icelake',
    'GenuineIntel',
    'avx512_bf16 cldemote movdir64b movdiri serialize waitpkg amx_bf16 amx_tile amx_int8',
  ],
  [
    'alderlake',
    'skylake',
    'GenuineIntel',
    'avx_vnni sha_ni clwb rdpid gfni vaes vpclmulqdq movdiri movdir64b serialize waitpkg',
  ],
  ['arrowlake', 'alderlake', 'GenuineIntel', 'avx_ifma avx_ne_convert avx_vnni_int8 cmpccxadd'],
  ['arrowlake_s', 'arrowlake', 'GenuineIntel', 'avx_vnni_int16 sha512 sm3 sm4'],
  ['k10', 'x86_64', 'AuthenticAMD', 'mmx sse sse2 sse4a abm cx16 3dnow 3dnowext'],
  ['bulldozer', 'x86_64_v2', 'AuthenticAMD', 'sse4a xsave abm avx xop fma4 aes pclmulqdq'],
  ['piledriver', 'bulldozer', 'AuthenticAMD', 'bmi1 f16c fma tbm'],
  ['steamroller', 'piledriver', 'AuthenticAMD', 'fsgsbase'],
  ['excavator', 'steamroller x86_64_v3', 'AuthenticAMD', ''],
  [
    'zen',
    'x86_64_v3',
    'AuthenticAMD',
    'fsgsbase rdseed clzero aes pclmulqdq sse4a xsavec xsaveopt clflushopt',
  ],
  ['zen2', 'zen', 'AuthenticAMD', 'clwb'],
  ['zen3', 'zen2', 'AuthenticAMD', 'vaes vpclmulqdq pku'],
  [
    'zen4',
    'zen3 x86_64_v4',
    'AuthenticAMD',
    'gfni flush_l1d avx512ifma avx512_bf16 avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg avx512_vpopcntdq',
  ],
  ['zen5', 'zen4', 'AuthenticAMD', 'avx512_vp2intersect avx_vnni movdir64b movdiri tsc_adjust'],
];
