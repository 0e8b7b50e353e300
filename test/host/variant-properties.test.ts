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

  const valuesOf = (features: string, feature: string) =>
    written(features)
      .filter((one) => one.startsWith(`nvidia :: ${feature} :: `))
      .map((one) => one.split(' :: ')[2]);

  /** `12.3`, `12.2`, `12.1`, `12.0` of 12 and 3. */
  const from = (major: number, minor: number, least = 0) =>
    Array.from({ length: minor - least + 1 }, (_, at) => `${major}.${minor - at}`);

  test('of a GPU are the bounds of CUDA that NVIDIA’s provider lists for its driver, in the same order', () => {
    // The provider's values for 12.7 (json/tests/cases/arch_9_0.json of wheelnext/nvidia-variant-provider2).
    const host = 'cpu:x86_64 nvcap:9.0 cuda:12.7';
    expect(valuesOf(host, 'cuda_version_lower_bound')).toEqual([...from(12, 7), '12', ...from(11, 20), '11']);
    expect(valuesOf(host, 'cuda_version_upper_bound')).toEqual([
      ...[15, 14, 13].flatMap((major) => [...from(major, 20), String(major)]),
      ...from(12, 20, 8),
    ]);
  });

  test.each([
    ['cuda:15.20', 'cuda_version_upper_bound', []],
    ['cuda:11.0', 'cuda_version_lower_bound', ['11.0', '11']],
    ['cuda:10.2', 'cuda_version_lower_bound', []],
  ])('of %s have no bounds that the provider does not know: %s', (cuda, bound, values) => {
    expect(valuesOf(`cpu:x86_64 nvcap:9.0 ${cuda}`, bound)).toEqual(values);
  });

  const names = (form: string, ...capabilities: readonly string[]) =>
    capabilities.map((one) => `${one.replace('.', '')}_${form}`);

  // Machine code runs on GPUs of its major version, from its minor version on; the driver compiles PTX of any capability up to the
  // GPU's: "Binary Compatibility" and "PTX Compatibility" in NVIDIA's CUDA C++ Programming Guide.
  test('of a GPU are the machine code of its major version and all PTX up to its capability, in this order', () => {
    expect(valuesOf('cpu:x86_64 nvcap:8.9', 'sm_arch')).toEqual([
      // 8.7 is Tegra's, whose machine code does not run on other GPUs.
      ...names('real', '8.9', '8.8', ...from(8, 6)),
      ...names('virtual', ...from(8, 9), ...from(7, 9), ...from(6, 9), ...from(5, 9)),
    ]);
    expect(valuesOf('cpu:x86_64 nvcap:12.1', 'sm_arch').slice(0, 4)).toEqual([
      ...names('real', '12.1', '12.0'),
      ...names('virtual', '12.1', '12.0'),
    ]);
  });

  test('of a Tegra chip are its own machine code and all PTX up to its capability', () => {
    expect(valuesOf('cpu:aarch64 nvcap:8.7', 'sm_arch').slice(0, 3)).toEqual([
      '87_real',
      '87_virtual',
      '86_virtual',
    ]);
  });

  test('of a GPU whose capability is no number include no code for it', () => {
    const host = { ...hostOf('cpu:x86_64'), features: ['nvcap:soon', 'nvcap:7.0', 'cuda:11.0'] };
    const properties = propertiesOfHost(host).filter(({ feature }) => feature === 'sm_arch');
    expect(properties.slice(0, 2).map(({ value }) => value)).toEqual(['70_real', '70_virtual']);
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

  test('of several GPUs contain what runs on one of them once, with the first claimed CUDA version', () => {
    const host = 'cpu:x86_64 nvcap:7.5 nvcap:9.0 cuda:11.1 cuda:12.0';
    expect(valuesOf(host, 'cuda_version_lower_bound')).toEqual(['11.1', '11.0', '11']);
    const code = valuesOf(host, 'sm_arch');
    expect(code.slice(0, 7)).toEqual(
      names('real', '9.0', '7.5', '7.4', '7.3', '7.1', '7.0').concat('90_virtual'),
    );
    expect(code).toEqual([...new Set(code)]);
  });
});
