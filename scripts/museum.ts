/** Writes docs/museum.md: what archspec's rule and MetaHub say of every machine of test/fixtures/hosts. `npm run museum` */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderMuseum } from '../test/support/museum-page.ts';

writeFileSync(fileURLToPath(new URL('../docs/museum.md', import.meta.url)), await renderMuseum());
