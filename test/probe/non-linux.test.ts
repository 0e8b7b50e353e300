import { describe, expect, test } from 'vitest';
import { deriveProfile } from '../../src/host/profile.ts';
import { collectDiagnostics } from '../../src/probe/host-root.ts';
import { parseWindows } from '../../src/probe/non-linux.ts';

/** What systeminformation 5 answers on Windows 11, of two machines; the other fields are not read. */
const CORE_I7 = {
  vendor: 'GenuineIntel',
  brand: 'Core™ i7-9750H',
  family: '6',
  model: '158',
  stepping: '10',
  flags:
    'de pse mca msr tsc mce cx8 apic sep mtrr pge cmov psn clfsh ds mmx fxsr sse sse2 ss htt tm ia64 pbe',
};
const RYZEN = {
  ...CORE_I7,
  vendor: 'AuthenticAMD',
  brand: 'Ryzen 9 7950X',
  family: '25',
  model: '97',
  flags: '',
};

describe('parseWindows()', () => {
  test('reads vendor, name and model, and omits a missing capability', () => {
    const problems = collectDiagnostics();
    const { os, cpu } = parseWindows(CORE_I7, problems);
    expect(os).toBe('windows');
    expect(cpu).toMatchObject({
      vendor: 'GenuineIntel',
      modelName: 'Core™ i7-9750H',
      family: 6,
      model: 158,
      stepping: 10,
    });
    expect(cpu.flags).toContain('sse2');
    expect(problems.warnings).toEqual([expect.stringContaining('--set cpu:NAME')]);
  });

  test('gives a CPU only its flags, whatever its name suggests', () => {
    const { cpu, system } = parseWindows(RYZEN, collectDiagnostics());
    const { os, architecture } = { os: 'windows', architecture: 'amd64' };
    const profile = deriveProfile({ os, architecture, cpu, gpus: [], system, local: [] });
    expect(profile.cpu.microarchitecture).toBe('x86_64');
    expect(profile.platform).toMatchObject({ os, architecture });
  });

  test('omits fields that are empty or not numbers', () => {
    const { cpu } = parseWindows(
      { ...RYZEN, brand: '', family: '', model: '?', stepping: '' },
      collectDiagnostics(),
    );
    expect(cpu).toEqual({ vendor: 'AuthenticAMD', flags: [] });
  });
});
