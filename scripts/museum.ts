/**
 * `npm run museum` writes docs/museum.md: the results of archspec's rule and of MetaHub for each machine in
 * test/fixtures/hosts.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderMuseum } from '../test/support/museum-page.ts';

writeFileSync(fileURLToPath(new URL('../docs/museum.md', import.meta.url)), await renderMuseum());
