import { describe, expect, test } from 'vitest';
import { FIRST_PRINTED, FLAG_DEPENDENCIES, NEVER_PRINTED } from '../../src/host/data/x86.ts';
import { effectiveFlags } from '../../src/host/effective-flags.ts';
import type { CpuFacts } from '../../src/host/facts.ts';
import { identify } from '../../src/host/identify.ts';
import { flagSet } from '../../src/host/microarchitectures.ts';
import { deriveProfile } from '../../src/host/profile.ts';

/** What stands under every 64-bit CPU's own flags. */
const BASE = 'fpu fxsr cmov cx8 mmx syscall sse sse2 pni xsave avx avx2 avx512f avx512bw avx512vl'.split(' ');

/** A CPU as a kernel prints it: the node's flags without those that no kernel prints. */
function printedOf(node: string, change: Partial<CpuFacts> = {}): CpuFacts {
  const flags = [...BASE, ...(flagSet(node) ?? [])].filter((flag) => !NEVER_PRINTED.includes(flag));
  return { vendor: 'GenuineIntel', family: 6, flags: [...new Set(flags)], ...change };
}

function nameOf(cpu: CpuFacts, kernel: string | undefined): string {
  const { flags } = effectiveFlags(cpu, 'amd64', kernel === undefined ? {} : { kernel });
  return identify({ ...cpu, flags }, 'amd64').microarchitecture;
}

describe('flags that the kernel cannot print', () => {
  test.each([
    [0xad, 'graniterapids', '6.8.0-49-generic'],
    [0xae, 'graniterapids_d', '6.8.0-49-generic'],
    [0xaf, 'sierraforest', '6.8.0-49-generic'],
    [0xdd, 'clearwaterforest', '6.11.10-300.fc41'],
    [0xbd, 'arrowlake_s', '6.11.10-300.fc41'],
    [0xcc, 'arrowlake_s', '6.17.8'],
    [0xd5, 'arrowlake_s', '6.17.8'],
  ])('model 0x%x is %s on Linux %s', (model, node, kernel) => {
    expect(nameOf(printedOf(node, { model }), kernel)).toBe(node);
  });

  test('Arrow Lake-H has cores without its unprinted flags (LLVM issue 197241): it is an Alder Lake', () => {
    const { assumed } = effectiveFlags(printedOf('arrowlake', { model: 0xc5 }), 'amd64', {
      kernel: '6.12.0',
    });
    expect(assumed).toEqual([]);
    expect(nameOf(printedOf('arrowlake', { model: 0xc5 }), '6.12.0')).toBe('alderlake');
  });

  test.each([
    [18, 0x01, 'Nova Lake', 'arrowlake_s'],
    [18, 0x03, 'Nova Lake-L', 'arrowlake_s'],
    [19, 0x01, 'Diamond Rapids', 'graniterapids_d'],
  ])('family %i, model 0x%x (%s) runs the code of its forerunner, %s', (family, model, _, node) => {
    expect(nameOf(printedOf(node, { family, model }), '6.18.0')).toBe(node);
  });

  test('a guest gets none of them: its hypervisor may hide them', () => {
    const cpu = printedOf('graniterapids', { model: 0xad });
    expect(nameOf({ ...cpu, flags: [...cpu.flags, 'hypervisor'] }, '6.8.0')).toBe('sapphirerapids');
  });

  test('a kernel newer than those looked at is taken to print them', () => {
    expect(nameOf(printedOf('graniterapids', { model: 0xad }), '9.1.0')).toBe('sapphirerapids');
  });

  test('a kernel that prints one of them prints them all', () => {
    const cpu = printedOf('sierraforest', { model: 0xaf });
    expect(
      effectiveFlags({ ...cpu, flags: [...cpu.flags, 'avx_ifma'] }, 'amd64', { kernel: '6.8.0' }).assumed,
    ).toEqual([]);
  });

  test('a capture that does not tell its kernel gets those that no kernel prints', () => {
    expect(nameOf(printedOf('graniterapids', { model: 0xad }), undefined)).toBe('graniterapids');
    const old = printedOf('cascadelake', { model: 0x55, stepping: 7 });
    const flags = old.flags.filter((flag) => flag !== 'avx512_vnni');
    expect(nameOf({ ...old, flags }, undefined)).toBe('skylake_avx512');
    expect(nameOf({ ...old, flags }, '4.4.0-210-generic')).toBe('cascadelake');
    expect(nameOf({ ...old, flags }, '4.15.0-20-generic')).toBe('skylake_avx512');
  });

  test('a kernel before 3.15 keeps no AVX-512 registers: a flag that it cannot print does not count', () => {
    const cpu = printedOf('skylake_avx512', { model: 0x55, stepping: 4 });
    const flags = cpu.flags.filter((flag) => !/^avx512|^clflushopt|^xsavec|^clwb/.test(flag));
    const { assumed } = effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '3.10.0-123.el7.x86_64' });
    expect(assumed.filter((flag) => flag.startsWith('avx512'))).toEqual([]);
    // Since 3.15 the state is there, and 4.6 prints the rest of AVX-512.
    const started = [...flags, 'avx512f', 'avx512cd'];
    expect(nameOf({ ...cpu, flags: started }, '4.4.0')).toBe('skylake_avx512');
  });

  test('a virtual machine whose hypervisor hides itself from the CPU is known by its firmware tables', () => {
    const cpu = printedOf('graniterapids', { model: 0xad });
    expect(effectiveFlags(cpu, 'amd64', { kernel: '6.8.0', virtual: true }).assumed).toEqual([]);
  });

  test('an unprinted flag does not count where one that it needs is missing', () => {
    const cpu = printedOf('graniterapids', { model: 0xad });
    const flags = cpu.flags.filter((flag) => flag !== 'amx_tile');
    expect(effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '6.8.0' }).assumed).not.toContain('amx_fp16');
  });

  test('Windows Subsystem for Linux 1 prints what Windows tells: nothing is assumed', () => {
    const cpu = printedOf('cascadelake', { model: 0x55, stepping: 7 });
    const flags = cpu.flags.filter((flag) => flag !== 'avx512_vnni');
    expect(effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '4.4.0-19041-Microsoft' }).assumed).toEqual(
      [],
    );
  });

  test('the profile says which flags it assumes, and archspec’s own answer assumes none', () => {
    const facts = {
      os: 'linux',
      architecture: 'amd64',
      cpu: printedOf('graniterapids', { model: 0xad }),
      gpus: [],
      system: { kernel: '6.8.0' },
      local: [],
    };
    expect(deriveProfile(facts).cpu).toMatchObject({
      microarchitecture: 'graniterapids',
      assumedFlags: ['amx_fp16'],
    });
    const strict = deriveProfile(facts, { strictArchspec: true }).cpu;
    expect(strict.microarchitecture).toBe('sapphirerapids');
    expect(strict.assumedFlags).toBeUndefined();
  });
});

