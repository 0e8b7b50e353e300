import { describe, expect, test } from 'vitest';
import type { CpuFacts } from '../../src/host/facts.ts';
import {
  ancestorsOf,
  compareMicroarchitectures,
  familyOf,
  flagsOf,
  identify,
  isAncestorOrSelf,
  nodeOfModel,
  vendorOf,
} from '../../src/host/identify.ts';
import {
  allNodes,
  ancestorSet,
  canonicalName,
  findNode,
  flagSet,
} from '../../src/host/microarchitectures.ts';

function cpuOf(name: string, change: Partial<CpuFacts> = {}): CpuFacts {
  return { vendor: vendorOf(name), flags: [...(flagsOf(name) ?? [])], ...change };
}

function without(name: string, ...flags: readonly string[]): CpuFacts {
  return cpuOf(name, { flags: [...(flagsOf(name) ?? [])].filter((flag) => !flags.includes(flag)) });
}

describe('model numbers of x86', () => {
  const intel = (model: number | undefined, stepping?: number, family: number | undefined = 6) =>
    nodeOfModel({ vendor: 'GenuineIntel', flags: [], family, model, stepping } as CpuFacts);

  // One model number, three generations of server: Intel's specification updates and the kernel's intel-family.h.
  test.each([
    [undefined, 'skylake_avx512'],
    [4, 'skylake_avx512'],
    [5, 'cascadelake'],
    [7, 'cascadelake'],
    [9, 'cascadelake'],
    [10, 'cooperlake'],
    [11, 'cooperlake'],
  ])('model 0x55, stepping %s is %s', (stepping, node) => {
    expect(intel(0x55, stepping)).toBe(node);
  });

  test('are ignored where one of them is missing or unknown', () => {
    expect(intel(undefined)).toBeUndefined();
    expect(nodeOfModel({ vendor: 'GenuineIntel', flags: [], model: 0x55 })).toBeUndefined();
    expect(intel(0x55, 7, 99)).toBeUndefined();
    expect(nodeOfModel({ vendor: 'nobody', flags: [], family: 6, model: 0x55 })).toBeUndefined();
  });
});

describe('a CPU whose model number suggests more than its flags', () => {
  const intel = (...lacks: readonly string[]) => ({
    ...without('skylake_avx512', ...lacks),
    family: 6,
    model: 0x55,
  });

  test.each([
    [['avx512f'], 'avx512f:'],
    [['avx512f', 'avx512bw', 'avx512cd', 'avx512dq'], 'avx512f, avx512bw, avx512cd, avx512dq:'],
    [
      ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'],
      'avx512f, avx512bw, avx512cd, avx512dq and 1 more:',
    ],
  ])('gets the warning that it lacks %j', (lacks, shown) => {
    const { microarchitecture, warnings } = identify(intel(...lacks), 'amd64');
    expect(warnings).toHaveLength(1);
    const [warning = ''] = warnings;
    expect(warning).toContain("this CPU's model number is that of skylake_avx512");
    expect(warning).toContain(`it counts as ${microarchitecture}`);
    expect(lacks.filter((flag) => !warning.includes(flag)).length).toBe(Math.max(0, lacks.length - 4));
    expect(shown.includes(' and 1 more')).toBe(warning.includes(' and 1 more'));
  });

  test('gets no warning with --strict-archspec', () => {
    expect(identify(intel('avx512f'), 'amd64', { strictArchspec: true }).warnings).toEqual([]);
  });

  test('gets no warning when it has all flags', () => {
    expect(identify(intel(), 'amd64').warnings).toEqual([]);
  });
});

describe('an Apple chip that macOS names', () => {
  const mac = (modelName: string): CpuFacts => ({ vendor: 'Apple', flags: [], modelName });

  test.each([
    ['Apple M1 Max', 'm1'],
    ['Apple M2', 'm2'],
    ['Apple M3 Pro', 'm3'],
    ['Apple M4', 'm4'],
  ])('%s is %s, however few flags macOS reports', (modelName, node) => {
    expect(identify(mac(modelName), 'arm64').microarchitecture).toBe(node);
  });

  test('runs code for its predecessors, not for its successors', () => {
    const { compatible } = identify(mac('Apple M2'), 'arm64');
    expect(compatible).toContain('m1');
    expect(compatible).not.toContain('m3');
  });

  test('is ignored under another vendor', () => {
    expect(identify({ ...mac('Apple M2'), vendor: 'ARM' }, 'arm64').microarchitecture).toBe('aarch64');
  });
});

