import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { deriveProfile } from '../../src/host/profile.ts';
import { parseProfile } from '../../src/host/profile-json.ts';
import { profileKey } from '../../src/host/profile-key.ts';
import { parseCompatibility } from '../../src/mirror/documents/specification.ts';
import { probeHost } from '../../src/probe/host.ts';
import { judgeCompatibility } from '../../src/selection/compatibility.ts';
import { viewOf } from '../../src/selection/host-view.ts';
import { hostOf } from '../support/host-of.ts';
import { MUSEUM } from '../support/museum.ts';

async function machine(name: string, architecture: string) {
  const { facts } = await probeHost({
    root: join(MUSEUM, name),
    architecture,
    now: () => new Date('2026-01-01'),
  });
  return deriveProfile(facts);
}

/** An Ice Lake server with four A100, Linux 5.14. */
const A100 = await machine('rhel9-icelake-a100', 'amd64');
const GRAVITON3 = await machine('amazon2023-graviton3', 'arm64');

type Terms = readonly object[];

/** One rule whose terms are all needed, judged for a host. */
function judge(terms: Terms, host = A100) {
  return judgeSets([{ rules: [{ name: 'needs', matchFeatures: terms }] }], host);
}

function judgeSets(compatibilities: readonly object[], host = A100) {
  const sets = parseCompatibility({ version: 'v1alpha1', compatibilities });
  // A host of its own each time: what is remembered of one would be worked out in the first test alone.
  return judgeCompatibility(JSON.stringify(sets), viewOf({ ...host }));
}

function one(feature: string, name: string, op: string, value?: readonly unknown[], type?: string): Terms {
  return [{ feature, matchExpressions: { [name]: { op, value, type } } }];
}