describe('fault 64: a flag without those that it needs', () => {
  test('avx2 without avx and xsave (QEMU under Hyper-V) does not count, nor what builds on it', () => {
    const cpu = printedOf('skylake', {});
    const flags = cpu.flags.filter((flag) => flag !== 'xsave');
    const { flags: left, ignored } = effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '6.8.0' });
    for (const flag of ['avx', 'avx2', 'fma', 'f16c', 'xsavec']) {
      expect(left).not.toContain(flag);
      expect(ignored).toContain(flag);
    }
    expect(left).toContain('bmi2');
  });

  test('the profile neither claims their level nor lists them, and warns', () => {
    const flags = [...BASE, ...(flagSet('x86_64_v3') ?? [])].filter((flag) => flag !== 'avx');
    const cpu = { vendor: 'GenuineIntel', flags };
    const profile = deriveProfile({
      os: 'linux',
      architecture: 'amd64',
      cpu,
      gpus: [],
      system: {},
      local: [],
    });
    expect(profile.platform.variant).toBe('v2');
    expect(profile.cpu.flags).not.toContain('avx2');
    expect(profile.warnings.join()).toMatch(/reports .*avx2.* without the CPU flags that they need/);
  });

  test('the order in which the kernel prints them does not matter', () => {
    const cpu = printedOf('icelake');
    const turned = { ...cpu, flags: [...cpu.flags].reverse() };
    expect([...effectiveFlags(turned, 'amd64', { kernel: '6.8.0' }).flags].sort()).toEqual(
      [...effectiveFlags(cpu, 'amd64', { kernel: '6.8.0' }).flags].sort(),
    );
  });
});

describe('the tables of flags', () => {
  test('no flag is both printed since a release and never printed', () => {
    expect(NEVER_PRINTED.filter((flag) => flag in FIRST_PRINTED)).toEqual([]);
  });

  test('have no circular dependencies', () => {
    const depth = (flag: string, seen: readonly string[]): void => {
      expect(seen).not.toContain(flag);
      for (const needed of FLAG_DEPENDENCIES[flag] ?? []) depth(needed, [...seen, flag]);
    };
    for (const flag of Object.keys(FLAG_DEPENDENCIES)) depth(flag, []);
  });
});
