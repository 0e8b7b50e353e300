import { describe, expect, test } from 'vitest';
import { REQUIRE_EXPRESSION } from '../../src/selection/demands.ts';
import { viewOf } from '../../src/selection/host-view.ts';
import {
  acceleratorCloseness,
  closenessToAll,
  judgeAccelerator,
  judgeGpu,
} from '../../src/selection/matchers/accelerator.ts';
import { amdCloseness, judgeAmd } from '../../src/selection/matchers/amd.ts';
import {
  environmentDemands,
  expressionBounds,
  isCapability,
  isNewerThan,
  judgeExpression,
  judgeNvidia,
  nvidiaCloseness,
} from '../../src/selection/matchers/nvidia.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { hostOf } from '../support/host-of.ts';

const ANY = { ...DEFAULT_POLICY, gpu: 'any' } as const;
const MATCH = { holds: true };
const host = (features: string) => viewOf(hostOf(features));
const features = (text: string) =>
  text
    .split(' ')
    .map((one) => ({ kind: one.slice(0, one.indexOf(':')), value: one.slice(one.indexOf(':') + 1) }));

describe('code for NVIDIA GPUs', () => {
  // Best first: 0 the features of one part, 1 the part, 2 its family, 3 an earlier minor version, 4 PTX.
  test.each([
    ['9.0', 'nvcap:9.0a', [0, 0]],
    ['9.0', 'nvcap:9.0', [1, 0]],
    ['9.0', 'nvcap:sm_90', [1, 0]],
    ['9.0', 'nvcap:compute_90', [1, 0]],
    ['9.0', 'nvcap:=9.0', [1, 0]],
    ['10.3', 'nvcap:10.3f', [1, 0]],
    ['10.3', 'nvcap:10.0f', [2, 3]],
    ['8.6', 'nvcap:8.0', [3, 6]],
    ['8.6', 'nvcap:8.0-8.9', [3, 0]],
    ['8.6', 'nvcap:8.0+PTX', [3, 6]],
    ['9.0', 'nvcap:8.0+PTX', [4, 100]],
    ['9.0', 'nvcap:8.6+ptx', [4, 94]],
    ['9.0', 'nvptx:9.0', [4, 0]],
    ['9.0', 'nvptx:9.0a', [4, 0]],
    ['9.0', 'nvptx:8.6', [4, 94]],
    ['10.3', 'nvptx:10.0f', [4, 3]],
    ['8.7', 'nvcap:8.7', [1, 0]],
    ['8.6', 'nvcap:8.0 nvcap:8.6', [1, 0]],
    ['8.6', 'nvcap:8.6 nvcap:8.0', [1, 0]],
    ['8.6', 'nvptx:8.6 nvcap:8.0', [3, 6]],
    ['8.9', 'nvcap:8.6 nvcap:8.0', [3, 3]],
  ])('a GPU of %s runs %s', (gpu, wanted, place) => {
    expect(nvidiaCloseness(features(wanted), host(`nvcap:${gpu}`), DEFAULT_POLICY)).toEqual(place);
    expect(judgeNvidia(features(wanted), host(`nvcap:${gpu}`), DEFAULT_POLICY)).toEqual(MATCH);
  });

  test.each([
    ['9.0', 'nvcap:8.6'],
    ['8.6', 'nvcap:8.9'],
    ['9.0', 'nvcap:8.9a'],
    ['10.3', 'nvcap:10.0a'],
    ['12.0', 'nvcap:10.0f'],
    ['9.0', 'nvcap:8.0-8.9'],
    ['9.0', 'nvcap:sm_90x'],
    ['9.0', 'nvcap:soon'],
    ['8.6', 'nvptx:8.9'],
    ['10.0', 'nvptx:9.0a'],
    ['12.0', 'nvptx:10.0f'],
    // The family of 10.0f is 10.0 and 10.3; 10.1 is Tegra's.
    ['10.1', 'nvptx:10.0f'],
    ['10.3', 'nvptx:10.1f'],
    ['9.0', 'nvptx:8.0-8.9'],
    // Tegra's code and that of other parts are not interchangeable.
    ['8.7', 'nvcap:8.6'],
    ['8.9', 'nvcap:8.7'],
  ])('a GPU of %s does not run %s', (gpu, wanted) => {
    const why = `this host's GPU is ${gpu}`;
    expect(judgeNvidia(features(wanted), host(`nvcap:${gpu}`), DEFAULT_POLICY)).toEqual({
      holds: false,
      why,
    });
  });

  test.each([
    ['nvcap:8.0', [3, 6], [1, 0], undefined],
    ['nvcap:8.6', undefined, [1, 0], 'it does not run on every GPU of this host: one is 8.0'],
    ['nvcap:9.0', undefined, undefined, "this host's GPU is 8.6 and 8.0"],
  ])('%s on GPUs of 8.6 and 8.0 counts as on the least suitable GPU, or on any', (wanted, all, any, why) => {
    const both = host('nvcap:8.6 nvcap:8.0');
    expect(nvidiaCloseness(features(wanted), both, DEFAULT_POLICY)).toEqual(all);
    expect(nvidiaCloseness(features(wanted), both, ANY)).toEqual(any);
    expect(judgeNvidia(features(wanted), both, DEFAULT_POLICY)).toEqual(why ? { holds: false, why } : MATCH);
  });

  test('does not run without a GPU', () => {
    const why = 'this host has no NVIDIA GPU';
    expect(judgeNvidia(features('nvcap:9.0'), host('cpu:zen4'), DEFAULT_POLICY)).toEqual({
      holds: false,
      why,
    });
  });

  test.each(['9.0', '9.0a', '10.0f', 'sm_90', '9.0+PTX', '8.0-8.9', '=7.5'])(
    '%s is a valid capability',
    (text) => {
      expect(isCapability(text)).toBe(true);
    },
  );

  test.each(['', 'soon', '9.0x', 'xsm_90', '+PTX'])('“%s” is not a valid capability', (text) => {
    expect(isCapability(text)).toBe(false);
  });

  test.each([
    [['nvcap:8.0'], '9.0', true],
    [['nvcap:8.0+PTX'], '9.0', true],
    [['nvcap:8.0-8.9'], '9.0', true],
    [['nvcap:9.0'], '9.0', false],
    [['nvcap:<=8.9'], '9.0', true],
    [['nvcap:<9.0'], '9.0', false],
    [['nvcap:>=8.0'], '9.0', false],
    [['nvcap:=8.0', 'nvcap:8.6'], '9.0', true],
    [['nvcap:8.0', 'nvcap:9.0'], '9.0', false],
    [['nvcap:8.0', 'nvcap:soon'], '9.0', false],
    [['nvcap:8.0 nvcap:9.0'], '9.0', false],
    [['nvcap:8.6'], '8.0 nvcap:9.0', true],
  ])('a GPU that is newer than all that %j names (one of %s): %s', (wanted, gpus, isNewer) => {
    const demands = wanted.map((text) => ({ key: 'gpu', anyOf: features(text), source: 'test' }));
    expect(isNewerThan(demands, host(`nvcap:${gpus}`))).toBe(isNewer);
  });
});

