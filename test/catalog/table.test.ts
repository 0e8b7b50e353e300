import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { cataloguePage } from '../../scripts/catalogue-table.ts';

const PAGE = new URL('../../docs/catalogue.md', import.meta.url);

test('docs/catalogue.md shows what every host gets of every image: `npm run catalogue-table` writes it', async () => {
  expect(readFileSync(PAGE, 'utf8')).toBe(await cataloguePage());
});
