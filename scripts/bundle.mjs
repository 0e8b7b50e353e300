// Bundles the program from its sources: one minified CommonJS file for each way it starts, libraries included, since
// finding and linking modules one by one takes longer than most commands do. Types are checked by `npm run check`.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'dist/program');

/** Each file of dist/program and the module that it starts with. */
const ENTRIES = {
  main: 'src/cli/main.ts',
  // What `metahub detect` mostly needs, and little more: a host is detected at every boot.
  detect: 'src/cli/quick-detect.ts',
  // A thread starts with a file of its own, beside the module that starts it.
  'hash-worker': 'src/store/hash-worker.ts',
  'judge-worker': 'src/mirror/judge-worker.ts',
  'machine-worker': 'src/site/machine-worker.ts',
  'tags-worker': 'src/upstream/tags-worker.ts',
};

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
// The package is of ES modules; these files are not.
writeFileSync(join(target, 'package.json'), '{ "type": "commonjs" }\n');

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ENTRIES,
  outdir: target,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  minify: true,
  sourcemap: 'linked',
  sourcesContent: false,
  metafile: true,
  legalComments: 'none', // THIRD-PARTY-NOTICES has them
  logLevel: 'warning',
  // A lazy import is a function in the same file: it runs when it is needed, and finds no file.
  supported: { 'dynamic-import': false },
  // Its main file requires its parts in a way that no bundler can follow.
  alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
  define: { 'import.meta.url': 'importMetaUrl' },
  banner: { js: 'const importMetaUrl=require("node:url").pathToFileURL(__filename).href;' },
});
// Which files went into the bundles: what the notices and the bill of materials are checked against.
writeFileSync(join(root, 'dist/metafile.json'), JSON.stringify(metafile));

for (const name of ['main', 'detect']) {
  execFileSync(process.execPath, [join(root, 'scripts/code-cache.cjs'), name], { stdio: 'inherit' });
}
