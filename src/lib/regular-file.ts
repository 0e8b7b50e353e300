import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';

/** Limit for a file that has no smaller one of its own, in bytes. */
const MAX_BYTES = 16 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Without O_NONBLOCK, opening a FIFO waits for its writer. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** A FIFO, a socket or a device: reading it could wait forever, or never end. */
export class NotRegularFileError extends Error {
  readonly code = 'ENOTREG';

  constructor(path: string, options?: ErrorOptions) {
    super(`${path} is not a regular file`, options);
  }
}

class TooLargeFileError extends Error {
  readonly code = 'EFBIG';

  constructor(path: string, maxBytes: number) {
    super(`${path} is larger than ${maxBytes} bytes`);
  }
}

/** A descriptor that the caller opened for this process: `<(…)` of a shell, or stdin. */
const PASSED_ON = /^\/(?:dev\/stdin|(?:dev|proc\/self)\/fd\/\d+)$/;

function isPassedOn(path: string): boolean {
  return (path.startsWith('/dev/') || path.startsWith('/proc/self/')) && PASSED_ON.test(path);
}

function flagsFor(path: string): number {
  return isPassedOn(path) ? constants.O_RDONLY : FLAGS;
}

/** @throws {NotRegularFileError} or EISDIR, as reading a folder would */
function assertReadable(path: string, stats: Stats): void {
  if (stats.isFile() || isPassedOn(path)) return;
  if (!stats.isDirectory()) throw new NotRegularFileError(path);
  throw Object.assign(new Error(`EISDIR: ${path} is a directory`), { code: 'EISDIR' });
}

/** Opening a socket fails with ENXIO. */
function asOpenError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENXIO' ? new NotRegularFileError(path, { cause: error }) : error;
}

/** Opens a regular file, or a link to one, and nothing else, so that no read can wait. */
export function openRegularFile(path: string): number {
  let file: number;
  try {
    file = openSync(path, flagsFor(path));
  } catch (error) {
    throw asOpenError(error, path);
  }
  try {
    assertReadable(path, fstatSync(file));
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

export interface ReadFileOptions {
  readonly maxBytes?: number;
  /** Throws when a file with this owner and mode must not be read. */
  readonly check?: (stats: Stats) => void;
}

/** Reads a regular file. @throws when it is not one, or is larger than `maxBytes` */
export async function readRegularFile(
  path: string,
  { maxBytes = MAX_BYTES, check }: ReadFileOptions = {},
): Promise<Buffer<ArrayBuffer>> {
  const file = await open(path, flagsFor(path)).catch((error: unknown) => {
    throw asOpenError(error, path);
  });
  try {
    const stats = await file.stat();
    assertReadable(path, stats);
    check?.(stats);
    const parts: Buffer[] = [];
    for (let total = 0; ; ) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null);
      if (bytesRead === 0) return Buffer.concat(parts);
      total += bytesRead;
      if (total > maxBytes) throw new TooLargeFileError(path, maxBytes);
      parts.push(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** Reads a regular file as text. @throws as {@link readRegularFile} */
export async function readTextFile(path: string, options?: ReadFileOptions): Promise<string> {
  return (await readRegularFile(path, options)).toString('utf8');
}

/**
 * As {@link readTextFile}, for the start of a program: there the thread pool costs several times as much as the
 * read.
 */
export function readTextFileSync(path: string, maxBytes = MAX_BYTES): string {
  const file = openRegularFile(path);
  try {
    const parts: Buffer[] = [];
    for (let total = 0; ; ) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const count = readSync(file, chunk);
      if (count === 0) return Buffer.concat(parts).toString('utf8');
      total += count;
      if (total > maxBytes) throw new TooLargeFileError(path, maxBytes);
      parts.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
}
