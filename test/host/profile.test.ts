import { describe, expect, test } from 'vitest';
import { profileOfFeatures, withFeatures } from '../../src/host/assumed-features.ts';
import type { CpuFacts, HostFacts } from '../../src/host/facts.ts';
import { compareMicroarchitectures } from '../../src/host/identify.ts';
import { deriveProfile, type HostProfile } from '../../src/host/profile.ts';
import { parseProfile } from '../../src/host/profile-json.ts';
import { profileKey } from '../../src/host/profile-key.ts';
import { cpuTimeMs } from '../support/cpu-time.ts';

const BROADWELL: CpuFacts = {
  vendor: 'GenuineIntel',
  modelName: 'Intel(R) Xeon(R) CPU E5-2686 v4',
  flags: (
    'fpu cx8 cmov mmx fxsr sse sse2 syscall pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c ' +
    'rdrand lahf_lm abm bmi1 avx2 bmi2 rdseed adx'
  ).split(' '),
};

function facts(changes: Partial<HostFacts> = {}): HostFacts {
  return {
    os: 'linux',
    architecture: 'amd64',
    cpu: BROADWELL,
    gpus: [],
    system: { kernel: '6.1.0', smt: true },
    local: [],
    ...changes,
  };
}

describe('a profile derived from facts', () => {
  test('has the microarchitecture, its level and what else runs there', () => {
    const profile = deriveProfile(facts());
    expect(profile.platform).toEqual({ os: 'linux', architecture: 'amd64', variant: 'v3' });
    expect(profile.cpu.microarchitecture).toBe('broadwell');
    expect(profile.cpu.compatible).toEqual(
      expect.arrayContaining(['broadwell', 'haswell', 'x86_64_v3', 'x86_64']),
    );
    expect(profile.features).toEqual([
      'cpu:broadwell',
      'x86-64-v3',
      'cpuvendor:GenuineIntel',
      'smt:on',
      'os:linux',
      'kernel:6.1.0',
    ]);
  });

  test('has the warnings of the probes and its own', () => {
    const profile = deriveProfile(facts({ local: ['cpu:zen4'] }), { warnings: ['/proc is odd'] });
    expect(profile.warnings).toEqual(['/proc is odd', expect.stringContaining('cpu:zen4')]);
  });

  test('of a CPU without facts is the baseline, and claims no level', () => {
    const profile = deriveProfile(facts({ cpu: { vendor: 'generic', flags: [] }, system: {} }));
    expect(profile.cpu.microarchitecture).toBe('x86_64');
    expect(profile.features).toEqual(['cpu:x86_64', 'os:linux']);
  });

  test('is unchanged after it is written as JSON and read', () => {
    const gpus = [
      { vendor: 'nvidia', name: 'NVIDIA H100', computeCapability: '9.0', pciId: '10de:2330', mig: true },
    ];
    const profile = deriveProfile(facts({ gpus, local: ['rack=b12'] }));
    expect(parseProfile(JSON.parse(JSON.stringify(profile)))).toEqual(profile);
  });
});

