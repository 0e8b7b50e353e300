import { randomBytes } from 'node:crypto';
import { type FileHandle, lchown, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { uniqueToken } from './unique-token.ts';

interface Incoming {
  readonly incoming: string;
}

/** Distinguishes this process's files from those of an earlier process with the same process id. */
const PROCESS_TOKEN = uniqueToken();
/** A file of this age is abandoned, even if a process has its process id. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

let made = 0;

/** A unique path in the directory for incoming files, which several processes may share. */
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

/** Makes a rename survive a power loss. */
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
 * The owner of a new file in this directory when root writes it there, as in the data directory of a service with a
 * user of its own: that user could not read root's files.
 */
export async function inheritedOwner(directory: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(directory);
  return uid === 0 ? undefined : { uid, gid };
}

export interface ReplaceOptions {
  /** The path to write to first, on the same file system. Default: a hidden file in the same directory. */
  readonly temporary?: string;
  /** The file's permission bits. */
  readonly mode?: number;
  /** The file's owner; needs root. Default: {@link inheritedOwner}. */
  readonly owner?: Owner | undefined;
  /** Also sync the directory, so that the new file survives a power loss once this resolves. */
  readonly durable?: boolean;
  /** Leave an existing file unchanged: when two processes start at once, the first one wins. */
  readonly onlyIfAbsent?: boolean;
  /** Called just before the new file replaces the old one. When it rejects, the old file stays. */
  readonly beforeMove?: () => Promise<void>;
}

const TEMPORARY_NAME = /^\.[0-9a-f]{12}\.tmp$/;

function temporaryBeside(path: string): string {
  return join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
}

/** Removes what {@link replaceFile} left in a folder when its process was killed. Call it when no other process writes there. */
export async function removeUnfinished(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => TEMPORARY_NAME.test(name));
  for (const name of names) await rm(join(folder, name), { force: true });
}

/** @returns false when the file exists and `onlyIfAbsent` is set */
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
 * Replaces a file atomically: a reader sees the old or the new bytes, also after a crash.
 * @returns whether the file was written; false only with `onlyIfAbsent`
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
      // The umask removes bits from the mode of a new file.
      if (options.mode !== undefined) await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await beforeMove?.();
    isWritten = await moveIntoPlace(temporary, path, onlyIfAbsent);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {
      // The caller needs the first error. The next start removes leftovers.
    });
    throw error;
  }
  if (durable) await syncDirectory(dirname(path));
  return isWritten;
}

/** As {@link replaceFile}, with the directory for incoming files. */
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

/** Removes half-written files of processes that have ended. Resolves with their number. */
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

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

async function makeOne(path: string, mode: number): Promise<void> {
  // As nearly always: a directory that is there costs one look, and no error.
  if (await isDirectory(path)) return;
  try {
    await mkdir(path, { mode });
    const owner = await inheritedOwner(dirname(path));
    // Not what a link leads to that the owner has meanwhile put there.
    if (owner !== undefined) await lchown(path, owner.uid, owner.gid);
  } catch (error) {
    const isThere = codeOf(error) === 'EEXIST' && (await isDirectory(path));
    if (!isThere) throw error;
  }
}

/**
 * Creates a directory and its parents. Not with mkdir's own `recursive`: it never returns when the parent exists
 * but answers ENOENT to a new directory, as everything below /proc does.
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
