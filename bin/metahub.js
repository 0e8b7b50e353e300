#!/usr/bin/env node
// CommonJS (package.json beside this file). Each file more would take half a millisecond of every start.
const { load } = require('./load.js');

const words = process.argv.slice(2);

async function run() {
  if (words[0] === 'detect' && (await load('detect').exports.quickDetect(words.slice(1)))) return;
  await load(words[0] === 'serve' ? 'serve' : 'main').exports.main(process.argv);
}

run();
