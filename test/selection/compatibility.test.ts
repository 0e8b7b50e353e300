import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { deriveProfile } from '../../src/host/profile.ts';
import { parseProfile } from '../../src/host/profile-json.ts';
import { profileKey } from '../../src/host/profile-key.ts';
import { parseCompatibility } from '../../src/mirror/compatibility-spec.ts';
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
  return judgeCompatibility(JSON.stringify(sets), viewOf(host));
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
  ])('about %s: %j holds: %s', (_, terms, holds) => {
    expect(judge(terms).holds).toBe(holds);
  });

  test('about a PCI device holds when one device has all that is asked for', () => {
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

  test('about flags of arm64 asks for the kernel’s names in upper case', () => {
    expect(judge(one('cpu.cpuid', 'SVE', 'Exists'), GRAVITON3).holds).toBe(true);
    expect(judge(one('cpu.cpuid', 'AVX2', 'DoesNotExist'), GRAVITON3).holds).toBe(false);
  });

  test('does not hold for a machine type, whose PCI devices and kernel are not known', () => {
    const host = hostOf('cpu:zen4 nvcap:9.0');
    expect(judge(one('pci.device', 'vendor', 'In', ['10de']), host).holds).toBe(false);
    expect(judge(one('kernel.version', 'major', 'Ge', ['5']), host).holds).toBe(false);
    expect(judge(one('cpu.cpuid', 'AVX512F', 'Exists'), host).holds).toBe(true);
  });

  test('needs one of matchAny beside all of matchFeatures', () => {
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
    expect(judgeSets([rule([lacks, lacks])]).holds).toBe(false);
  });

  test('is said with its name, what it asks for and what the host has', () => {
    expect(judge(one('kernel.version', 'minor', 'Gt', ['20']))).toMatchObject({
      why: 'rule “needs”: kernel.version: minor Gt 20: this host has 14',
    });
    expect(judge(one('kernel.config', 'X86', 'Exists'))).toMatchObject({
      why: 'rule “needs”: kernel.config: this host does not tell it',
    });
  });
});

describe('sets of rules', () => {
  const has = { rules: [{ name: 'has', matchFeatures: one('cpu.cpuid', 'AVX2', 'Exists') }] };
  const lacks = { rules: [{ name: 'lacks', matchFeatures: one('cpu.cpuid', 'TBM', 'Exists') }] };

  test('are alternatives, as terms of a node’s affinity are; the rules of one are all needed', () => {
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
  ])('with %s are not read over', (_, document, problem) => {
    expect(() => parseCompatibility(document)).toThrow(problem);
  });

  test('take labels of a rule, which decide nothing', () => {
    const [rule] = has.rules;
    expect(judgeSets([{ tag: 'a', weight: 9, rules: [{ ...rule, labels: { a: 'b' } }] }]).holds).toBe(true);
  });
});

describe('what the rules look at', () => {
  test('is written with the profile and read back', () => {
    const written = JSON.parse(JSON.stringify(A100));
    expect(parseProfile(written).hardware).toEqual(A100.hardware);
    expect(A100.hardware).toMatchObject({ cpuFamily: 6, cpuModel: 106, osId: 'rhel' });
    expect(A100.hardware?.pci).toContain('10de:20b2:0302');
  });

  test('tells hosts apart whose answers may differ', () => {
    const other = { ...A100, hardware: { ...A100.hardware, pci: [] } };
    expect(profileKey(other)).not.toBe(profileKey(A100));
  });
});
