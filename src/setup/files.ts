import { type Dirent, lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { locate } from '../lib/link-path.ts';
import { readTextFileSync } from '../lib/regular-file.ts';

/** Maximum size of a configuration file, in bytes. Those of runtimes are small. */
const FILE_MAX_BYTES = 1024 * 1024;

/**
 * The configuration files of a machine, or of a folder with another machine's files. Paths are absolute, as
 * on that machine.
 */
export interface ConfigFiles {
  /** Returns the text; undefined when there is no such file. @throws when it is unreadable or too large */
  read(path: string): string | undefined;
  /**
   * Returns the names of regular files in a folder, and of links to them, sorted; empty when there is no such
   * folder.
   */
  list(folder: string): readonly string[];
  /** Returns the names of folders in a folder, and of links to them, sorted. */
  listFolders(folder: string): readonly string[];
  exists(path: string): boolean;
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** @param root `/`, or a folder that contains another machine's `etc`, `usr`, … */
export function configFilesAt(root: string): ConfigFiles {
  const at = (path: string) => locate(root, path);
  /** A link counts as its target: a link to /dev/null, which masks a drop-in of systemd, is not a regular file. */
  const entriesIn = (folder: string, isMeant: (entry: Dirent | Stats) => boolean) => {
    const isListed = (entry: Dirent) => {
      if (!entry.isSymbolicLink()) return isMeant(entry);
      const target = statSync(at(`${folder}/${entry.name}`), { throwIfNoEntry: false });
      return target !== undefined && isMeant(target);
    };
    try {
      const entries = readdirSync(at(folder), { withFileTypes: true });
      return entries
        .filter(isListed)
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
        return readTextFileSync(at(path), FILE_MAX_BYTES);
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    list: (folder) => entriesIn(folder, (entry) => entry.isFile()),
    listFolders: (folder) => entriesIn(folder, (entry) => entry.isDirectory()),
    exists: (path) => {
      try {
        // The link itself: its target need not exist.
        lstatSync(join(at(dirname(path)), basename(path)));
        return true;
      } catch {
        return false;
      }
    },
  };
}
