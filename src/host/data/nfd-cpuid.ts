/**
 * The names of x86 flags in node-feature-discovery's `cpu.cpuid`, by the kernel's names.
 *
 * Facts of github.com/klauspost/cpuid, cpuid.go (MIT), which node-feature-discovery uses. Flags with the same name
 * in upper case are in `SAME_NAMES`.
 */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  '3dnow': 'AMD3DNOW',
  '3dnowext': 'AMD3DNOWEXT',
  abm: 'LZCNT',
  aes: 'AESNI',
  amx_bf16: 'AMXBF16',
  amx_complex: 'AMXCOMPLEX',
  amx_fp16: 'AMXFP16',
  amx_int8: 'AMXINT8',
  amx_tile: 'AMXTILE',
  avx512_bf16: 'AVX512BF16',
  avx512_bitalg: 'AVX512BITALG',
  avx512_fp16: 'AVX512FP16',
  avx512_vbmi2: 'AVX512VBMI2',
  avx512_vnni: 'AVX512VNNI',
  avx512_vp2intersect: 'AVX512VP2INTERSECT',
  avx512_vpopcntdq: 'AVX512VPOPCNTDQ',
  avx_ifma: 'AVXIFMA',
  avx_ne_convert: 'AVXNECONVERT',
  avx_vnni: 'AVXVNNI',
  avx_vnni_int8: 'AVXVNNIINT8',
  avx_vnni_int16: 'AVXVNNIINT16',
  cx8: 'CMPXCHG8',
  fma: 'FMA3',
  fxsr_opt: 'FXSROPT',
  lahf_lm: 'LAHF',
  pclmulqdq: 'CLMUL',
  pni: 'SSE3',
  sha_ni: 'SHA',
  sm3: 'SM3_X86',
  sm4: 'SM4_X86',
  sse4_1: 'SSE4',
  sse4_2: 'SSE42',
  syscall: 'SCE',
};

/** Flags whose name there is the kernel's in upper case. */
const SAME_NAMES =
  'adx avx avx2 avx512bw avx512cd avx512dq avx512er avx512f avx512ifma avx512pf avx512vbmi avx512vl bmi1 bmi2 cldemote ' +
  'clzero cmov cmpccxadd cx16 erms f16c fma4 fsrm gfni hle hypervisor mmx mmxext movbe movdir64b movdiri nx popcnt rdpru ' +
  'rdrand rdseed rdtscp rtm serialize sse sse2 sse4a ssse3 tbm vaes vpclmulqdq waitpkg wbnoinvd xop xsave xsavec xsaveopt xsaves';

/** The names of x86 flags in node-feature-discovery, by the kernel's names. */
export const NFD_X86: ReadonlyMap<string, string> = new Map([
  ...Object.entries(OTHER_NAMES),
  ...SAME_NAMES.split(' ').map((flag): [string, string] => [flag, flag.toUpperCase()]),
]);

/**
 * The same for arm64: the flags that node-feature-discovery reads from the auxiliary vector, with the kernel's
 * names in upper case. Source: github.com/kubernetes-sigs/node-feature-discovery, source/cpu/cpuid_linux_arm64.go
 * (Apache-2.0), facts only.
 */
export const NFD_ARM64: ReadonlyMap<string, string> = new Map(
  (
    'aes asimd asimddp asimdhp asimdrdm atomics cpuid crc32 dcpop evtstrm fcma fp fphp jscvt lrcpc pmull sha1 sha2 sha3 ' +
    'sha512 sm3 sm4 sve'
  )
    .split(' ')
    .map((flag): [string, string] => [flag, flag.toUpperCase()]),
);
