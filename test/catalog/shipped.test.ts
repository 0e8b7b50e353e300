import { expect, test } from 'vitest';
import { openCatalog } from '../../src/cli/settings/catalog.ts';
import { lintEntry } from '../support/catalogue-lint.ts';

const catalog = await openCatalog();

test('the catalogue ships at least thirty publishers', () => {
  expect(catalog.names.length).toBeGreaterThanOrEqual(30);
});

test.each(catalog.names)('%s has nothing to complain of', async (name) => {
  expect(lintEntry(await catalog.entry(name))).toEqual([]);
});
