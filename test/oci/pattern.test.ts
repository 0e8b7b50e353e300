import { describe, expect, test } from 'vitest';
import {
  createRepositoryPatterns,
  matchTag,
  parseTagPattern,
  type TagPattern,
} from '../../src/oci/pattern.ts';
import { repository } from '../support/upstream.ts';

function patterns(...texts: readonly string[]): readonly TagPattern[] {
  return texts.map((text) => {
    const pattern = parseTagPattern(text);
    if (pattern === undefined) throw new Error(`${text} is not a pattern`);
    return pattern;
  });
}

describe('parseTagPattern()', () => {
  test.each([
    ['v1.2-x_y', { excludes: false, isLiteral: true, captures: 0 }],
    ['!v1', { excludes: true, isLiteral: true, captures: 0 }],
    ['a*b*c', { excludes: false, isLiteral: false, captures: 2 }],
    ['a**b', { excludes: false, isLiteral: false, captures: 1 }],
    ['v?', { excludes: false, isLiteral: false, captures: 0 }],
    ['[a-z]', { excludes: false, isLiteral: false, captures: 0 }],
    ['!*', { excludes: true, isLiteral: false, captures: 1 }],
  ])('reads %s', (text, expected) => {
    expect(parseTagPattern(text)).toMatchObject({ text, ...expected });
  });

  test.each([
    '',
    '!',
    '[',
    '[a',
    '[]',
    '[!]',
    '[b-a]',
    '[a,b]',
    '[a]]',
    ']',
    'a b',
    ' a',
    'a/',
    'ä',
    '!!a',
    '[a b]',
    '[ä]',
  ])('refuses %j', (text) => {
    expect(parseTagPattern(text)).toBeUndefined();
  });

  test('accepts a pattern of 256 characters, and refuses one of 257', () => {
    expect(parseTagPattern('a'.repeat(256))).toBeDefined();
    expect(parseTagPattern('a'.repeat(257))).toBeUndefined();
    expect(parseTagPattern(`!${'a'.repeat(256)}`)).toBeDefined();
  });
});

describe('matchTag()', () => {
  test.each([
    ['v*', 'v', ['']],
    ['v*', 'v1', ['1']],
    ['*', '', ['']],
    ['*-*', 'a-b-c', ['a', 'b-c']],
    ['a*b', 'axbyb', ['xby']],
    ['v?', 'v1', []],
    ['[0-9].?', '8.x', []],
    ['[!0-9]', 'a', []],
    ['[^0-9]', 'a', []],
    ['[abc-]', '-', []],
    ['[a-]', 'a', []],
    ['[-a]', '-', []],
    ['[a-cx-z]', 'y', []],
    ['[a-cx]', 'x', []],
    ['v?', 'v', undefined],
    ['v?', 'v12', undefined],
    ['v', 'v1', undefined],
    ['v1', 'v', undefined],
    ['[a-c]', 'd', undefined],
    ['[b-c]', 'a', undefined],
    ['[!0-9]', '5', undefined],
    ['[a-cx]', 'b-', undefined],
    ['[ac]', 'b', undefined],
    ['a.c', 'abc', undefined],
    ['A', 'a', undefined],
    ['a?', 'a', undefined],
    ['*a', 'b', undefined],
    ['*a*', 'bbabb', ['bb', 'bb']],
    ['[a-c]x', '-x', undefined],
    ['[a-c]x', 'bx', []],
  ] as const)('with %s matches %s as %j', (pattern, tag, captured) => {
    expect(matchTag(patterns(pattern), tag)).toEqual(captured);
  });

  test.each([
    [['v*', '!*-rc*'], 'v1', ['1']],
    [['v*', '!*-rc*'], 'v1-rc2', undefined],
    [['!*-rc*', 'v*'], 'v1-rc2', undefined],
    [['a*', '*b'], 'ab', ['b']],
    [['a', '*b'], 'xb', ['x']],
    [['!x'], 'y', undefined],
    [[], 'y', undefined],
  ])('with %j matches %s as %j', (texts, tag, captured) => {
    expect(matchTag(patterns(...texts), tag)).toEqual(captured);
  });
});

const HUB = 'docker.io';

describe('createRepositoryPatterns()', () => {
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
  ])('matches pattern %s with repository %s of %s: %s', (pattern, name, host, matches) => {
    expect(createRepositoryPatterns([pattern]).matches(repository(name, host))).toBe(matches);
  });

  test('with an empty list matches no repository', () => {
    expect(createRepositoryPatterns([]).matches(repository('a/b'))).toBe(false);
  });

  test('has the same canonical text for the same patterns in another order, and none for patterns that match everything', () => {
    const canonical = (...patterns: string[]) => createRepositoryPatterns(patterns).canonical;
    expect(canonical('a/*', 'docker.io/b/*')).toBe(canonical('b/*', 'a/*'));
    expect(canonical('a/*')).not.toBe(canonical('b/*'));
    expect(canonical('a/*', '**')).toBeUndefined();
  });
});
