import type { NodeRow } from './rows.ts';

/**
 * The family tree of aarch64 and arm. Each node lists what it adds to its parents. Facts (names, parents, vendors,
 * flags, part numbers) from archspec's microarchitectures.json, Apache-2.0 OR MIT; Apple's other part numbers from
 * Linux, arch/arm64/include/asm/cputype.h.
 * @see https://github.com/archspec/archspec-json
 */
export const ARM_NODES: readonly NodeRow[] = [
  ['aarch64', '', 'generic', ''],
  ['armv8.1a', 'aarch64', 'generic', ''],
  ['armv8.2a', 'armv8.1a', 'generic', ''],
  ['armv8.3a', 'armv8.2a', 'generic', ''],
  ['armv8.4a', 'armv8.3a', 'generic', ''],
  ['armv8.5a', 'armv8.4a', 'generic', ''],
  ['armv8.6a', 'armv8.5a', 'generic', ''],
  ['armv9.0a', 'armv8.5a', 'generic', ''],
  ['armv9.2a', 'armv9.0a armv8.6a', 'generic', ''],
  [
    'thunderx2',
    'armv8.1a',
    'Cavium',
    'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics cpuid asimdrdm',
    { part: '0x0af' },
  ],
  [
    'a64fx',
    'armv8.2a',
    'Fujitsu',
    'fp asimd evtstrm sha1 sha2 crc32 atomics cpuid asimdrdm fphp asimdhp fcma dcpop sve',
    { part: '0x001' },
  ],
  ['cortex_a72', 'aarch64', 'ARM', 'fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid', { part: '0xd08' }],
  [
    'neoverse_n1',
    'cortex_a72 armv8.2a',
    'ARM',
    'atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp',
    { part: '0xd0c' },
  ],
  [
    'neoverse_v1',
    'neoverse_n1 armv8.4a',
    'ARM',
    'jscvt fcma sha3 sha512 sve asimdfhm dit uscat ilrcpc flagm dcpodp svei8mm svebf16 i8mm bf16 dgh rng',
    { part: '0xd40' },
  ],
  [
    'neoverse_v2',
    'neoverse_n1 armv9.0a',
    'ARM',
    'jscvt fcma sha3 sha512 sve asimdfhm uscat ilrcpc flagm sb dcpodp sve2 flagm2 frint svei8mm svebf16 i8mm bf16',
    { part: '0xd4f' },
  ],
  [
    'neoverse_n2',
    'neoverse_n1 armv9.0a',
    'ARM',
    'jscvt fcma sha3 sha512 sve asimdfhm uscat ilrcpc flagm sb dcpodp sve2 flagm2 frint svei8mm svebf16 i8mm bf16',
    { part: '0xd49' },
  ],
  [
    'ampere1',
    'neoverse_n1 armv8.6a',
    'Ampere',
    'jscvt fcma sha3 sha512 asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg dcpodp flagm2 frint i8mm bf16 rng bti ecv',
    { part: '0xac3' },
  ],
  ['ampere1a', 'ampere1', 'Ampere', 'sm3 sm4', { part: '0xac4' }],
  [
    'neoverse_v3ae',
    'neoverse_v2 armv9.2a',
    'ARM',
    'afp bti dgh dit ecv paca pacg sm3 sm4 sveaes svebitperm svepmull svesha3 svesm4 wfxt',
    { part: '0xd83' },
  ],
  [
    'm1',
    'armv8.4a',
    'Apple',
    'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 asimddp sha512 asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg dcpodp flagm2 frint',
    { part: '0x022', otherParts: '0x023 0x024 0x025 0x028 0x029' },
  ],
  [
    'm2',
    'm1 armv8.5a',
    'Apple',
    'ecv bf16 i8mm bti',
    { part: '0x032', otherParts: '0x033 0x034 0x035 0x038 0x039' },
  ],
  ['m3', 'm2 armv8.6a', 'Apple', '', { byPart: true, otherParts: '0x042 0x043 0x044 0x045 0x048 0x049' }],
  ['m4', 'm3 armv8.6a', 'Apple', 'sme sme2', { otherParts: '0x052 0x053 0x054 0x055 0x058 0x059' }],
  ['arm', '', 'generic', ''],
];