describe('a profile with assumed features', () => {
  const host = deriveProfile(
    facts({
      gpus: [
        { vendor: 'nvidia', name: 'NVIDIA V100', computeCapability: '7.0' },
        { vendor: 'nvidia', name: 'NVIDIA V100', computeCapability: '7.0' },
      ],
      system: { nvidiaDriver: '535.104', smt: true },
    }),
  );

  test('gets the ancestors, level, variant and flags of an assumed CPU', () => {
    const assumed = withFeatures(host, ['cpu:znver4']);
    expect(assumed.cpu).toMatchObject({ microarchitecture: 'zen4', vendor: 'AuthenticAMD' });
    expect(assumed.cpu.compatible[0]).toBe('zen4');
    expect(assumed.cpu.compatible).toContain('x86_64_v4');
    expect(assumed.cpu.compatible).not.toContain('broadwell');
    expect(assumed.cpu.flags).toContain('avx512f');
    expect(assumed.platform.variant).toBe('v4');
    expect(assumed.features.slice(0, 3)).toEqual(['cpu:zen4', 'x86-64-v4', 'cpuvendor:AuthenticAMD']);
    expect(assumed.features).toContain('nvcap:7.0');
  });

  test('gets another platform with a CPU of another architecture', () => {
    const assumed = withFeatures(host, ['cpu:neoverse_v2']);
    expect(assumed.platform).toEqual({ os: 'linux', architecture: 'arm64', variant: 'v9.0' });
    expect(assumed.features).not.toContain('x86-64-v3');
  });

  test('gets a CPU of just that level when a level alone is assumed', () => {
    const assumed = withFeatures(host, ['x86-64-v2']);
    expect(assumed.cpu.microarchitecture).toBe('x86_64_v2');
    expect(assumed.platform.variant).toBe('v2');
  });

  test('limits the variant by a level in addition to a CPU', () => {
    const assumed = withFeatures(host, ['cpu:skylake', 'x86-64-v2']);
    expect(assumed.cpu.microarchitecture).toBe('skylake');
    expect(assumed.platform.variant).toBe('v2');
    expect(assumed.features).not.toContain('x86-64-v3');
  });

  test('gets the assumed compute capabilities in place of the detected GPUs', () => {
    const assumed = withFeatures(host, ['nvcap:9.0']);
    expect(assumed.gpus).toEqual([{ vendor: 'nvidia', computeCapability: '9.0' }]);
    expect(assumed.features.filter((feature) => feature.startsWith('nvcap:'))).toEqual(['nvcap:9.0']);
  });

  test('gets several GPUs for several compute capabilities', () => {
    expect(withFeatures(host, ['nvcap:7.0', 'nvcap:8.9']).gpus).toHaveLength(2);
  });

  test('gets none of a kind with “none”', () => {
    const assumed = withFeatures(host, ['nvcap:none', 'nvdriver:none']);
    expect(assumed.gpus).toEqual([]);
    expect(assumed.features.filter((feature) => /^(nv|cuda)/.test(feature))).toEqual([]);
  });

  test('gets the CUDA version of an assumed driver, unless that is assumed too', () => {
    expect(withFeatures(host, ['nvdriver:580.65']).features).toContain('cuda:13.0');
    expect(withFeatures(host, ['nvdriver:580.65', 'cuda:12.4']).features).toContain('cuda:12.4');
    expect(withFeatures(host, ['nvdriver:580.65', 'cuda:12.4']).features).not.toContain('cuda:13.0');
  });

  test('gets an assumed flag in addition to its own', () => {
    const assumed = withFeatures(host, ['amx_tile']);
    expect(assumed.cpu.flags).toEqual([...host.cpu.flags, 'amx_tile']);
  });

  test('gets kinds of the operator’s own in place of the same kinds', () => {
    const once = withFeatures(host, ['rack:a', 'rack:b']);
    expect(once.features.slice(-2)).toEqual(['rack:a', 'rack:b']);
    expect(withFeatures(once, ['rack:c']).features.filter((feature) => feature.startsWith('rack'))).toEqual([
      'rack:c',
    ]);
  });

  test('replaces only AMD’s GPUs by assumed AMD GPUs, and only NVIDIA’s by NVIDIA’s', () => {
    const both = withFeatures(host, ['gfx:gfx90a', 'gfx:gfx942']);
    expect(both.gpus).toEqual([
      ...host.gpus,
      { vendor: 'amd', gfxTarget: 'gfx90a' },
      { vendor: 'amd', gfxTarget: 'gfx942' },
    ]);
    expect(both.features).toEqual(
      expect.arrayContaining(['gpu:nvidia', 'gpu:amd', 'gfx:gfx90a', 'gfx:gfx942']),
    );
    const withoutAmd = withFeatures(both, ['gfx:none']);
    expect(withoutAmd.gpus).toEqual(host.gpus);
    expect(withoutAmd.features).toContain('gpu:nvidia');
    expect(withoutAmd.features).not.toContain('gpu:amd');
    const withoutNvidia = withFeatures(both, ['nvcap:none']);
    expect(withoutNvidia.gpus.map(({ vendor }) => vendor)).toEqual(['amd', 'amd']);
    expect(withoutNvidia.features).not.toContain('gpu:nvidia');
  });

  test('claims an assumed level next to its CPU, and the flag as it is written', () => {
    const assumed = withFeatures(host, ['cpu:skylake', 'x86-64-v2', 'cpuflag:amx_tile']);
    expect(assumed.features).toContain('x86-64-v2');
    expect(assumed.features).toContain('amx_tile');
  });

  test('claims no vendor for a CPU without one', () => {
    expect(
      withFeatures(host, ['cpu:x86_64_v3']).features.filter((one) => one.startsWith('cpuvendor:')),
    ).toEqual([]);
    expect(withFeatures(host, ['cpu:x86_64_v3']).features.slice(0, 2)).toEqual([
      'cpu:x86_64_v3',
      'x86-64-v3',
    ]);
  });

  test('has what it runs and its flags in order, the best first', () => {
    const { compatible, flags } = withFeatures(host, ['cpu:zen4']).cpu;
    expect(compatible).toEqual([...compatible].sort(compareMicroarchitectures));
    expect(flags).toEqual([...flags].sort());
  });

  test('keeps an unknown operating system as a claim', () => {
    const assumed = withFeatures(host, ['os:plan9']);
    expect(assumed.platform.os).toBe('linux');
    expect(assumed.features).toContain('os:plan9');
  });

  test('gets another platform with a known operating system', () => {
    expect(withFeatures(host, ['os:windows']).platform.os).toBe('windows');
  });

  test('is unchanged when nothing is assumed', () => {
    expect(withFeatures(host, [])).toEqual(host);
  });

  test.each([
    [['zen 4'], '“zen 4” is not a feature'],
    [['cpu:pentium9'], 'there is no microarchitecture “pentium9”'],
    [['cpu:zen3', 'cpu:zen4'], 'a host has one cpu, not zen3 and zen4'],
    [['arm64-v8.9'], 'there is no level “arm64-v8.9”'],
    [['cpu:skylke'], 'there is no microarchitecture “skylke”; similar: skylake'],
    [['zen4'], '“zen4” is not a known CPU flag; did you mean cpu:zen4?'],
    [['avx9'], '“avx9” is not a known CPU flag; did you mean cpuflag:avx9?'],
    [['x86-64-v2', 'x86-64-v3'], 'a host has one level, not x86-64-v2 and x86-64-v3'],
  ])('refuses %j', (features, message) => {
    expect(() => withFeatures(host, features)).toThrow(message);
  });
});

