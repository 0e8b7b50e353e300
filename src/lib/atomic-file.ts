import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

interface Incoming {
  readonly incoming: string;
}

/** Tells this process's files from those of an earlier one with the same id. */
const PROCESS_TOKEN = randomBytes(6).toString('hex');
/** A file this old belongs to nobody, whoever now has its process id. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

let made = 0;

/** A name nobody else uses, in the directory for files on their way in: two daemons may share one store. */
export function incomingPath({ incoming }: Incoming): string {
  made += 1;
  return join(incoming, `${process.pid}-${PROCESS_TOKEN}-${made}`);
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, written);
    written += bytesWritten;
  }
}

/** Makes a rename survive a loss of power. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces a file as a whole: whoever reads sees the old bytes or the new, also after a crash. `durable` makes the new
 * ones survive a loss of power before this resolves.
 */
export async function writeAtomically(
  layout: Incoming,
  path: string,
  bytes: Uint8Array,
  { durable = false } = {},
): Promise<void> {
  const temporary = incomingPath(layout);
  const file = await open(temporary, 'wx', 0o600);
  try {
    try {
      await writeAll(file, bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {
      // What failed before is what the caller needs to hear; the next start removes leftovers.
    });
    throw error;
  }
  if (durable) await syncDirectory(dirname(path));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function isInUse(name: string): boolean {
  const [pid = '', token] = name.split('-');
  if (Number(pid) === process.pid) return token === PROCESS_TOKEN;
  return /^\d+$/.test(pid) && isRunning(Number(pid));
}

/** Removes what processes that are gone left half written; returns how many files that were. */
export async function removeLeftovers({ incoming }: Incoming, nowMs: number): Promise<number> {
  let removed = 0;
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name);
    const modifiedMs = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => nowMs,
    );
    if (isInUse(name) && nowMs - modifiedMs < ABANDONED_AFTER_MS) continue;
    await rm(path, { force: true, recursive: true });
    removed += 1;
  }
  return removed;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const isThere = codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory();
    if (!isThere) throw error;
  }
}

/**
 * Makes a directory and those above it. Not by mkdir's own `recursive`, which never returns where a directory that is
 * there says ENOENT to a new one, as all of /proc does.
 */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await makeOne(path, mode);
  } catch (error) {
    const parent = dirname(path);
    if (codeOf(error) !== 'ENOENT' || parent === path) throw error;
    await makeDirectory(parent, mode);
    await makeOne(path, mode);
  }
}
