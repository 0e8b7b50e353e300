import { closeSync, fchown, fsync, open, rename, unlink, writev } from 'node:fs';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { incomingPath, inheritedOwner } from '../lib/atomic-file.ts';
import type { Ingest } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import { type BufferPool, copyFile, hasDigest } from './file-io.ts';
import { type Hasher, inlineDigest } from './hasher.ts';

const [openFile, ownFile, syncFile, renameFile, unlinkFile] = [
  promisify(open),
  promisify(fchown),
  promisify(fsync),
  promisify(rename),
  promisify(unlink),
];

export interface IngestOptions {
  readonly digest: Digest;
  /** Of the whole, when that is known. */
  readonly sizeBytes: number | undefined;
  /** Bytes that may be stored at most. */
  readonly maxBytes: number;
  readonly incoming: string;
  /** Where the whole content goes. */
  readonly path: string;
  readonly pool: BufferPool;
  readonly hasher: Hasher;
  /** The disk refused; true when room was made and the write should be tried once more. */
  readonly onRefused: (error: Error) => Promise<boolean>;
  /** It refused again, room or not. */
  readonly onGivenUp: (error: Error) => void;
  /** Called when the bytes are right and on disk, before they get their name. */
  readonly beforeCommit: () => Promise<void>;
  /** They have their name; `fd` is open on them. */
  readonly onCommitted: (fd: number, sizeBytes: number) => void;
  readonly onClosed: () => void;
}

function writeAt(fd: number, chunks: readonly Buffer[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(fd, chunks, position, (error, bytesWritten) => {
      if (error) reject(error);
      else resolve(bytesWritten);
    });
  });
}

const sizeOf = (chunks: readonly Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0);

/** What remains of chunks of which so many bytes are written. */
function rest(chunks: readonly Buffer[], writtenBytes: number): readonly Buffer[] {
  let skip = writtenBytes;
  return chunks
    .map((chunk) => {
      const part = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - part.length;
      return part;
    })
    .filter(({ length }) => length > 0);
}

async function writeWhole(fd: number, chunks: readonly Buffer[], position: number): Promise<void> {
  let left = chunks;
  for (let at = position; left.length > 0; ) {
    const writtenBytes = await writeAt(fd, left, at);
    at += writtenBytes;
    left = rest(left, writtenBytes);
  }
}

/** An ingest that keeps nothing and only checks what passes. */
export function checkOnlyIngest(digest: Digest): Ingest {
  const running = inlineDigest(digest);
  return {
    storedBytes: 0,
    write: async (...chunks) => {
      for (const chunk of chunks) running.take(chunk);
      return false;
    },
    writeTo: () => Promise.reject(new Error('nothing was stored')),
    verify: () => running.matches(),
    commit: async () => {},
    close: async () => {},
  };
}

/** Opens a growing file of which nobody else knows the name. Rejects when the disk refuses. */
export async function openIngest(options: IngestOptions): Promise<Ingest> {
  const { digest, pool, maxBytes, hasher, onRefused } = options;
  const temporary = incomingPath(options);
  const fd = await openFile(temporary, 'wx+', 0o600);
  const running = hasher.start(digest, fd, options.sizeBytes);
  let storedBytes = 0;
  let isRefused = false;
  let isVerified = false;
  let isNamed = false;
  let users = 1;

  const leave = () => {
    users -= 1;
    if (users === 0) closeSync(fd);
  };

  async function tryToStore(chunks: readonly Buffer[]): Promise<boolean> {
    if (isRefused || storedBytes + sizeOf(chunks) > maxBytes) return false;
    try {
      await writeWhole(fd, chunks, storedBytes);
      return true;
    } catch (error) {
      if (!(await onRefused(error as Error))) return false;
    }
    try {
      await writeWhole(fd, chunks, storedBytes);
      return true;
    } catch (error) {
      options.onGivenUp(error as Error);
      return false;
    }
  }

  async function verify(): Promise<boolean> {
    try {
      return await running.matches();
    } catch (error) {
      // The hashing thread failed. What is in the file can be read again; what went past it cannot.
      if (isRefused) throw error;
      return hasDigest(fd, storedBytes, digest);
    }
  }

  async function giveName(): Promise<void> {
    try {
      const owner = await inheritedOwner(dirname(options.path));
      if (owner !== undefined) await ownFile(fd, owner.uid, owner.gid);
      await syncFile(fd);
      await options.beforeCommit();
      await renameFile(temporary, options.path);
      isNamed = true;
      options.onCommitted(fd, storedBytes);
    } catch (error) {
      await onRefused(error as Error);
    }
  }

  return {
    get storedBytes() {
      return storedBytes;
    },
    write: async (...chunks) => {
      const storing = tryToStore(chunks);
      // While the disk is at work.
      for (const chunk of chunks) running.take(chunk);
      isRefused = !(await storing);
      if (isRefused) for (const chunk of chunks) await running.passed(chunk);
      else {
        storedBytes += sizeOf(chunks);
        running.stored(storedBytes);
      }
      return !isRefused;
    },
    writeTo: async (sink: Writable, range: ByteRange) => {
      users += 1;
      try {
        await copyFile(fd, sink, range, pool);
      } finally {
        leave();
      }
    },
    verify: async () => {
      isVerified = await verify();
      return isVerified;
    },
    commit: async () => {
      if (isVerified && !isRefused) await giveName();
    },
    close: async () => {
      options.onClosed();
      await running.release();
      leave();
      if (isNamed) return;
      await unlinkFile(temporary).catch(() => {
        // The next start removes leftovers.
      });
    },
  };
}
