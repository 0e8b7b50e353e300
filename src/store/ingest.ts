import { closeSync, fchown, fsync, open, rename, unlink, writev } from 'node:fs';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { incomingPath, inheritedOwner } from '../lib/atomic-file.ts';
import type { Ingest } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import { type BufferPool, copyFile, hasDigest } from './file-io.ts';
import { type Hasher, inlineDigest, type RunningDigest } from './hasher.ts';

const [openFile, ownFile, syncFile, renameFile, unlinkFile] = [
  promisify(open),
  promisify(fchown),
  promisify(fsync),
  promisify(rename),
  promisify(unlink),
];

export interface IngestOptions {
  readonly digest: Digest;
  /** Size of the whole content, if known. */
  readonly sizeBytes: number | undefined;
  /** Limit of the bytes to store. */
  readonly maxBytes: number;
  readonly incoming: string;
  /** The final path of the content. */
  readonly path: string;
  readonly pool: BufferPool;
  readonly hasher: Hasher;
  /** Called before each write. False: nothing more may be stored. `true` costs no turn of the event loop. */
  readonly mayGrow: (storedBytes: number) => true | Promise<boolean>;
  /** A write failed. Resolve with true when it should be tried once more. */
  readonly onRefused: (error: Error) => Promise<boolean>;
  /** The second write failed too. */
  readonly onGivenUp: (error: Error) => void;
  /** Called when the bytes are verified and synced, before they are renamed to their final name. */
  readonly beforeCommit: () => Promise<void>;
  /** Called after the rename. `fd` is open on the file. */
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

/** The part of chunks that remains after this many bytes were written. */
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

/** An ingest that stores nothing and only verifies the bytes. */
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

/** A file that grows under a temporary name until it is committed. */
class GrowingFile implements Ingest {
  readonly #options: IngestOptions;
  readonly #temporary: string;
  readonly #fd: number;
  readonly #running: RunningDigest;
  #storedBytes = 0;
  #isRefused = false;
  #isVerified = false;
  #isNamed = false;
  /** The number of readers, plus one for the ingest itself. */
  #users = 1;

  constructor(options: IngestOptions, temporary: string, fd: number) {
    this.#options = options;
    this.#temporary = temporary;
    this.#fd = fd;
    this.#running = options.hasher.start(options.digest, fd, options.sizeBytes);
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  async write(...chunks: readonly Buffer[]): Promise<boolean> {
    const storing = this.#tryToStore(chunks);
    // Hashes while the disk writes.
    for (const chunk of chunks) this.#running.take(chunk);
    this.#isRefused = !(await storing);
    if (this.#isRefused) for (const chunk of chunks) await this.#running.passed(chunk);
    else {
      this.#storedBytes += sizeOf(chunks);
      this.#running.stored(this.#storedBytes);
    }
    return !this.#isRefused;
  }

  async writeTo(sink: Writable, range: ByteRange): Promise<void> {
    this.#users += 1;
    try {
      await copyFile(this.#fd, sink, range, this.#options.pool);
    } finally {
      this.#leave();
    }
  }

  async verify(): Promise<boolean> {
    this.#isVerified = await this.#hasDigest();
    return this.#isVerified;
  }

  async commit(): Promise<void> {
    if (this.#isVerified && !this.#isRefused) await this.#giveName();
  }

  async close(): Promise<void> {
    this.#options.onClosed();
    await this.#running.release();
    this.#leave();
    if (this.#isNamed) return;
    await unlinkFile(this.#temporary).catch(() => {
      // The next start removes leftovers.
    });
  }

  #leave(): void {
    this.#users -= 1;
    if (this.#users === 0) closeSync(this.#fd);
  }

  async #tryToStore(chunks: readonly Buffer[]): Promise<boolean> {
    const { maxBytes, mayGrow, onRefused, onGivenUp } = this.#options;
    if (this.#isRefused || this.#storedBytes + sizeOf(chunks) > maxBytes) return false;
    const may = mayGrow(this.#storedBytes);
    if (may !== true && !(await may)) return false;
    try {
      await writeWhole(this.#fd, chunks, this.#storedBytes);
      return true;
    } catch (error) {
      if (!(await onRefused(error as Error))) return false;
    }
    try {
      await writeWhole(this.#fd, chunks, this.#storedBytes);
      return true;
    } catch (error) {
      onGivenUp(error as Error);
      return false;
    }
  }

  async #hasDigest(): Promise<boolean> {
    try {
      return await this.#running.matches();
    } catch (error) {
      // The hashing thread failed. Bytes in the file can be read again; bytes that were not written cannot.
      if (this.#isRefused) throw error;
      return hasDigest(this.#fd, this.#storedBytes, this.#options.digest);
    }
  }

  async #giveName(): Promise<void> {
    const { path, beforeCommit, onCommitted, onRefused } = this.#options;
    try {
      const owner = await inheritedOwner(dirname(path));
      if (owner !== undefined) await ownFile(this.#fd, owner.uid, owner.gid);
      await syncFile(this.#fd);
      await beforeCommit();
      await renameFile(this.#temporary, path);
      this.#isNamed = true;
      onCommitted(this.#fd, this.#storedBytes);
    } catch (error) {
      await onRefused(error as Error);
    }
  }
}

/** Opens a growing file. Rejects when it cannot be created. */
export async function openIngest(options: IngestOptions): Promise<Ingest> {
  const temporary = incomingPath(options);
  const fd = await openFile(temporary, 'wx+', 0o600);
  return new GrowingFile(options, temporary, fd);
}
