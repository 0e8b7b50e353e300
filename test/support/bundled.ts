import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin, transform } from 'esbuild';
import { afterAll } from 'vitest';

/** Modules keep the places of their sources, next to which they look for other files. */
const sourcePlaces: Plugin = {
  name: 'source-places',
  setup({ onLoad }) {
    onLoad({ filter: /\/(?:src|test)\/.*\.ts$/ }, async ({ path }) => {
      const define = {
        'import.meta.filename': JSON.stringify(path),
        'import.meta.dirname': JSON.stringify(dirname(path)),
      };
      return { contents: (await transform(readFileSync(path, 'utf8'), { loader: 'ts', define })).code };
    });
  },
};

/**
 * Bundles a program of the sources. Resolves with the file, which exists until the tests of the caller's file have ended: a loader for TypeScript takes ten
 * times as long to start, at each start.
 */
export async function bundled(source: URL): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'metahub-bundled-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const outfile = join(folder, 'program.mjs');
  await build({
    entryPoints: [fileURLToPath(source)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    mainFields: ['module', 'main'],
    plugins: [sourcePlaces],
    logLevel: 'error',
  });
  return outfile;
}
