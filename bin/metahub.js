#!/usr/bin/env node
// Runs a bundle with the code cache that the build has left beside it: compiling the bundle takes longer than most
// commands do. Its name has the version of Node.js: V8 refuses a cache of another version of itself, but not one of a Node.js
// that has changed the same V8, with which it crashes. Without a cache the bundle is compiled as usual.
// In words that Node.js 8 reads: one that is older than MetaHub runs on must be able to say so, before anything else.
// CommonJS (package.json beside this file), and one file: each more would take half a millisecond of every start.
/** The lowest supported version of each line: `engines` of package.json. zlib.crc32 is in no older one. */
const NEEDED = 'Node.js 20.19.2 or a later 20, or 22.12 or newer';

function isSupported(version) {
  const [major, minor, patch] = version.split('.').map(Number);
  if (major === 20) return minor > 19 || (minor === 19 && patch >= 2);
  if (major === 22) return minor >= 12;
  return major > 22;
}

/** Ends the process, with what to do, on a Node.js that cannot run MetaHub. */
function assertSupported(version) {
  if (isSupported(version)) return;
  process.stderr.write(
    `metahub: needs ${NEEDED}; this is ${version} (${process.execPath})\n` +
      '  Install a newer Node.js, or the Debian package of MetaHub, which brings its own.\n',
  );
  process.exit(1);
}

assertSupported(process.versions.node);

const { closeSync, fstatSync, openSync, readSync } = require('node:fs');
const { Script } = require('node:vm');

/** Without `node:path`, which compiles three functions for it: this file is in `bin`, beside `dist`. */
const PROGRAM = `${__dirname.slice(0, -'bin'.length)}dist/program`;

/** A file's bytes, between two texts. */
function readBetween(head, path, tail) {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.allocUnsafe(head.length + size + tail.length);
    bytes.latin1Write(head, 0);
    for (let read = 0; read < size; ) {
      const count = readSync(file, bytes, head.length + read, size - read, null);
      if (count === 0) throw new Error(`${path} has changed while it was read`);
      read += count;
    }
    bytes.latin1Write(tail, head.length + size);
    return bytes;
  } finally {
    closeSync(file);
  }
}

/** The path of a bundle's code cache. */
function cacheOf(name) {
  return `${PROGRAM}/${name}.${process.version}.cache`;
}

function readIfPresent(path) {
  try {
    return readBetween('', path, '');
  } catch (_error) {
    return undefined; // a package for any Node.js has none
  }
}

/** Name -> what {@link load} has made of it: a bundle that two others require runs once. */
const loaded = new Map();

/** The bundle's exports, and its script, from which the build makes the cache. */
function load(name) {
  const known = loaded.get(name) || loadBundle(name);
  loaded.set(name, known);
  return known;
}

function loadBundle(name) {
  const filename = `${PROGRAM}/${name}.js`;
  const cachedData = readIfPresent(cacheOf(name));
  // Node.js maps stack traces to the sources only of what it has loaded itself.
  if (cachedData === undefined || process.sourceMapsEnabled) return { exports: require(filename) };
  return loadWith(filename, cachedData);
}

const FUNCTION = '(function (exports, require, module, __filename, __dirname) {';

function loadWith(filename, cachedData) {
  // Put together before V8 sees it, which would copy the text once more. The bundle is ASCII.
  const source = readBetween(FUNCTION, filename, '\n})').latin1Slice();
  const script = new Script(source, { filename, cachedData });
  const module = { exports: {} };
  const run = script.runInThisContext();
  run.call(module.exports, module.exports, requireBeside, module, filename, PROGRAM);
  return { exports: module.exports, script };
}

/** Modules of Node.js that a start need not load: the first use of one of their parts does. */
const LATE = new Set([
  'node:child_process',
  'node:crypto',
  'node:https',
  'node:tls',
  'node:worker_threads',
  'node:zlib',
]);

/** A module of Node.js that loads itself with the first look at its parts. */
function lateModule(id) {
  let parts;
  const loaded = () => {
    if (parts === undefined) parts = require(id);
    return parts;
  };
  return new Proxy(
    {},
    {
      get: (_, part) => loaded()[part],
      ownKeys: () => Reflect.ownKeys(loaded()),
      getOwnPropertyDescriptor: (_, part) => ({
        value: loaded()[part],
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

async function run(words) {
  if (words[0] === 'detect' && (await load('detect').exports.quickDetect(words.slice(1)))) return;
  await load(words[0] === 'serve' ? 'serve' : 'main').exports.main(process.argv);
}

module.exports = { cacheOf, isSupported, load, loadWith, PROGRAM };

// The build and the tests require this file for its functions.
if (require.main === module) run(process.argv.slice(2));
