// Makes the code cache of a bundle, for the Node.js that runs this script: `node scripts/code-cache.cjs NAME
// [ROOT]`. The cache is made after the bundle has done its usual work, so that it contains the functions that
// were compiled for it.
const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const [name, root = join(__dirname, '..')] = process.argv.slice(2);
const { cacheOf, loadWith, PROGRAM } = require(join(root, 'bin/metahub.js'));
const { exports: program, script } = loadWith(join(PROGRAM, `${name}.js`), undefined);

function keepCache() {
  writeFileSync(cacheOf(name), script.createCachedData());
}

/**
 * Creates a folder with an empty configuration, and the options that name it, so that no settings of this
 * machine apply.
 */
function surroundings() {
  for (const variable of Object.keys(process.env)) {
    if (/^METAHUB_|^STATIC_MACHINES$|^PORT$/.test(variable)) delete process.env[variable];
  }
  const folder = mkdtempSync(join(tmpdir(), 'metahub-code-cache-'));
  const [config, images, data] = ['config.yaml', 'images', 'data'].map((part) => join(folder, part));
  writeFileSync(config, '{}\n');
  mkdirSync(images);
  return { folder, words: ['--config', config, '--images', images, '--data', data] };
}

/** Starts the mirror, sends it one request, and stops it. */
async function serve() {
  const { folder, words } = surroundings();
  let output = '';
  const listening = new Promise((resolve) => {
    process.stdout.write = process.stderr.write = (text) => {
      output += text;
      const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? [];
      if (url !== undefined) resolve(url);
      return true;
    };
  });
  try {
    const settings = ['--upstream', 'docker.io=http://127.0.0.1:9', '--set', 'cpu:x86_64_v2'];
    const done = program.main(['', '', 'serve', '--listen', '127.0.0.1:0', ...settings, ...words]);
    const url = await Promise.race([listening, done]);
    if (url === undefined) throw new Error(`metahub serve ended before it listened:\n${output}`);
    await fetch(`${url}/v2/`);
    keepCache();
    process.emit('SIGTERM', 'SIGTERM');
    await done;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Does what most other commands do: reads the settings. */
async function main() {
  const { folder, words } = surroundings();
  process.stdout.write = () => true;
  try {
    await program.main(['', '', 'config', 'show', ...words]);
    keepCache();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function detect() {
  process.exit = () => {}; // with which an answer ends
  for (const words of [[], ['--json'], ['--features']]) await program.quickDetect(words);
  keepCache();
  // Facts that detection cannot read on this machine are not an error of the build.
  process.exitCode = 0;
}

/** Reads a configuration file. */
function yaml() {
  program.parseDocument('# where from\nupstream:\n  docker.io: [https://hub.example, "b"]\nset: []\n').toJS();
  keepCache();
}

({ main, serve, detect, yaml })[name]();
