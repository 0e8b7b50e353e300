import type { NodeRow } from './rows.ts';

/**
 * The family trees of POWER, RISC-V and the architectures of which only the name is known. Each node lists what it
 * adds to its parents. Facts (names, parents, vendors, flags, part numbers) from archspec's
 * microarchitectures.json, Apache-2.0 OR MIT.
 * @see https://github.com/archspec/archspec-json
 */
export const OTHER_NODES: readonly NodeRow[] = [
  ['ppc64', '', 'generic', ''],
  ['power7', 'ppc64', 'IBM', '', { generation: 7 }],
  ['power8', 'power7', 'IBM', '', { generation: 8 }],
  ['power9', 'power8', 'IBM', '', { generation: 9 }],
  ['power10', 'power9', 'IBM', '', { generation: 10 }],
  ['ppc64le', '', 'generic', ''],
  ['power8le', 'ppc64le', 'IBM', '', { generation: 8 }],
  ['power9le', 'power8le', 'IBM', '', { generation: 9 }],
  ['power10le', 'power9le', 'IBM', '', { generation: 10 }],
  ['ppc', '', 'generic', ''],
  ['ppcle', '', 'generic', ''],
  ['sparc', '', 'generic', ''],
  ['sparc64', '', 'generic', ''],
  ['riscv64', '', 'generic', ''],
  ['u74mc', 'riscv64', 'SiFive', '', { machines: 'sifive,u74 sifive,bullet0 0x489/0x8000000000000007' }],
  ['x60', 'riscv64', 'SpacemiT', '', { machines: 'spacemit,x60 0x710/0x8000000058000001' }],
];
