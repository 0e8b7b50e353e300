import { describe, expect, test } from 'vitest';
import { canonicalArchitecture, platformVariant } from '../../src/host/architecture.ts';
import type { HostFacts } from '../../src/host/facts.ts';
import { claimedFeatures, cudaVersionsOf, hostFeatures, parseInstanceType } from '../../src/host/features.ts';

const bare: HostFacts = {
  os: 'linux',
  architecture: 'amd64',
  cpu: { vendor: 'generic', flags: [] },
  gpus: [],
  system: {},
  local: [],
};

describe('the features of a host apart from its CPU', () => {
  test('of a machine without facts are the operating system alone', () => {
    expect(hostFeatures(bare)).toEqual(['os:linux']);
  });

  test('of a GPU server in the cloud are complete, in a fixed order', () => {
    const features = hostFeatures({
      ...bare,
      cpu: { vendor: 'GenuineIntel', flags: [] },
      gpus: [
        { vendor: 'nvidia', computeCapability: '9.0' },
        { vendor: 'nvidia', computeCapability: '10.0' },
        { vendor: 'amd', gfxTarget: 'gfx90a' },
        { vendor: 'aws', name: 'AWS Trainium', accel: 'neuron-trn1' },
      ],
      system: {
        nvidiaDriver: '535.104.05',
        fabrics: ['efa', 'ib'],
        smt: true,
        kernel: '6.1.0-18-amd64',
        glibc: '2.36',
        instanceType: 'c5.9xlarge',
      },
    });
    expect(features).toEqual([
      'cpuvendor:GenuineIntel',
      'nvcap:10.0',
      'nvcap:9.0',
      'gfx:gfx90a',
      'gpu:nvidia',
      'gpu:amd',
      'accel:neuron-trn1',
      'nvdriver:535.104.05',
      'cuda:12.2',
      'fabric:efa',
      'fabric:ib',
      'smt:on',
      'os:linux',
      'kernel:6.1.0',
      'glibc:2.36',
      'instType:c5',
      'instSize:9xl',
      'instHT:on',
    ]);
  });

  test('include features that an operator adds, but not another CPU', () => {
    const { features, warnings } = claimedFeatures(['rack=b12', 'site:basel', 'cpu:zen5', 'has space=a b']);
    expect(features).toEqual(['rack:b12', 'site:basel']);
    expect(warnings).toHaveLength(2);
  });
});

test.each([
  ['615.10', '13.4'],
  ['610.43.02', '13.3'],
  ['595.45.04', '13.2'],
  ['590.44.01', '13.1'],
  ['580.65.06', '13.0'],
  ['570.86.15', '12.8'],
  ['535.104', '12.2'],
  ['524.12', '11.8'],
  ['450.80.02', '11.0'],
  ['367.57', undefined],
])('driver %s runs CUDA %s', (driver, cuda) => {
  expect(cudaVersionsOf([`nvdriver:${driver}`])).toEqual(cuda === undefined ? [] : [cuda]);
});

test('the CUDA versions of a host are those that it states, or else that of its driver', () => {
  expect(cudaVersionsOf(['cuda:12.2', 'nvdriver:580.65', 'cuda:11.8'])).toEqual(['12.2', '11.8']);
  expect(cudaVersionsOf(['cpu:zen4', 'nvcap:9.0'])).toEqual([]);
});

test('a driver that reports its CUDA version needs no table entry', () => {
  const system = { nvidiaDriver: '690.12', cuda: '14.1' };
  expect(hostFeatures({ ...bare, system })).toContain('cuda:14.1');
  expect(hostFeatures({ ...bare, system: { nvidiaDriver: '690.12' } })).toContain('cuda:13.4');
});

test.each([
  ['c5.9xlarge', { type: 'c5', size: '9xl' }],
  ['m6i.xlarge', { type: 'm6i', size: 'xl' }],
  ['t3.large', { type: 't3', size: 'l' }],
  ['u-6tb1.metal', { type: 'u-6tb1', size: 'metal' }],
  ['c7i.metal-24xl', { type: 'c7i', size: 'metal-24xl' }],
  ['n2-standard-8', { type: 'n2', size: 'standard-8' }],
  ['Standard_D4s_v3', { type: 'Standard_D4s_v3' }],
])('parseInstanceType() splits %s', (name, parts) => {
  expect(parseInstanceType(name)).toEqual(parts);
});

test.each([
  ['amd64', 'zen4', 'x86-64-v4', undefined, 'v4'],
  ['amd64', 'x86_64', undefined, undefined, 'v1'],
  ['arm64', 'aarch64', 'arm64-v8.0', undefined, 'v8'],
  ['arm64', 'aarch64', undefined, undefined, 'v8'],
  ['arm64', 'neoverse_n1', 'arm64-v8.2', undefined, 'v8.2'],
  ['arm64', 'neoverse_v2', 'arm64-v9.0', undefined, 'v9.0'],
  ['ppc64le', 'power9le', undefined, undefined, 'power9'],
  ['ppc64le', 'ppc64le', undefined, undefined, undefined],
  ['riscv64', 'u74mc', undefined, 'rv64imafdc', 'rva20u64'],
  ['riscv64', 'riscv64', undefined, 'rv64gc_zba_zbb_zbs_zicbom_zicboz_zfhmin_zkt', 'rva22u64'],
  ['riscv64', 'riscv64', undefined, 'rv64imac', undefined],
  ['riscv64', 'riscv64', undefined, undefined, undefined],
  ['s390x', 'z15', undefined, undefined, undefined],
])('the variant of %s %s (%s, %s) is %s', (architecture, microarchitecture, level, isa, variant) => {
  expect(platformVariant({ architecture, microarchitecture, level, isa })).toBe(variant);
});

test.each([
  ['x86_64', 'amd64'],
  ['x64', 'amd64'],
  ['amd64', 'amd64'],
  ['aarch64', 'arm64'],
  ['loongarch64', 'loong64'],
  ['S390X', 's390x'],
  ['vax', undefined],
])('architecture %s is named %s', (written, goarch) => {
  expect(canonicalArchitecture(written)).toBe(goarch);
});
