import { expect, test } from 'vitest';
import { readPolicies } from '../../src/cli/policies.ts';
import { repository } from '../support/upstream.ts';

const DEFAULTS = {
  policy: {},
  repositories: {},
  match: 'best',
  answer: 'auto',
  onNoMatch: 'refuse',
} as const;

test('the first pattern that fits a repository refines the policy for all', () => {
  const policyFor = readPolicies({
    ...DEFAULTS,
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

test.each([
  [{ policy: { match: 'better' } }, /^policy: /],
  [{ repositories: { 'docker.io/*': { onMatch: 'x' } } }, /^repositories, docker\.io\/\*: /],
  [{ repositories: ['docker.io/*'] }, /patterns and policies/],
])('refuses %j and says where', (wrong, message) => {
  expect(() => readPolicies({ ...DEFAULTS, ...wrong })).toThrow(message);
});
