import { type Dirent, lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** Configuration of a runtime is small; a larger file is not one. */
const FILE_MAX_BYTES = 1024 * 1024;

/** The configuration files of one machine, or of a tree that stands for one. Paths are absolute, as on that machine. */
export interface ConfigFiles {
  /** The text; undefined when there is no such file. @throws when it cannot be read or is no file of a sane size. */
  read(path: string): string | undefined;
  /** Names of regular files in a folder, sorted; none when there is no such folder. */
  list(folder: string): readonly string[];
  /** Names of folders in a folder, sorted. */
  listFolders(folder: string): readonly string[];
  exists(path: string): boolean;
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** @param root `/`, or a folder that holds `etc`, `usr`, … of another machine */
export function configFilesAt(root: string): ConfigFiles {
  const at = (path: string) => join(root, path);
  const entriesIn = (folder: string, isMeant: (entry: Dirent) => boolean) => {
    try {
      const entries = readdirSync(at(folder), { withFileTypes: true });
      return entries
        .filter(isMeant)
        .map(({ name }) => name)
        .sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  };
  return {
    read: (path) => {
      try {
        const stats = lstatSync(realpathSync(at(path)));
        if (!stats.isFile()) throw new Error(`${path} is not a regular file`);
        if (stats.size > FILE_MAX_BYTES) throw new Error(`${path} is larger than ${FILE_MAX_BYTES} bytes`);
        return readFileSync(at(path), 'utf8');
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    list: (folder) => entriesIn(folder, (entry) => entry.isFile() || entry.isSymbolicLink()),
    listFolders: (folder) => entriesIn(folder, (entry) => entry.isDirectory()),
    exists: (path) => {
      try {
        lstatSync(at(path));
        return true;
      } catch {
        return false;
      }
    },
  };
}
