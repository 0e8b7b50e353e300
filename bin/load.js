// Runs a bundle with the code cache that the build has left beside it: compiling the bundle takes longer than most
// commands do. V8 refuses a cache of another version of itself, and the bundle is then compiled as usual.
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');

const PROGRAM = join(__dirname, '../dist/program');

function readIfPresent(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined; // a package for any Node.js has none
  }
}

/** The bundle's exports, and its script, from which the build makes the cache. */
function load(name) {
  const filename = join(PROGRAM, `${name}.js`);
  const cachedData = readIfPresent(join(PROGRAM, `${name}.cache`));
  // Node.js maps stack traces to the sources only of what it has loaded itself.
  if (cachedData === undefined || process.sourceMapsEnabled) return { exports: require(filename) };
  return loadWith(filename, cachedData);
}

function loadWith(filename, cachedData) {
  const source = readFileSync(filename, 'utf8');
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
  const script = new Script(wrapped, { filename, cachedData });
  const module = { exports: {} };
  const run = script.runInThisContext();
  run.call(module.exports, module.exports, createRequire(filename), module, filename, dirname(filename));
  return { exports: module.exports, script };
}

module.exports = { load, loadWith, PROGRAM };
