import { describe, expect, test } from 'vitest';
import {
  formatVariantProperty,
  propertiesOfHost,
  type VariantProperty,
} from '../../src/host/variant-properties.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { select } from '../../src/selection/select.ts';
import { hostOf } from '../support/host-of.ts';
import { digestNamed, documentOf } from '../support/index-fixture.ts';

const HOST = hostOf('cpu:zen4 nvcap:9.0 cuda:12.8');

function property(text: string): VariantProperty {
  const [namespace = '', feature = '', value = ''] = text.split(' :: ');
  return { namespace, feature, value };
}

/**
 * Six properties of two providers, as the tests of variantlib have them (tests/resolver/test_lib.py of wheelnext/variantlib): two
 * features of the first, three of the second, of which one has two values that exclude each other.
 */
const PROPERTIES = [
  'nvidia :: cuda_version_lower_bound :: 12.6',
  'nvidia :: sm_arch :: 90_real',
  'x86_64 :: level :: v4',
  'x86_64 :: level :: v3',
  'x86_64 :: avx512_bf16 :: on',
  'x86_64 :: aes :: on',
].map(property);

/** Every set of them that one wheel may have, the null variant included. */
const VARIANTS = Array.from({ length: 2 ** PROPERTIES.length }, (_, bits) =>
  PROPERTIES.filter((_property, at) => (bits >> at) % 2 === 1),
).filter(
  (all) => new Set(all.map(({ namespace, feature }) => `${namespace} ${feature}`)).size === all.length,
);

/** Where a provider lists a property: by namespace, feature and value, as PEP 825 sorts. */
const SUPPORTED = propertiesOfHost(HOST);
const NAMESPACES = [...new Set(SUPPORTED.map(({ namespace }) => namespace))];
/** PEP 825 lets whoever installs order the features: this is MetaHub's order of kinds, in which machine code goes before CUDA's version
 * and a flag that few CPUs have before a level. The providers list them the other way round. */
const FEATURES = [
  'nvidia sm_arch',
  'nvidia cuda_version_lower_bound',
  'x86_64 avx512_bf16',
  'x86_64 level',
  'x86_64 aes',
];

function placeOf(one: VariantProperty): readonly number[] {
  const { namespace, feature } = one;
  return [
    NAMESPACES.indexOf(namespace),
    FEATURES.indexOf(`${namespace} ${feature}`),
    SUPPORTED.map(formatVariantProperty).indexOf(formatVariantProperty(one)),
  ];
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  for (const [at, value] of a.entries()) {
    const other = b[at];
    // On exhaustion the longer list goes first.
    if (other === undefined) return -1;
    if (value !== other) return value - other;
  }
  return a.length < b.length ? 1 : 0;
}

/** The order of PEP 825: the properties of each, sorted, are compared one by one. */
function comparePep825(a: readonly VariantProperty[], b: readonly VariantProperty[]): number {
  const flat = (all: readonly VariantProperty[]) => all.map(placeOf).sort(compareLists).flat();
  return compareLists(flat(a), flat(b));
}

/** Which of two MetaHub gives the host. */
function winner(a: readonly VariantProperty[], b: readonly VariantProperty[]) {
  const spec = (all: readonly VariantProperty[]) => ({
    annotations: { 'io.metahub.features': all.map(formatVariantProperty).join(', ') },
  });
  const chosen = select(documentOf({ a: spec(a), b: spec(b) }).document, HOST, DEFAULT_POLICY).winner;
  return chosen?.entry.digest === digestNamed('a') ? a : b;
}

/** `v4 + avx512_bf16`, in the order of {@link PROPERTIES}. */
function show(all: readonly VariantProperty[]): string {
  return all.map(({ feature, value }) => (value === 'on' ? feature : value)).join(' + ') || 'null';
}

describe('the order of wheel variants', () => {
  const pairs = VARIANTS.flatMap((a, at) => VARIANTS.slice(at + 1).map((b) => [a, b] as const));

  test('is that of PEP 825 for all of 1128 pairs', { tags: 'slow' }, () => {
    const differing = pairs.filter(([a, b]) => winner(a, b) !== (comparePep825(a, b) < 0 ? a : b));
    expect(pairs).toHaveLength(1128);
    expect(differing.map(([a, b]) => `${show(winner(a, b))} of ${show(a)} and ${show(b)}`)).toEqual([]);
  });

  test('puts the null variant after every other', () => {
    const [none = [], ...others] = VARIANTS;
    expect(none).toEqual([]);
    for (const other of others) expect(show(winner(none, other))).toBe(show(other));
  });

  test('does not depend on the order of the index', { tags: 'slow' }, () => {
    const turned = pairs.filter(([a, b]) => winner(a, b) !== winner(b, a));
    expect(turned.map(([a, b]) => `${show(a)} = ${show(b)}`)).toEqual([]);
  });
});
