import { describe, expect, test } from 'vitest';
import {
  formatVariantProperty,
  propertiesOfHost,
  replaceProperties,
} from '../../src/host/variant-properties.ts';
import { hostOf } from '../support/host-of.ts';

const featuresOf = (text: string) =>
  replaceProperties(text)
    .replace(/^[\s,]+/, '')
    .trim();

describe('replaceProperties()', () => {
  test.each([
    ['x86_64 :: level :: v3', 'x86-64-v3'],
    ['x86_64 :: level :: v1', 'x86-64-v1'],
    ['aarch64 :: version :: 10.11a', 'arm64-v10.11'],
    ['x86_64 :: avx512_bf16 :: on', 'avx512_bf16'],
    ['x86_64::sse3::on', 'pni'],
    ['aarch64 :: version :: 8.2a', 'arm64-v8.2'],
    ['aarch64 :: version :: 9a', 'arm64-v9.0'],
    ['aarch64 :: sve :: on', 'sve'],
    ['nvidia :: sm_arch :: 90_real', 'nvcap:9.0'],
    ['nvidia :: sm_arch :: 100a_real', 'nvcap:10.0a'],
    ['nvidia :: sm_arch :: 120f_virtual', 'nvptx:12.0f'],
    ['nvidia :: sm_arch :: 90_virtual', 'nvptx:9.0'],
    ['nvidia :: cuda_version_lower_bound :: 12.6', 'cuda:>=12.6'],
    ['nvidia :: cuda_version_upper_bound :: 13', 'cuda:<13'],
    [
      'nvidia :: cuda_version_lower_bound :: 12.6, nvidia :: cuda_version_upper_bound :: 13',
      'cuda:>=12.6,<13',
    ],
  ])('%s is %s', (property, feature) => {
    expect(featuresOf(property)).toBe(feature);
  });

  test.each([
    ['nvidia :: cuda_version_lower_bound :: 12.10 nvidia :: cuda_version_lower_bound :: 12.6', 'cuda:>=12.6'],
    ['nvidia :: cuda_version_lower_bound :: 12.6 nvidia :: cuda_version_lower_bound :: 12.10', 'cuda:>=12.6'],
    ['nvidia :: cuda_version_upper_bound :: 12.6 nvidia :: cuda_version_upper_bound :: 12.10', 'cuda:<12.10'],
    ['nvidia :: cuda_version_upper_bound :: 12.10 nvidia :: cuda_version_upper_bound :: 12.6', 'cuda:<12.10'],
    ['nvidia :: cuda_version_lower_bound :: 12.6 nvidia :: cuda_version_lower_bound :: x', 'cuda:>=x'],
    ['nvidia :: cuda_version_lower_bound :: x nvidia :: cuda_version_lower_bound :: 12.6', 'cuda:>=x'],
  ])(
    'with several bounds uses the widest, and ignores one that cannot be read: %s is %s',
    (bounds, feature) => {
      expect(featuresOf(bounds)).toBe(feature);
    },
  );

  test('keeps features unchanged', () => {
    expect(replaceProperties('nvidia :: cuda_version_lower_bound :: 12.6, x86_64 :: avx :: on')).toBe(
      ', avx cuda:>=12.6',
    );
  });

  test.each([
    'x86_64 :: level :: v5',
    'x86_64 :: level :: v30',
    'x86_64 :: level :: xv3',
    'x86_64 :: level :: 3',
    'x86_64 :: avx2 :: off',
    'aarch64 :: version :: 8.2',
    'aarch64 :: version :: x8.2a',
    'aarch64 :: version :: 8.2ab',
    'aarch64 :: sve :: off',
    'nvidia :: sm_arch :: 90',
    'nvidia :: sm_arch :: 9_real',
    'nvidia :: sm_arch :: 90b_real',
    'nvidia :: sm_arch :: x90_real',
    'nvidia :: sm_arch :: 90_realx',
    'nvidia :: other :: 90_real',
    'omnicorp :: feature :: value',
    'omnicorp  ::  feature  ::  value',
    'omnicorp :: cuda_version_lower_bound :: 12.6',
    'nvidia :: cuda_version_lower_bounds :: 12.6',
    'nvidia :: my_cuda_version_lower_bound :: 12.6',
  ])('keeps %s, a feature that no host has', (property) => {
    expect(featuresOf(property)).toBe(property.replaceAll(' ', ''));
  });
});

