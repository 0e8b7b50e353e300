import { randomBytes } from 'node:crypto';
import { chown, type FileHandle, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

interface Incoming {
  readonly incoming: string;
}

/** Distinguishes this process's files from those of an earlier process with the same id. */
const PROCESS_TOKEN = randomBytes(6).toString('hex');
/** A file this old is abandoned, even if another process has its process id now. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

let made = 0;

/** A unique path in the directory for incoming files: two daemons may share one store. */
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

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The owner of a new file in this directory when root writes on behalf of another user, as in the data directory of a
 * service that runs as its own user: that user could not read root's files.
 */
export async function inheritedOwner(directory: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(directory);
  return uid === 0 ? undefined : { uid, gid };
}

export interface ReplaceOptions {
  /** Where the new bytes are written first, on the same file system; by default a hidden file in the same directory. */
  readonly temporary?: string;
  /** Permission bits of the new file. */
  readonly mode?: number;
  /** Gives the new file to this user and group, else to {@link inheritedOwner}; needs root's rights. */
  readonly owner?: Owner | undefined;
  /** Also syncs the directory, so that the new file survives a loss of power once this resolves. */
  readonly durable?: boolean;
  /** Leaves an existing file as it is: when two processes start together, the first one wins. */
  readonly onlyIfAbsent?: boolean;
  /** Runs right before the new file takes its place; when it throws, the old file stays. */
  readonly beforeMove?: () => Promise<void>;
}

function temporaryBeside(path: string): string {
  return join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
}

/** @returns false when the file exists and `onlyIfAbsent` leaves it alone. */
async function moveIntoPlace(temporary: string, path: string, onlyIfAbsent: boolean): Promise<boolean> {
  if (!onlyIfAbsent) {
    await rename(temporary, path);
    return true;
  }
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Replaces a file as a whole: a reader sees the old bytes or the new, also after a crash.
 * @returns whether the file was written: false only with `onlyIfAbsent`.
 */
export async function replaceFile(
  path: string,
  bytes: Uint8Array,
  options: ReplaceOptions = {},
): Promise<boolean> {
  const {
    temporary = temporaryBeside(path),
    mode = 0o600,
    owner = await inheritedOwner(dirname(path)),
    durable = false,
    onlyIfAbsent = false,
    beforeMove,
  } = options;
  const file = await open(temporary, 'wx', mode);
  let isWritten: boolean;
  try {
    try {
      await writeAll(file, bytes);
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      // The process's umask removes bits from the mode of a new file.
      if (options.mode !== undefined) await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await beforeMove?.();
    isWritten = await moveIntoPlace(temporary, path, onlyIfAbsent);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {
      // The caller needs the first failure; the next start removes leftovers.
    });
    throw error;
  }
  if (durable) await syncDirectory(dirname(path));
  return isWritten;
}

/** As {@link replaceFile}, through the directory for incoming files. */
export async function writeAtomically(
  layout: Incoming,
  path: string,
  bytes: Uint8Array,
  { durable = false } = {},
): Promise<void> {
  await replaceFile(path, bytes, { temporary: incomingPath(layout), durable });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

function isInUse(name: string): boolean {
  const [pid = '', token] = name.split('-');
  if (Number(pid) === process.pid) return token === PROCESS_TOKEN;
  return /^\d+$/.test(pid) && isRunning(Number(pid));
}

/** Removes the half-written files of processes that ended; returns how many. */
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
    const owner = await inheritedOwner(dirname(path));
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  } catch (error) {
    const isThere = codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory();
    if (!isThere) throw error;
  }
}

/**
 * Makes a directory and its parents. mkdir's own `recursive` never returns where the parent exists but refuses a new
 * directory with ENOENT, as all of /proc does.
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
