import { expect, test } from 'vitest';
import { lacking } from '../support/installed-programs.ts';

test('a program that is there is not lacking', () => {
  expect(lacking(['sh'])).toEqual([]);
});

test('names each missing program once, by the package to install', () => {
  expect(lacking(['sh', 'no-such-program', 'no-such-program'])).toEqual(['no-such-program']);
});
