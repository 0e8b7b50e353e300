// Makes the code cache of a bundle, for the Node.js that runs this: `node scripts/code-cache.cjs NAME [ROOT]`. It is
// taken after the bundle has done what it mostly does, so that it also holds the functions compiled on the way.
const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const [name, root = join(__dirname, '..')] = process.argv.slice(2);
const { loadWith, PROGRAM } = require(join(root, 'bin/load.js'));
const { exports: program, script } = loadWith(join(PROGRAM, `${name}.js`), undefined);

function keepCache() {
  writeFileSync(join(PROGRAM, `${name}.cache`), script.createCachedData());
}

/** A folder with an empty configuration, and the words that name it: none of this machine's own settings count. */
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

/** Starts the mirror, asks it once, and stops it. */
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

/** What most other commands do: reads the settings. */
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
  const output = { write: () => {}, terminal: () => ({ width: 80, colour: false }) };
  for (const words of [[], ['--json'], ['--features']]) await program.quickDetect(words, output);
  keepCache();
  // What this machine's detection lacks is no fault of the build.
  process.exitCode = 0;
}

/** Reads a configuration file. */
function yaml() {
  program.parseDocument('# where from\nupstream:\n  docker.io: [https://hub.example, "b"]\nset: []\n').toJS();
  keepCache();
}

({ main, serve, detect, yaml })[name]();
