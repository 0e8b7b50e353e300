import { type Dirent, lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readTextFileSync } from '../lib/regular-file.ts';
import { locate } from './root-path.ts';

/** Configuration files of runtimes are small; a larger file is something else. */
const FILE_MAX_BYTES = 1024 * 1024;

/** The configuration files of one machine, or of a tree that stands for one. Paths are absolute, as on that machine. */
export interface ConfigFiles {
  /** The text; undefined when there is no such file. @throws when it cannot be read or is too large */
  read(path: string): string | undefined;
  /** Names of regular files in a folder, and of links to them, sorted; empty when there is no such folder. */
  list(folder: string): readonly string[];
  /** Names of folders in a folder, and of links to them, sorted. */
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
  /** A link counts as what it leads to: systemd's drop-ins are masked by one to /dev/null. */
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
    // systemd's drop-ins are masked by a link to /dev/null.
    list: (folder) => entriesIn(folder, (entry) => entry.isFile()),
    listFolders: (folder) => entriesIn(folder, (entry) => entry.isDirectory()),
    exists: (path) => {
      try {
        // Of the link itself: its target need not be there.
        lstatSync(join(at(dirname(path)), basename(path)));
        return true;
      } catch {
        return false;
      }
    },
  };
}
