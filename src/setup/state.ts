import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { removeUnfinished } from '../lib/atomic-file.ts';
import { writeConfigFile } from '../lib/config-file.ts';
import { withFileLock } from '../lib/file-lock.ts';
import { locate } from '../lib/link-path.ts';
import type { ConfigFiles } from './files.ts';

/** Where setup records what it changed, so that removal restores it. */
const STATE_FOLDER = '/var/lib/metahub/setup';
const STATE_FILE = `${STATE_FOLDER}/state.json`;
const LOCK_FILE = '/var/lib/metahub/setup.lock';
/** Longer than the lock of a container that was killed counts. */
const LOCK_MS = 90_000;

export interface ChangedFile {
  /** The file without MetaHub's part, as of the last run of setup; null: there was none. */
  readonly before: string | null;
  /** SHA-256 of what setup wrote, in hexadecimal. */
  readonly written: string;
  /** Folders that setup created for it, outermost first. */
  readonly folders: readonly string[];
}

/** What setup wrote, by path. */
export interface SetupState {
  /** The mirror's URLs that are or were in the files. */
  readonly urls: readonly string[];
  readonly files: Readonly<Record<string, ChangedFile>>;
}

/** @throws when the file is damaged: its content can no longer be restored */
export function readState(files: ConfigFiles): SetupState {
  const text = files.read(STATE_FILE);
  if (text === undefined) return { urls: [], files: {} };
  const { url, urls = [], files: changed } = JSON.parse(text) as Partial<SetupState> & { url?: string };
  // An earlier format had a single URL.
  return { urls: [...urls, ...(url === undefined ? [] : [url])], files: changed ?? {} };
}

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
      // Another setup, which was the last one to need the folder, has just removed it.
      if (isRunning || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    } finally {
      removeIfEmpty(dirname(lock));
    }
  }
}