describe('a rule of node-feature-discovery', () => {
  test.each<[string, Terms, boolean]>([
    ['a CPU flag by its name there', one('cpu.cpuid', 'AVX512F', 'Exists'), true],
    ['a CPU flag that the host lacks', one('cpu.cpuid', 'AMXTILE', 'Exists'), false],
    ['a CPU flag that shall not be there', one('cpu.cpuid', 'AMXTILE', 'DoesNotExist'), true],
    ['a name of a flag that is not known, wanted', one('cpu.cpuid', 'QUANTUM', 'Exists'), false],
    ['a name of a flag that is not known, unwanted', one('cpu.cpuid', 'QUANTUM', 'DoesNotExist'), false],
    ['the vendor of the CPU', one('cpu.model', 'vendor_id', 'In', ['Intel', 'AMD']), true],
    ['another vendor', one('cpu.model', 'vendor_id', 'In', ['AMD']), false],
    ['not that vendor', one('cpu.model', 'vendor_id', 'NotIn', ['AMD']), true],
    ['family and model', one('cpu.model', 'id', 'In', ['106']), true],
    ['a number greater than', one('kernel.version', 'major', 'Gt', ['4']), true],
    ['a number not greater than itself', one('kernel.version', 'major', 'Gt', ['5']), false],
    ['at least', one('kernel.version', 'major', 'Ge', ['5']), true],
    ['less than', one('kernel.version', 'minor', 'Lt', ['15']), true],
    ['within', one('kernel.version', 'minor', 'GtLt', ['13', '15']), true],
    ['outside', one('kernel.version', 'minor', 'GtLt', ['14', '15']), false],
    ['within, ends included', one('kernel.version', 'minor', 'GeLe', ['14', '14']), true],
    ['a version', one('system.osrelease', 'VERSION_ID', 'Ge', ['9.2'], 'version'), true],
    ['a version that is too old', one('system.osrelease', 'VERSION_ID', 'Ge', ['9.10'], 'version'), false],
    ['text where a number belongs', one('system.osrelease', 'ID', 'Gt', ['1']), false],
    ['numbers written as numbers', one('kernel.version', 'major', 'In', [5]), true],
    ['a pattern', one('kernel.version', 'full', 'InRegexp', ['^5\\.14\\..*el9']), true],
    ['a pattern that could take long', one('kernel.version', 'full', 'InRegexp', ['(a+)+$', '.*']), false],
    ['a threading that is told', one('cpu.topology', 'hardware_multithreading', 'IsTrue'), true],
    ['an operator of the future', one('kernel.version', 'major', 'Nearly', ['5']), false],
    ['a type of the future', one('kernel.version', 'major', 'Ge', ['5'], 'roman'), false],
    ['a feature that is not told', one('kernel.loadedmodule', 'vfio-pci', 'Exists'), false],
    ['a feature that is not told, unwanted', one('kernel.loadedmodule', 'vfio-pci', 'DoesNotExist'), false],
    [
      'a name of a flag by pattern',
      [{ feature: 'cpu.cpuid', matchName: { op: 'In', value: ['AVX2'] } }],
      true,
    ],
    ['no name of a flag', [{ feature: 'cpu.cpuid', matchName: { op: 'In', value: ['NOSUCH'] } }], false],
    [
      'a name of a flag other than',
      [{ feature: 'cpu.cpuid', matchName: { op: 'NotIn', value: ['AVX2'] } }],
      true,
    ],
    ['any name of a flag', [{ feature: 'cpu.cpuid', matchName: { op: 'Exists' } }], true],
    [
      'a name of a flag and a flag that the host lacks',
      [
        {
          feature: 'cpu.cpuid',
          matchName: { op: 'In', value: ['AVX2'] },
          matchExpressions: { AMXTILE: { op: 'Exists' } },
        },
      ],
      false,
    ],
    ['a feature in another case', one('CPU.CPUID', 'AVX2', 'Exists'), true],
    [
      'several elements, one of which differs',
      [
        {
          feature: 'kernel.version',
          matchExpressions: { major: { op: 'In', value: ['5'] }, minor: { op: 'In', value: ['15'] } },
        },
      ],
      false,
    ],
    ['an element without an operator', one('kernel.version', 'major', ''), true],
    ['an absent flag without an operator', one('cpu.cpuid', 'AMXTILE', ''), true],
    ['an unknown element without an operator', one('cpu.cpuid', 'QUANTUM', ''), false],
    ['the value of a flag, which has none', one('cpu.cpuid', 'AVX2', 'In', ['']), false],
    ['not that value of a flag', one('cpu.cpuid', 'AVX2', 'NotIn', ['x']), false],
    ['a value that shall not be there', one('kernel.version', 'major', 'DoesNotExist'), false],
    ['a value that shall be there', one('kernel.version', 'major', 'Exists'), true],
    ['not that value', one('kernel.version', 'major', 'NotIn', ['5']), false],
    ['not any of no values', one('kernel.version', 'major', 'NotIn', []), false],
    ['at least the next', one('kernel.version', 'major', 'Ge', ['6']), false],
    ['not less than itself', one('kernel.version', 'minor', 'Lt', ['14']), false],
    ['at most itself', one('kernel.version', 'minor', 'Le', ['14']), true],
    ['at most the one before', one('kernel.version', 'minor', 'Le', ['13']), false],
    ['within, without the upper end', one('kernel.version', 'minor', 'GtLt', ['13', '14']), false],
    ['within, from the lower end', one('kernel.version', 'minor', 'GeLe', ['14', '15']), true],
    ['within, to the upper end', one('kernel.version', 'minor', 'GeLe', ['13', '14']), true],
    ['below', one('kernel.version', 'minor', 'GeLe', ['15', '16']), false],
    ['above', one('kernel.version', 'minor', 'GeLe', ['12', '13']), false],
    ['within, without an end', one('kernel.version', 'minor', 'GeLe', ['13']), false],
    ['more than a negative number', one('kernel.version', 'minor', 'Gt', ['-15']), true],
    ['a number that is not whole', one('kernel.version', 'minor', 'Gt', ['1.5']), false],
    ['a number before letters', one('kernel.version', 'minor', 'Gt', ['1x']), false],
    ['a number after letters', one('kernel.version', 'minor', 'Gt', ['x1']), false],
    ['numbers of two digits, as numbers', one('kernel.version', 'minor', 'Gt', ['9']), true],
    ['a version with the v of a tag', one('system.osrelease', 'VERSION_ID', 'Ge', ['v9.1'], 'version'), true],
    ['a v elsewhere in a version', one('system.osrelease', 'VERSION_ID', 'Ge', ['9v.1'], 'version'), false],
    ['a version of one part', one('system.osrelease', 'VERSION_ID', 'Ge', ['9'], 'version'), true],
    ['a version of three parts', one('system.osrelease', 'VERSION_ID', 'Ge', ['9.1.2'], 'version'), true],
    ['a version of two digits', one('system.osrelease', 'VERSION_ID', 'Lt', ['10.11.12'], 'version'), true],
    ['a version of four parts', one('system.osrelease', 'VERSION_ID', 'Ge', ['9.1.2.3'], 'version'), false],
    ['a version with a suffix', one('system.osrelease', 'VERSION_ID', 'Ge', ['9.1-rc'], 'version'), false],
    ['a version with a prefix', one('system.osrelease', 'VERSION_ID', 'Ge', ['r9.1'], 'version'), false],
    ['a kernel with a suffix, as a version', one('kernel.version', 'full', 'Ge', ['5.1'], 'version'), false],
    ['a threading that is off', one('cpu.topology', 'hardware_multithreading', 'IsFalse'), false],
    ['a word for true', one('system.osrelease', 'ID', 'IsTrue'), false],
    ['a word for false', one('system.osrelease', 'ID', 'IsFalse'), false],
    ['one of several patterns', one('kernel.version', 'full', 'InRegexp', ['^6', '^5']), true],
    ['no pattern', one('kernel.version', 'full', 'InRegexp', []), false],
    ['a pattern that does not match', one('kernel.version', 'full', 'InRegexp', ['^14']), false],
    [
      'a pattern that could take long, last',
      one('kernel.version', 'full', 'InRegexp', ['^5', '(a+)+$']),
      false,
    ],
    ['a pattern of three repetitions', one('kernel.version', 'full', 'InRegexp', ['^5.*1.*4.*el9']), true],
    ['a pattern of four repetitions', one('kernel.version', 'full', 'InRegexp', ['^5.*1.*4.*el9.*']), false],
    ['a pattern of escaped stars', one('kernel.version', 'full', 'InRegexp', ['^5', '\\*\\*\\*\\*']), true],
    ['a range that runs backwards', one('kernel.version', 'full', 'InRegexp', ['^5', '[z-a]']), false],
    ['a pattern of classes', one('kernel.version', 'full', 'InRegexp', ['^[5-6]\\.[0-9]+\\.\\d']), true],
    ['a pattern with the end', one('system.osrelease', 'ID', 'InRegexp', ['^rhel$']), true],
    [
      'a pattern with an end in the middle',
      one('system.osrelease', 'ID', 'InRegexp', ['rhel', 'a$b']),
      false,
    ],
    [
      'a pattern with a start in the middle',
      one('system.osrelease', 'ID', 'InRegexp', ['rhel', 'a^b']),
      false,
    ],
    ['a pattern of alternatives', one('system.osrelease', 'ID', 'InRegexp', ['rhel|rocky']), false],
    [
      'a pattern of 100 characters',
      one('system.osrelease', 'ID', 'InRegexp', ['rhel', 'x'.repeat(100)]),
      true,
    ],
    [
      'a pattern of 101 characters',
      one('system.osrelease', 'ID', 'InRegexp', ['rhel', 'x'.repeat(101)]),
      false,
    ],
  ])('about %s: %j holds: %s', (_, terms, holds) => {
    expect(judge(terms).holds).toBe(holds);
  });

  test('about a PCI device holds when one device satisfies all its conditions', () => {
    const device = (vendor: string, pciClass: string) => [
      {
        feature: 'pci.device',
        matchExpressions: { vendor: { op: 'In', value: [vendor] }, class: { op: 'In', value: [pciClass] } },
      },
    ];
    expect(judge(device('10de', '0302')).holds).toBe(true);
    // The vendor of one device and the class of another are not a device.
    expect(judge(device('10de', '0200')).holds).toBe(false);
  });

  test('about a PCI device names what the last device lacks, or that there is none', () => {
    const nic = one('pci.device', 'vendor', 'In', ['15b4']);
    expect(judge(nic)).toMatchObject({
      why: expect.stringMatching(/^rule “needs”: pci\.device: vendor In 15b4: this host has /),
    });
    expect(judge(nic, { ...A100, hardware: { ...A100.hardware, pci: [] } })).toEqual({
      holds: false,
      why: 'rule “needs”: pci.device: this host has none',
    });
  });

  test('about a PCI device holds for the first of several devices', () => {
    const host = { ...A100, hardware: { pci: ['10de:20b2:0302', '8086:1592:0200'] } };
    expect(judge(one('pci.device', 'vendor', 'In', ['10de']), host).holds).toBe(true);
  });

  test.each([
    ['smt:on', 'IsTrue', true],
    ['smt:on', 'IsFalse', false],
    ['smt:off', 'IsTrue', false],
    ['smt:off', 'IsFalse', true],
  ])('about a host with %s: hardware_multithreading %s holds: %s', (smt, op, holds) => {
    const host = hostOf(`cpu:zen4 ${smt}`);
    expect(judge(one('cpu.topology', 'hardware_multithreading', op), host).holds).toBe(holds);
  });

  test.each([
    ['v9.1', 'version', true],
    ['9v.1', 'version', false],
    ['9.1', undefined, false],
    ['91', undefined, true],
  ])('about a system of version %s, as %s, more than 8: %s', (osVersion, type, holds) => {
    const host = { ...A100, hardware: { osVersion } };
    expect(judge(one('system.osrelease', 'VERSION_ID', 'Gt', ['8'], type), host).holds).toBe(holds);
  });

  test('about flags of arm64 uses the kernel’s names in upper case', () => {
    expect(judge(one('cpu.cpuid', 'SVE', 'Exists'), GRAVITON3).holds).toBe(true);
    expect(judge(one('cpu.cpuid', 'AVX2', 'DoesNotExist'), GRAVITON3).holds).toBe(false);
  });

  test('does not hold for a machine type, whose PCI devices and kernel are unknown', () => {
    const host = hostOf('cpu:zen4 nvcap:9.0');
    expect(judge(one('pci.device', 'vendor', 'In', ['10de']), host).holds).toBe(false);
    expect(judge(one('kernel.version', 'major', 'Ge', ['5']), host).holds).toBe(false);
    expect(judge(one('cpu.cpuid', 'AVX512F', 'Exists'), host).holds).toBe(true);
  });

  test('needs one of matchAny in addition to all of matchFeatures', () => {
    const rule = (any: readonly Terms[]) => ({
      rules: [
        {
          name: 'one NIC',
          matchFeatures: one('cpu.cpuid', 'AVX2', 'Exists'),
          matchAny: any.map((matchFeatures) => ({ matchFeatures })),
        },
      ],
    });
    const [has, lacks] = [one('cpu.cpuid', 'ADX', 'Exists'), one('cpu.cpuid', 'TBM', 'Exists')];
    expect(judgeSets([rule([lacks, has])]).holds).toBe(true);
    expect(judgeSets([rule([lacks, lacks])])).toEqual({
      holds: false,
      why: 'rule “one NIC”: cpu.cpuid: TBM Exists',
    });
    expect(judgeSets([rule([one('cpu.cpuid', 'XOP', 'Exists'), lacks])])).toMatchObject({
      why: 'rule “one NIC”: cpu.cpuid: XOP Exists',
    });
  });

  test('needs all of matchFeatures in addition to one of matchAny', () => {
    const rule = {
      name: 'both',
      matchFeatures: one('cpu.cpuid', 'TBM', 'Exists'),
      matchAny: [{ matchFeatures: one('cpu.cpuid', 'ADX', 'Exists') }],
    };
    expect(judgeSets([{ rules: [rule] }]).holds).toBe(false);
    expect(judge([...one('cpu.cpuid', 'ADX', 'Exists'), ...one('cpu.cpuid', 'TBM', 'Exists')]).holds).toBe(
      false,
    );
  });

  test('is described by its name, its conditions and the host’s values', () => {
    expect(judge(one('kernel.version', 'minor', 'Gt', ['20']))).toMatchObject({
      why: 'rule “needs”: kernel.version: minor Gt 20: this host has 14',
    });
    expect(judge(one('kernel.config', 'X86', 'Exists'))).toMatchObject({
      why: 'rule “needs”: kernel.config: this host does not report it',
    });
    expect(judge(one('system.osrelease', 'ID', 'In', ['debian', 'ubuntu']))).toMatchObject({
      why: 'rule “needs”: system.osrelease: ID In debian,ubuntu: this host has rhel',
    });
    expect(judge(one('cpu.cpuid', 'QUANTUM', 'Exists'))).toMatchObject({
      why: 'rule “needs”: cpu.cpuid: QUANTUM Exists: this host does not report it',
    });
    expect(judge(one('cpu.cpuid', 'AVX2', 'DoesNotExist'))).toMatchObject({
      why: 'rule “needs”: cpu.cpuid: AVX2 DoesNotExist',
    });
    expect(judge([{ feature: 'cpu.cpuid', matchName: { op: 'In', value: ['NOSUCH'] } }])).toMatchObject({
      why: 'rule “needs”: cpu.cpuid: no name matches',
    });
  });
});

