import { describe, expect, test } from 'vitest';
import { createRepositoryPatterns } from '../../src/site/permissions.ts';
import { repository } from '../support/upstream.ts';

const HUB = 'docker.io';

describe('patterns of repositories', () => {
  test.each([
    ['**', 'a/b/c', 'ghcr.io', true],
    ['*', 'a/b', HUB, true],
    ['qnib/*', 'qnib/bench', HUB, true],
    ['qnib/*', 'qnib/bench', 'ghcr.io', false],
    ['qnib/*', 'qnib/deep/bench', HUB, false],
    ['qnib/**', 'qnib/deep/bench', HUB, true],
    ['alpine', 'library/alpine', HUB, true],
    ['ghcr.io/lab/*', 'lab/solver', 'ghcr.io', true],
    ['ghcr.io/lab/*', 'lab/solver', HUB, false],
    ['ghcr.io/lab/*', 'laboratory/solver', 'ghcr.io', false],
    ['ghcr.io/**', 'lab/solver', 'ghcr.io.example.org', false],
    ['*/lab/solver', 'lab/solver', 'quay.io', true],
    ['{quay,ghcr}.io/lab/*', 'lab/solver', 'quay.io', true],
    ['localhost:5000/a/*', 'a/b', 'localhost:5000', true],
  ])('%s and %s of %s: %s', (pattern, name, host, matches) => {
    expect(createRepositoryPatterns([pattern]).matches(repository(name, host))).toBe(matches);
  });

  test('none at all match nothing', () => {
    expect(createRepositoryPatterns([]).matches(repository('a/b'))).toBe(false);
  });

  test('have one key when they are the same in another order, and none when they are everything', () => {
    const key = (...patterns: string[]) => createRepositoryPatterns(patterns).key;
    expect(key('a/*', 'docker.io/b/*')).toBe(key('b/*', 'a/*'));
    expect(key('a/*')).not.toBe(key('b/*'));
    expect(key('a/*', '**')).toBeUndefined();
  });
});
