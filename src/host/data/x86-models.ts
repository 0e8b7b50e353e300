type ModelRange = readonly [first: number, last: number, node: string];

/**
 * Vendor and family -> model numbers -> the microarchitecture sold under them.
 *
 * Facts of Linux, arch/x86/include/asm/intel-family.h and arch/x86/kernel/cpu/amd.c; for 0xb5, 0xd5 and 0xd7 also of
 * LLVM, lib/TargetParser/Host.cpp (Arrow Lake-U has Meteor Lake's cores, Wildcat Lake Panther Lake's, Bartlett Lake
 * Raptor Lake's). Arrow Lake-H (0xc5) has low-power cores of Meteor Lake without what Arrow Lake's others add to Alder
 * Lake: a program may land on any of them (https://github.com/llvm/llvm-project/issues/197241). Nova Lake and Diamond Rapids have a family of their own, and stand here for what they descend from.
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
  // Their own instructions (AVX10.2, APX) need state that the kernel must keep: no kernel's flags show it yet.
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
