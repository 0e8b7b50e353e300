import picomatch from 'picomatch';
import { describe, expect, test } from 'vitest';
import { compileGlob } from '../../src/oci/glob.ts';
import { FUZZ_SEED } from '../support/fuzz.ts';

describe('compileGlob()', () => {
  test.each([
    ['ghcr.io/lab/*', 'ghcr.io/lab/app', true],
    ['ghcr.io/lab/*', 'ghcr.io/lab/app/x', false],
    ['ghcr.io/lab/*', 'ghcr.io/lab', false],
    ['ghcr.io/lab/**', 'ghcr.io/lab/app/x', true],
    ['ghcr.io/lab/**', 'ghcr.io/lab', true],
    ['ghcr.io/lab/**', 'ghcr.io/labs', false],
    ['ghcr.io/la*/**', 'ghcr.io/lab', false],
    ['ghcr.io/la*/**', 'ghcr.io/lab/app', true],
    ['*/lab/app', 'ghcr.io/lab/app', true],
    ['**/app', 'ghcr.io/lab/app', true],
    ['**/app', 'app', true],
    ['a/**/b', 'a/b', true],
    ['a/**/b', 'a/x/y/b', true],
    ['a/**/**/b', 'a/x/b', true],
    ['a/**b', 'a/x/b', false],
    ['**', 'a/b', true],
    ['**/**', 'a/b', true],
    ['a/{b,c/d}', 'a/c/d', true],
    ['a/{b,{c,d}}', 'a/d', true],
    ['a/b{,-x}', 'a/b', true],
    ['a/{b*,c}', 'a/bx', true],
    ['a/{**,b}', 'a/x/y', true],
    ['a/{b}', 'a/b', false],
    ['a/{b', 'a/b', false],
    ['a/b}', 'a/b', false],
    ['a/[b-d]', 'a/c', true],
    ['a/[b-d]', 'a/e', false],
    ['a/[d-b]', 'a/c', false],
    ['a/[bd-]x', 'a/-x', true],
    ['a/[b', 'a/b', false],
    ['a/?', 'a/b', true],
    ['a?b', 'a/b', false],
    ['a', 'A', false],
  ])('%s with %s: %s', (pattern, text, isMatch) => {
    expect(compileGlob(pattern)(text)).toBe(isMatch);
  });

  test.each([
    ['stars', `x/${'*a'.repeat(400)}*b`],
    ['stars and single characters', `x/${'?*'.repeat(400)}b`],
    ['components', `${'**/a/'.repeat(150)}b`],
    ['choices', `x/${'{a,aa}'.repeat(150)}b`],
    ['choices within choices', `x/${'{a*,{a,aa*}}'.repeat(80)}b`],
  ])('decides about many %s, where a regular expression would not end', (_, pattern) => {
    expect(compileGlob(pattern)(`x/${'a'.repeat(250)}`)).toBe(false);
  });

  test('grants nothing that picomatch, by which these patterns are known, does not', () => {
    const signs = [
      'a',
      'b',
      '.',
      '-',
      '/',
      '*',
      '**',
      '?',
      '[ab]',
      '{a,b}',
      '{',
      '}',
      ',',
      '/**',
      '**/',
      '/**/',
    ];
    const words = ['a', 'b', 'c', 'ab', 'a.b', 'a-b'];
    let state = FUZZ_SEED;
    const below = (bound: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * bound);
    };
    const some = (from: readonly string[], most: number) =>
      Array.from({ length: 1 + below(most) }, () => from[below(from.length)]);
    let hits = 0;
    for (let round = 0; round < 4000; round += 1) {
      const pattern = some(signs, 6).join('');
      const name = some(words, 4).join('/');
      if (!compileGlob(pattern)(name)) continue;
      hits += 1;
      const isKnown = picomatch.isMatch(name, pattern, { dot: true, nonegate: true, noextglob: true });
      expect(isKnown, `${pattern} with ${name}`).toBe(true);
    }
    expect(hits).toBeGreaterThan(50);
  });
});