describe('NVIDIA_REQUIRE_* of an image’s configuration', () => {
  test('makes one demand for each variable', () => {
    const lines = [
      'PATH=/bin',
      'NVIDIA_REQUIRE_CUDA= cuda>=12.4 ',
      'NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS=',
      'NVIDIA_REQUIRE_DRIVER=driver>=535',
      'NVIDIA_REQUIRE_NOTHING= ',
      'X_NVIDIA_REQUIRE_CUDA=cuda>=99',
      'NVIDIA_REQUIRE_CUDA',
    ];
    const demand = (name: string, value: string) => ({
      key: `${REQUIRE_EXPRESSION}:${name}`,
      anyOf: [{ kind: REQUIRE_EXPRESSION, value }],
      source: `config env ${name}`,
    });
    expect(environmentDemands(lines)).toEqual([
      demand('NVIDIA_REQUIRE_CUDA', 'cuda>=12.4'),
      demand('NVIDIA_REQUIRE_DRIVER', 'driver>=535'),
    ]);
  });

  test.each([
    ['NVIDIA_DISABLE_REQUIRE=1', 0],
    ['NVIDIA_DISABLE_REQUIRE=true', 0],
    ['NVIDIA_DISABLE_REQUIRE=TRUE', 0],
    ['NVIDIA_DISABLE_REQUIRE=0', 1],
    ['NVIDIA_DISABLE_REQUIRE=10', 1],
    ['NVIDIA_DISABLE_REQUIRE=', 1],
    ['X_NVIDIA_DISABLE_REQUIRE=1', 1],
  ])('with %s makes %s', (line, count) => {
    expect(environmentDemands(['NVIDIA_REQUIRE_CUDA=cuda>=12.4', line])).toHaveLength(count);
  });

  const GPU_HOST = 'nvcap:9.0 nvcap:8.0 cuda:12.4 nvdriver:550';
  test.each([
    ['cuda>=12.4', true],
    ['cuda>=12.5', false],
    ['cuda>12.3,driver>=535', true],
    ['cuda>12.3,driver>=560', false],
    ['driver>=560 cuda>=12.0', true],
    ['driver>=560  cuda>=13.0', false],
    ['cuda>=12.4,', true],
    [',cuda>=12.4', true],
    // An unknown property counts as met, what is no constraint does not.
    ['brand=tesla,cuda>=12.0', true],
    ['brand=tesla,cuda>=13.0', false],
    ['nonsense', false],
    ['cuda>=soon', false],
    // On every GPU.
    ['arch>=8.0', true],
    ['arch>=9.0', false],
    ['cuda<12.4', false],
    ['cuda<=12.4', true],
    ['cuda=12.4', true],
  ])('%s holds on a host with two GPUs, CUDA 12.4 and driver 550: %s', (expression, holds) => {
    const why = 'this host has CUDA 12.4, driver 550';
    expect(judgeExpression(expression, host(GPU_HOST))).toEqual(holds ? MATCH : { holds, why });
  });

  test('does not hold on a host without a driver', () => {
    const why = 'this host has no NVIDIA driver';
    expect(judgeExpression('cuda>=10.0', host('cpu:zen4'))).toEqual({ holds: false, why });
    expect(judgeExpression('arch>=7.0', host('cpu:zen4'))).toEqual({ holds: false, why });
  });

  test.each([
    ['cuda>=12.0', 'cuda', ['12.0']],
    ['driver>=535', 'nvdriver', ['535']],
    ['cuda>=12.0,driver>=535', 'nvdriver', ['535']],
    ['cuda>=13.0 cuda>=11.0,driver>=535', 'cuda', ['11.0']],
    ['cuda>=11.0 cuda>=12.0', 'cuda', ['11.0', '12.0']],
    ['driver>=535', 'cuda', []],
    ['brand=tesla', 'cuda', []],
  ])('with the bounds %s in %s is %j', (expression, kind, bounds) => {
    const found = expressionBounds(expression, kind, host(GPU_HOST));
    expect(found.map((version) => version.join('.'))).toEqual(bounds);
  });
});

