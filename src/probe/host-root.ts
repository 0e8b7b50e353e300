import { closeSync, readdirSync, readlinkSync, readSync, realpathSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { openRegularFile } from '../lib/regular-file.ts';

/** A directory that stands for a machine: `/` for this one, a captured tree for another. Paths are absolute within it. */
export interface HostRoot {
  readonly path: string;
  /** This machine itself: programs may be run and services queried. */
  readonly isLive: boolean;
  /** A file's text without trailing white space or NULs; undefined when there is no such file. */
  readonly text: (path: string) => string | undefined;
  /** What one read of a file returns, 64 KiB at most; for a generated file at least its first record. */
  readonly head: (path: string) => string | undefined;
  /** The names in a folder, sorted; undefined when there is no such folder. */
  readonly names: (path: string) => readonly string[] | undefined;
  /** The last segment of a symbolic link's target: sysfs names drivers and modules so. */
  readonly linkName: (path: string) => string | undefined;
}

export interface HostRootOptions {
  /** Called for everything that exists but cannot be read. */
  readonly onUnreadable: (path: string, code: string) => void;
}

/** No file that a probe reads is larger; anything beyond is not read. */
const LIMIT_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/** The error of a missing file, or of a sysfs attribute that its driver does not support. */
const ABSENT = new Set([
  'ENOENT',
  'ENOTDIR',
  'ENODEV',
  'ENXIO',
  'EINVAL',
  'EOPNOTSUPP',
  'ENOTSUP',
  'EISDIR',
  'ENOTREG',
]);

/**
 * Opens a host root. Reads are synchronous: /proc and /sys answer from memory, and a trip through the thread pool
 * costs several times the read itself.
 */
export function openHostRoot(path: string, { onUnreadable }: HostRootOptions): HostRoot {
  const isLive = path === '/';
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  // A captured tree may contain absolute links; followed blindly they would lead to this machine's files.
  const base = isLive ? '/' : realpathSync.native(path);
  const locate = (inside: string): string => {
    if (isLive) return inside;
    const found = realpathSync.native(join(base, inside));
    if (!found.startsWith(base + sep)) throw Object.assign(new Error('leads outside'), { code: 'ENOENT' });
    return found;
  };

  function attempt<T>(inside: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'EUNKNOWN';
      if (!ABSENT.has(code)) onUnreadable(inside, code);
      return undefined;
    }
  }

  return {
    path,
    isLive,
    text: (inside) => attempt(inside, () => readText(locate(inside), chunk)),
    head: (inside) => attempt(inside, () => readHead(locate(inside), chunk)),
    names: (inside) => attempt(inside, () => readdirSync(locate(inside)).sort()),
    // Asked of the link itself: its target need not have been captured.
    linkName: (inside) => attempt(inside, () => basename(readlinkSync(join(base, inside)))),
  };
}

function readHead(path: string, chunk: Buffer): string {
  const file = openRegularFile(path);
  try {
    return chunk.toString('utf8', 0, readSync(file, chunk));
  } finally {
    closeSync(file);
  }
}

function readText(path: string, chunk: Buffer): string {
  const file = openRegularFile(path);
  try {
    const first = readSync(file, chunk);
    // One short read is the end of nearly every file of /proc and /sys: a page at most.
    if (first < 4096) return trimmed(chunk.toString('utf8', 0, first));
    const parts = [Buffer.from(chunk.subarray(0, first))];
    for (let total = first; total < LIMIT_BYTES; ) {
      const count = readSync(file, chunk);
      if (count === 0) break;
      parts.push(Buffer.from(chunk.subarray(0, count)));
      total += count;
    }
    return trimmed(Buffer.concat(parts).toString('utf8'));
  } finally {
    closeSync(file);
  }
}

function trimmed(text: string): string {
  // Device-tree strings end in NUL.
  return text.replace(/[\s\0]+$/, '');
}

/** Collects what the probes could not read, and whether one of them failed instead of finding nothing. */
export interface Diagnostics {
  /** A fact is absent; the message says which, and why it matters. */
  readonly warn: (message: string) => void;
  /** A probe failed: the answer is incomplete, and the command says so in its exit status. */
  readonly fail: (message: string) => void;
}

export interface CollectedDiagnostics extends Diagnostics {
  readonly warnings: readonly string[];
  readonly failed: () => boolean;
}

/** Starts an empty collection; the same message is kept once. */
export function collectDiagnostics(): CollectedDiagnostics {
  const warnings: string[] = [];
  let failed = false;
  const warn = (message: string): void => {
    if (!warnings.includes(message)) warnings.push(message);
  };
  return {
    warnings,
    warn,
    fail: (message) => {
      failed = true;
      warn(message);
    },
    failed: () => failed,
  };
}
