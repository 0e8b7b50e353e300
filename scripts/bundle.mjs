// Bundles the program from its sources, libraries included: one minified CommonJS file for each way in which
// it starts, because finding and linking single modules takes longer than most commands. `npm run check`
// checks the types.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'dist/program');

/** The files of dist/program that `metahub` runs, and the module with which each starts. */
const PROGRAMS = {
  main: 'src/cli/main.ts',
  // What `metahub detect` usually needs, and little more, because every boot runs it.
  detect: 'src/cli/quick-detect.ts',
  // A mirror does not need the other commands.
  serve: 'src/cli/serve-main.ts',
};
/** The files of threads. A thread finds its file next to that of the module that starts it. */
const THREADS = {
  'document-worker': 'src/upstream/document-worker.ts',
  'hash-worker': 'src/store/hash-worker.ts',
  'machine-worker': 'src/site/machine-worker.ts',
  'reading-worker': 'src/mirror/documents/reading-worker.ts',
  'tags-worker': 'src/upstream/tags-worker.ts',
};
/** Libraries that few commands need. They have their own files, so that other commands do not load them. */
const LIBRARIES = ['asn1js', 'ioredis', 'jose', 'openid-client', 'systeminformation', 'yaml'];

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
// The package has ES modules, but these files are CommonJS.
writeFileSync(join(target, 'package.json'), '{ "type": "commonjs" }\n');

/** Requires a library of {@link LIBRARIES} as the file next to this one. */
const librariesApart = {
  name: 'libraries-apart',
  setup(build) {
    build.onResolve({ filter: new RegExp(`^(${LIBRARIES.join('|')})$`) }, ({ path, kind }) =>
      kind === 'entry-point' ? undefined : { path: `./${path}.js`, external: true },
    );
  },
};

/**
 * Writes characters outside ASCII as escapes, even where esbuild does not: otherwise V8 stores each character
 * of the text in two bytes.
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
    target: 'node20.19.2',
    format: 'cjs',
    minify: true,
    sourcemap: 'linked',
    sourcesContent: false,
    metafile: true,
    legalComments: 'none', // THIRD-PARTY-NOTICES has them
    logLevel: 'warning',
    // A lazy import becomes a function in the same file, which runs when it is needed.
    supported: { 'dynamic-import': false },
    // The main file of this package requires its parts in a way that no bundler can follow.
    alias: {
      'jsonc-parser': 'jsonc-parser/lib/esm/main.js',
      'node:perf_hooks': './scripts/performance.mjs',
    },
    inject: ['scripts/performance.mjs'], // for the global of the same name
    define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
    plugins,
  });

const libraries = Object.fromEntries(LIBRARIES.map((name) => [name, name]));
const built = [
  await bundle({ ...PROGRAMS, ...libraries }, [librariesApart, ascii]),
  await bundle(THREADS, [ascii]),
];
// The list of files in the bundles, against which the notices and the bill of materials are checked.
const outputs = Object.assign({}, ...built.map(({ metafile }) => metafile.outputs));
writeFileSync(join(root, 'dist/metafile.json'), JSON.stringify({ outputs }));

for (const name of [...Object.keys(PROGRAMS), 'yaml']) {
  execFileSync(process.execPath, [join(root, 'scripts/code-cache.cjs'), name], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
