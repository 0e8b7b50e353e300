import { closeSync, readdirSync, readlinkSync, readSync, realpathSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { openRegularFile } from '../lib/regular-file.ts';

/**
 * A directory that represents a machine: `/` for this one, a captured folder for another. Paths are absolute within
 * it.
 */
export interface HostRoot {
  readonly path: string;
  /** True for this machine: programs may be run and services queried. */
  readonly isLive: boolean;
  /** Reads a file as text, without white space and NULs at the end. Undefined when it does not exist. */
  readonly text: (path: string) => string | undefined;
  /** Returns one read of a file, at most 64 KiB. Of a generated file this is at least the first record. */
  readonly head: (path: string) => string | undefined;
  /** The names in a folder, sorted. Undefined when it does not exist. */
  readonly names: (path: string) => readonly string[] | undefined;
  /** The last segment of a symbolic link's target. sysfs names drivers and modules so. */
  readonly linkName: (path: string) => string | undefined;
}

export interface HostRootOptions {
  /** Called for what exists but cannot be read. */
  readonly onUnreadable: (path: string, code: string) => void;
}

/** Limit of what is read from a file, in bytes. No file that a probe needs is larger. */
const LIMIT_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/** Errors for a missing file, or for a sysfs attribute that its driver does not support. */
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
 * Opens a host root. Reads are synchronous, because /proc and /sys answer from memory: the thread pool would cost
 * several times as much as the read.
 */
export function openHostRoot(path: string, { onUnreadable }: HostRootOptions): HostRoot {
  const isLive = path === '/';
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  // A captured folder may contain absolute links, which would lead to this machine's files.
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
    // Only the link is read. Its target may not have been captured.
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
    // One read returns nearly every file of /proc and /sys, which have at most a page.
    if (first < 4096) return trimmed(chunk.toString('utf8', 0, first));
    // Nearly every other file fits into the chunk.
    let filled = first;
    while (filled < CHUNK_BYTES) {
      const count = readSync(file, chunk, filled, CHUNK_BYTES - filled, null);
      if (count === 0) return trimmed(chunk.toString('utf8', 0, filled));
      filled += count;
    }
    const parts = [Buffer.from(chunk)];
    for (let total = filled; total < LIMIT_BYTES; ) {
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
  // The strings of a device tree end in NUL.
  let end = text.length;
  while (end > 0 && (text[end - 1] === '\0' || text[end - 1]?.trim() === '')) end--;
  return text.slice(0, end);
}

/** Collects what the probes could not read, and whether a probe failed rather than found nothing. */
export interface Diagnostics {
  /** A fact is missing. The message says which one, and why it matters. */
  readonly warn: (message: string) => void;
  /** A probe failed, so the facts are incomplete. The command's exit status says so. */
  readonly fail: (message: string) => void;
}

export interface CollectedDiagnostics extends Diagnostics {
  readonly warnings: readonly string[];
  readonly failed: () => boolean;
}

/** Starts an empty collection. Repeated messages are kept once. */
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
