import { describe, expect, test } from 'vitest';
import { formatSelector, parseSelector } from '../../src/site/account.ts';

describe('a selector', () => {
  test('names an account and the machine’s features, with # in place of the colon', () => {
    expect(parseSelector('site/cpu#zen4,nvcap#9.0')).toEqual({
      user: 'site',
      features: ['cpu:zen4', 'nvcap:9.0'],
    });
  });

  test('is the same for any order and repetition of its features', () => {
    expect(parseSelector('site/nvcap#9.0,cpu#zen4,cpu#zen4')).toEqual(
      parseSelector('site/cpu#zen4,nvcap#9.0'),
    );
  });

  test('can contain levels and bare flags', () => {
    expect(parseSelector('site/x86-64-v3,avx2')?.features).toEqual(['avx2', 'x86-64-v3']);
  });

  test('reads back from its written form', () => {
    const features = ['cpu:zen4', 'nvcap:9.0', 'x86-64-v4'];
    const written = formatSelector('site', features);
    expect(written).toBe('site/cpu#zen4,nvcap#9.0,x86-64-v4');
    expect(parseSelector(written)).toEqual({ user: 'site', features });
  });

  test('omits features that a user name cannot hold', () => {
    expect(formatSelector('site', ['cpu:zen4', 'rack:a,b'])).toBe('site/cpu#zen4');
  });

  test.each([
    'site',
    '/cpu#zen4',
    'site/',
    'site/cpu#',
    'site/cpu:zen4',
    'site/cpu#a#b',
    'site/a b',
    `site/${'a,'.repeat(600)}a`,
  ])('is not read from %s', (userName) => {
    expect(parseSelector(userName)).toBeUndefined();
  });

  test('is read with up to 64 features and 1024 characters', () => {
    const isRead = (userName: string) => parseSelector(userName) !== undefined;
    const features = (count: number) =>
      `site/${Array.from({ length: count }, (_, at) => `f${at}`).join(',')}`;
    const long = (length: number) => `site/${'f'.repeat(length - 5)}`;
    expect([features(64), features(65), long(1024), long(1025)].map(isRead)).toEqual([
      ...[true, false, true, false],
    ]);
  });
});
