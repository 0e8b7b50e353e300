import { describe, expect, test } from 'vitest';
import { parseProfile } from '../../src/host/profile-json.ts';

const written = {
  platform: { os: 'linux', architecture: 'amd64', variant: 'v4' },
  cpu: {
    microarchitecture: 'zen4',
    vendor: 'AuthenticAMD',
    compatible: ['zen4', 'x86_64_v4', 'x86_64'],
    flags: ['avx2', 'avx512f'],
  },
  gpus: [{ vendor: 'nvidia', name: 'NVIDIA H100', computeCapability: '9.0', integrated: false }],
  features: ['cpu:zen4', 'x86-64-v4', 'nvcap:9.0'],
  warnings: [],
};

describe('a profile read from JSON', () => {
  test('is what was written', () => {
    expect(parseProfile(JSON.parse(JSON.stringify(written)))).toEqual(written);
  });

  test('has no members that a profile does not have', () => {
    const read = parseProfile({ ...written, system: {}, gpus: [{ ...written.gpus[0], pciId: '10de:2330' }] });
    expect(read).toEqual(written);
  });

  test('takes null for an absent name', () => {
    const read = parseProfile({ ...written, gpus: [{ vendor: 'nvidia', name: null }] });
    expect(read.gpus).toEqual([{ vendor: 'nvidia' }]);
  });

  test('counts the microarchitecture among what the host runs', () => {
    const read = parseProfile({ ...written, cpu: { ...written.cpu, compatible: ['x86_64'] } });
    expect(read.cpu.compatible).toEqual(['zen4', 'x86_64']);
  });

  test.each([
    [[], 'a map of keys and values is expected, not a list'],
    ['zen4', 'a map of keys and values is expected, not a text'],
    [{}, 'platform: this key is missing'],
    [{ ...written, platform: undefined }, 'platform: this key is missing'],
    [{ ...written, platform: { os: 'linux' } }, 'platform.architecture: this key is missing'],
    [
      { ...written, cpu: { ...written.cpu, microarchitecture: 4 } },
      'cpu.microarchitecture: a text is expected, not a number',
    ],
    [{ ...written, cpu: { ...written.cpu, flags: 'avx2' } }, 'cpu.flags: a list is expected, not a text'],
    [{ ...written, gpus: [{}] }, 'gpus[0].vendor: this key is missing'],
    [
      { ...written, gpus: [{ vendor: 'nvidia', integrated: 'no' }] },
      'gpus[0].integrated: true or false is expected, not a text',
    ],
    [{ ...written, features: ['cpu:zen4', 'two words'] }, 'features[1]: “two words” is no feature'],
    [{ ...written, warnings: null }, 'warnings: a list is expected, not nothing'],
  ])('says what is wrong with %j', (document, message) => {
    expect(() => parseProfile(document)).toThrow(message);
  });
});
