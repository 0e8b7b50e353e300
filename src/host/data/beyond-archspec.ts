import type { NodeRow } from './rows.ts';

/**
 * Nodes that archspec (0.2.5) does not have. They are left out when the answer must be archspec's
 * (`strictArchspec`).
 *
 * Sources: the instruction sets that GCC 15 documents for each `-march`/`-mcpu` (facts of its manual, "x86
 * Options", "AArch64 Options", "S/390 and zSeries Options", "LoongArch Options"); Linux 6.x for the spelling of the
 * flags (arch/x86/include/asm/cpufeatures.h, arch/s390/kernel/processor.c, arch/loongarch/kernel/proc.c) and for
 * the ARM part numbers (arch/arm64/include/asm/cputype.h); Arm's Technical Reference Manuals for client cores; GCC
 * 16 (`-march=znver6`) for Zen 6. Facts only; no text is copied.
 */
export const BEYOND_ARCHSPEC_NODES: readonly NodeRow[] = [
  ['cooperlake', 'cascadelake', 'GenuineIntel', 'avx512_bf16'],
  ['tigerlake', 'icelake', 'GenuineIntel', 'avx512_vp2intersect movdiri movdir64b'],
  ['emeraldrapids', 'sapphirerapids', 'GenuineIntel', '', { byModel: true }],
  ['graniterapids', 'emeraldrapids', 'GenuineIntel', 'amx_fp16'],
  ['graniterapids_d', 'graniterapids', 'GenuineIntel', '', { byModel: true }],
  ['sierraforest', 'arrowlake', 'GenuineIntel', '', { byModel: true }],
  ['clearwaterforest', 'sierraforest arrowlake_s', 'GenuineIntel', '', { byModel: true }],
  ['zen6', 'zen5', 'AuthenticAMD', 'avx_ifma avx_ne_convert avx_vnni_int8 avx512_fp16 avx512_bmm'],
  // A licensed first-generation Zen: the same instructions, another vendor.
  ['dhyana', 'zen', 'HygonGenuine', ''],

  [
    'tsv110',
    'armv8.2a',
    'HiSilicon',
    'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma dcpop asimddp asimdfhm',
    { part: '0xd01' },
  ],
  [
    'neoverse_n3',
    'neoverse_n2 armv9.2a',
    'ARM',
    'afp bti dgh dit ecv paca pacg svebitperm wfxt',
    { part: '0xd8e' },
  ],
  [
    'neoverse_v3',
    'neoverse_v2 armv9.2a',
    'ARM',
    'afp bti dgh dit ecv paca pacg svebitperm wfxt',
    { part: '0xd84' },
  ],
  ['ampere1b', 'ampere1a', 'Ampere', 'wfxt', { part: '0xac5' }],

  // Client cores. Their instructions are those of an architecture version; the name says which core it is.
  [
    'cortex_a76',
    'armv8.2a',
    'ARM',
    'fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp',
    { part: '0xd0b', otherParts: '0xd0e' },
  ],
  ['cortex_a77', 'cortex_a76', 'ARM', '', { part: '0xd0d' }],
  ['cortex_a78', 'cortex_a76', 'ARM', 'uscat ilrcpc flagm', { part: '0xd41', otherParts: '0xd42 0xd4b' }],
  ['cortex_x1', 'cortex_a78', 'ARM', '', { part: '0xd44', otherParts: '0xd4c' }],
  [
    'cortex_a710',
    'armv9.0a',
    'ARM',
    'fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm jscvt fcma lrcpc dcpop asimddp asimdfhm uscat ilrcpc flagm ' +
      'sb dcpodp flagm2 frint sve sve2 svei8mm svebf16 i8mm bf16',
    { part: '0xd47' },
  ],
  ['cortex_a715', 'cortex_a710', 'ARM', '', { part: '0xd4d' }],
  ['cortex_x2', 'cortex_a710', 'ARM', '', { part: '0xd48' }],
  ['cortex_x3', 'cortex_x2', 'ARM', '', { part: '0xd4e' }],
  ['cortex_a720', 'cortex_a715 armv9.2a', 'ARM', 'afp wfxt', { part: '0xd81', otherParts: '0xd89' }],
  ['cortex_a725', 'cortex_a720', 'ARM', '', { part: '0xd87' }],
  ['cortex_x4', 'cortex_x3 armv9.2a', 'ARM', 'afp wfxt', { part: '0xd82' }],
  ['cortex_x925', 'cortex_x4', 'ARM', '', { part: '0xd85' }],

  ['power11', 'power10', 'IBM', '', { generation: 11 }],
  ['power11le', 'power10le', 'IBM', '', { generation: 11 }],

  ['p550', 'riscv64', 'SiFive', '', { machines: 'sifive,p550 eswin,eic770x 0x489/0x8000000000000008' }],

  ['s390x', '', 'generic', ''],
  ['z13', 's390x', 'IBM', 'zarch stfle msa ldisp eimm dfp edat etf3eh highgprs vx'],
  ['z14', 'z13', 'IBM', 'vxd vxe gs'],
  ['z15', 'z14', 'IBM', 'vxe2 vxp'],
  ['z16', 'z15', 'IBM', 'vxp2'],
  // z17 has no new flag that the kernel prints.
  ['z17', 'z16', 'IBM', '', { machines: '9175 9176' }],

  ['loongarch64', '', 'generic', ''],
  // crc32 is not listed, because vendors' kernels do not print it.
  ['la464', 'loongarch64', 'Loongson', 'lam ual fpu lsx lasx'],
  [
    'la664',
    'la464',
    'Loongson',
    '',
    { machines: 'LA664 Loongson-3A6000 Loongson-3B6000 Loongson-3C6000 Loongson-3D6000 Loongson-3E6000' },
  ],
];

/**
 * Flags that archspec's nodes lack although compilers use them for the microarchitecture (docs/idle-flags.md). A
 * guest whose host hides them cannot run its code.
 */
export const FLAGS_BEYOND_ARCHSPEC: Readonly<Record<string, string>> = {
  sapphirerapids: 'avx_vnni avx512_fp16',
};
