import { describe, expect, test } from 'vitest';
import {
  isSmallSpec,
  parseCompatibility,
  readCompatibilitySets,
} from '../../../src/mirror/documents/specification.ts';

/** A specification of one set of this one rule. */
const ruleOf = (rule: object) => ({ version: 'v1alpha1', compatibilities: [{ rules: [rule] }] });
const FEATURE = { feature: 'cpu.cpuid' };
const many = (count: number) => Array.from({ length: count }, (_, at) => String(at));
const text = (length: number) => 'x'.repeat(length);

/** A rule with one expression. */
const expressed = (expression: object) =>
  ruleOf({ matchFeatures: [{ ...FEATURE, matchExpressions: { AVX2: expression } }] });
const termOf = (count: number) => ({
  ...FEATURE,
  matchExpressions: Object.fromEntries(many(count).map((name) => [name, { op: 'Exists' }])),
});

describe('parseCompatibility()', () => {
  test('reads the conditions of all rules, and of one of several', () => {
    const rule = {
      name: 'a rule',
      matchFeatures: [
        {
          ...FEATURE,
          matchExpressions: {
            AVX2: { op: 'In', value: ['a', 7, true] },
            count: { op: 'Gt', value: ['8'], type: 'version' },
            none: { value: null, type: '' },
          },
          matchName: { op: 'InRegexp', value: ['^AVX'] },
        },
      ],
      matchAny: [{ matchFeatures: [FEATURE] }, { matchFeatures: [{ feature: 'kernel.version' }] }],
      // What a rule makes of its match does not decide whether it matches.
      labels: { any: 'label' },
      vars: 7,
    };
    expect(
      parseCompatibility({ ...ruleOf(rule), compatibilities: [{ rules: [rule] }, { rules: [{}] }] }),
    ).toEqual([
      [
        {
          name: 'a rule',
          matchFeatures: [
            {
              feature: 'cpu.cpuid',
              expressions: [
                ['AVX2', { op: 'In', value: ['a', '7', 'true'] }],
                ['count', { op: 'Gt', value: ['8'], type: 'version' }],
                ['none', { op: '', value: [] }],
              ],
              name: { op: 'InRegexp', value: ['^AVX'] },
            },
          ],
          matchAny: [
            [{ feature: 'cpu.cpuid', expressions: [] }],
            [{ feature: 'kernel.version', expressions: [] }],
          ],
        },
      ],
      [{ name: 'unnamed', matchFeatures: [], matchAny: [] }],
    ]);
  });

  test.each<[string, (size: number) => object, number]>([
    ['characters of a name', (size) => ruleOf({ name: text(size) }), 500],
    ['characters of a value', (size) => expressed({ op: 'In', value: [text(size)] }), 500],
    ['values', (size) => expressed({ op: 'In', value: many(size) }), 100],
    ['expressions', (size) => ruleOf({ matchFeatures: [termOf(size)] }), 100],
    ['terms', (size) => ruleOf({ matchFeatures: Array(size).fill(FEATURE) }), 100],
    ['alternatives', (size) => ruleOf({ matchAny: Array(size).fill({ matchFeatures: [] }) }), 100],
    ['rules', (size) => ({ version: 'v1alpha1', compatibilities: [{ rules: Array(size).fill({}) }] }), 100],
    ['sets', (size) => ({ version: 'v1alpha1', compatibilities: Array(size).fill({ rules: [{}] }) }), 100],
  ])('accepts as many %s as are allowed, and no more', (_, specOf, most) => {
    expect(parseCompatibility(specOf(most))).not.toEqual([]);
    expect(() => parseCompatibility(specOf(most + 1))).toThrow(/Invalid length|more than 100/);
  });

  test.each<[string, unknown, string]>([
    ['another version', { version: 'v2', compatibilities: [{ rules: [{}] }] }, 'version: '],
    ['no set', { version: 'v1alpha1', compatibilities: [] }, 'compatibilities: '],
    [
      'a set without a rule',
      { version: 'v1alpha1', compatibilities: [{ rules: [] }] },
      'compatibilities.0.rules: ',
    ],
    [
      'a term of no feature',
      ruleOf({ matchFeatures: [{ feature: '' }] }),
      'rules.0.matchFeatures.0.feature: ',
    ],
    ['a member of a rule that it does not know', ruleOf({ matchAll: [] }), 'rules.0.matchAll: '],
    [
      'a member of a term that it does not know',
      ruleOf({ matchFeatures: [{ ...FEATURE, not: 1 }] }),
      '.not: ',
    ],
    ['a member of an expression that it does not know', expressed({ not: 1 }), '.AVX2.not: '],
    [
      'a member of an alternative that it does not know',
      ruleOf({ matchAny: [{ matchFeatures: [], not: 1 }] }),
      '.not: ',
    ],
    ['a value that is none', expressed({ value: [{}] }), '.value.0: '],
    ['no object', 7, 'the specification: '],
  ])('refuses %s, and names the place', (_, document, where) => {
    expect(() => parseCompatibility(document)).toThrow(where);
  });
});

test.each([
  [4096, true],
  [4097, false],
])('a specification of %d bytes is small: %s', (sizeBytes, isSmall) => {
  expect(isSmallSpec(Buffer.alloc(sizeBytes))).toBe(isSmall);
});

describe('readCompatibilitySets()', () => {
  const SETS = [[{ name: 'unnamed', matchFeatures: [], matchAny: [] }]];
  const TYPE = 'application/vnd.nfd.image-compatibility.spec.v1alpha1';

  test.each([
    ['json', '{"version":"v1alpha1","compatibilities":[{"rules":[{}]}]}'],
    ['yaml', 'version: v1alpha1\ncompatibilities:\n- rules: [{}]\n'],
  ])('reads %s', async (format, text) => {
    const source = { bytes: Buffer.from(text), mediaType: `${TYPE}+${format}` };
    expect(await readCompatibilitySets(source)).toEqual({ sets: SETS });
  });

  test.each([
    ['YAML that is said to be JSON', 'json', 'version: v1alpha1'],
    ['an alias', 'yaml', 'a: &a {}\nversion: v1alpha1\ncompatibilities:\n- rules: [*a]\n'],
    ['another document', 'yaml', 'version: v2\n'],
  ])('gives the reason why it cannot read %s', async (_, format, text) => {
    const source = { bytes: Buffer.from(text), mediaType: `${TYPE}+${format}` };
    expect(await readCompatibilitySets(source)).toEqual({ problem: expect.stringMatching(/./) });
  });
});
