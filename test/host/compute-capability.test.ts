import { describe, expect, test } from 'vitest';
import { machineCodeRunsOn, parseCodeTarget, ptxRunsOn } from '../../src/host/compute-capability.ts';
import { parseVersion } from '../../src/lib/version.ts';

describe('parseCodeTarget()', () => {
  test.each([
    ['9.0', [9, 0], ''],
    ['90', [9, 0], ''],
    ['12.1', [12, 1], ''],
    ['121', [12, 1], ''],
    ['sm_86', [8, 6], ''],
    ['compute_75', [7, 5], ''],
    ['9.0a', [9, 0], 'a'],
    ['sm_100f', [10, 0], 'f'],
  ])('reads %s', (text, version, suffix) => {
    expect(parseCodeTarget(text)).toEqual({ version, suffix });
  });

  test.each([
    '',
    '9',
    '9.',
    'a',
    '9.0b',
    '9.0aa',
    'xsm_90',
    'sm_90x',
    'sm-90',
    '9.0 ',
    '8.0-8.9',
    'compute_',
  ])('“%s” names no target', (text) => {
    expect(parseCodeTarget(text)).toBeUndefined();
  });
});

/** Whether machine code, and PTX, of a target run on a GPU. */
function runs(target: string, capability: string): readonly [machineCode: boolean, ptx: boolean] {
  const [code, gpu] = [parseCodeTarget(target), parseVersion(capability)];
  if (code === undefined || gpu === undefined)
    return expect.fail(`${target} or ${capability} cannot be read`);
  return [machineCodeRunsOn(code, gpu), ptxRunsOn(code, gpu)];
}

// "Binary Compatibility" and "PTX Compatibility" in NVIDIA's CUDA C++ Programming Guide.
test.each([
  ['8.6', '8.6', true, true],
  ['8.0', '8.6', true, true],
  ['8.9', '8.6', false, false],
  ['8.9', '9.0', false, true],
  ['9.0', '8.9', false, false],
  // Tegra's machine code and that of other GPUs do not run on each other. PTX does.
  ['8.7', '8.7', true, true],
  ['8.6', '8.7', false, true],
  ['8.7', '8.9', false, true],
  // What is for one GPU alone.
  ['9.0a', '9.0', true, true],
  ['10.0a', '10.3', false, false],
  ['9.0a', '10.0', false, false],
  // What is for a family: that of 10.0f is 10.0 and 10.3. 10.1 is Tegra's, and has its own.
  ['10.0f', '10.0', true, true],
  ['10.0f', '10.3', true, true],
  ['10.3f', '10.0', false, false],
  ['10.0f', '10.1', false, false],
  ['10.1f', '10.1', true, true],
  ['10.1f', '10.3', false, false],
  ['10.0f', '12.0', false, false],
  ['12.0f', '12.1', true, true],
])('of %s, a GPU of %s runs machine code: %s, PTX: %s', (target, gpu, machineCode, ptx) => {
  expect(runs(target, gpu)).toEqual([machineCode, ptx]);
});

test.each(['3.2', '5.3', '6.2', '7.2', '8.7', '10.1', '11.0'])('a chip of %s is Tegra’s', (capability) => {
  const [major] = capability.split('.');
  const [before] = runs(`${major}.0`, capability);
  expect([before, runs(capability, capability)[0], runs(capability, `${major}.9`)[0]]).toEqual([
    ...[capability === `${major}.0`, true, false],
  ]);
});
