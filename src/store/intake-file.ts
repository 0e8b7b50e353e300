import { closeSync, fsync, open, rename, unlink, write } from 'node:fs';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import type { Intake } from '../oci/content-store.ts';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import { incomingPath } from './atomic-file.ts';
import type { BufferPool } from './buffer-pool.ts';
import { copyFile } from './file-copy.ts';

const [openFile, syncFile, renameFile, unlinkFile] = [
  promisify(open),
  promisify(fsync),
  promisify(rename),
  promisify(unlink),
];

export interface IntakeOptions {
  readonly digest: Digest;
  /** Bytes that may be stored at most. */
  readonly maxBytes: number;
  readonly incoming: string;
  /** Where the whole content goes. */
  readonly path: string;
  readonly pool: BufferPool;
  /** The disk refused; true when room was made and the write should be tried once more. */
  readonly onRefused: (error: Error) => Promise<boolean>;
  /** Called when the bytes are right and on disk, before they get their name. */
  readonly beforeHeld: () => Promise<void>;
  /** They have their name; `fd` is open on them. */
  readonly onHeld: (fd: number, sizeBytes: number) => Promise<void>;
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

/** An intake that keeps nothing and only checks what passes. */
export function checkOnlyIntake(digest: Digest): Intake {
  const hash = hashFor(digest);
  return {
    storedBytes: 0,
    write: async (chunk) => {
      hash.update(chunk);
      return false;
    },
    writeTo: () => Promise.reject(new Error('nothing was stored')),
    verify: async () => finishDigest(hash, algorithmOf(digest)) === digest,
    hold: async () => {},
    close: () => {},
  };
}

/** Opens a growing file of which nobody else knows the name. Rejects when the disk refuses. */
export async function openIntake(options: IntakeOptions): Promise<Intake> {
  const { digest, pool, maxBytes } = options;
  const temporary = incomingPath(options);
  const fd = await openFile(temporary, 'wx+', 0o600);
  const hash = hashFor(digest);
  let storedBytes = 0;
  let refused = false;
  let verified = false;
  let named = false;
  let users = 1;

  const leave = () => {
    users -= 1;
    if (users === 0) closeSync(fd);
  };

  async function store(chunk: Buffer): Promise<void> {
    for (let done = 0; done < chunk.length; ) {
      done += await writeAt(fd, chunk.subarray(done), storedBytes + done);
    }
    storedBytes += chunk.length;
  }

  async function tryToStore(chunk: Buffer): Promise<boolean> {
    if (refused || storedBytes + chunk.length > maxBytes) return false;
    try {
      await store(chunk);
      return true;
    } catch (error) {
      if (!(await options.onRefused(error as Error))) return false;
    }
    try {
      await store(chunk);
      return true;
    } catch {
      // The same as before, said once already.
      return false;
    }
  }

  async function nameIt(): Promise<void> {
    try {
      await syncFile(fd);
      await options.beforeHeld();
      await renameFile(temporary, options.path);
      named = true;
      await options.onHeld(fd, storedBytes);
    } catch (error) {
      await options.onRefused(error as Error);
    }
  }

  return {
    get storedBytes() {
      return storedBytes;
    },
    write: async (chunk) => {
      hash.update(chunk);
      refused = !(await tryToStore(chunk));
      return !refused;
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
      verified = finishDigest(hash, algorithmOf(digest)) === digest;
      return verified;
    },
    hold: async () => {
      if (verified && !refused) await nameIt();
    },
    close: () => {
      leave();
      options.onClosed();
      if (!named) {
        unlinkFile(temporary).catch(() => {
          // The next start removes leftovers.
        });
      }
    },
  };
}
