#!/usr/bin/env node
// CommonJS (package.json beside this file): the loader of ES modules alone costs a plain `detect` a tenth of its time.
const [command, ...words] = process.argv.slice(2);

async function run() {
  if (command === 'detect') {
    const { quickDetect } = require('../dist/quick-detect.cjs');
    if (await quickDetect(words)) return;
  }
  const { main } = await import('../dist/program/main.js');
  await main(process.argv);
}

run();
