// Bundles the program from its sources: one minified CommonJS file for each way it starts, libraries included, since
// finding and linking modules one by one takes longer than most commands do. Types are checked by `npm run check`.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'dist/program');

/** What `metahub` runs: each file of dist/program and the module that it starts with. */
const PROGRAMS = {
  main: 'src/cli/main.ts',
  // What `metahub detect` mostly needs, and little more: a host is detected at every boot.
  detect: 'src/cli/quick-detect.ts',
  // A mirror has no use for the other commands.
  serve: 'src/cli/serve-main.ts',
};
/** A thread starts with a file of its own, beside the module that starts it, and finds no other. */
const THREADS = {
  'document-worker': 'src/upstream/document-worker.ts',
  'hash-worker': 'src/store/hash-worker.ts',
  'machine-worker': 'src/site/machine-worker.ts',
  'reading-worker': 'src/mirror/documents/reading-worker.ts',
  'tags-worker': 'src/upstream/tags-worker.ts',
};
/** Libraries that few commands need. Files of their own, so that the others do not read their text. */
const LIBRARIES = ['asn1js', 'ioredis', 'jose', 'openid-client', 'systeminformation', 'yaml'];

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
// The package is of ES modules; these files are not.
writeFileSync(join(target, 'package.json'), '{ "type": "commonjs" }\n');

/** A library of {@link LIBRARIES} is required as the file beside. */
const librariesApart = {
  name: 'libraries-apart',
  setup(build) {
    build.onResolve({ filter: new RegExp(`^(${LIBRARIES.join('|')})$`) }, ({ path, kind }) =>
      kind === 'entry-point' ? undefined : { path: `./${path}.js`, external: true },
    );
  },
};

/**
 * Writes what is not ASCII as escapes, also where esbuild leaves it: V8 takes two bytes for each character of a text in
 * which one needs them.
 */
const ascii = {
  name: 'ascii',
  setup(build) {
    build.onLoad({ filter: /\.[cm]?[jt]s$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
      return { contents: text.replace(/[^\0-\x7f]/g, escaped), loader: path.endsWith('ts') ? 'ts' : 'js' };
    });
  },
};

const bundle = (entryPoints, plugins) =>
  build({
    absWorkingDir: root,
    entryPoints,
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
    plugins,
  });

const libraries = Object.fromEntries(LIBRARIES.map((name) => [name, name]));
const built = [
  await bundle({ ...PROGRAMS, ...libraries }, [librariesApart, ascii]),
  await bundle(THREADS, [ascii]),
];
// Which files went into the bundles: what the notices and the bill of materials are checked against.
const outputs = Object.assign({}, ...built.map(({ metafile }) => metafile.outputs));
writeFileSync(join(root, 'dist/metafile.json'), JSON.stringify({ outputs }));

for (const name of [...Object.keys(PROGRAMS), 'yaml']) {
  execFileSync(process.execPath, [join(root, 'scripts/code-cache.cjs'), name], { stdio: 'inherit' });
}
