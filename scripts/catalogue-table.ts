import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { casesOf, EXAMPLE_HOSTS, exampleProfile } from '../src/cli/commands/catalog/test.ts';
import { BASELINES_FILE, baselinesJson, openCatalog } from '../src/cli/settings/catalog.ts';

const PAGE = fileURLToPath(new URL('../docs/catalogue.md', import.meta.url));
const START = '<!-- written by npm run catalogue-table -->';
const END = '<!-- end of the table -->';

/**
 * Returns how the image differs from the pulled name: the tag, the last part of the repository, or the
 * platform of an index.
 */
function cell(pulled: string, got: string | null): string {
  if (got === null) return '–';
  const repository = pulled.slice(0, pulled.lastIndexOf(':'));
  if (got.startsWith(`${repository}:`)) return `\`${got.slice(repository.length + 1)}\``;
  return `\`${got.includes(':') ? got.slice(got.lastIndexOf('/') + 1) : got}\``;
}

/** Formats the table of all lists and indexes of the catalogue, with the image that each example host gets. */
export async function catalogueTable(): Promise<string> {
  const catalog = await openCatalog();
  const entries = await Promise.all(catalog.names.map((name) => catalog.entry(name)));
  const hosts = EXAMPLE_HOSTS.map((host) => ({ name: host.name, profile: exampleProfile(host) }));
  const rows = entries.flatMap((entry) =>
    casesOf(entry, hosts, undefined).map(({ image, gets }) => [
      `\`${entry.name}\``,
      `\`${image}\``,
      ...gets.map(({ image: got }) => cell(image, got)),
    ]),
  );
  const head = ['entry', 'pulled', ...hosts.map(({ name }) => name)];
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((text, at) => text.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** Returns the page with the table in it. */
export async function cataloguePage(): Promise<string> {
  const page = readFileSync(PAGE, 'utf8');
  const [before = '', rest = ''] = page.split(START);
  const [, after = ''] = rest.split(END);
  return `${before}${START}\n\n${await catalogueTable()}\n\n${END}${after}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(PAGE, await cataloguePage());
  writeFileSync(new URL(`../catalog/${BASELINES_FILE}`, import.meta.url), await baselinesJson());
}
