import { expect, test } from 'vitest';
import { readPolicies } from '../../../src/cli/settings/policies.ts';
import { repository } from '../../support/upstream.ts';

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

test('a pattern without a registry is of Docker Hub, as in machine files, and * is everything', () => {
  const policyFor = readPolicies({
    ...DEFAULTS,
    repositories: { 'qnib/*': { match: 'exact' }, alpine: { answer: 'index' }, '*': { answer: 'manifest' } },
  });
  expect(policyFor(repository('qnib/bench', 'docker.io'))).toMatchObject({ match: 'exact', answer: 'auto' });
  expect(policyFor(repository('library/alpine', 'docker.io'))).toMatchObject({ answer: 'index' });
  expect(policyFor(repository('a/b/c', 'ghcr.io'))).toMatchObject({ answer: 'manifest' });
});

test.each([
  [{ policy: { match: 'better' } }, /^policy: /],
  [{ repositories: { 'docker.io/*': { onMatch: 'x' } } }, /^repositories, docker\.io\/\*: /],
  [{ repositories: ['docker.io/*'] }, /patterns and policies/],
])('refuses %j and says where', (wrong, message) => {
  expect(() => readPolicies({ ...DEFAULTS, ...wrong })).toThrow(message);
});
