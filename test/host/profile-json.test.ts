import { readFileSync } from 'node:fs';
import { toJsonSchema } from '@valibot/to-json-schema';
import { describe, expect, test } from 'vitest';
import { parseProfile, profileSchema } from '../../src/host/profile-json.ts';
import { readValue } from '../../src/lib/config-source.ts';
import { FeatureText } from '../../src/selection/feature-schema.ts';

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
  test('equals the profile that was written', () => {
    expect(parseProfile(JSON.parse(JSON.stringify(written)))).toEqual(written);
  });

  test('ignores members that a profile does not have', () => {
    const read = parseProfile({ ...written, system: {}, gpus: [{ ...written.gpus[0], pciId: '10de:2330' }] });
    expect(read).toEqual(written);
  });

  test('accepts null for an absent name', () => {
    const read = parseProfile({ ...written, gpus: [{ vendor: 'nvidia', name: null }] });
    expect(read.gpus).toEqual([{ vendor: 'nvidia' }]);
  });

  test('includes the microarchitecture in what the host runs', () => {
    const read = parseProfile({ ...written, cpu: { ...written.cpu, compatible: ['x86_64'] } });
    expect(read.cpu.compatible).toEqual(['zen4', 'x86_64']);
  });

  test.each([undefined, null])('has no hardware where it has %s', (hardware) => {
    expect(parseProfile({ ...written, hardware })).toStrictEqual(written);
  });

  test('accepts an unknown microarchitecture', () => {
    const cpu = { ...written.cpu, microarchitecture: 'zen99', compatible: ['zen99'] };
    expect(parseProfile({ ...written, cpu }).cpu).toEqual(cpu);
  });

  test('has the hardware that was written, member by member', () => {
    const hardware = {
      cpuFamily: 25,
      cpuModel: 17,
      kernel: '6.8.0-49-generic',
      osId: 'debian',
      osVersion: '12',
      pci: ['10de:2330:0302'],
    };
    expect(parseProfile({ ...written, hardware: { ...hardware, more: 1 } }).hardware).toEqual(hardware);
    for (const [name, value] of Object.entries(hardware)) {
      expect(parseProfile({ ...written, hardware: { [name]: value } }).hardware).toEqual({ [name]: value });
    }
    expect(parseProfile({ ...written, hardware: {} }).hardware).toEqual({});
    expect(parseProfile({ ...written, hardware: { kernel: null } }).hardware).toEqual({});
  });

  test('has only the given members of a platform and a GPU', () => {
    const { platform, gpus, cpu } = parseProfile({
      ...written,
      platform: { os: 'linux', architecture: 'amd64' },
      cpu: { ...written.cpu, vendor: undefined },
      gpus: [{ vendor: 'amd', gfxTarget: 'gfx90a', integrated: true }, { vendor: 'intel' }],
    });
    expect(platform).toEqual({ os: 'linux', architecture: 'amd64' });
    expect(gpus).toEqual([{ vendor: 'amd', gfxTarget: 'gfx90a', integrated: true }, { vendor: 'intel' }]);
    expect(cpu.vendor).toBe('generic');
  });

  test.each([
    [{ ...written, hardware: [] }, 'hardware'],
    [{ ...written, hardware: { cpuFamily: '25' } }, 'hardware.cpuFamily'],
    [{ ...written, hardware: { cpuModel: 1.5 } }, 'hardware.cpuModel'],
    [{ ...written, hardware: { kernel: 6 } }, 'hardware.kernel'],
    [{ ...written, hardware: { osId: '' } }, 'hardware.osId'],
    [{ ...written, hardware: { osVersion: 12 } }, 'hardware.osVersion'],
    [{ ...written, hardware: { pci: '10de' } }, 'hardware.pci'],
    [{ ...written, hardware: { pci: ['a', 1] } }, 'hardware.pci[1]'],
    [{ ...written, platform: null }, 'platform'],
    [{ ...written, platform: { ...written.platform, variant: 4 } }, 'platform.variant'],
    [{ ...written, platform: { architecture: 'amd64' } }, 'platform.os'],
    [{ ...written, cpu: { ...written.cpu, vendor: 1 } }, 'cpu.vendor'],
    [{ ...written, cpu: { ...written.cpu, compatible: undefined } }, 'cpu.compatible'],
    [{ ...written, cpu: { ...written.cpu, compatible: [''] } }, 'cpu.compatible[0]'],
    [{ ...written, gpus: {} }, 'gpus'],
    [{ ...written, gpus: [{ vendor: 'x' }, 'y'] }, 'gpus[1]'],
    [{ ...written, gpus: [{ vendor: 'x', name: 1 }] }, 'gpus[0].name'],
    [{ ...written, gpus: [{ vendor: 'x', computeCapability: 9 }] }, 'gpus[0].computeCapability'],
    [{ ...written, gpus: [{ vendor: 'x', gfxTarget: 9 }] }, 'gpus[0].gfxTarget'],
    [{ ...written, features: undefined }, 'features'],
    [{ ...written, features: [7] }, 'features[0]'],
    [{ ...written, warnings: undefined }, 'warnings'],
  ])('reports the problem of %j starting with the wrong member: %s', (document, member) => {
    expect(() => parseProfile(document)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(`^${member.replaceAll(/[[\].]/g, '\\$&')}[ :]`),
      }),
    );
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
    [{ ...written, features: ['cpu:zen4', 'two words'] }, 'features[1]: “two words” is not a feature'],
    [{ ...written, warnings: null }, 'warnings: a list is expected, not nothing'],
  ])('names the problem of %j', (document, message) => {
    expect(() => parseProfile(document)).toThrow(message);
  });
});

describe('a profile written by hand', () => {
  const named = (microarchitecture: string, architecture = 'amd64') => ({
    ...written,
    platform: { os: 'linux', architecture },
    cpu: { ...written.cpu, microarchitecture },
  });
  const read = (document: unknown) => readValue(profileSchema(FeatureText, 'known'), document);

  test.each([
    ['skylake-avx512', 'skylake_avx512'],
    ['skylkae', 'skylake'],
  ])('with the microarchitecture %s is refused: did it mean %s?', (name, meant) => {
    expect(() => read(named(name))).toThrow(
      `cpu.microarchitecture: there is no microarchitecture “${name}”; did you mean ${meant}?`,
    );
  });

  test('with a microarchitecture that resembles none is refused without a suggestion', () => {
    expect(() => read(named('qqqqqqqqqqqq'))).toThrow(/there is no microarchitecture “qqqqqqqqqqqq”$/);
  });

  test.each([
    ['zen4', 'amd64'],
    ['mips64', 'mips64'],
  ])('may name %s on %s', (name, architecture) => {
    expect(read(named(name, architecture)).cpu.microarchitecture).toBe(name);
  });

  test('has descriptions for editors member by member, with examples', () => {
    const { $schema: _, ...described } = toJsonSchema(profileSchema(FeatureText, 'known'), {
      typeMode: 'input',
      target: 'draft-07',
      ignoreActions: ['raw_check', 'trim'],
    });
    const file = new URL('../../schema/profile.schema.json', import.meta.url);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject(described);
  });
});
