import { describe, expect, test } from 'vitest';
import { isGranted, parseScopes, repositoryNamed, scopeNameOf } from '../../src/site/permissions.ts';
import { repository } from '../support/upstream.ts';

const grant = (name: string, actions: readonly string[] = ['pull']) => ({
  type: 'repository' as const,
  name,
  actions,
});

describe('isGranted()', () => {
  test.each([
    ['the repository itself', 'lab/app', ['lab/app', 'docker.io'], true],
    ['an official image by its short name', 'alpine', ['library/alpine', 'docker.io'], true],
    ['a repository with its host in front', 'ghcr.io/lab/app', ['lab/app', 'ghcr.io'], true],
    // containerd names the host beside the path (?ns=ghcr.io) and asks for a scope of the bare name.
    ['a bare name, for a repository of another host', 'lab/app', ['lab/app', 'ghcr.io'], true],
    [
      'a repository of one host, for the same name on another',
      'ghcr.io/lab/app',
      ['lab/app', 'quay.io'],
      false,
    ],
    ['another repository', 'lab/app', ['lab/other', 'docker.io'], false],
    ['a repository whose name only starts alike', 'lab/app', ['lab/app2', 'docker.io'], false],
    ['the folder above', 'lab', ['lab/app', 'docker.io'], false],
  ] as const)('decides on a grant for %s', (_, name, [path, host], expected) => {
    expect(isGranted([grant(name)], repository(path, host), 'pull')).toBe(expected);
  });

  test.each([[['push']], [[]], [['delete', 'push']]])('is false for a pull with a grant of %j', (actions) => {
    expect(isGranted([grant('lab/app', actions)], repository('lab/app', 'docker.io'), 'pull')).toBe(false);
  });
});

describe('parseScopes()', () => {
  test('reads the scopes of a token request, also several in one value', () => {
    expect(parseScopes(['repository:a/b:pull,push repository(plugin):c:*', 'registry:catalog:*'])).toEqual([
      grant('a/b', ['pull', 'push']),
      grant('c', ['*']),
    ]);
  });

  test('reads at most 32 scopes', () => {
    const scopes = Array.from({ length: 33 }, (_, at) => `repository:a/r${at}:pull`);
    expect(parseScopes(scopes.slice(0, 32))).toHaveLength(32);
    expect(parseScopes(scopes).map(({ name }) => name)).not.toContain('a/r32');
  });
});

test('repositoryNamed() reads back the name of a scope', () => {
  for (const [name, host] of [
    ['library/alpine', 'docker.io'],
    ['lab/app', 'ghcr.io'],
  ] as const) {
    expect(repositoryNamed(scopeNameOf(repository(name, host)))).toEqual(repository(name, host));
  }
});
