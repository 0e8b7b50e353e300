// The entry of the single executable. The program's files are assets inside it, from which it runs the
// program.
const { createRequire } = require('node:module');
const { getAsset, getAssetKeys, getRawAsset } = require('node:sea');
const { Script } = require('node:vm');

globalThis.metahubAssets = { keys: getAssetKeys(), text: (key) => getAsset(key, 'utf8') };

/** Loads a bundle and returns its exports. Uses the code cache that this Node.js has made of it. */
function load(name) {
  const key = `dist/program/${name}`;
  const filename = `/${key}.js`;
  const source = globalThis.metahubAssets.text(`${key}.js`);
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
  const cacheKey = `${key}.${process.version}.cache`;
  const cachedData = metahubAssets.keys.includes(cacheKey) ? Buffer.from(getRawAsset(cacheKey)) : undefined;
  const script = new Script(wrapped, { filename, cachedData });
  const module = { exports: {} };
  script
    .runInThisContext()
    .call(module.exports, module.exports, requireOf(filename), module, filename, '/dist/program');
  return module.exports;
}

/** Returns `require` for a bundle, which requires other bundles next to it, and modules of Node.js. */
function requireOf(filename) {
  const require = createRequire(filename);
  return (id) => (id.startsWith('./') ? load(id.slice(2, -3)) : require(id));
}

async function run(words) {
  if (words[0] === 'detect' && (await load('detect').quickDetect(words.slice(1)))) return;
  await load(words[0] === 'serve' ? 'serve' : 'main').main(process.argv);
}

run(process.argv.slice(2));
