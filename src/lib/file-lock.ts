import { randomBytes } from 'node:crypto';
import { link, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { readTextFile } from './regular-file.ts';

/** A lock that this process holds. */
export interface FileLock {
  /** Call this just before the change takes effect. @throws {Error} when another process has taken over the lock */
  assertHeld(): Promise<void>;
}

/** The lock could not be acquired in time. */
export class FileLockTimeoutError extends Error {
  override readonly name = 'FileLockTimeoutError';
}

const RETRY_MS = 10;
const TIMEOUT_MS = 20_000;
/** A lock counts as abandoned after this time when its owner cannot be checked (another host or container). */
const ABANDONED_AFTER_MS = 60_000;

interface Owner {
  /** The host and its PID namespace: process ids mean something only within it. */
  readonly place: string;
  readonly pid: number;
  readonly token: string;
}

async function here(): Promise<string> {
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${hostname()} ${namespace}`.trim();
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function parseOwner(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner;
  } catch {
    // Not a lock of ours: only its age counts.
    return undefined;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  return readTextFile(path).catch(() => undefined);
}

async function isAbandoned(path: string, text: string | undefined, place: string): Promise<boolean> {
  const owner = text === undefined ? undefined : parseOwner(text);
  if (owner?.place === place) return !isRunning(owner.pid);
  const modifiedMs = await stat(path).then(({ mtimeMs }) => mtimeMs, Date.now);
  return Date.now() - modifiedMs > ABANDONED_AFTER_MS;
}

/** Removes an abandoned lock. If another process has taken the lock meanwhile, that new lock is put back. */
async function breakLock(path: string, abandoned: string | undefined): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  await rename(path, aside).catch(() => {
    // Another process removed it first.
  });
  const moved = await textOf(aside);
  if (moved !== undefined && moved !== abandoned) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

async function take(path: string, text: string): Promise<boolean> {
  const own = `${path}.${randomBytes(6).toString('hex')}`;
  // A hard link creates the file with its content, so no process ever reads a lock without an owner.
  await writeFile(own, text, { flag: 'wx', mode: 0o640 });
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(own, { force: true });
  }
}

/**
 * Runs `task` under a lock file, so that no other process that uses it runs at the same time. A lock of a process
 * that ended without releasing it is removed.
 * @throws {FileLockTimeoutError} when another process holds the lock for too long
 */
export async function withFileLock<T>(
  path: string,
  task: (lock: FileLock) => Promise<T>,
  { timeoutMs = TIMEOUT_MS } = {},
): Promise<T> {
  const place = await here();
  const owner: Owner = { place, pid: process.pid, token: randomBytes(12).toString('hex') };
  const text = JSON.stringify(owner);
  const startedMs = performance.now();
  while (!(await take(path, text))) {
    const held = await textOf(path);
    if (await isAbandoned(path, held, place)) await breakLock(path, held);
    else if (performance.now() - startedMs > timeoutMs) {
      throw new FileLockTimeoutError(`${path} is locked by another process`);
    } else await delay(RETRY_MS);
  }
  const isHeld = async () => (await textOf(path)) === text;
  try {
    return await task({
      assertHeld: async () => {
        if (!(await isHeld())) throw new FileLockTimeoutError(`${path} was taken over by another process`);
      },
    });
  } finally {
    if (await isHeld()) await rm(path, { force: true });
  }
}
