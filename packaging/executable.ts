import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileTree } from './file-tree.ts';
import { nodeBinary } from './node-binary.ts';
import { addProgram, HOME } from './program.ts';
import { HOST_ARCHITECTURE, MANIFEST, RELEASE, ROOT, run } from './project.ts';

const MAIN = fileURLToPath(new URL('executable/main.cjs', import.meta.url));
/**
 * Marks the place in Node.js for the program.
 * @see https://nodejs.org/api/single-executable-applications.html
 */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
/** Files of the package that the program reads when it runs. */
const ASSET = /^(?:package\.json|catalog\/.*|dist\/program\/(?:.*\.js|[^/]*\.cache))$/;

/**
 * Builds the single executable for this machine's architecture: Node.js, with the program and its files
 * inside. Like Node.js it needs the system's libraries of C and C++, and nothing else. Returns its path.
 */
export function buildExecutable(): string {
  const folder = mkdtempSync(join(tmpdir(), 'metahub-executable-'));
  try {
    const tree = new FileTree(join(folder, 'tree'));
    addProgram(tree, HOST_ARCHITECTURE);
    const home = join(tree.root, HOME);
    const paths = tree.files().map((path) => path.slice(HOME.length + 1));
    const assets = paths.filter((path) => ASSET.test(path)).map((path) => [path, join(home, path)]);
    const [config, blob] = [join(folder, 'sea.json'), join(folder, 'sea.blob')];
    const settings = {
      main: MAIN,
      output: blob,
      disableExperimentalSEAWarning: true,
      assets: Object.fromEntries(assets),
    };
    writeFileSync(config, JSON.stringify(settings));
    const node = nodeBinary(HOST_ARCHITECTURE).program;
    run(node, ['--experimental-sea-config', config]);
    const unfinished = join(folder, 'metahub');
    copyFileSync(node, unfinished);
    run(join(ROOT, 'node_modules/.bin/postject'), [
      unfinished,
      'NODE_SEA_BLOB',
      blob,
      '--sentinel-fuse',
      FUSE,
    ]);
    mkdirSync(RELEASE, { recursive: true });
    const target = join(RELEASE, `metahub-${MANIFEST.version}-linux-${HOST_ARCHITECTURE}`);
    copyFileSync(unfinished, target);
    return target;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
