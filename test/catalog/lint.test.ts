import { describe, expect, test } from 'vitest';
import { CatalogFile } from '../../src/catalog/entry.ts';
import { readValue } from '../../src/lib/config-source.ts';
import { type LintProblem, lintEntry } from '../support/catalogue-lint.ts';

const HEAD = {
  title: 'A publisher',
  source: 'https://example.org/matrix.json',
  checked: '2026-11-26',
  promise: 'One image for each kind of hardware.',
};

function entry(more: object) {
  return { name: 'it', ...readValue(CatalogFile, { ...HEAD, ...more }) };
}

function member(image: string, ...features: readonly string[]) {
  return { image, platform: { os: 'linux', architecture: 'amd64', features } };
}

function codes(images: readonly object[]): readonly LintProblem['code'][] {
  return [...new Set(lintEntry(entry({ images })).map(({ code }) => code))];
}

describe('lintEntry()', () => {
  test('has nothing to say of a list that is right', () => {
    const list = {
      image: 'ghcr.io/a/b',
      tags: ['v*', '!*-*'],
      example: 'v1',
      manifests: [member('ghcr.io/a/b:{tag}-cuda', 'nvcap:>=7.5'), member('ghcr.io/a/b:{tag}')],
    };
    expect(codes([list])).toEqual([]);
  });

  test('refuses a pattern that answers to the tags of its own members', () => {
    const list = {
      image: 'ghcr.io/a/b',
      tags: '*',
      example: '1.9',
      manifests: [member('ghcr.io/a/b:86-{tag}', 'nvcap:8.6')],
    };
    expect(codes([list])).toContain('answers-to-member');
    const suffix = {
      image: 'ghcr.io/a/b',
      tags: 'v*',
      example: 'v1',
      manifests: [member('ghcr.io/a/b:{tag}-cuda', 'nvcap:8.6')],
    };
    expect(codes([suffix])).toContain('answers-to-member');
  });

  test('refuses a list whose members another list of the entry hides', () => {
    const images = [
      { image: 'ghcr.io/a/b:main', example: 'main', manifests: [member('ghcr.io/a/b:rocm', 'gpu:amd')] },
      { image: 'ghcr.io/a/b:rocm', example: 'rocm', manifests: [member('ghcr.io/a/c:rocm', 'gpu:amd')] },
    ];
    expect(codes(images)).toEqual(['answers-to-member']);
  });

  test.each([
    'accel:unheard-of',
    'gpu:matrox',
    'jetson:jp99',
    'cpu:zen99',
    'cpuflag:avx9',
    'gfx:mi300',
    'nvcap:hopper',
    'cuda:new',
    'rack:b12',
  ])('refuses %s, which no host can claim', (feature) => {
    const list = { image: 'ghcr.io/a/b:1', example: '1', manifests: [member('ghcr.io/a/c:1', feature)] };
    expect(codes([list])).toEqual(['unknown-feature']);
  });

  test('refuses a member that no host gets', () => {
    const list = {
      image: 'ghcr.io/a/b:1',
      example: '1',
      manifests: [
        member('ghcr.io/a/c:1', 'nvcap:>=5.0', 'cuda:12.0'),
        member('ghcr.io/a/d:1', 'nvcap:>=7.5', 'cuda:12.0'),
      ],
    };
    expect(codes([list])).toContain('unreachable-member');
  });

  test('refuses members between which only their order decides', () => {
    const list = {
      image: 'ghcr.io/a/b:1',
      example: '1',
      manifests: [member('ghcr.io/a/c:1', 'gpu:intel'), member('ghcr.io/a/d:1', 'gpu:intel')],
    };
    expect(codes([list])).toContain('tied-members');
  });

  test('refuses an example that the list does not answer to', () => {
    const list = { image: 'ghcr.io/a/b', tags: 'v*', example: '1', manifests: [member('ghcr.io/a/c:1')] };
    expect(codes([list])).toContain('example-unanswered');
  });

  test('refuses an entry that says nothing', () => {
    expect(lintEntry(entry({})).map(({ code }) => code)).toEqual(['nothing-to-say']);
  });
});

describe('a file of the catalogue', () => {
  test.each([
    ['a file without its source', { source: undefined }, /source/],
    ['a date that is none', { checked: 'yesterday' }, /checked/],
    ['a word that is not known', { lists: [] }, /lists/],
    [
      'a list without an example',
      { images: [{ image: 'a:1', manifests: [{ image: 'b:1' }] }] },
      /^images\[0\]\.example: this key is missing/,
    ],
    [
      'an example that is not a tag',
      { images: [{ image: 'a:1', example: '-', manifests: [{ image: 'b:1' }] }] },
      /“-” is not a tag/,
    ],
    [
      'a list that is none',
      { images: [{ image: 'a:1', example: '1' }] },
      /^images\[0\]\.manifests: this key is missing/,
    ],
    [
      'a baseline that is no CPU’s',
      { repositories: { a: { baseline: 'nvcap:9.0' } } },
      /levels such as x86-64-v3/,
    ],
    [
      'a baseline of an unknown flag',
      { repositories: { a: { baseline: 'avx9' } } },
      /levels such as x86-64-v3/,
    ],
  ])('refuses %s', (_, more, message) => {
    expect(() => entry(more)).toThrow(message);
  });

  test('reads baselines by tags', () => {
    const { baselines } = entry({
      repositories: {
        'docker.io/library/mongo': [{ tags: '5*', baseline: ['avx', 'arm64-v8.2'] }, { baseline: 'v2' }],
      },
    });
    expect(baselines).toMatchObject([
      { pattern: 'docker.io/library/mongo', tags: [{ text: '5*' }], baseline: ['avx', 'arm64-v8.2'] },
      { pattern: 'docker.io/library/mongo', tags: undefined, baseline: ['x86-64-v2'] },
    ]);
  });
});