describe('propertiesOfHost()', () => {
  const written = (features: string) => propertiesOfHost(hostOf(features)).map(formatVariantProperty);

  test('of x86 are the levels, highest first, and the flags by their providers’ names', () => {
    const properties = written('cpu:haswell');
    expect(properties.slice(0, 3)).toEqual([
      'x86_64 :: level :: v3',
      'x86_64 :: level :: v2',
      'x86_64 :: level :: v1',
    ]);
    expect(properties).toEqual(expect.arrayContaining(['x86_64 :: avx2 :: on', 'x86_64 :: movbe :: on']));
    expect(properties).not.toContain('x86_64 :: avx512f :: on');
    expect(properties.filter((one) => !one.startsWith('x86_64 ::'))).toEqual([]);
  });

  test('of x86 include SSE3 although the kernel uses another name', () => {
    const host = hostOf('cpu:x86_64');
    const flags = (...names: string[]) =>
      propertiesOfHost({ ...host, cpu: { ...host.cpu, flags: names } }).map(formatVariantProperty);
    expect(flags('pni')).toContain('x86_64 :: sse3 :: on');
    expect(flags('sse3')).toContain('x86_64 :: sse3 :: on');
    expect(flags('sse2')).not.toContain('x86_64 :: sse3 :: on');
    expect(flags('sse2')[0]).toBe('x86_64 :: level :: v1');
  });

  test('of arm64 are all versions that its own includes, and its flags', () => {
    const versions = written('cpu:neoverse_v2 arm64-v9.1').filter((one) => one.includes('version'));
    expect(versions).toEqual(
      ['9.1', '9.0', '8.6', '8.5', '8.4', '8.3', '8.2', '8.1', '8.0'].map(
        (version) => `aarch64 :: version :: ${version}a`,
      ),
    );
    const old = written('cpu:neoverse_n1 arm64-v8.2');
    expect(old.slice(0, 4)).toEqual([
      'aarch64 :: version :: 8.2a',
      'aarch64 :: version :: 8.1a',
      'aarch64 :: version :: 8.0a',
      expect.stringMatching(/^aarch64 :: \w+ :: on$/),
    ]);
    expect(old).toContain('aarch64 :: asimddp :: on');
  });

  test('of a GPU are the CUDA versions up to its driver’s, and code of its own major version', () => {
    const properties = written('cpu:x86_64 nvcap:8.2 cuda:12.2').filter((one) => one.startsWith('nvidia'));
    expect(properties).toEqual(
      expect.arrayContaining([
        'nvidia :: cuda_version_lower_bound :: 12.2',
        'nvidia :: cuda_version_lower_bound :: 12.1',
        'nvidia :: cuda_version_lower_bound :: 12.0',
        'nvidia :: cuda_version_upper_bound :: 13',
        'nvidia :: sm_arch :: 82_real',
        'nvidia :: sm_arch :: 81_real',
        'nvidia :: sm_arch :: 80_real',
        'nvidia :: sm_arch :: 82_virtual',
        'nvidia :: sm_arch :: 80_virtual',
      ]),
    );
    expect(properties).not.toContain('nvidia :: sm_arch :: 83_real');
    expect(properties).not.toContain('nvidia :: cuda_version_lower_bound :: 12.3');
  });

  test('of a host without a GPU include none of NVIDIA’s', () => {
    expect(written('cpu:zen4').filter((one) => one.startsWith('nvidia'))).toEqual([]);
  });

  test.each(['cpu:power9le', 'cpu:arm', 'cpu:z15'])(
    'of another architecture include none of a CPU: %s',
    (cpu) => {
      expect(written(cpu)).toEqual([]);
    },
  );

  test('of an arm64 host without a level are those of Armv8.0, and flags that are valid property names', () => {
    const host = hostOf('cpu:aarch64');
    const cpu = { ...host.cpu, flags: ['asimd', 'Sve', 'a-b', '-c', 'x_2'] };
    expect(propertiesOfHost({ ...host, cpu, features: ['two words'] }).map(formatVariantProperty)).toEqual([
      'aarch64 :: version :: 8.0a',
      'aarch64 :: asimd :: on',
      'aarch64 :: x_2 :: on',
    ]);
  });

  test('of x86 are its own level and the lower ones', () => {
    const levels = (variant?: string) => {
      const { variant: _, ...platform } = hostOf('cpu:zen4').platform;
      const host = { ...hostOf(''), platform: { ...platform, ...(variant ? { variant } : {}) } };
      const own = propertiesOfHost(host).filter(({ feature }) => feature === 'level');
      return own.map(({ value }) => value).join();
    };
    expect(levels('v4')).toBe('v4,v3,v2,v1');
    expect(levels('v2')).toBe('v2,v1');
    expect(levels()).toBe('v1');
    expect(levels('xv3')).toBe('v1');
  });

  test('of several GPUs contain each property once, with the first claimed CUDA version', () => {
    expect(
      written('cpu:x86_64 nvcap:8.0 nvcap:8.1 cuda:1.1 cuda:2.0').filter((one) => one.startsWith('nvidia')),
    ).toEqual([
      'nvidia :: cuda_version_lower_bound :: 1.1',
      'nvidia :: cuda_version_lower_bound :: 1.0',
      'nvidia :: cuda_version_upper_bound :: 2',
      ...['80_real', '80_virtual', '81_real', '81_virtual'].map((arch) => `nvidia :: sm_arch :: ${arch}`),
    ]);
  });
});
