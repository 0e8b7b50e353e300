import { describe, expect, test } from 'vitest';
import { createPolicies, RepositoryPolicyMap } from '../../../src/cli/settings/policies.ts';
import { readValue } from '../../../src/lib/config-source.ts';
import { TagPatternText } from '../../../src/oci/image-list.ts';
import { parseTag, type Tag } from '../../../src/oci/reference.ts';
import { PolicyText } from '../../../src/selection/policy-schema.ts';
import { repository } from '../../support/upstream.ts';

const tag = (text: string) => parseTag(text) as Tag;

const DEFAULTS = { match: 'best', answer: 'auto', onNoMatch: 'refuse' } as const;

type Written = Partial<Omit<Parameters<typeof createPolicies>[0], 'policy' | 'repositories'>> & {
  readonly policy?: unknown;
  readonly repositories?: unknown;
};

/** The policies that the file of settings describes so. */
function policies(
  { policy = {}, repositories = {}, ...others }: Written,
  ...baselines: Parameters<typeof createPolicies>[1][]
) {
  const read = {
    policy: readValue(PolicyText, policy, ['policy']),
    repositories: readValue(RepositoryPolicyMap, repositories, ['repositories']),
  };
  return createPolicies({ ...DEFAULTS, ...others, ...read }, ...baselines);
}

test('the first pattern that fits a repository refines the policy for all', () => {
  const policyFor = policies({
    onNoMatch: 'upstream',
    repositories: { 'docker.io/qnib/*': { match: 'exact' }, 'docker.io/**': { answer: 'manifest' } },
  });
  expect(policyFor(repository('qnib/bench', 'docker.io'))).toMatchObject({
    match: 'exact',
    answer: 'auto',
    onNoMatch: 'upstream',
  });
  expect(policyFor(repository('a/b/c', 'docker.io'))).toMatchObject({ match: 'best', answer: 'manifest' });
  expect(policyFor(repository('qnib/bench', 'ghcr.io'))).toMatchObject({ match: 'best', answer: 'auto' });
});

test('a pattern without a registry matches Docker Hub, as in machine files, and * matches everything', () => {
  const policyFor = policies({
    repositories: { 'qnib/*': { match: 'exact' }, alpine: { answer: 'index' }, '*': { answer: 'manifest' } },
  });
  expect(policyFor(repository('qnib/bench', 'docker.io'))).toMatchObject({ match: 'exact', answer: 'auto' });
  expect(policyFor(repository('library/alpine', 'docker.io'))).toMatchObject({ answer: 'index' });
  expect(policyFor(repository('a/b/c', 'ghcr.io'))).toMatchObject({ answer: 'manifest' });
});

test.each([
  [{ policy: { match: 'better' } }, /^policy\.match: “better” is not one of best, exact/],
  [
    { repositories: { 'docker.io/*': { onMatch: 'x' } } },
    /^repositories\["docker\.io\/\*"\]\.onMatch: this key does not exist; did you mean match\?/,
  ],
  [{ repositories: ['docker.io/*'] }, /^repositories: a map of keys and values is expected, not a list/],
])('a policy of %j is refused with its place', (wrong, message) => {
  expect(() => policies(wrong)).toThrow(message);
});

test('createPolicies() applies the first of a pattern’s policies whose tags match', () => {
  const policyFor = policies({
    repositories: { 'docker.io/qnib/bench': [{ tags: ['5*', '!5.0'], gpu: 'any' }, { match: 'exact' }] },
  });
  const bench = repository('qnib/bench', 'docker.io');
  expect(policyFor(bench, tag('5.1'))).toMatchObject({ gpu: 'any', match: 'best' });
  expect(policyFor(bench, tag('5.0'))).toMatchObject({ gpu: 'all', match: 'exact' });
  expect(policyFor(bench)).toMatchObject({ match: 'exact' });
});

test('tags that are not patterns are refused with the wildcards that exist', () => {
  expect(() => policies({ repositories: { 'a/b': { tags: ['[5'], gpu: 'any' } } })).toThrow(
    /^repositories\["a\/b"\]\.tags\[0\]: .*\[0-9\] for one of a set/,
  );
});

describe('baselines of the catalogue', () => {
  const ALMALINUX = [
    {
      pattern: 'quay.io/almalinuxorg/almalinux',
      tags: [readValue(TagPatternText, '10*')],
      baseline: ['x86-64-v3'],
    },
  ];
  const almalinux = repository('almalinuxorg/almalinux', 'quay.io');

  test('apply to the tags that they name', () => {
    const policyFor = policies({}, ALMALINUX);
    expect(policyFor(almalinux, tag('10')).baseline).toEqual(['x86-64-v3']);
    expect(policyFor(almalinux, tag('10')).match).toBe('best');
    expect(policyFor(almalinux, tag('9')).baseline).toBeUndefined();
    expect(policyFor(repository('almalinuxorg/almalinux', 'ghcr.io'), tag('10')).baseline).toBeUndefined();
  });

  test('are added to the operator’s policy of the repository', () => {
    const policyFor = policies({ repositories: { '**': { readConfig: true } } }, ALMALINUX);
    expect(policyFor(almalinux, tag('10'))).toMatchObject({ readConfig: true, baseline: ['x86-64-v3'] });
  });

  test('are replaced by the operator’s own baseline, and by `none`', () => {
    for (const [own, baseline] of [
      ['x86-64-v2', ['x86-64-v2']],
      ['none', []],
    ] as const) {
      const policyFor = policies({ repositories: { '**': { baseline: own } } }, ALMALINUX);
      expect(policyFor(almalinux, tag('10')).baseline).toEqual(baseline);
    }
  });

  test('answer with the same object each time, so that a decision is made once', () => {
    const policyFor = policies({}, ALMALINUX);
    expect(policyFor(almalinux, tag('10'))).toBe(policyFor(almalinux, tag('10.1')));
  });
});
