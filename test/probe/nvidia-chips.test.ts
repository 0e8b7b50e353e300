import { describe, expect, test } from 'vitest';
import { isBeforeFermi, nvidiaChip } from '../../src/probe/nvidia-chips.ts';

describe('the table of NVIDIA device ids', () => {
  test.each([
    ['1091', 'Tesla M2090', '2.0'],
    ['118f', 'Tesla K10', '3.0'],
    ['1023', 'Tesla K40m', '3.5'],
    ['102d', 'Tesla K80', '3.7'],
    ['1382', 'GeForce GTX 745', '5.0'],
    ['13f2', 'Tesla M60', '5.2'],
    ['17fd', 'Tesla M40', '5.2'],
    ['15f9', 'Tesla P100 SXM2', '6.0'],
    ['1b38', 'Tesla P40', '6.1'],
    ['1db1', 'Tesla V100 SXM2', '7.0'],
    ['1eb8', 'Tesla T4', '7.5'],
    ['1e81', 'GeForce RTX 2080 SUPER', '7.5'],
    ['20b0', 'A100 SXM4 40GB', '8.0'],
    ['2235', 'A40', '8.6'],
    ['25b6', 'A2 and A16', '8.6'],
    ['2702', 'GeForce RTX 4080 SUPER', '8.9'],
    ['26b9', 'L40S', '8.9'],
    ['27b8', 'L4', '8.9'],
    ['2330', 'H100 SXM5', '9.0'],
    ['2335', 'H200', '9.0'],
    ['2342', 'GH200', '9.0'],
    ['2901', 'B200', '10.0'],
    ['3182', 'B300', '10.3'],
    ['2b85', 'GeForce RTX 5090', '12.0'],
    ['2bb5', 'RTX PRO 6000 Blackwell Server Edition', '12.0'],
    ['15fc', 'Tesla P100-DGXS', '6.0'],
    ['29bc', 'B100', '10.0'],
    ['2e12', 'GB10', '12.1'],
    ['2e03', 'RTX Spark N1X', '12.1'],
    ['2e06', 'RTX Spark N1X', '12.1'],
    ['2e13', 'RTX Spark N1X', '12.1'],
    ['2e2a', 'RTX Spark N1X', '12.1'],
  ])('%s is a %s of compute capability %s', (device, _name, capability) => {
    expect(nvidiaChip(device)?.computeCapability).toBe(capability);
  });

  test('marks the GPU of Jetson Thor as integrated', () => {
    expect(nvidiaChip('2b00')).toEqual({ chip: 'GB10B', computeCapability: '11.0', integrated: true });
  });

  test('has the name of a chip whose capability is not published, and leaves the capability to nvidia-smi', () => {
    expect(nvidiaChip('2980')).toEqual({ chip: 'GB102' });
    expect(nvidiaChip('3200')).toEqual({ chip: 'GB112' });
    expect(nvidiaChip('3041')).toEqual({ chip: 'Rubin' });
    expect(nvidiaChip('307f')).toEqual({ chip: 'Rubin' });
  });

  test('has no entry for an id of no chip', () => {
    expect(nvidiaChip('ffff')).toBeUndefined();
    expect(nvidiaChip('22a3')).toBeUndefined();
  });

  test('distinguishes GPUs older than Fermi from those newer than the table', () => {
    expect(isBeforeFermi('0191')).toBe(true);
    expect(isBeforeFermi('10c3')).toBe(true);
    expect(isBeforeFermi('1023')).toBe(false);
    expect(isBeforeFermi('3400')).toBe(false);
  });
});
