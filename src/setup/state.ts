import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { removeUnfinished } from '../lib/atomic-file.ts';
import { writeConfigFile } from '../lib/config-file.ts';
import { withFileLock } from '../lib/file-lock.ts';
import { locate } from '../lib/link-path.ts';
import type { ConfigFiles } from './files.ts';

/** Where setup records its changes, so that they can be undone. */
const STATE_FOLDER = '/var/lib/metahub/setup';
const STATE_FILE = `${STATE_FOLDER}/state.json`;
const LOCK_FILE = '/var/lib/metahub/setup.lock';
/** How long to wait for another setup: longer than the lock of a killed container counts. */
const LOCK_MS = 90_000;

export interface ChangedFile {
  /** The content without MetaHub's part, as of the last run of setup; null: the file did not exist. */
  readonly before: string | null;
  /** SHA-256 of the content that setup wrote, in hexadecimal. */
  readonly written: string;
  /** Folders that setup created for the file, the outermost first. */
  readonly folders: readonly string[];
}

/** The files that setup wrote, by path. */
export interface SetupState {
  /** Every URL of the mirror that setup wrote into the files. */
  readonly urls: readonly string[];
  readonly files: Readonly<Record<string, ChangedFile>>;
}

/** @throws when the file is damaged: then the former content of the files is unknown */
export function readState(files: ConfigFiles): SetupState {
  const text = files.read(STATE_FILE);
  if (text === undefined) return { urls: [], files: {} };
  const { url, urls = [], files: changed } = JSON.parse(text) as Partial<SetupState> & { url?: string };
  // An earlier format had a single URL.
  return { urls: [...urls, ...(url === undefined ? [] : [url])], files: changed ?? {} };
}

/** Writes the record; removes its folder when there is nothing to record. */
export async function writeState(root: string, state: SetupState): Promise<void> {
  if (Object.keys(state.files).length === 0) {
    rmSync(locate(root, STATE_FOLDER), { recursive: true, force: true });
    return;
  }
  mkdirSync(locate(root, STATE_FOLDER), { recursive: true, mode: 0o755 });
  await removeUnfinished(locate(root, STATE_FOLDER));
  // A daemon.json may contain a proxy's password.
  const text = `${JSON.stringify(state, undefined, 2)}\n`;
  await writeConfigFile(locate(root, STATE_FILE), text, { mode: 0o600 });
}

export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It has other content, or is gone.
  }
}

/** Runs `task` while no other setup changes the same machine. */
export async function withSetupLock<T>(root: string, task: () => Promise<T>): Promise<T> {
  const lock = locate(root, LOCK_FILE);
  for (let isRunning = false; ; ) {
    mkdirSync(dirname(lock), { recursive: true, mode: 0o755 });
    try {
      return await withFileLock(
        lock,
        () => {
          isRunning = true;
          return task();
        },
        { timeoutMs: LOCK_MS },
      );
    } catch (error) {
      // Another setup has just removed the folder, which it found empty.
      if (isRunning || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    } finally {
      removeIfEmpty(dirname(lock));
    }
  }
}
