import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The files inside a single executable, by their path in the package. */
interface Assets {
  readonly keys: readonly string[];
  readonly text: (key: string) => string;
}

/** Set by the single executable before the program starts (packaging/executable/main.cjs). */
const ASSETS = (globalThis as { metahubAssets?: Assets }).metahubAssets;

/** The folder of the package. The relative path is the same from the sources and from the bundle. */
const ROOT = join(import.meta.dirname, '../..');

/** The text of a file that ships with the program. `path` is relative to the package. */
export function packagedText(path: string): string {
  return ASSETS === undefined ? readFileSync(join(ROOT, path), 'utf8') : ASSETS.text(path);
}

/** As {@link packagedText}, without blocking. */
export async function readPackaged(path: string): Promise<string> {
  return ASSETS === undefined ? readFile(join(ROOT, path), 'utf8') : ASSETS.text(path);
}

/** The names of the files in a folder of the package. */
export async function listPackaged(folder: string): Promise<readonly string[]> {
  if (ASSETS === undefined) return readdir(join(ROOT, folder));
  return ASSETS.keys.filter((key) => key.startsWith(`${folder}/`)).map((key) => key.slice(folder.length + 1));
}

/** The code of a worker thread, inside a single executable; undefined elsewhere, where it is a file. */
export function packagedWorker(name: string): string | undefined {
  return ASSETS?.text(`dist/program/${name}.js`);
}
