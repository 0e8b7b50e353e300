import type { NodeRow } from './rows.ts';

/**
 * The family tree of x86 and x86_64. Each node lists what it adds to its parents. Facts (names, parents, vendors,
 * flags) from archspec's microarchitectures.json, Apache-2.0 OR MIT.
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

// What x86 flags mean for code: whether compilers use a flag, which other flags the kernel requires with it, and since
// when the kernel prints it. Facts only; docs/detection.md explains the rules, docs/idle-flags.md has the measurements.

/**
 * Idle flags: no compiler uses them on its own, and ordinary programs do not test their macro. A CPU without them
 * runs what was built for a microarchitecture that has them.
 *
 * Evidence: `npm run idle-flags` (with and without each flag, GCC and Clang produce the same object code).
 */
export const IDLE_FLAGS: readonly string[] = words(
  'pku flush_l1d tsc_adjust waitpkg cldemote serialize clflushopt xsavec xsaveopt clzero rdpid rdseed',
);

/** Flags that are idle for one vendor only. For AMD, `clwb` is the only difference between Zen and Zen 2. */
export const IDLE_FLAGS_BY_VENDOR: Readonly<Record<string, readonly string[]>> = {
  GenuineIntel: ['clwb'],
};

/**
 * Compilers do not use these flags on their own either, but ordinary programs test their macro (`#ifdef __AES__`),
 * so code for a microarchitecture that has them may use them.
 */
export const MACRO_FLAGS: readonly string[] = words(
  'aes pclmulqdq vaes vpclmulqdq sha_ni adx rdrand fsgsbase amx_tile amx_int8 amx_bf16 amx_fp16 movdiri movdir64b ' +
    'avx512_vp2intersect sha512 sm3 sm4 cmpccxadd avx512ifma avx_ifma avx_vnni_int8 avx_vnni_int16',
);

/**
 * The flags that each flag depends on. Without them the kernel disables it, and its instructions trap.
 *
 * Source: Linux, arch/x86/kernel/cpu/cpuid-deps.c. In addition: VEX-encoded instructions need AVX's state (Intel
 * SDM, volume 1, chapter 14), and tile instructions need the tiles.
 */
export const FLAG_DEPENDENCIES: Readonly<Record<string, readonly string[]>> = dependencies({
  fpu: 'fxsr',
  fxsr: 'cmov mmx sse xsave fxsr_opt',
  mmx: 'mmxext',
  sse: 'sse2',
  sse2: 'pni ssse3 sse4_1 sse4_2 sse4a aes pclmulqdq f16c sha_ni gfni',
  xsave: 'xsaveopt xsavec xsaves xgetbv1 avx pku mpx',
  avx: 'avx2 fma f16c fma4 xop vaes vpclmulqdq avx512f sm3 sm4',
  avx2: 'avx_vnni avx_ifma avx_ne_convert avx_vnni_int8 avx_vnni_int16 sha512',
  avx512f:
    'avx512cd avx512dq avx512bw avx512vl avx512ifma avx512pf avx512er avx512vbmi avx512_vpopcntdq avx512_4vnniw avx512_4fmaps',
  avx512vl: 'avx512_vbmi2 avx512_vnni avx512_bitalg avx512_bf16 avx512_vp2intersect',
  avx512bw: 'avx512_fp16 avx512_bmm',
  amx_tile: 'amx_int8 amx_bf16 amx_fp16 amx_complex',
});

/**
 * The first release of Linux that prints a flag, where that helps to distinguish CPUs. Some distributions backport
 * flags to older kernels; then the flag is printed anyway.
 *
 * Source: the history of Linux, arch/x86/include/asm/cpufeatures.h (cpufeature.h before 4.6). Each flag was checked
 * in the sources of 3.6, 4.1, 5.10, 6.1 and 6.12, and those of CPUID leaf 7 in 5.2: each release has the flags that
 * this table gives to it or an earlier one, and none of a later one.
 *
 * Not listed are flags for which the kernel must do more than print, because it has to save registers for each
 * process: avx512f and the flags that came with it in 3.15, pku, fsgsbase, and the tiles of AMX. Without that,
 * their instructions trap on any CPU.
 */
export const FIRST_PRINTED: Readonly<Record<string, string>> = {
  bmi1: '3.2',
  bmi2: '3.2',
  avx2: '3.2',
  rdseed: '3.6',
  adx: '3.6',
  tsc_adjust: '3.8',
  clflushopt: '3.15',
  xsavec: '3.17',
  clwb: '4.1',
  sha_ni: '4.4',
  avx512dq: '4.6',
  avx512bw: '4.6',
  avx512vl: '4.6',
  avx512ifma: '4.10',
  avx512vbmi: '4.10',
  rdpid: '4.10',
  avx512_vpopcntdq: '4.11',
  avx512_vbmi2: '4.15',
  gfni: '4.15',
  vaes: '4.15',
  vpclmulqdq: '4.15',
  avx512_vnni: '4.15',
  avx512_bitalg: '4.15',
  cldemote: '4.18',
  movdiri: '4.20',
  movdir64b: '4.20',
  waitpkg: '5.3',
  avx512_bf16: '5.3',
  avx512_vp2intersect: '5.4',
  serialize: '5.9',
  avx512_fp16: '5.11',
  avx_vnni: '5.12',
};