describe('the family tree', () => {
  const nodes = [...allNodes()];

  test('has unique names, and every node of archspec 0.2.5', () => {
    expect(new Set(nodes.map(({ name }) => name)).size).toBe(nodes.length);
    expect(nodes.filter(({ isReference }) => isReference)).toHaveLength(78);
  });

  test('has parents before their children, so that there is no cycle', () => {
    const seen = new Set<string>();
    for (const { name, parents } of nodes) {
      expect(parents.filter((parent) => !seen.has(parent))).toEqual([]);
      seen.add(name);
    }
  });

  test('has one root for each node, whichever parent is followed', () => {
    for (const { name } of nodes) {
      const roots = [name, ...ancestorSet(name)].filter((one) => findNode(one)?.parents.length === 0);
      expect(roots, name).toEqual([familyOf(name)]);
    }
  });

  test('has for each node flags that its parents do not have', () => {
    for (const { name, parents, addedFlags } of nodes) {
      const inherited = new Set(parents.flatMap((parent) => [...(flagSet(parent) ?? [])]));
      expect(
        addedFlags.filter((flag) => inherited.has(flag)),
        name,
      ).toEqual([]);
    }
  });

  test('has for a node of archspec only parents of archspec', () => {
    const wrong = nodes.filter(({ name, isReference }) => {
      return isReference && [...ancestorSet(name)].some((one) => !findNode(one)?.isReference);
    });
    expect(wrong).toEqual([]);
  });

  test.each([
    ['skylake', 'skylake_avx512', true],
    ['skylake', 'alderlake', true],
    ['x86_64_v4', 'alderlake', false],
    ['cannonlake', 'cascadelake', false],
    ['cascadelake', 'cannonlake', false],
    ['cannonlake', 'icelake', true],
    ['cascadelake', 'icelake', true],
    ['broadwell', 'zen3', false],
    ['armv8.2a', 'neoverse_v2', true],
    ['zen4', 'zen4', true],
    ['zen4', 'zen3', false],
    ['power8le', 'power10le', true],
  ])('%s is an ancestor of %s: %s', (ancestor, node, answer) => {
    expect(isAncestorOrSelf(ancestor, node)).toBe(answer);
  });

  test('lists ancestors best first, and the root last', () => {
    expect(ancestorsOf('haswell').slice(0, 2)).toEqual(['ivybridge', 'sandybridge']);
    expect(ancestorsOf('haswell').at(-1)).toBe('x86_64');
    expect(ancestorsOf('no_such_thing')).toEqual([]);
  });

  test('puts a descendant before its ancestor, then the microarchitecture with more ancestors', () => {
    expect(['x86_64', 'skylake', 'icelake', 'haswell', 'x86_64_v3'].sort(compareMicroarchitectures)).toEqual([
      'icelake',
      'skylake',
      'haswell',
      'x86_64_v3',
      'x86_64',
    ]);
  });
});

describe('names of microarchitectures', () => {
  test.each([
    ['zen4', 'zen4'],
    ['znver3', 'zen3'],
    ['Skylake-AVX512', 'skylake_avx512'],
    ['coffeelake', 'skylake'],
    ['coffelake', 'skylake'],
    ['x86-64-v3', 'x86_64_v3'],
    ['x86-64', 'x86_64'],
    ['icelake-server', 'icelake'],
    ['bdver2', 'piledriver'],
    ['neoverse-v2', 'neoverse_v2'],
    ['armv8.2-a', 'armv8.2a'],
    ['armv8-a', 'aarch64'],
    ['graviton3', 'neoverse_v1'],
    ['constructor', undefined],
    ['', undefined],
    ['pentium9', undefined],
  ])('%s means %s', (written, name) => {
    expect(canonicalName(written)).toBe(name);
  });
});