describe('code for AMD GPUs', () => {
  // 1 the processor itself, 3 a generic target of it; then how much the code leaves open.
  test.each([
    ['gfx942', 'gfx942', [1, 2]],
    ['gfx942', 'amdgcn-amd-amdhsa--gfx942', [1, 2]],
    ['gfx942', 'gfx942:xnack-', [1, 1]],
    ['gfx942', 'gfx942:sramecc+:xnack-', [1, 0]],
    ['gfx942:xnack+', 'gfx942:xnack+', [1, 1]],
    ['gfx942:sramecc-', 'gfx942:sramecc-', [1, 1]],
    ['gfx942', 'gfx942:wavefront+', [1, 2]],
    ['gfx942', 'gfx9-4-generic', [3, 2]],
    ['gfx942', 'gfx9-4-generic gfx942', [1, 2]],
    ['gfx942', 'gfx942 gfx942:xnack-', [1, 1]],
    ['gfx942', 'gfx90a gfx942', [1, 2]],
  ])('a GPU of %s runs %s', (gpu, wanted, place) => {
    const code = wanted.split(' ').map((value) => ({ kind: 'gfx', value }));
    expect(amdCloseness(code, host(`gfx:${gpu}`), DEFAULT_POLICY)).toEqual(place);
    expect(judgeAmd(code, host(`gfx:${gpu}`), DEFAULT_POLICY)).toEqual(MATCH);
  });

  test.each([
    ['gfx942', 'gfx90a'],
    ['gfx942', 'gfx9-generic'],
    ['gfx942', 'gfx942:xnack+'],
    ['gfx942', 'gfx942:sramecc-'],
    ['gfx942:xnack+', 'gfx942:xnack-'],
    ['gfx942', 'x-amdgcn-amd-amdhsa--gfx942'],
  ])('a GPU of %s does not run %s', (gpu, value) => {
    const why = `this host's GPU is ${gpu}`;
    expect(judgeAmd([{ kind: 'gfx', value }], host(`gfx:${gpu}`), DEFAULT_POLICY)).toEqual({
      holds: false,
      why,
    });
  });

  test('is refused with the names of the host’s GPUs, or without any', () => {
    const code = [{ kind: 'gfx', value: 'gfx1100' }];
    const why = (features: string) => judgeAmd(code, host(features), DEFAULT_POLICY);
    expect(why('cpu:zen4')).toEqual({ holds: false, why: 'this host has no AMD GPU' });
    expect(why('gfx:gfx942 gfx:gfx90a')).toEqual({
      holds: false,
      why: "this host's GPU is gfx942 and gfx90a",
    });
  });
});