/**
 * Flags that the kernel knows but does not print: their names are without quotes in cpufeatures.h (before 6.11:
 * with `""`), or in arch/x86/kvm/reverse_cpuid.h, which is for guests only. Checked in the sources of 6.1 and 6.12.
 * For later releases, up to `NOT_PRINTED_THROUGH`, no published /proc/cpuinfo shows one of them. Newer releases are
 * assumed to print them.
 */
export const NEVER_PRINTED: readonly string[] = words(
  'cmpccxadd avx_ifma amx_fp16 sha512 sm3 sm4 avx_vnni_int8 avx_vnni_int16 avx_ne_convert avx512_bmm',
);
export const NOT_PRINTED_THROUGH = '7.2';

function words(list: string): readonly string[] {
  return list.split(' ');
}

/** Converts `needed: dependants` to `dependant: all that it needs`. */
function dependencies(byNeed: Readonly<Record<string, string>>): Readonly<Record<string, readonly string[]>> {
  const needs: Record<string, string[]> = {};
  for (const [needed, dependants] of Object.entries(byNeed)) {
    for (const flag of words(dependants)) needs[flag] = [...(needs[flag] ?? []), needed];
  }
  return needs;
}

type ModelRange = readonly [first: number, last: number, node: string];

/**
 * The microarchitecture of each range of model numbers, by vendor and family.
 *
 * Facts of Linux, arch/x86/include/asm/intel-family.h and arch/x86/kernel/cpu/amd.c; for 0xb5, 0xd5 and 0xd7 also
 * of LLVM, lib/TargetParser/Host.cpp (Arrow Lake-U has Meteor Lake's cores, Wildcat Lake Panther Lake's, Bartlett
 * Lake Raptor Lake's). Arrow Lake-H (0xc5) has low-power cores of Meteor Lake, which lack what its other cores add
 * to Alder Lake; a program may run on any of them (https://github.com/llvm/llvm-project/issues/197241). Nova Lake
 * and Diamond Rapids have a family of their own, and are listed as what they descend from.
 */
export const X86_MODELS: Readonly<Record<string, readonly ModelRange[]>> = {
  'GenuineIntel/6': [
    ...models('core2', 0x0f, 0x16, 0x17, 0x1d),
    ...models('nehalem', 0x1a, 0x1e, 0x1f, 0x2e),
    ...models('westmere', 0x25, 0x2c, 0x2f),
    ...models('sandybridge', 0x2a, 0x2d),
    ...models('ivybridge', 0x3a, 0x3e),
    ...models('haswell', 0x3c, 0x3f, 0x45, 0x46),
    ...models('broadwell', 0x3d, 0x47, 0x4f, 0x56),
    ...models('skylake', 0x4e, 0x5e, 0x8e, 0x9e, 0xa5, 0xa6),
    ...models('skylake_avx512', 0x55),
    ...models('mic_knl', 0x57, 0x85),
    ...models('cannonlake', 0x66),
    ...models('icelake', 0x6a, 0x6c, 0x7d, 0x7e, 0x9d, 0xa7),
    ...models('tigerlake', 0x8c, 0x8d),
    ...models('alderlake', 0x97, 0x9a, 0xaa, 0xac, 0xb5, 0xb7, 0xba, 0xbe, 0xbf, 0xc5, 0xd7),
    ...models('sapphirerapids', 0x8f),
    ...models('emeraldrapids', 0xcf),
    ...models('graniterapids', 0xad),
    ...models('graniterapids_d', 0xae),
    ...models('sierraforest', 0xaf, 0xb6),
    ...models('clearwaterforest', 0xdd),
    ...models('arrowlake_s', 0xbd, 0xc6, 0xcc, 0xd5),
  ],
  // Their new instructions (AVX10.2, APX) need state that the kernel must save. No kernel prints their flags yet.
  'GenuineIntel/18': models('arrowlake_s', 0x01, 0x03),
  'GenuineIntel/19': models('graniterapids_d', 0x01),
  'AuthenticAMD/16': [[0x00, 0x0a, 'k10']],
  'AuthenticAMD/21': [
    [0x00, 0x01, 'bulldozer'],
    [0x02, 0x1f, 'piledriver'],
    [0x30, 0x3f, 'steamroller'],
    [0x60, 0x7f, 'excavator'],
  ],
  'AuthenticAMD/23': [
    [0x00, 0x2f, 'zen'],
    [0x30, 0x4f, 'zen2'],
    [0x50, 0x5f, 'zen'],
    [0x60, 0xaf, 'zen2'],
  ],
  'AuthenticAMD/25': [
    [0x00, 0x0f, 'zen3'],
    [0x10, 0x1f, 'zen4'],
    [0x20, 0x5f, 'zen3'],
    [0x60, 0xaf, 'zen4'],
  ],
  'AuthenticAMD/26': [
    [0x00, 0x4f, 'zen5'],
    [0x50, 0x5f, 'zen6'],
    [0x60, 0x7f, 'zen5'],
    [0x80, 0xaf, 'zen6'],
    [0xc0, 0xcf, 'zen6'],
  ],
  'HygonGenuine/24': [[0x00, 0xff, 'dhyana']],
};

function models(node: string, ...numbers: readonly number[]): readonly ModelRange[] {
  return numbers.map((number) => [number, number, node]);
}
