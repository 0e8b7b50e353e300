import { statSync } from 'node:fs';

/**
 * Gives up root's rights for good where a data directory belongs to another user, as the installed service's does: root
 * would follow the links that whoever is that user has put there, and remove or write what they lead to.
 * Returns the path of the directory from now on. It is relative, because that user may not pass through its parents.
 * @throws {Error} when there is no such directory
 */
export function becomeOwnerOf(directory: string): string {
  if (process.getuid?.() !== 0 || statSync(directory).uid === 0) return directory;
  process.chdir(directory);
  // The directory itself, whatever its path leads to by now.
  const { uid, gid } = statSync('.');
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  return '.';
}
