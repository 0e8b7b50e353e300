import { describe, expect, test } from 'vitest';
import { NOT_PRINTED_THROUGH } from '../../src/host/data/x86.ts';
import { effectiveCpu, effectiveFlags } from '../../src/host/effective-flags.ts';
import type { CpuFacts } from '../../src/host/facts.ts';
import {
  archspecName,
  compareMicroarchitectures,
  createJudge,
  flagsOf,
  identify,
  vendorOf,
  withCoreVendor,
} from '../../src/host/identify.ts';
import { allNodes, findNode } from '../../src/host/microarchitectures.ts';

function cpuOf(name: string, change: Partial<CpuFacts> = {}): CpuFacts {
  return { vendor: vendorOf(name), flags: [...(flagsOf(name) ?? [])], ...change };
}

function without(name: string, lacks: readonly string[], change: Partial<CpuFacts> = {}): CpuFacts {
  return cpuOf(name, {
    flags: [...(flagsOf(name) ?? [])].filter((flag) => !lacks.includes(flag)),
    ...change,
  });
}

describe('archspecName()', () => {
  test.each([
    ['skylake', 'skylake'],
    ['x86_64_v3', 'x86_64_v3'],
    ['aarch64', 'aarch64'],
    // Unknown to archspec: the best that it has of the same line, a maker's own before a level.
    ['emeraldrapids', 'sapphirerapids'],
    ['dhyana', 'zen'],
    ['neoverse_v3', 'neoverse_v2'],
    ['ampere1b', 'ampere1a'],
    ['cortex_x925', 'armv9.2a'],
    ['p550', 'riscv64'],
    ['z16', undefined],
    ['warp9', undefined],
  ])('of %s is %s', (name, expected) => {
    expect(archspecName(name)).toBe(expected);
  });
});

describe('compareMicroarchitectures()', () => {
  const names = [...allNodes()].map(({ name }) => name);

  test('is an order: only equal names compare equal, and swapping them gives the opposite', () => {
    for (const a of names) {
      for (const b of names) {
        const order = Math.sign(compareMicroarchitectures(a, b));
        expect(order + Math.sign(compareMicroarchitectures(b, a)), `${a} ${b}`).toBe(0);
        expect(order === 0, `${a} ${b}`).toBe(a === b);
      }
    }
  });

  test.each([
    // As many ancestors: more flags go first.
    [
      ['x86_64_v2', 'nocona'],
      ['x86_64_v2', 'nocona'],
    ],
    // As many flags, too: the later name.
    [
      ['neoverse_n2', 'neoverse_v2'],
      ['neoverse_v2', 'neoverse_n2'],
    ],
    [
      ['p550', 'x60', 'u74mc'],
      ['x60', 'u74mc', 'p550'],
    ],
  ])('sorts %j as %j', (given, sorted) => {
    expect([...given].sort(compareMicroarchitectures)).toEqual(sorted);
    expect([...given].reverse().sort(compareMicroarchitectures)).toEqual(sorted);
  });
});

describe('the warning of a model number without its flags', () => {
  const said = (cpu: CpuFacts, architecture = 'amd64') => identify(cpu, architecture).warnings;
  const xeon = { family: 6, model: 0x55 };
  const wide = ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'];

  test.each([
    [1, 'avx512f'],
    [4, 'avx512f, avx512bw, avx512cd, avx512dq'],
    [5, 'avx512f, avx512bw, avx512cd, avx512dq and 1 more'],
  ])('names up to four of %i missing flags', (count, shown) => {
    expect(said(without('skylake_avx512', wide.slice(0, count), xeon))).toEqual([
      `this CPU's model number is that of skylake_avx512, but the kernel does not report ${shown}: it counts as skylake`,
    ]);
  });

  test('names no idle flag, which the model does not need', () => {
    const [warning] = said(without('zen4', ['avx512f', 'pku'], { family: 25, model: 17 }));
    expect(warning).toContain('does not report avx512f: it counts as zen3');
  });

  test('is absent on a 32-bit kernel, which reports all flags', () => {
    expect(said(cpuOf('skylake', { family: 6, model: 0x5e }), '386')).toEqual([]);
  });
});

