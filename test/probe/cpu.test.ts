import { describe, expect, test } from 'vitest';
import { parseCpuinfo, readCpu } from '../../src/probe/cpu.ts';
import { parseSysctl } from '../../src/probe/non-linux.ts';
import { type Tree, treeHost } from '../support/host-tree.ts';

const ZEN = [
  'processor\t: 0',
  'vendor_id\t: AuthenticAMD',
  'cpu family\t: 23',
  'model\t\t: 1',
  'model name\t: AMD EPYC 7551 32-Core Processor',
  'stepping\t: 2',
  'flags\t\t: fpu sse sse2 avx2',
  'power management:',
].join('\n');

function read(tree: Tree, architecture: string) {
  const { root, problems } = treeHost(tree);
  return { cpu: readCpu({ root, architecture, problems }), problems };
}

describe('/proc/cpuinfo of x86_64', () => {
  test('has vendor, family, model, stepping and flags', () => {
    expect(parseCpuinfo(ZEN, 'amd64')).toEqual({
      vendor: 'AuthenticAMD',
      flags: ['fpu', 'sse', 'sse2', 'avx2'],
      modelName: 'AMD EPYC 7551 32-Core Processor',
      family: 23,
      model: 1,
      stepping: 2,
    });
  });

  test('is read to the end of the first record only', () => {
    const second = 'processor\t: 1\nvendor_id\t: GenuineIntel\nflags\t\t: mmx';
    expect(parseCpuinfo(`${ZEN}\n\n${second}\n`, 'amd64')).toEqual(parseCpuinfo(ZEN, 'amd64'));
  });

  test('gives the same CPU on one thread as on 512', () => {
    const many = Array.from({ length: 512 }, () => ZEN).join('\n\n');
    expect(parseCpuinfo(many, 'amd64')).toEqual(parseCpuinfo(ZEN, 'amd64'));
  });

  test('of a CPU without a brand has neither name nor missing numbers', () => {
    expect(parseCpuinfo('processor : 0\nflags : fpu\nmodel : unknown', 'amd64')).toEqual({
      vendor: 'generic',
      flags: ['fpu'],
    });
  });
});

describe('/proc/cpuinfo of aarch64', () => {
  const core = (part: string, features: string) =>
    `processor : 0\nFeatures : ${features}\nCPU implementer : 0x41\nCPU part : ${part}\n`;

  test('gives the vendor by its implementer code', () => {
    expect(parseCpuinfo(core('0xd0c', 'fp asimd'), 'arm64')).toEqual({
      vendor: 'ARM',
      flags: ['fp', 'asimd'],
      parts: ['0xd0c'],
    });
  });

  test('gives an unknown vendor’s implementer code', () => {
    const text = core('0x663', 'fp').replace('0x41', '0x70');
    expect(parseCpuinfo(text, 'arm64').vendor).toBe('0x70');
  });

  test('gives the common flags of different cores, and every part number', () => {
    const text = [core('0xd05', 'fp asimd aes'), core('0xd05', 'fp asimd aes'), core('0xd0b', 'fp aes sve')];
    expect(parseCpuinfo(text.join('\n'), 'arm64')).toEqual({
      vendor: 'ARM',
      flags: ['fp', 'aes'],
      parts: ['0xd05', '0xd0b'],
    });
  });

  test('counts a core of the same part number that has fewer flags', () => {
    const text = [core('0xd05', 'fp asimd aes'), core('0xd05', 'fp asimd'), core('0xd0b', 'fp asimd aes')];
    expect(parseCpuinfo(text.join('\n'), 'arm64').flags).toEqual(['fp', 'asimd']);
  });

  test('of an old kernel has shared lines after the list of processors', () => {
    const text = `processor : 0\nprocessor : 1\n\n${core('0xd08', 'fp asimd').replace('processor : 0\n', '')}`;
    expect(parseCpuinfo(text, 'arm64')).toEqual({ vendor: 'ARM', flags: ['fp', 'asimd'], parts: ['0xd08'] });
  });
});

