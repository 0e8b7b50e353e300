import { describe, expect, test } from 'vitest';
import { formatVariantProperty, propertiesOfHost } from '../../src/host/variant-properties.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { select } from '../../src/selection/select.ts';
import { hostOf } from '../support/host-of.ts';
import { documentOf, type EntrySpec } from '../support/index-fixture.ts';
import { selectionCases } from '../support/selection-case.ts';

const propertied = (...properties: readonly string[]): EntrySpec => ({
  annotations: { 'io.metahub.features': properties.join(', ') },
});
const [V2, V3] = [propertied('x86_64 :: level :: v2'), propertied('x86_64 :: level :: v3')];

/**
 * What wheel variants decide, as variantlib's tests of filtering and sorting have it (tests/resolver/test_lib.py, test_sorting.py):
 * alternatives of a feature are any of them, features are all of them, a variant with more of them goes first, and one without any is
 * the fallback. Where MetaHub differs, docs/selection.md says why.
 */
selectionCases('entries marked with properties of wheel variants', {
  'a property that the host does not support makes the entry ineligible': {
    host: 'cpu:nehalem',
    entries: { it: V2, no: V3 },
    wins: 'it',
  },
  'the value that its provider puts first wins': {
    host: 'cpu:zen4',
    entries: { low: V2, it: V3 },
    wins: 'it',
  },
  'alternatives of one feature: any will do': {
    host: 'cpu:zen4 nvcap:8.6 cuda:12.8',
    entries: { plain: '', it: propertied('nvidia :: sm_arch :: 75_real', 'nvidia :: sm_arch :: 86_real') },
    wins: 'it',
  },
  'features of one variant: all have to hold': {
    host: 'cpu:nehalem nvcap:9.0 cuda:12.8',
    entries: { plain: '', no: propertied('nvidia :: sm_arch :: 90_real', 'x86_64 :: level :: v3') },
    wins: 'plain',
  },
  'a variant with one more property goes first': {
    host: 'cpu:zen4',
    entries: { less: V3, it: propertied('x86_64 :: level :: v3', 'x86_64 :: avx512_bf16 :: on') },
    wins: 'it',
  },
  'the null variant is the fallback': {
    host: 'cpu:x86_64',
    entries: { no: V3, it: '' },
    wins: 'it',
  },
  'namespaces are ordered: an accelerator’s before the CPU’s': {
    host: 'cpu:zen4 nvcap:9.0 cuda:12.8',
    entries: { cpu: V3, it: propertied('nvidia :: sm_arch :: 90_real') },
    wins: 'it',
  },
  'an upper bound of CUDA excludes what it names': {
    host: 'cpu:zen4 nvcap:9.0 cuda:13.0',
    entries: {
      plain: '',
      no: propertied(
        'nvidia :: cuda_version_lower_bound :: 12.6',
        'nvidia :: cuda_version_upper_bound :: 13',
      ),
    },
    wins: 'plain',
  },
  'both bounds of CUDA hold between them': {
    host: 'cpu:zen4 nvcap:9.0 cuda:12.8',
    entries: {
      plain: '',
      it: propertied(
        'nvidia :: cuda_version_lower_bound :: 12.6',
        'nvidia :: cuda_version_upper_bound :: 13',
      ),
    },
    wins: 'it',
  },
  'a property of an unknown namespace fails closed': {
    host: 'cpu:zen4',
    entries: { plain: '', no: propertied('omnicorp :: feature :: value') },
    wins: 'plain',
  },
  'unlike the provider of nvidia, PTX of the GPU’s major is no machine code': {
    host: 'cpu:zen4 nvcap:9.0 cuda:12.8',
    entries: {
      plain: '',
      ptx: propertied('nvidia :: sm_arch :: 90_virtual'),
      it: propertied('nvidia :: sm_arch :: 90_real'),
    },
    wins: 'it',
  },
});

describe('the properties that detect prints for a host', () => {
  test.each([
    'cpu:zen4 nvcap:8.9 cuda:12.2',
    'cpu:aarch64 nvcap:8.7 nvdriver:470.82',
    'cpu:neoverse_v2 arm64-v9.0',
  ])('are those of which each makes an entry eligible for it: %s', (features) => {
    const host = hostOf(features);
    const properties = propertiesOfHost(host).map(formatVariantProperty);
    const code = ['real', 'virtual'].flatMap((form) =>
      Array.from({ length: 80 }, (_, at) => `nvidia :: sm_arch :: ${at + 50}_${form}`),
    );
    const platform = { on: `linux/${host.platform.architecture}` };
    const eligible = [...new Set([...properties, ...code])].filter((property) => {
      const { document } = documentOf({ it: { ...platform, ...Object(propertied(property)) } });
      return select(document, host, DEFAULT_POLICY).winner !== undefined;
    });
    expect(eligible).toEqual(properties);
  });
});
