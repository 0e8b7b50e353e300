// Runs a bundle with the code cache that the build has left beside it: compiling the bundle takes longer than most
// commands do. V8 refuses a cache of another version of itself, and the bundle is then compiled as usual.
const { readFileSync } = require('node:fs');
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

/** Name -> what {@link load} has made of it: a bundle that two others require runs once. */
const loaded = new Map();

/** The bundle's exports, and its script, from which the build makes the cache. */
function load(name) {
  const known = loaded.get(name) ?? loadBundle(name);
  loaded.set(name, known);
  return known;
}

function loadBundle(name) {
  const filename = join(PROGRAM, `${name}.js`);
  const cachedData = readIfPresent(join(PROGRAM, `${name}.cache`));
  // Node.js maps stack traces to the sources only of what it has loaded itself.
  if (cachedData === undefined || process.sourceMapsEnabled) return { exports: require(filename) };
  return loadWith(filename, cachedData);
}

function loadWith(filename, cachedData) {
  const source = readFileSync(filename, 'latin1'); // which ASCII is, and faster
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
  const script = new Script(wrapped, { filename, cachedData });
  const module = { exports: {} };
  const run = script.runInThisContext();
  run.call(module.exports, module.exports, requireBeside, module, filename, dirname(filename));
  return { exports: module.exports, script };
}

/** Modules of Node.js that a start need not load: the first use of one of their parts does. */
const LATE = new Set(['node:child_process', 'node:https', 'node:tls', 'node:worker_threads', 'node:zlib']);

/** A module of Node.js that loads itself with the first look at its parts. */
function lateModule(id) {
  return new Proxy(
    {},
    {
      get: (_, part) => require(id)[part],
      ownKeys: () => Reflect.ownKeys(require(id)),
      getOwnPropertyDescriptor: (_, part) => ({
        value: require(id)[part],
        enumerable: true,
        configurable: true,
      }),
    },
  );
}

/** What a bundle requires: another bundle beside it, or a module of Node.js. */
function requireBeside(id) {
  if (id.startsWith('./')) return load(id.slice(2, -3)).exports;
  return LATE.has(id) ? lateModule(id) : require(id);
}

module.exports = { load, loadWith, PROGRAM };
