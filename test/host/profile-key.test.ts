import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import { profileKey } from '../../src/host/profile-key.ts';

const HOST: HostProfile = {
  platform: { os: 'linux', architecture: 'amd64', variant: 'v4' },
  cpu: {
    microarchitecture: 'zen4',
    vendor: 'AuthenticAMD',
    compatible: ['zen4', 'zen3'],
    flags: ['avx', 'sse'],
  },
  gpus: [
    { vendor: 'nvidia', name: 'one', computeCapability: '9.0' },
    { vendor: 'amd', gfxTarget: 'gfx90a', integrated: true },
  ],
  hardware: { kernel: '6.8.0' },
  features: ['cpu:zen4', 'nvcap:9.0'],
  warnings: [],
};

describe('profileKey()', () => {
  test('begins with the microarchitecture, and has sixteen hexadecimal digits', () => {
    expect(profileKey(HOST)).toMatch(/^zen4-[0-9a-f]{16}$/);
  });

  const { variant: _variant, ...platform } = HOST.platform;
  const [nvidia, amd] = HOST.gpus;
  if (nvidia === undefined || amd === undefined) throw new Error('the host of the test has two GPUs');

  test.each<[string, Partial<HostProfile>]>([
    ['the order of its flags', { cpu: { ...HOST.cpu, flags: ['sse', 'avx'] } }],
    ['the order of its features', { features: ['nvcap:9.0', 'cpu:zen4'] }],
    ['the order of its GPUs', { gpus: [amd, nvidia] }],
    ["a GPU's name", { gpus: [{ ...nvidia, name: 'another' }, amd] }],
    ['that a GPU is not said to be integrated', { gpus: [{ ...nvidia, integrated: false }, amd] }],
    ['its warnings', { warnings: ['x'] }],
  ])('does not depend on %s', (_, change) => {
    expect(profileKey({ ...HOST, ...change })).toBe(profileKey(HOST));
  });

  test.each<[string, Partial<HostProfile>]>([
    ['operating system', { platform: { ...HOST.platform, os: 'windows' } }],
    ['architecture', { platform: { ...HOST.platform, architecture: 'arm64' } }],
    ['variant', { platform }],
    ['value of the variant', { platform: { ...platform, variant: 'v3' } }],
    ['microarchitecture', { cpu: { ...HOST.cpu, microarchitecture: 'zen5' } }],
    ['vendor', { cpu: { ...HOST.cpu, vendor: 'GenuineIntel' } }],
    ['list of what it runs', { cpu: { ...HOST.cpu, compatible: ['zen4'] } }],
    ['order of what it runs', { cpu: { ...HOST.cpu, compatible: ['zen3', 'zen4'] } }],
    ['flags', { cpu: { ...HOST.cpu, flags: ['avx'] } }],
    ['number of GPUs', { gpus: [nvidia] }],
    ["GPU's vendor", { gpus: [{ ...nvidia, vendor: 'intel' }, amd] }],
    ["GPU's compute capability", { gpus: [{ ...nvidia, computeCapability: '8.0' }, amd] }],
    ["GPU's target", { gpus: [nvidia, { ...amd, gfxTarget: 'gfx942' }] }],
    ['integrated GPU', { gpus: [nvidia, { ...amd, integrated: false }] }],
    ['features', { features: ['cpu:zen4'] }],
    ['kernel', { hardware: { kernel: '6.9.0' } }],
  ])('differs when the %s differs', (_, change) => {
    expect(profileKey({ ...HOST, ...change })).not.toBe(profileKey(HOST));
  });

  test('of a host without hardware facts equals that of one with empty facts', () => {
    const { hardware: _hardware, ...without } = HOST;
    expect(profileKey(without)).toBe(profileKey({ ...HOST, hardware: {} }));
  });
});
