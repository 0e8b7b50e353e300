// After tsc: one file of all that a plain `metahub detect` needs. Finding and linking its forty modules one by one takes
// longer than detecting, and a host is detected at every boot.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist');

await build({
  entryPoints: [join(dist, 'cli/quick-detect.js')],
  outfile: join(dist, 'quick-detect.cjs'),
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  packages: 'external',
  minify: true,
  logLevel: 'warning',
});
