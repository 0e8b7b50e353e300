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

  test('Arrow Lake-H has cores without its unprinted flags (LLVM issue 197241), so it counts as an Alder Lake', () => {
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
  ])('family %i, model 0x%x (%s) counts as its predecessor, %s', (family, model, _, node) => {
    expect(nameOf(printedOf(node, { family, model }), '6.18.0')).toBe(node);
  });

  test('are not assumed in a guest, because its hypervisor may hide them', () => {
    const cpu = printedOf('graniterapids', { model: 0xad });
    expect(nameOf({ ...cpu, flags: [...cpu.flags, 'hypervisor'] }, '6.8.0')).toBe('sapphirerapids');
  });

  test('are taken as printed by a kernel newer than those in the table', () => {
    expect(nameOf(printedOf('graniterapids', { model: 0xad }), '9.1.0')).toBe('sapphirerapids');
  });

  test('are all taken as printed by a kernel that prints one of them', () => {
    const cpu = printedOf('sierraforest', { model: 0xaf });
    expect(
      effectiveFlags({ ...cpu, flags: [...cpu.flags, 'avx_ifma'] }, 'amd64', { kernel: '6.8.0' }).assumed,
    ).toEqual([]);
  });

  test('are assumed for a capture of unknown kernel where no kernel prints them', () => {
    expect(nameOf(printedOf('graniterapids', { model: 0xad }), undefined)).toBe('graniterapids');
    const old = printedOf('cascadelake', { model: 0x55, stepping: 7 });
    const flags = old.flags.filter((flag) => flag !== 'avx512_vnni');
    expect(nameOf({ ...old, flags }, undefined)).toBe('skylake_avx512');
    expect(nameOf({ ...old, flags }, '4.4.0-210-generic')).toBe('cascadelake');
    expect(nameOf({ ...old, flags }, '4.15.0-20-generic')).toBe('skylake_avx512');
  });

  test('include no AVX-512 flag before Linux 3.15, which does not save these registers', () => {
    const cpu = printedOf('skylake_avx512', { model: 0x55, stepping: 4 });
    const flags = cpu.flags.filter((flag) => !/^avx512|^clflushopt|^xsavec|^clwb/.test(flag));
    const { assumed } = effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '3.10.0-123.el7.x86_64' });
    expect(assumed.filter((flag) => flag.startsWith('avx512'))).toEqual([]);
    // Since 3.15 the state is there, and 4.6 prints the rest of AVX-512.
    const started = [...flags, 'avx512f', 'avx512cd'];
    expect(nameOf({ ...cpu, flags: started }, '4.4.0')).toBe('skylake_avx512');
  });

  test('are not assumed in a virtual machine that only its firmware tables reveal', () => {
    const cpu = printedOf('graniterapids', { model: 0xad });
    expect(effectiveFlags(cpu, 'amd64', { kernel: '6.8.0', virtual: true }).assumed).toEqual([]);
  });

  test('are not assumed where a flag that they need is missing', () => {
    const cpu = printedOf('graniterapids', { model: 0xad });
    const flags = cpu.flags.filter((flag) => flag !== 'amx_tile');
    expect(effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '6.8.0' }).assumed).not.toContain('amx_fp16');
  });

  test('are not assumed in Windows Subsystem for Linux 1, which prints the flags of Windows', () => {
    const cpu = printedOf('cascadelake', { model: 0x55, stepping: 7 });
    const flags = cpu.flags.filter((flag) => flag !== 'avx512_vnni');
    expect(effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '4.4.0-19041-Microsoft' }).assumed).toEqual(
      [],
    );
  });

  test('are listed in the profile when assumed, and never assumed for archspec’s own result', () => {
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
  test('avx2 without avx and xsave (QEMU under Hyper-V) does not count, nor do flags that depend on it', () => {
    const cpu = printedOf('skylake', {});
    const flags = cpu.flags.filter((flag) => flag !== 'xsave');
    const { flags: left, ignored } = effectiveFlags({ ...cpu, flags }, 'amd64', { kernel: '6.8.0' });
    for (const flag of ['avx', 'avx2', 'fma', 'f16c', 'xsavec']) {
      expect(left).not.toContain(flag);
      expect(ignored).toContain(flag);
    }
    expect(left).toContain('bmi2');
  });

  test('is neither listed nor counted for a level in the profile, which has a warning', () => {
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

  test('does not depend on the order in which the kernel prints flags', () => {
    const cpu = printedOf('icelake');
    const turned = { ...cpu, flags: [...cpu.flags].reverse() };
    expect([...effectiveFlags(turned, 'amd64', { kernel: '6.8.0' }).flags].sort()).toEqual(
      [...effectiveFlags(cpu, 'amd64', { kernel: '6.8.0' }).flags].sort(),
    );
  });
});

describe('the tables of flags', () => {
  test('have no flag that is both printed since a release and never printed', () => {
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
