import { statSync } from 'node:fs';
import { UserError } from './user-error.ts';

/**
 * True when root runs this process and the directory belongs to another user, as the installed service's data do: root
 * would follow the links that whoever is that user has put there, and read, remove or write what they lead to.
 */
export function isForeignToRoot(directory: string): boolean {
  return process.getuid?.() === 0 && ownerOf(directory) !== 0;
}

/** The owner of the directory; root where there is none. */
function ownerOf(directory: string): number {
  return statSync(directory, { throwIfNoEntry: false })?.uid ?? 0;
}

/**
 * Gives up root's rights for good where a data directory belongs to another user.
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

/**
 * Returns the data directory of a mirror, which cannot become its owner: a reload reads files that only root may read.
 * @throws {UserError} when root runs the mirror and the directory belongs to another user
 */
export function refuseForeignData(directory: string): string {
  if (!isForeignToRoot(directory)) return directory;
  const uid = ownerOf(directory);
  throw new UserError(`${directory} belongs to another user (${uid}), whose links root would follow`, {
    nextStep: 'Run it as that user, or name another directory: --data DIR.',
  });
}
