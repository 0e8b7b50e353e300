import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileTree } from './file-tree.ts';
import { nodeBinary } from './node-binary.ts';
import { type Architecture, HOST_ARCHITECTURE, ROOT, run } from './project.ts';

/** The folder of the program and its Node.js in a package. */
export const HOME = 'usr/lib/metahub';

/**
 * The option for Node.js in a package. By default, Node.js 24 lets the young generation grow to twice the
 * size of Node.js 20, which costs 100 MiB under attack.
 */
export const NODE_FLAG = '--max-semi-space-size=16';

/**
 * Adds the built program to a package's tree, with a Node.js of its own and a code cache that this Node.js
 * has made. A package for another architecture has no code cache, because its Node.js does not run here.
 */
export function addProgram(tree: FileTree, architecture: Architecture): void {
  const node = nodeBinary(architecture);
  tree.copy(`${HOME}/node`, node.program, 0o755);
  tree.copy(`${HOME}/package.json`, join(ROOT, 'package.json'));
  for (const name of readdirSync(join(ROOT, 'bin')))
    tree.copy(`${HOME}/bin/${name}`, join(ROOT, 'bin', name));
  for (const name of readdirSync(join(ROOT, 'dist/program'))) {
    if (!name.endsWith('.cache')) tree.copy(`${HOME}/dist/program/${name}`, join(ROOT, 'dist/program', name));
  }
  for (const name of readdirSync(join(ROOT, 'catalog'))) {
    tree.copy(`${HOME}/catalog/${name}`, join(ROOT, 'catalog', name));
  }
  const program = readFileSync(join(ROOT, 'bin/metahub.js'), 'utf8');
  tree.write(`${HOME}/bin/metahub.js`, program.replace(/^#!.*/, `#!/${HOME}/node ${NODE_FLAG}`), 0o755);
  tree.link('usr/bin/metahub', '../lib/metahub/bin/metahub.js');

  if (architecture !== HOST_ARCHITECTURE) return;
  for (const name of ['main', 'detect', 'serve', 'yaml']) {
    run(node.program, [join(ROOT, 'scripts/code-cache.cjs'), name, join(tree.root, HOME)]);
  }
}
