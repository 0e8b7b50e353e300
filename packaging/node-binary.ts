import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { type Architecture, ROOT, run } from './project.ts';

interface Pinned {
  readonly version: string;
  readonly packages: Readonly<Record<Architecture, { readonly name: string; readonly integrity: string }>>;
}

const PINNED: Pinned = JSON.parse(readFileSync(new URL('node.json', import.meta.url), 'utf8'));

/** The version of Node.js in the packages. */
export const NODE_VERSION = PINNED.version;

export interface NodeBinary {
  readonly program: string;
  readonly license: string;
}

/**
 * Returns the Node.js for packages: the one in npm's registry, pinned by its hash and unpacked once below
 * dist/.
 * @throws {Error} when npm delivers a file with another hash
 */
export function nodeBinary(architecture: Architecture): NodeBinary {
  const { name, integrity } = PINNED.packages[architecture];
  const folder = join(ROOT, 'dist/node', `${NODE_VERSION}-${architecture}`);
  const found = { program: join(folder, 'bin/node'), license: join(folder, 'LICENSE') };
  if (existsSync(folder)) return found;

  const unpacked = `${folder}.new`;
  mkdirSync(unpacked, { recursive: true });
  const destination = ['--pack-destination', unpacked];
  const archive = join(
    unpacked,
    run('npm', ['pack', '--silent', `${name}@${NODE_VERSION}`, ...destination]).trim(),
  );
  const hash = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (hash !== integrity) throw new Error(`${name}@${NODE_VERSION} has the hash ${hash}, not ${integrity}`);
  const members = ['package/bin/node', 'package/LICENSE'];
  run('tar', ['--extract', '--file', archive, '--directory', unpacked, '--strip-components=1', ...members]);
  renameSync(unpacked, folder);
  return found;
}
