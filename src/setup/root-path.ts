import { lstatSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Maximum number of links in one path, as in the kernel. */
const LINKS_MAX = 40;

function linkAt(path: string): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isSymbolicLink() ? readlinkSync(path) : undefined;
}

/**
 * Returns where `path` leads on the machine below `root`. Follows every link there, absolute ones as well,
 * and the last one even when its target does not exist. The result is absolute, as on that machine.
 * @throws for a cycle of links
 */
export function resolveBelow(root: string, path: string): string {
  const left = path.split('/');
  let at = '/';
  for (let links = 0; left.length > 0; ) {
    const part = left.shift() ?? '';
    if (part === '' || part === '.') continue;
    const next = part === '..' ? dirname(at) : join(at, part);
    const target = part === '..' ? undefined : linkAt(join(root, next));
    if (target === undefined) {
      at = next;
      continue;
    }
    links += 1;
    if (links > LINKS_MAX) throw new Error(`${path} is in a circle of links`);
    if (target.startsWith('/')) at = '/';
    left.unshift(...target.split('/'));
  }
  return at;
}

/** Returns the path on this machine of the file at `path` on the machine below `root`. */
export function locate(root: string, path: string): string {
  return join(root, resolveBelow(root, path));
}