describe('a machine type', () => {
  test('without features runs images without demands', () => {
    expect(profileOfFeatures([])).toEqual({
      platform: { os: 'linux', architecture: 'amd64', variant: 'v1' },
      cpu: { microarchitecture: 'x86_64', vendor: 'generic', compatible: ['x86_64'], flags: [] },
      gpus: [],
      features: [],
      warnings: [],
    } satisfies HostProfile);
  });

  test('has its CPU’s ancestors, and claims exactly its features', () => {
    const machine = profileOfFeatures(['cpu:coffelake', 'nvcap:5.2']);
    expect(machine.cpu.compatible).toEqual(expect.arrayContaining(['skylake', 'broadwell', 'x86_64_v3']));
    expect(machine.platform.variant).toBe('v3');
    expect(machine.gpus).toEqual([{ vendor: 'nvidia', computeCapability: '5.2' }]);
    expect(machine.features).toEqual(['cpu:coffelake', 'nvcap:5.2']);
  });

  test('has the architecture of its CPU, else of the base', () => {
    const base = deriveProfile(facts({ architecture: 'arm64', cpu: { vendor: 'ARM', flags: [] } }));
    expect(profileOfFeatures(['rack:1'], base).platform.architecture).toBe('arm64');
    expect(profileOfFeatures(['cpu:power9le'], base).platform).toEqual({
      os: 'linux',
      architecture: 'ppc64le',
      variant: 'power9',
    });
  });

  test('may have tens of thousands of features', () => {
    const features = Array.from({ length: 40_000 }, (_, at) => `site${at}:on`);
    const takenMs = cpuTimeMs(() => expect(profileOfFeatures(features).features).toEqual(features));
    expect(takenMs).toBeLessThan(4000);
  });
});

describe('the key of a profile', () => {
  const host = profileOfFeatures(['cpu:zen4', 'nvcap:9.0']);

  test('is short, and equal for hosts that get the same responses', () => {
    const named = {
      ...host,
      gpus: [{ vendor: 'nvidia', name: 'H100', computeCapability: '9.0' }],
      warnings: ['x'],
    };
    expect(profileKey(host)).toMatch(/^zen4-[0-9a-f]{16}$/);
    expect(profileKey(named)).toBe(profileKey(host));
    expect(profileKey(profileOfFeatures(['nvcap:9.0', 'cpu:zen4']))).toBe(profileKey(host));
  });

  test('differs for everything that an entry may demand', () => {
    const others = [
      ['cpu:zen3', 'nvcap:9.0'],
      ['cpu:zen4', 'nvcap:8.0'],
      ['cpu:zen4'],
      ['cpu:zen4', 'nvcap:9.0', 'rack:1'],
    ];
    const keys = [host, ...others.map((features) => profileOfFeatures(features))].map(profileKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('warnings about flags that do not count', () => {
  test.each([
    [['avx2'], 'the kernel reports avx2 without the CPU flags that they need: they do not count'],
    [
      ['avx2', 'fma', 'f16c', 'vaes'],
      'the kernel reports avx2, fma, f16c, vaes without the CPU flags that they need: they do not count',
    ],
    [
      ['avx2', 'fma', 'f16c', 'vaes', 'vpclmulqdq'],
      'the kernel reports avx2, fma, f16c, vaes and 1 more without the CPU flags that they need: they do not count',
    ],
  ])('%j', (flags, warning) => {
    expect(deriveProfile(facts({ cpu: { vendor: 'GenuineIntel', flags } })).warnings).toEqual([warning]);
    expect(
      deriveProfile(facts({ cpu: { vendor: 'GenuineIntel', flags } }), { strictArchspec: true }).warnings,
    ).toEqual([]);
  });
});
