// After tsc: modules put together, since finding and linking them one by one takes longer than what most commands do.
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist');

const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  packages: 'external',
  logLevel: 'warning',
};

const program = join(dist, 'program');
// Names of files hold hashes of their content: those of the last build would stay.
rmSync(program, { recursive: true, force: true });

// The whole program, in as few files as what it imports lazily allows; names are kept for stack traces.
await build({
  ...common,
  entryPoints: {
    main: join(dist, 'cli/main.js'),
    // A thread's own file: found beside the module that starts it.
    'hash-worker': join(dist, 'store/hash-worker.js'),
  },
  outdir: program,
  format: 'esm',
  splitting: true,
});

// One file of all that a plain `metahub detect` needs: a host is detected at every boot.
await build({
  ...common,
  entryPoints: [join(dist, 'cli/quick-detect.js')],
  outfile: join(dist, 'quick-detect.cjs'),
  format: 'cjs',
  minify: true,
});
