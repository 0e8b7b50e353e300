import { makeDirectory } from '../../lib/atomic-file.ts';
import { UserError } from '../user-error.ts';

/** What no wait and no repair of the disk will change. */
const HOPELESS: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EEXIST', 'ENAMETOOLONG']);

/**
 * Makes the data directory where it can be made. One that this user may not write, or whose disk is full or read-only,
 * is left to the store, which goes on without.
 * @throws {UserError} status 2 for a path at which there can be no directory.
 */
export async function makeDataDirectory(path: string): Promise<void> {
  try {
    await makeDirectory(path, 0o700);
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
