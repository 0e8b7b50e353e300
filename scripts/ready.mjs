// Makes a checkout ready to run: installs the locked packages and builds, each only when something has
// changed since.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function modified(path) {
  const full = join(root, path);
  return existsSync(full) ? statSync(full).mtimeMs : 0;
}

function newestBelow(folder) {
  const times = readdirSync(join(root, folder), { recursive: true }).map((name) =>
    modified(join(folder, String(name))),
  );
  return Math.max(...times);
}

function run(what, command, args) {
  process.stderr.write(`metahub: ${what}\n`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  process.stderr.write(`metahub: ${what} failed${error ? `: ${error.message}` : ''}\n`);
  process.exit(1);
}

const { cacheOf } = createRequire(import.meta.url)('../bin/metahub.js'); // which ends the process on a Node.js that is too old
if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  run('installing packages (once)', 'npm', [
    'ci',
    '--no-audit',
    '--no-fund',
    '--no-progress',
    '--loglevel=error',
  ]);
}
const sources = ['package.json', 'bin/metahub.js', 'scripts/bundle.mjs', 'scripts/code-cache.cjs'].map(
  modified,
);
if (modified(relative(root, cacheOf('yaml'))) < Math.max(newestBelow('src'), ...sources)) {
  run('building (once)', 'npm', ['run', '--silent', 'build']);
}