describe('identify()', () => {
  const amd64 = [...allNodes()].filter(
    ({ name, evidence }) => familyOf(name) === 'x86_64' && evidence.byModel === undefined,
  );

  test.each(amd64.map(({ name }) => name))('identifies %s by its flags', (name) => {
    expect(identify(cpuOf(name), 'amd64').microarchitecture).toBe(name);
  });

  test('identifies Zen 3 in a guest without pku, except with --strict-archspec', () => {
    expect(identify(without('zen3', 'pku'), 'amd64').microarchitecture).toBe('zen3');
    expect(identify(without('zen3', 'pku'), 'amd64', { strictArchspec: true }).microarchitecture).toBe(
      'zen2',
    );
  });

  test('identifies Zen 4 in a guest without pku and flush_l1d', () => {
    const guest = without('zen4', 'pku', 'flush_l1d');
    expect(identify(guest, 'amd64').microarchitecture).toBe('zen4');
    expect(identify(guest, 'amd64', { strictArchspec: true }).microarchitecture).toBe('x86_64_v4');
  });

  test('identifies Zen 5 although Linux removed the broken RDSEED', () => {
    const flags = without('zen5', 'rdseed', 'pku', 'flush_l1d').flags;
    expect(identify(cpuOf('zen5', { flags }), 'amd64').microarchitecture).toBe('zen5');
    expect(identify(cpuOf('zen5', { flags }), 'amd64', { strictArchspec: true }).microarchitecture).toBe(
      'x86_64_v4',
    );
  });

  test.each([
    ['sapphirerapids', 'waitpkg serialize cldemote', 'a Firecracker guest'],
    ['icelake', 'clwb rdpid', 'a client Ice Lake or a Rocket Lake'],
    ['skylake_avx512', 'clwb', 'a Xeon 8272CL on Azure'],
    ['alderlake', 'waitpkg serialize', 'a guest on Alder Lake'],
    ['zen4', 'clflushopt xsavec xsaveopt clzero', 'a guest on Genoa'],
  ])('identifies %s without %s (%s): no compiler emits these', (node, flags) => {
    expect(identify(without(node, ...flags.split(' ')), 'amd64').microarchitecture).toBe(node);
  });

  test.each([
    ['sapphirerapids', 'avx_vnni', 'icelake'],
    ['sapphirerapids', 'avx512_fp16', 'icelake'],
    ['sapphirerapids', 'amx_tile', 'icelake'],
    ['icelake', 'vaes', 'cascadelake'],
    ['zen3', 'vpclmulqdq', 'zen2'],
    ['zen2', 'clwb', 'zen'],
    ['alderlake', 'gfni', 'skylake'],
    ['broadwell', 'adx', 'haswell'],
  ])('identifies %s without %s as %s, because code for it may use the flag', (node, flag, name) => {
    expect(identify(without(node, flag), 'amd64').microarchitecture).toBe(name);
  });

  test('requires no avx_vnni for Sapphire Rapids, like archspec', () => {
    const guest = without('sapphirerapids', 'avx_vnni', 'avx512_fp16');
    expect(identify(guest, 'amd64', { strictArchspec: true }).microarchitecture).toBe('sapphirerapids');
  });

  test('distinguishes Skylake from Broadwell by the model number when idle flags are missing', () => {
    const flags = without('skylake', 'clflushopt', 'xsavec', 'xsaveopt').flags;
    const intel = { vendor: 'GenuineIntel', flags, family: 6 };
    expect(identify({ ...intel, model: 0x5e }, 'amd64').microarchitecture).toBe('skylake');
    expect(identify({ ...intel, model: 0x55, stepping: 7 }, 'amd64').microarchitecture).toBe('skylake');
    expect(identify({ ...intel, model: 0x4f }, 'amd64').microarchitecture).toBe('broadwell');
    expect(identify(intel, 'amd64').microarchitecture).toBe('broadwell');
  });

  test('counts pni as SSE3, so a Nocona is identified, but not with --strict-archspec', () => {
    const cpu = { vendor: 'GenuineIntel', flags: ['mmx', 'sse', 'sse2', 'pni', 'cx16'] };
    expect(identify(cpu, 'amd64').microarchitecture).toBe('nocona');
    expect(identify(cpu, 'amd64', { strictArchspec: true }).microarchitecture).toBe('x86_64');
  });

  test.each([
    ['GenuineIntel', 6, 0xb5, 'alderlake'],
    ['GenuineIntel', 6, 0xd5, 'arrowlake_s'],
    ['GenuineIntel', 6, 0xd7, 'alderlake'],
    ['GenuineIntel', 6, 0xaf, 'sierraforest'],
    ['AuthenticAMD', 26, 0x44, 'zen5'],
    ['AuthenticAMD', 26, 0x50, 'zen6'],
    ['AuthenticAMD', 26, 0x70, 'zen5'],
    ['AuthenticAMD', 26, 0x90, 'zen6'],
  ])('identifies %s family %i model 0x%x, which is sold as %s', (vendor, family, model, node) => {
    const warning = identify({ vendor, family, model, flags: [] }, 'amd64').warnings.join();
    expect(warning).toContain(`model number is that of ${node},`);
  });

  test('distinguishes Emerald from Sapphire Rapids by the model, in addition to the flags', () => {
    const flags = [...(flagsOf('sapphirerapids') ?? [])];
    const intel = { vendor: 'GenuineIntel', flags, family: 6 };
    expect(identify({ ...intel, model: 0x8f }, 'amd64').microarchitecture).toBe('sapphirerapids');
    expect(identify({ ...intel, model: 0xcf }, 'amd64').microarchitecture).toBe('emeraldrapids');
  });

  test('never lets the model override the flags, and warns about missing flags', () => {
    const guest = { ...without('zen4', 'avx512f', 'gfni'), family: 25, model: 17 };
    const { microarchitecture, warnings } = identify(guest, 'amd64');
    expect(microarchitecture).toBe('zen3');
    expect(warnings.join()).toMatch(/zen4.*avx512f/);
  });

  test('gives an unknown vendor the highest level whose flags it has', () => {
    const { microarchitecture, compatible } = identify(cpuOf('zen2', { vendor: 'CentaurHauls' }), 'amd64');
    expect(microarchitecture).toBe('x86_64_v3');
    expect(compatible).toEqual(['x86_64_v3', 'x86_64_v2', 'x86_64']);
  });

  test('identifies a Hygon as the licensed Zen whose code it runs', () => {
    const { microarchitecture, compatible } = identify(cpuOf('zen', { vendor: 'HygonGenuine' }), 'amd64');
    expect(microarchitecture).toBe('dhyana');
    expect(compatible).toContain('zen');
  });

  test('gives an unknown ARM core the version that its flags imply', () => {
    const cpu = {
      vendor: 'Qualcomm',
      parts: ['0x001'],
      flags: [...(flagsOf('neoverse_v1') ?? [])].filter((flag) => flag !== 'sve'),
    };
    expect(identify(cpu, 'arm64').microarchitecture).toBe('armv8.4a');
    expect(identify(cpu, 'arm64', { strictArchspec: true }).microarchitecture).toBe('aarch64');
  });

  test('reads a part number together with its implementer: HiSilicon’s 0xd40 is not a Neoverse V1', () => {
    const flags = [...(flagsOf('neoverse_v1') ?? [])];
    const taishan = { vendor: 'HiSilicon', parts: ['0xd40'], flags };
    expect(identify(taishan, 'arm64').microarchitecture).toBe('armv8.4a');
    expect(identify({ ...taishan, vendor: 'ARM' }, 'arm64').microarchitecture).toBe('neoverse_v1');
    const mixed = { vendor: 'Qualcomm', parts: ['0x001', '0x41/0xd40'], flags };
    expect(identify(mixed, 'arm64').microarchitecture).toBe('armv8.4a');
  });

  const GB10 =
    'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4 ' +
    'asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm sb paca pacg dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 ' +
    'flagm2 frint svei8mm svebf16 i8mm bf16 dgh bti ecv afp wfxt';

  test('reads ARM’s part numbers in Microsoft’s Cobalt, but not with --strict-archspec', () => {
    const cobalt100 = cpuOf('neoverse_n2', { vendor: 'Microsoft', parts: ['0xd49'] });
    expect(identify(cobalt100, 'arm64').microarchitecture).toBe('neoverse_n2');
    expect(identify(cobalt100, 'arm64').compatible).toContain('neoverse_n1');
    expect(identify(cobalt100, 'arm64', { strictArchspec: true }).microarchitecture).toBe('aarch64');
    const cobalt200 = cpuOf('neoverse_v3', { vendor: 'Microsoft', parts: ['0xd84'] });
    expect(identify(cobalt200, 'arm64').microarchitecture).toBe('neoverse_v3');
  });

  test('gives a core that lacks a flag of its node the nearest ancestor by the same maker', () => {
    // AmpereOne A192-32X has the part number of Ampere-1A, but not SM3 and SM4.
    const masked = cpuOf('ampere1a', {
      parts: ['0xac4'],
      flags: [...(flagsOf('ampere1a') ?? [])].filter((flag) => !/^sm[34]$/.test(flag)),
    });
    expect(identify(masked, 'arm64').microarchitecture).toBe('ampere1');
    // Neoverse N1 is an ancestor of V1 as well, but says less than the version that the flags reach.
    const old = without('neoverse_v1', 'svei8mm', 'svebf16', 'i8mm', 'bf16', 'dgh', 'rng');
    expect(identify({ ...old, parts: ['0xd40'] }, 'arm64').microarchitecture).toBe('armv8.4a');
  });

  test('gives two kinds of core their common version: GB10 is armv9.2a, and runs Neoverse’s code', () => {
    const cpu = { vendor: 'ARM', parts: ['0xd87', '0xd85'], flags: GB10.split(' ') };
    const { microarchitecture, compatible } = identify(cpu, 'arm64');
    expect(microarchitecture).toBe('armv9.2a');
    expect(compatible).toContain('neoverse_n1');
    expect(identify({ ...cpu, parts: ['0xd85'] }, 'arm64').microarchitecture).toBe('cortex_x925');
    expect(identify({ ...cpu, parts: ['0xd87'] }, 'arm64').microarchitecture).toBe('cortex_a725');
  });

  test('identifies a Snapdragon 8 Gen 2 whose kernel hides SVE as armv8.6a', () => {
    const flags = GB10.split(' ').filter((flag) => !/^sve|^ecv$|^afp$|^wfxt$/.test(flag));
    const parts = ['0xd46', '0xd47', '0xd4d', '0xd4e'];
    expect(identify({ vendor: 'ARM', parts, flags }, 'arm64').microarchitecture).toBe('armv8.6a');
  });

  test.each([
    ['cortex_a72', '0xd08', 'cpuid evtstrm'],
    ['neoverse_n1', '0xd0c', 'cpuid'],
    ['neoverse_v1', '0xd40', 'dgh evtstrm'],
  ])('identifies a %s on a kernel that does not print %s', (node, part, flags) => {
    const cpu = without(node, ...flags.split(' '));
    expect(identify({ ...cpu, parts: [part] }, 'arm64').microarchitecture).toBe(node);
  });

  test('identifies a guest on an Apple M4 by its own flags', () => {
    const flags = [...(flagsOf('m2') ?? [])];
    const guest = { vendor: 'Apple', parts: ['0x000'], flags };
    expect(identify(guest, 'arm64').microarchitecture).toBe('m2');
    const older = flags.filter((flag) => flag !== 'i8mm' && flag !== 'ssbs');
    expect(identify({ ...guest, flags: older }, 'arm64').microarchitecture).toBe('m1');
    expect(identify({ ...guest, parts: ['0x052', '0x053'] }, 'arm64').microarchitecture).toBe('m2');
  });

  test('distinguishes cores with the same flags by their part number', () => {
    const flags = [...(flagsOf('neoverse_n2') ?? [])];
    const part = (number: string) =>
      identify({ vendor: 'ARM', flags, parts: [number] }, 'arm64').microarchitecture;
    expect([part('0xd49'), part('0xd4f')]).toEqual(['neoverse_n2', 'neoverse_v2']);
  });

  test.each([
    ['ppc64le', { vendor: 'IBM', flags: [], generation: 9 }, 'power9le'],
    ['ppc64', { vendor: 'IBM', flags: [], generation: 7 }, 'power7'],
    ['ppc64le', { vendor: 'IBM', flags: [], generation: 11 }, 'power11le'],
    ['ppc64le', { vendor: 'generic', flags: [] }, 'ppc64le'],
    ['riscv64', { vendor: 'SiFive', flags: [], uarch: 'sifive,u74-mc' }, 'u74mc'],
    ['riscv64', { vendor: 'SiFive', flags: [], uarch: 'eswin,eic770x' }, 'p550'],
    ['riscv64', { vendor: 'SiFive', flags: [], uarch: '0x489/0x8000000000000008' }, 'p550'],
    ['riscv64', { vendor: 'generic', flags: [] }, 'riscv64'],
    ['s390x', { vendor: 'IBM', flags: [], uarch: '8561' }, 's390x'],
    ['loong64', { vendor: 'Loongson', flags: ['lam', 'ual', 'fpu', 'lsx', 'lasx'] }, 'la464'],
    ['amd64', { vendor: 'generic', flags: [] }, 'x86_64'],
    ['mips64', { vendor: 'generic', flags: [] }, 'mips64'],
  ])('identifies %s with %o as %s', (architecture, cpu, name) => {
    expect(identify(cpu, architecture).microarchitecture).toBe(name);
  });
});
