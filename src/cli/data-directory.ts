import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UserError } from './user-error.ts';

/** What no wait and no repair of the disk will change. */
const HOPELESS: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EEXIST', 'ENAMETOOLONG']);

/**
 * Makes the data directory where it can be made. One that this user may not write, or whose disk is full or read-only,
 * is left to the store, which goes on without.
 * @throws {UserError} status 2 for a path at which there can be no directory.
 */
export async function makeDataDirectory(path: string): Promise<void> {
  try {
    await makeWithParents(path);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    if (!HOPELESS.has(code)) return;
    throw new UserError(`there can be no directory ${path} (${code})`, {
      cause,
      nextStep: 'Name one where content may be kept: --data DIR.',
      exitStatus: 2,
    });
  }
}

/** Not mkdir's own `recursive`: where a file system refuses a directory as ENOENT, as /proc does, that never ends. */
async function makeWithParents(path: string): Promise<void> {
  try {
    await makeOne(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error;
    await makeWithParents(parent);
    await makeOne(path);
  }
}

async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && (await stat(path)).isDirectory();
    if (!isThere) throw error;
  }
}