describe('the features that node-feature-discovery reports', () => {
  const model = (vendor: string, host = A100) => ({ ...host, cpu: { ...host.cpu, vendor } });
  const withFlags = (...flags: string[]) => ({ ...A100, cpu: { ...A100.cpu, flags } });

  test.each([
    ['GenuineIntel', 'Intel'],
    ['AuthenticAMD', 'AMD'],
    ['HygonGenuine', 'Hygon'],
  ])('name a CPU by %s %s', (vendor, name) => {
    expect(judge(one('cpu.model', 'vendor_id', 'In', [name]), model(vendor)).holds).toBe(true);
  });

  test('have no vendor for arm64, which it does not read, nor for an unknown one', () => {
    const told = one('cpu.model', 'vendor_id', 'Exists');
    expect(judge(told, model('GenuineIntel', GRAVITON3)).holds).toBe(false);
    expect(judge(told, model('Zhaoxin')).holds).toBe(false);
    expect(judge(told, model('GenuineIntel')).holds).toBe(true);
  });

  test.each<[string, string, readonly string[]]>([
    ['cpu.model', 'family', ['6']],
    ['cpu.model', 'id', ['106']],
    ['kernel.version', 'full', [A100.hardware?.kernel ?? '']],
    ['kernel.version', 'major', ['5']],
    ['kernel.version', 'minor', ['14']],
    ['kernel.version', 'revision', ['0']],
    ['system.osrelease', 'ID', ['rhel']],
    ['system.osrelease', 'VERSION_ID', [A100.hardware?.osVersion ?? '']],
    ['system.osrelease', 'VERSION_ID.major', ['9']],
    ['system.osrelease', 'VERSION_ID.minor', [A100.hardware?.osVersion?.split('.')[1] ?? '']],
  ])('have %s with %s of %j', (feature, name, value) => {
    expect(judge(one(feature, name, 'In', value))).toEqual({ holds: true });
  });

  test.each([
    ['10.11.12-generic', ['10', '11', '12']],
    ['10.11', [undefined, undefined, undefined]],
    ['linux-10.11.12', [undefined, undefined, undefined]],
  ])('split the kernel version %s into %j', (kernel, parts) => {
    const host = { ...A100, hardware: { kernel } };
    const found = ['major', 'minor', 'revision'].map(
      (name, at) =>
        judge(
          parts[at] === undefined
            ? one('kernel.version', name, 'Exists')
            : one('kernel.version', name, 'In', [parts[at]]),
          host,
        ).holds,
    );
    expect(found).toEqual(parts.map((part) => part !== undefined));
  });

  test('are, of a list in a description, the elements that are known', () => {
    const named = (feature: string, name: string, host = A100) =>
      judge([{ feature, matchName: { op: 'In', value: [name] } }], host).holds;
    expect(named('cpu.model', 'vendor_id')).toBe(true);
    expect(named('cpu.model', 'family', { ...A100, hardware: {} })).toBe(false);
    expect(named('pci.device', 'class')).toBe(true);
    expect(named('cpu.topology', 'hardware_multithreading', hostOf('cpu:zen4'))).toBe(false);
  });

  test('have all parts of a PCI device', () => {
    const host = { ...A100, hardware: { pci: ['10de:20b2:0302'] } };
    const of = (vendor: string, device: string, pciClass: string) => ({
      feature: 'pci.device',
      matchExpressions: {
        vendor: { op: 'In', value: [vendor] },
        device: { op: 'In', value: [device] },
        class: { op: 'In', value: [pciClass] },
      },
    });
    expect(judge([of('10de', '20b2', '0302')], host).holds).toBe(true);
    expect(judge([of('10de', '20b2', '0300')], host).holds).toBe(false);
    expect(judge([of('10de', '20b0', '0302')], host).holds).toBe(false);
  });

  test('have SSE3, which no kernel prints by that name: from pni, and where SSSE3 implies it', () => {
    const sse3 = one('cpu.cpuid', 'SSE3', 'Exists');
    expect(judge(sse3, withFlags('pni')).holds).toBe(true);
    expect(judge(sse3, withFlags('ssse3')).holds).toBe(true);
    expect(judge(sse3, withFlags('sse2')).holds).toBe(false);
  });

  test('have no flags of an architecture whose names are unknown', () => {
    const host = { ...A100, platform: { os: 'linux', architecture: 'riscv64' } };
    expect(judge(one('cpu.cpuid', 'AVX2', 'Exists'), host)).toMatchObject({
      why: 'rule “needs”: cpu.cpuid: AVX2 Exists: this host does not report it',
    });
  });
});

