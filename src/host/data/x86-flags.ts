/**
 * What a flag of x86 means for code: whether compilers emit it, what the kernel wants beside it, and since when the
 * kernel prints it. Facts only; docs/detection.md explains the rules, docs/idle-flags.md has the compilers' answers.
 */

/**
 * Idle: no compiler emits these on its own, and ordinary programs do not ask for their macro. A CPU that lacks them runs
 * what was built for a microarchitecture that has them.
 *
 * Evidence: `npm run idle-flags` (object code with and without each flag is equal, GCC and Clang).
 */
export const IDLE_FLAGS: readonly string[] = words(
  'pku flush_l1d tsc_adjust waitpkg cldemote serialize clflushopt xsavec xsaveopt clzero rdpid rdseed',
);

/** Idle on one vendor's nodes only: on AMD's, `clwb` alone distinguishes Zen 2 from Zen. */
export const IDLE_FLAGS_BY_VENDOR: Readonly<Record<string, readonly string[]>> = {
  GenuineIntel: ['clwb'],
};

/**
 * Not emitted either, but ordinary programs ask the compiler for them by macro (`#ifdef __AES__`), so code for a
 * microarchitecture that has them may use them.
 */
export const MACRO_FLAGS: readonly string[] = words(
  'aes pclmulqdq vaes vpclmulqdq sha_ni adx rdrand fsgsbase amx_tile amx_int8 amx_bf16 amx_fp16 movdiri movdir64b ' +
    'avx512_vp2intersect sha512 sm3 sm4 cmpccxadd avx512ifma avx_ifma avx_vnni_int8 avx_vnni_int16',
);

/**
 * What each flag needs: without it the kernel takes the flag away, and the instructions trap.
 *
 * Source: Linux, arch/x86/kernel/cpu/cpuid-deps.c. Beyond that table: instructions in VEX encoding need AVX's state
 * (Intel SDM, volume 1, chapter 14), tile instructions the tiles.
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
 * The first release of Linux that prints a flag, where it matters for distinguishing CPUs. Distributions print some of
 * them in older kernels; then the flag is simply there.
 *
 * Source: the history of Linux, arch/x86/include/asm/cpufeatures.h (cpufeature.h before 4.6). Looked up again, flag by
 * flag, in trees of 3.6, 4.1, 5.10, 6.1 and 6.12, and for CPUID leaf 7 of 5.2: each has what this table gives to its
 * release or an earlier one, and nothing of a later one.
 * Left out are flags that need more of the kernel than printing, namely registers that it must keep for each process:
 * avx512f and the flags that came with it in 3.15, pku, fsgsbase and the tiles of AMX. Without that state the
 * instructions trap, whatever the CPU can do.
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
 * Flags that the kernel knows and does not print: their names stand without quotes in cpufeatures.h (before 6.11: with
 * `""`), or in arch/x86/kvm/reverse_cpuid.h, which serves guests only. Looked up in the sources of 6.1 and 6.12; later,
 * up to `NOT_PRINTED_THROUGH`, nobody has published a /proc/cpuinfo that shows one. What is newer counts as printing
 * them.
 */
export const NEVER_PRINTED: readonly string[] = words(
  'cmpccxadd avx_ifma amx_fp16 sha512 sm3 sm4 avx_vnni_int8 avx_vnni_int16 avx_ne_convert avx512_bmm',
);
export const NOT_PRINTED_THROUGH = '7.2';

function words(list: string): readonly string[] {
  return list.split(' ');
}

/** Turns `needed: dependants` into `dependant: everything it needs`. */
function dependencies(byNeed: Readonly<Record<string, string>>): Readonly<Record<string, readonly string[]>> {
  const needs: Record<string, string[]> = {};
  for (const [needed, dependants] of Object.entries(byNeed)) {
    for (const flag of words(dependants)) needs[flag] = [...(needs[flag] ?? []), needed];
  }
  return needs;
}
