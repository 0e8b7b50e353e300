// Makes a checkout ready to run: installs the locked packages and builds, each only when something changed since.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
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

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`metahub needs Node.js 20.19 or newer; this is ${process.versions.node}\n`);
  process.exit(1);
}
// Not `npm ci`: it refuses a lock file that lacks the optional binaries of platforms that the registry did not offer
// when the lock was written. `--no-save` keeps the lock as it is, and what it lists is installed as listed.
if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  run('installing packages (once)', 'npm', [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--no-progress',
    '--loglevel=error',
  ]);
}
const sources = ['tsconfig.build.json', 'scripts/bundle.mjs'].map(modified);
if (modified('dist/quick-detect.cjs') < Math.max(newestBelow('src'), ...sources)) {
  run('building (once)', 'npm', ['run', '--silent', 'build']);
}