describe('sets of compatibility rules', () => {
  const has = { rules: [{ name: 'has', matchFeatures: one('cpu.cpuid', 'AVX2', 'Exists') }] };
  const lacks = { rules: [{ name: 'lacks', matchFeatures: one('cpu.cpuid', 'TBM', 'Exists') }] };

  test('that all fail are described by the last one; an empty list of sets never holds', () => {
    const other = { rules: [{ name: 'other', matchFeatures: one('cpu.cpuid', 'XOP', 'Exists') }] };
    expect(judgeSets([other, lacks])).toEqual({ holds: false, why: 'rule “lacks”: cpu.cpuid: TBM Exists' });
    expect(judgeCompatibility('[]', viewOf(A100))).toEqual({ holds: false, why: 'it lists no set of rules' });
  });

  test('are alternatives, like terms of a node’s affinity; all rules of one set must hold', () => {
    expect(judgeSets([lacks, has]).holds).toBe(true);
    expect(judgeSets([{ rules: [...has.rules, ...lacks.rules] }]).holds).toBe(false);
  });

  test.each<[string, object, RegExp]>([
    ['another version', { version: 'v1', compatibilities: [has] }, /version/],
    ['no sets', { version: 'v1alpha1', compatibilities: [] }, /compatibilities/],
    ['a set without rules', { version: 'v1alpha1', compatibilities: [{ rules: [] }] }, /rules/],
    [
      'a member that might demand something',
      {
        version: 'v1alpha1',
        compatibilities: [{ rules: [{ name: 'a', matchFeatures: [], matchNone: [] }] }],
      },
      /matchNone/,
    ],
    ['a list', [], /version|specification/],
  ])('with %s are refused', (_, document, problem) => {
    expect(() => parseCompatibility(document)).toThrow(problem);
  });

  test('accept labels of a rule, which have no effect', () => {
    const [rule] = has.rules;
    expect(judgeSets([{ tag: 'a', weight: 9, rules: [{ ...rule, labels: { a: 'b' } }] }]).holds).toBe(true);
  });
});

describe('the hardware facts that rules read', () => {
  test('are unchanged after a profile is written and read', () => {
    const written = JSON.parse(JSON.stringify(A100));
    expect(parseProfile(written).hardware).toEqual(A100.hardware);
    expect(A100.hardware).toMatchObject({ cpuFamily: 6, cpuModel: 106, osId: 'rhel' });
    expect(A100.hardware?.pci).toContain('10de:20b2:0302');
  });

  test('distinguish hosts for which a rule may differ', () => {
    const other = { ...A100, hardware: { ...A100.hardware, pci: [] } };
    expect(profileKey(other)).not.toBe(profileKey(A100));
  });
});
