import { lstatSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Maximum number of links in one path, as in the kernel. */
const LINKS_MAX = 40;

/** Tells whether a link of this user is followed. */
export type LinkRule = (uid: number) => boolean;

/** A path with a link that is not followed. */
export class ForeignLinkError extends Error {
  override readonly name = 'ForeignLinkError';
}

/** Links that root or this process's own user made; those of other users might lead it anywhere. */
export const OWN_LINKS: LinkRule = (uid) => uid === 0 || uid === process.getuid?.();

const STICKY_FOR_ALL = 0o1002;

/**
 * In a directory such as /tmp, only its owner's links and own ones. The kernel has the same rule, but it does not see
 * links that are followed here.
 * @see https://docs.kernel.org/admin-guide/sysctl/fs.html#protected-symlinks
 */
function isPlanted({ uid }: Stats, folder: string): boolean {
  if (uid === process.geteuid?.()) return false;
  const { mode, uid: ownerOfFolder } = statSync(folder);
  return (mode & STICKY_FOR_ALL) === STICKY_FOR_ALL && uid !== ownerOfFolder;
}

function linkAt(path: string, mayFollow: LinkRule): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!stats?.isSymbolicLink()) return undefined;
  if (!mayFollow(stats.uid) || isPlanted(stats, dirname(path))) {
    throw new ForeignLinkError(`${path} is a link that belongs to another user`);
  }
  return readlinkSync(path);
}

/**
 * Returns where `path` leads on the machine below `root`. Follows every link there, absolute ones as well,
 * and the last one even when its target does not exist; but none that another user has planted in a directory for
 * all. The result is absolute, as on that machine.
 * @throws for a cycle of links; {@link ForeignLinkError}
 */
export function resolveBelow(root: string, path: string, mayFollow: LinkRule = () => true): string {
  const left = path.split('/');
  let at = '/';
  for (let links = 0; left.length > 0; ) {
    const part = left.shift() ?? '';
    if (part === '' || part === '.') continue;
    const next = part === '..' ? dirname(at) : join(at, part);
    const target = part === '..' ? undefined : linkAt(join(root, next), mayFollow);
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
