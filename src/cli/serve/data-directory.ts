import { lstat, readlink, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { makeDirectory } from '../../lib/atomic-file.ts';
import { UserError } from '../user-error.ts';

/** Errors that neither waiting nor a repair of the disk can solve, and what they mean. */
const HOPELESS: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'its parent can have no directories'],
  ['ENOTDIR', 'its parent is not a directory'],
  ['EEXIST', 'it is a file'],
  ['ELOOP', 'it is a link to itself'],
  ['ENAMETOOLONG', 'the name is too long'],
]);

/** Says why no directory can be in or at this path: `/srv/x is a file`. Undefined when the path is a directory. */
async function obstacleAt(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isDirectory() ? undefined : `${path} is a file`;
  } catch {
    const isLink = (await lstat(path)).isSymbolicLink();
    return isLink ? `${path} is a link to ${await readlink(path)}, which is no directory` : undefined;
  }
}

/** Says which part of the path is in the way. Undefined when none is to be seen. */
async function obstacleIn(path: string): Promise<string | undefined> {
  const parts = resolve(path).split('/').slice(1);
  for (const [at] of parts.entries()) {
    const obstacle = await obstacleAt(`/${parts.slice(0, at + 1).join('/')}`).catch(() => undefined);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

/**
 * Creates the data directory if possible. When this user may not write it, or the disk is full or read-only,
 * the store continues without it.
 * @throws {UserError} status 2 for a path at which there can be no directory.
 */
export async function makeDataDirectory(path: string): Promise<void> {
  try {
    await makeDirectory(path, 0o700);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const why = HOPELESS.get(code);
    if (why === undefined) return;
    throw new UserError(`cannot create the directory ${path}: ${(await obstacleIn(path)) ?? why}`, {
      cause,
      nextStep: 'Name a directory that this user can create: --data DIR.',
      exitStatus: 2,
    });
  }
}