describe('/proc/cpuinfo of other architectures', () => {
  test.each([
    ['POWER9, altivec supported', 9],
    ['POWER8NVL (raw), altivec supported', 8],
    ['POWER7 (architected), altivec supported', 7],
    // A POWER10 in POWER9 mode: the revision line has the chip's PVR, the name is the mode's.
    ['POWER9 (architected), altivec supported', 9],
    ['Power11 (architected), altivec supported', 11],
  ])('ppc64le: %s is generation %i', (cpu, generation) => {
    const text = `processor : 0\ncpu : ${cpu}\nclock : 3720.000000MHz\nrevision : 2.0 (pvr 0080 0200)\n`;
    expect(parseCpuinfo(text, 'ppc64le')).toMatchObject({ vendor: 'IBM', generation });
  });

  test('riscv64: a core that the kernel does not name is identified by its registers', () => {
    const ids = (vendor: string, core: string) =>
      parseCpuinfo(`hart : 0\nisa : rv64imafdch\nmvendorid : ${vendor}\nmarchid : ${core}\n`, 'riscv64');
    expect(ids('0x489', '0x8000000000000008')).toMatchObject({
      vendor: 'SiFive',
      uarch: '0x489/0x8000000000000008',
    });
    expect(ids('0x0', '0x0').uarch).toBeUndefined();
    expect(parseCpuinfo('hart : 0\nuarch : eswin,eic770x\n', 'riscv64').vendor).toBe('SiFive');
  });

  test('riscv64: of different harts, only what all of them have counts', () => {
    const text = 'hart : 0\nisa : rv64imafdcv_zba_zbb\n\nhart : 1\nisa : rv64imafdc_zbb_zbs\n';
    expect(parseCpuinfo(text, 'riscv64').isa).toBe('rv64imafdc_zbb');
  });

  test.each([
    ['ARMv6-compatible processor rev 7 (v6l)', '7', 6],
    ['ARMv7 Processor rev 4 (v7l)', '7', 7],
    ['ARMv7 Processor rev 3 (v7l)', '8', 8],
    ['ARM926EJ-S rev 5 (v5l)', '5TEJ', 5],
    ['AArch64 Processor rev 4', 'AArch64', 8],
  ])('arm: %s with architecture %s is version %i', (name, printed, version) => {
    const text = `processor\t: 0\nmodel name\t: ${name}\nFeatures\t: half thumb\nCPU architecture: ${printed}\n`;
    expect(parseCpuinfo(text, 'arm').armVersion).toBe(version);
    expect(parseCpuinfo(text, 'arm64').armVersion).toBeUndefined();
  });

  test('arm64: a part number of another implementer than the first includes it', () => {
    const core = (implementer: string, part: string) =>
      `CPU implementer\t: ${implementer}\nCPU part\t: ${part}\n\n`;
    const text = core('0x53', '0x001') + core('0x41', '0xd05') + core('0x53', '0x001');
    expect(parseCpuinfo(text, 'arm64').parts).toEqual(['0x001', '0x41/0xd05']);
  });

  test('riscv64: has the uarch, or builds it from the model name', () => {
    expect(parseCpuinfo('hart : 1\nisa : rv64imafdc\nuarch : sifive,u74-mc', 'riscv64')).toEqual({
      vendor: 'SiFive',
      flags: [],
      uarch: 'sifive,u74-mc',
      isa: 'rv64imafdc',
    });
    expect(parseCpuinfo('hart : 0\nmodel name : Spacemit(R) X60', 'riscv64')).toMatchObject({
      vendor: 'SpacemiT',
      uarch: 'spacemit,x60',
    });
  });

  test('s390x: the features are above the processors, the machine type is within their lines', () => {
    const text =
      'vendor_id       : IBM/S390\nfeatures\t: esan3 zarch vx\n' +
      'processor 0: version = FF,  identification = 0AB123,  machine = 8561\n';
    expect(parseCpuinfo(text, 's390x')).toEqual({
      vendor: 'IBM',
      flags: ['esan3', 'zarch', 'vx'],
      uarch: '8561',
    });
  });

  test('loong64: a header comes before the first processor', () => {
    const text =
      'system type\t: generic-loongson-machine\n\nprocessor\t: 0\nModel Name\t: Loongson-3A6000\n' +
      'Features\t: cpucfg lam lsx\n';
    expect(parseCpuinfo(text, 'loong64')).toMatchObject({
      vendor: 'Loongson',
      flags: ['cpucfg', 'lam', 'lsx'],
      uarch: 'Loongson-3A6000',
    });
  });

  test('loong64: kernels that print the core’s name give the uarch', () => {
    const text =
      'processor\t: 127\nCPU Family\t: Loongson-64bit\nModel Name\t: Loongson-3C6000/D\nPRID\t\t: LA664 (0014d010)\n' +
      'Features\t: cpucfg lam ual fpu lsx lasx crc32 complex crypto ptw lspw lvz\n';
    expect(parseCpuinfo(text, 'loong64').uarch).toBe('LA664');
  });

  test('of an unknown architecture gives no facts', () => {
    expect(parseCpuinfo('cpu model : MIPS 24Kc', 'mips')).toEqual({ vendor: 'generic', flags: [] });
  });
});