describe('closenessToAll()', () => {
  test.each([
    [
      [
        [3, 6],
        [1, 0],
      ],
      [3, 6],
      [1, 0],
    ],
    [
      [
        [1, 0],
        [1, 2],
      ],
      [1, 2],
      [1, 0],
    ],
    [[undefined, [1, 0]], undefined, [1, 0]],
    [[[4, 0], undefined, [1, 0]], undefined, [1, 0]],
    [[undefined, undefined], undefined, undefined],
    [[], undefined, undefined],
  ] as const)('of %j: %j for all, %j for any', (perGpu, all, any) => {
    expect(closenessToAll(perGpu, DEFAULT_POLICY)).toEqual(all);
    expect(closenessToAll(perGpu, ANY)).toEqual(any);
  });
});

describe('demands with gpu: and accel:', () => {
  test.each([
    ['nvcap:9.0', 'nvidia', undefined],
    ['nvcap:9.0', 'cuda', undefined],
    ['nvcap:9.0', 'opencl', undefined],
    ['gfx:gfx942', 'rocm', undefined],
    ['gfx:gfx942', 'opencl', undefined],
    ['gpu:intel', 'intel', undefined],
    ['gpu:intel', 'opencl', undefined],
    ['gpu:intel', 'cuda', "this host's GPU is intel"],
    ['nvcap:9.0', 'rocm', "this host's GPU is nvidia"],
    ['nvcap:9.0 gfx:gfx942', 'intel', "this host's GPU is nvidia and amd"],
    ['cpu:zen4', 'opencl', 'this host has no GPU'],
    ['cpu:zen4', 'nvidia', 'this host has no GPU'],
  ])('a host with %s and the demand gpu:%s: %s', (features, wanted, why) => {
    expect(judgeGpu(wanted, host(features))).toEqual(why === undefined ? MATCH : { holds: false, why });
  });

  test.each([
    ['accel:intel-battlemage', 'accel:intel-battlemage', [1, 0], undefined],
    ['accel:intel-battlemage', 'accel:intel-xpu', [4, 0], undefined],
    ['accel:intel-battlemage', 'accel:other accel:intel-battlemage', [1, 0], undefined],
    ['accel:intel-battlemage', 'accel:other', undefined, 'this host has accel:intel-battlemage'],
    ['accel:a accel:b', 'accel:other', undefined, 'this host has accel:a and accel:b'],
    ['cpu:zen4', 'accel:other', undefined, 'this host has no such accelerator'],
    ['accel:vulkan', 'accel:vulkan', undefined, undefined],
  ])('a host with %s runs %s as closely as %j', (own, wanted, place, why) => {
    expect(acceleratorCloseness(features(wanted), host(own))).toEqual(place);
    expect(judgeAccelerator(features(wanted), host(own))).toEqual(
      why === undefined ? MATCH : { holds: false, why },
    );
  });
});