describe('the cores of an ARM CPU', () => {
  const n1 = (parts?: readonly string[]) =>
    identify(cpuOf('neoverse_n1', parts === undefined ? {} : { parts }), 'arm64').microarchitecture;

  test.each([
    ['all of one kind', ['0xd0c', '0xd0c'], 'neoverse_n1'],
    ['of two kinds, of which archspec knows one', ['0xd0c', '0xd49'], 'neoverse_n1'],
    ['that nobody knows', ['0x999'], 'armv8.2a'],
    ['with a part number of another maker’s', ['0xac3'], 'armv8.2a'],
    ['that the kernel does not name', undefined, 'armv8.2a'],
    ['that the kernel does not name, as an empty list', [], 'armv8.2a'],
  ])('%s', (_, parts, expected) => {
    expect(n1(parts)).toBe(expected);
  });

  test('are ARM’s under the vendor Microsoft, where the kernel names them', () => {
    const cpu = { vendor: 'Microsoft', flags: [] };
    expect(withCoreVendor({ ...cpu, parts: ['0xd49'] }).vendor).toBe('ARM');
    expect(withCoreVendor(cpu).vendor).toBe('Microsoft');
    expect(withCoreVendor({ ...cpu, vendor: 'HiSilicon', parts: ['0xd49'] }).vendor).toBe('HiSilicon');
  });

  test('do not count for archspec’s result, which is the best that the flags allow', () => {
    const strict = identify(cpuOf('neoverse_n1', { parts: ['0x999'] }), 'arm64', { strictArchspec: true });
    expect(strict.compatible).toEqual(['neoverse_n1', 'cortex_a72', 'aarch64']);
  });
});

describe('archspec’s own result', () => {
  const strictly = (cpu: CpuFacts, architecture: string) =>
    identify(cpu, architecture, { strictArchspec: true }).compatible;

  test('has no node that archspec lacks, whatever the model number is', () => {
    const cpu = cpuOf('sapphirerapids', { family: 6, model: 0xcf });
    expect(identify(cpu, 'amd64').microarchitecture).toBe('emeraldrapids');
    expect(strictly(cpu, 'amd64')[0]).toBe('sapphirerapids');
  });

  test('has only the root of ARM’s versions', () => {
    expect(strictly(cpuOf('a64fx', { parts: ['0x001'] }), 'arm64')).toEqual(['a64fx', 'aarch64']);
    expect(createJudge(cpuOf('a64fx'), 'arm64', true).runs(findNode('aarch64') as never)).toBe(true);
  });
});

describe('an Apple chip whose name is not in the table', () => {
  test.each([
    ['Apple M10 Pro', 'm4'],
    ['VirtualApple M2', 'aarch64'],
    ['Apple', 'aarch64'],
  ])('%s is %s', (modelName, node) => {
    expect(identify({ vendor: 'Apple', flags: [], modelName }, 'arm64').microarchitecture).toBe(node);
  });
});

test('missingIdleFlags() returns only idle flags, and none where archspec is asked', () => {
  const cpu = without('skylake', ['clflushopt', 'xsavec', 'avx2']);
  const skylake = findNode('skylake') as never;
  const judge = createJudge(cpu, 'amd64');
  expect([judge.missingIdleFlags(skylake), judge.missingFlags(skylake)]).toEqual([
    ['clflushopt', 'xsavec'],
    ['avx2'],
  ]);
  expect(createJudge(cpu, 'amd64', true).missingIdleFlags(skylake)).toEqual([]);
});

describe('effectiveFlags()', () => {
  test('returns the flags of any other architecture unchanged', () => {
    expect(effectiveFlags({ vendor: 'ARM', flags: ['avx2', 'sve'] }, 'arm64', {})).toEqual({
      flags: ['avx2', 'sve'],
      assumed: [],
      ignored: [],
    });
  });

  test('assumes no flag that is printed, or that its vendor’s patched kernel would print', () => {
    const printed = ['avx512f', 'fpu', 'xsave', 'avx', 'avx2'];
    const cpu = cpuOf('skylake_avx512', { family: 6, model: 0x55, stepping: 4 });
    const { flags, assumed } = effectiveFlags(cpu, 'amd64', { kernel: '4.4.0' });
    expect(assumed.filter((flag) => cpu.flags.includes(flag))).toEqual([]);
    expect(new Set(flags).size).toBe(flags.length);
    expect(printed.filter((flag) => assumed.includes(flag))).toEqual([]);
  });

  const [major = 0, minor = 0] = NOT_PRINTED_THROUGH.split('.').map(Number);
  test.each([
    [`${NOT_PRINTED_THROUGH}.9-generic`, ['amx_fp16']],
    [`${major}.${minor + 1}.0`, []],
  ])('assumes what kernels up to the newest in the table do not print: on %s', (kernel, expected) => {
    const cpu = without('graniterapids', ['amx_fp16'], { family: 6, model: 0xad });
    const flags = [...cpu.flags, ...'fpu fxsr cmov cx8 syscall pni xsave'.split(' ')];
    expect(effectiveFlags({ ...cpu, flags }, 'amd64', { kernel }).assumed).toEqual(expected);
  });
});

test('effectiveCpu() returns the CPU with its effective flags', () => {
  const cpu: CpuFacts = { vendor: 'GenuineIntel', model: 1, flags: ['sse2', 'avx2'] };
  const host = { os: 'linux', architecture: 'amd64', cpu, gpus: [], system: {}, local: [] };
  expect(effectiveCpu(host)).toEqual({
    ...cpu,
    flags: effectiveFlags(cpu, 'amd64', {}).flags,
  });
  expect(effectiveCpu(host).flags).not.toContain('avx2');
});