describe("a host's CPU", () => {
  test('without /proc/cpuinfo is unknown, and the probe reports a failure', () => {
    const { cpu, problems } = read({}, 'amd64');
    expect(cpu).toEqual({ vendor: 'generic', flags: [] });
    expect(problems.failed()).toBe(true);
    expect(problems.warnings.join()).toContain('/proc/cpuinfo');
  });

  test('of x86_64 is read to the end of the first record, and no further', () => {
    const { root, problems } = treeHost({ 'proc/cpuinfo': `${ZEN}\n\n`.repeat(512) });
    const counted = { ...root, text: () => expect.fail('the whole file was read') };
    expect(readCpu({ root: counted, architecture: 'amd64', problems })).toEqual(parseCpuinfo(ZEN, 'amd64'));
  });

  test('is complete when its first record needs more than one read', () => {
    const flags = Array.from({ length: 10_000 }, (_, at) => `flag${at}`);
    const { cpu } = read({ 'proc/cpuinfo': `processor : 0\nflags : ${flags.join(' ')}\n\n` }, 'amd64');
    expect(cpu.flags).toEqual(flags);
  });

  test.each([
    ['amd64', 'flags'],
    ['arm64', 'Features'],
  ])('of %s without %s is reported as a failure too', (architecture, key) => {
    const { problems } = read({ 'proc/cpuinfo': 'processor : 0\n' }, architecture);
    expect(problems.failed()).toBe(true);
    expect(problems.warnings.join()).toContain(key);
  });
});

describe("a Mac's CPU", () => {
  test('is read from sysctl, with flags in Linux’s spelling', () => {
    const cpu = parseSysctl(
      'machdep.cpu.vendor: GenuineIntel\nmachdep.cpu.brand_string: Intel(R) Core(TM) i7\n' +
        'machdep.cpu.features: SSE4.1 AVX1.0 FMA\nmachdep.cpu.leaf7_features: AVX2\n' +
        'machdep.cpu.extfeatures: LZCNT LAHF\n',
    );
    expect(cpu).toMatchObject({
      vendor: 'GenuineIntel',
      flags: ['sse4_1', 'avx', 'fma', 'avx2', 'abm', 'lahf_lm'],
    });
  });

  test('of Apple has its name and the features that are on', () => {
    const cpu = parseSysctl(
      'machdep.cpu.brand_string: Apple M3 Pro\nhw.optional.arm.FEAT_LSE: 1\nhw.optional.arm.FEAT_BTI: 0\n',
    );
    expect(cpu).toMatchObject({ vendor: 'Apple', modelName: 'Apple M3 Pro' });
    expect(cpu.flags).toContain('atomics');
    expect(cpu.flags).not.toContain('bti');
  });
});
