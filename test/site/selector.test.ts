import { describe, expect, test } from 'vitest';
import { formatSelector, parseSelector } from '../../src/site/account.ts';

describe('a selector', () => {
  test('names an account and what the machine is, with # for the colon that Basic cannot carry', () => {
    expect(parseSelector('site/cpu#zen4,nvcap#9.0')).toEqual({
      user: 'site',
      features: ['cpu:zen4', 'nvcap:9.0'],
    });
  });

  test('is the same machine in whatever order it is told, and however often', () => {
    expect(parseSelector('site/nvcap#9.0,cpu#zen4,cpu#zen4')).toEqual(
      parseSelector('site/cpu#zen4,nvcap#9.0'),
    );
  });

  test('holds levels and bare flags', () => {
    expect(parseSelector('site/x86-64-v3,avx2')?.features).toEqual(['avx2', 'x86-64-v3']);
  });

  test('is written as it is read', () => {
    const features = ['cpu:zen4', 'nvcap:9.0', 'x86-64-v4'];
    const written = formatSelector('site', features);
    expect(written).toBe('site/cpu#zen4,nvcap#9.0,x86-64-v4');
    expect(parseSelector(written)).toEqual({ user: 'site', features });
  });

  test('leaves out what a user name cannot say', () => {
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
  ])('%s is none', (userName) => {
    expect(parseSelector(userName)).toBeUndefined();
  });
});
