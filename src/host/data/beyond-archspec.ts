import type { NodeRow } from './node-row.ts';

/**
 * Nodes that archspec does not have (0.2.5). Left out of the answer where it shall be archspec's (`strictArchspec`).
 *
 * Sources: the instruction sets that GCC 15 documents for each `-march`/`-mcpu` (facts of its manual, "x86 Options",
 * "AArch64 Options", "S/390 and zSeries Options", "LoongArch Options"); Linux 6.x for the spelling of the flags
 * (arch/x86/include/asm/cpufeatures.h, arch/s390/kernel/processor.c, arch/loongarch/kernel/proc.c) and for the ARM
 * part numbers (arch/arm64/include/asm/cputype.h). Facts only; no text is taken over.
 */
export const BEYOND_ARCHSPEC_NODES: readonly NodeRow[] = [
  ['cooperlake', 'cascadelake', 'GenuineIntel', 'avx512_bf16'],
  ['tigerlake', 'icelake', 'GenuineIntel', 'avx512_vp2intersect movdiri movdir64b'],
  ['emeraldrapids', 'sapphirerapids', 'GenuineIntel', '', { byModel: true }],
  ['graniterapids', 'emeraldrapids', 'GenuineIntel', 'avx_vnni avx512_fp16 amx_fp16'],
  ['graniterapids_d', 'graniterapids', 'GenuineIntel', '', { byModel: true }],
  ['sierraforest', 'arrowlake', 'GenuineIntel', '', { byModel: true }],
  ['clearwaterforest', 'sierraforest arrowlake_s', 'GenuineIntel', '', { byModel: true }],
  // A licensed first Zen: the same instructions under another vendor.
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

  ['power11', 'power10', 'IBM', '', { generation: 11 }],
  ['power11le', 'power10le', 'IBM', '', { generation: 11 }],

  ['p550', 'riscv64', 'SiFive', '', { machines: 'sifive,p550' }],

  ['s390x', '', 'generic', ''],
  ['z13', 's390x', 'IBM', 'zarch stfle msa ldisp eimm dfp edat etf3eh highgprs vx'],
  ['z14', 'z13', 'IBM', 'vxd vxe gs'],
  ['z15', 'z14', 'IBM', 'vxe2 vxp'],
  ['z16', 'z15', 'IBM', 'vxp2'],
  // z17 brings no flag that the kernel prints.
  ['z17', 'z16', 'IBM', '', { machines: '9175 9176' }],

  ['loongarch64', '', 'generic', ''],
  ['la464', 'loongarch64', 'Loongson', 'lam ual fpu lsx lasx crc32'],
  ['la664', 'la464', 'Loongson', '', { machines: 'Loongson-3A6000 Loongson-3B6000 Loongson-3C6000' }],
];
