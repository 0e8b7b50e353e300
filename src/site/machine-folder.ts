import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../lib/log.ts';
import type { Account } from './account.ts';
import { type AccountIndex, createAccountIndex } from './account-index.ts';
import { MachineFileError, readMachineFile } from './machine-file.ts';

/** A file larger than this is no list of machine types, in bytes. */
export const FILE_MAX_BYTES = 1024 * 1024;
/** The folder is looked at again when a request comes this long after the last look, in milliseconds. */
const LOOK_EVERY_MS = 1000;

/** Names of the machine files in a folder, in order; none when there is no such folder. */
async function machineFiles(folder: string): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /^[^.].*\.ya?ml$/.test(name)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** @throws {MachineFileError} for a file that cannot be served; other errors name the path. */
export async function readMachineFolder(folder: string): Promise<readonly Account[]> {
  const files = (await machineFiles(folder)).map((name) => join(folder, name));
  return Promise.all(
    files.map(async (path) => {
      if ((await stat(path)).size > FILE_MAX_BYTES)
        throw new Error(`${path} is larger than ${FILE_MAX_BYTES} bytes`);
      return readMachineFile(await readFile(path, 'utf8'), path);
    }),
  );
}

/** Tells one state of the folder from another without reading it. */
async function stampOf(folder: string): Promise<string> {
  const stamps = (await machineFiles(folder)).map(async (name) => {
    const { mtimeMs, ctimeMs, size, ino } = await stat(join(folder, name));
    return [name, mtimeMs, ctimeMs, size, ino].join(' ');
  });
  return (await Promise.all(stamps)).join('\n');
}

export interface MachineFolder {
  readonly directory: () => AccountIndex;
  /** Looks whether the files have changed, at most once a second, and serves what they say now. */
  refresh(): Promise<void>;
}

export interface MachineFolderOptions {
  /** Undefined: only `fixed`. */
  readonly folder: string | undefined;
  /** Accounts that no file holds. */
  readonly fixed: readonly Account[];
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * The folder's logins, kept up to date. A file that becomes unreadable later changes nothing and is complained of once:
 * a slip of an editor must not lock the site out.
 * @throws {MachineFileError} when a file is bad at the start.
 */
export async function openMachineFolder(options: MachineFolderOptions): Promise<MachineFolder> {
  const { folder, fixed, log, now } = options;
  const load = async () =>
    createAccountIndex([...fixed, ...(folder === undefined ? [] : await readMachineFolder(folder))]);
  let stamp = folder === undefined ? '' : await stampOf(folder);
  let directory = await load();
  let lookedAt = now();
  let looking: Promise<void> | undefined;
  let complaint: string | undefined;

  async function look(path: string): Promise<void> {
    let seen = stamp;
    try {
      seen = await stampOf(path);
      if (seen === stamp) return;
      directory = await load();
      stamp = seen;
      complaint = undefined;
      log('notice', 'machines-reloaded', 'machine types read again', {
        folder: path,
        accounts: directory.accounts.length,
      });
    } catch (error) {
      // What is wrong in a file stays so until it is changed; that it could not be read (no file handle) may pass.
      if (error instanceof MachineFileError) stamp = seen;
      const why = (error as Error).message;
      if (why !== complaint)
        log('warning', 'machines-not-reloaded', 'machine types not read again: the former ones are served', {
          why,
        });
      complaint = why;
    }
  }

  return {
    directory: () => directory,
    refresh: async () => {
      if (folder === undefined || (looking === undefined && now() - lookedAt < LOOK_EVERY_MS)) return;
      looking ??= look(folder).finally(() => {
        looking = undefined;
        lookedAt = now();
      });
      await looking;
    },
  };
}
