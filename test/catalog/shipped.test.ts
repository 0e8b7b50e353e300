import { expect, test } from 'vitest';
import { lintEntry } from '../../src/catalog/lint.ts';
import { openCatalog } from '../../src/cli/settings/catalog.ts';

const catalog = await openCatalog();

test('the catalogue ships at least thirty publishers', () => {
  expect(catalog.names.length).toBeGreaterThanOrEqual(30);
});

test.each(catalog.names)('%s has nothing to complain of', async (name) => {
  expect(lintEntry(await catalog.entry(name))).toEqual([]);
});
