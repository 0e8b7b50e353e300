import { closeSync, fsync, open, rename, unlink, write } from 'node:fs';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import type { Intake } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import { incomingPath } from './atomic-file.ts';
import type { BufferPool } from './buffer-pool.ts';
import { copyFile } from './file-copy.ts';
import { type Hasher, inlineDigest } from './hasher.ts';
import { hasDigest } from './verify.ts';

const [openFile, syncFile, renameFile, unlinkFile] = [
  promisify(open),
  promisify(fsync),
  promisify(rename),
  promisify(unlink),
];

export interface IntakeOptions {
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
  /** Called when the bytes are right and on disk, before they get their name. */
  readonly beforeHeld: () => Promise<void>;
  /** They have their name; `fd` is open on them. */
  readonly onHeld: (fd: number, sizeBytes: number) => void;
  readonly onClosed: () => void;
}

function writeAt(fd: number, chunk: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, chunk, 0, chunk.length, position, (error, bytesWritten) => {
      if (error) reject(error);
      else resolve(bytesWritten);
    });
  });
}

async function writeWhole(fd: number, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    done += await writeAt(fd, chunk.subarray(done), position + done);
  }
}

/** An intake that keeps nothing and only checks what passes. */
export function checkOnlyIntake(digest: Digest): Intake {
  const running = inlineDigest(digest);
  return {
    storedBytes: 0,
    write: async (chunk) => {
      await running.passed(chunk);
      return false;
    },
    writeTo: () => Promise.reject(new Error('nothing was stored')),
    verify: () => running.matches(),
    hold: async () => {},
    close: async () => {},
  };
}

/** Opens a growing file of which nobody else knows the name. Rejects when the disk refuses. */
export async function openIntake(options: IntakeOptions): Promise<Intake> {
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

  async function tryToStore(chunk: Buffer): Promise<boolean> {
    if (isRefused || storedBytes + chunk.length > maxBytes) return false;
    try {
      await writeWhole(fd, chunk, storedBytes);
      return true;
    } catch (error) {
      if (!(await onRefused(error as Error))) return false;
    }
    try {
      await writeWhole(fd, chunk, storedBytes);
      return true;
    } catch {
      // The same as before, said once already.
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
      await syncFile(fd);
      await options.beforeHeld();
      await renameFile(temporary, options.path);
      isNamed = true;
      options.onHeld(fd, storedBytes);
    } catch (error) {
      await onRefused(error as Error);
    }
  }

  return {
    get storedBytes() {
      return storedBytes;
    },
    write: async (chunk) => {
      isRefused = !(await tryToStore(chunk));
      if (isRefused) await running.passed(chunk);
      else {
        storedBytes += chunk.length;
        running.stored(chunk, storedBytes);
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
    hold: async () => {
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
