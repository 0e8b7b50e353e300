import { closeSync, constants, fstatSync, open } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Digest } from '../oci/digest.ts';
import { BlockChecker, CHECKSUM_BLOCK_BYTES, keepSums, readSums } from './block-checksums.ts';
import { type BufferPool, identityOf, type PartCheck } from './file-io.ts';
import type { Hasher } from './hasher.ts';
import type { Layout } from './layout.ts';

const openFile = promisify(open);

/** An open file whose bytes have their digest. The caller that receives it closes it, once. */
export interface OpenContent {
  readonly fd: number;
  readonly sizeBytes: number;
  /** When it was written, in wall-clock milliseconds. */
  readonly storedMs: number;
  /** Rejects when these bytes are not those that were verified. @throws {CorruptContentError} */
  readonly check: PartCheck;
  close(): void;
}

export interface OpenFilesOptions {
  readonly layout: Layout;
  readonly pool: BufferPool;
  /** Reads a whole open file. */
  readonly checkFile: Hasher['checkFile'];
  /** Held content was not what its name says, and is gone or at least never used. */
  readonly onCorrupt: (digest: Digest, why: string) => void;
  /** It is not there, though it may have been. */
  readonly onMissing: (digest: Digest) => void;
}

/** What is known of the file that has this identity. */
interface Known {
  readonly identity: string;
  /** Set when its blocks are checked one by one as they are read, rather than all of it before. */
  readonly blocks: BlockChecker | undefined;
}

/** One open file for all who read the same content. */
interface Shared {
  readonly digest: Digest;
  readonly fd: number;
  readonly sizeBytes: number;
  readonly storedMs: number;
  readonly known: Known;
  users: number;
}

/** Files that nobody reads stay open a moment: a lazy reader asks for one part after another, and opening costs more than reading. */
const IDLE_MAX = 32;
const IDLE_MS = 5000;

const WRONG_BYTES = 'other bytes than its digest says';

/** Without a free file handle, an opening is tried again: a hundred clients are a second's peak. */
const HANDLE_TRIES = 20;
const HANDLE_DELAY_MS = 50;

function lacksHandles(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EMFILE' || code === 'ENFILE';
}

async function openRegular(path: string, onLacking: () => void): Promise<number> {
  // No symbolic link is followed and no pipe waited for: what the store wrote is a plain file.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  for (let tries = 1; ; tries += 1) {
    try {
      return await openFile(path, flags);
    } catch (error) {
      if (!lacksHandles(error) || tries === HANDLE_TRIES) throw error;
      onLacking();
      await delay(HANDLE_DELAY_MS);
    }
  }
}

/**
 * Opens held content. What this process has written is trusted; anything else is checked by its digest before a byte of it
 * is read, and its blocks are summed on the way. Where there are such sums, each block is checked when it is first read
 * instead. Checked again when the file is another one since.
 */
export class OpenFiles {
  readonly #options: OpenFilesOptions;
  readonly #known = new Map<Digest, Known>();
  /** Files that could not be removed though they are wrong. */
  readonly #corrupt = new Map<Digest, string>();
  readonly #open = new Map<Digest, Shared>();
  readonly #opening = new Map<Digest, Promise<Shared | undefined>>();
  /** Of those that are open, the ones that nobody reads, longest first. */
  readonly #idle = new Set<Shared>();
  #closing: NodeJS.Timeout | undefined;

  constructor(options: OpenFilesOptions) {
    this.#options = options;
  }

  /** Undefined when it is not held, cannot be read, or was not what its digest says. */
  async open(digest: Digest): Promise<OpenContent | undefined> {
    const shared = this.#reuse(digest) ?? (await this.#openOnce(digest));
    if (!shared) return undefined;
    shared.users += 1;
    this.#idle.delete(shared);
    const { fd, sizeBytes, storedMs, known } = shared;
    const check: PartCheck = async (start, end) => {
      await known.blocks?.check(fd, start, end, this.#options.pool);
    };
    return { fd, sizeBytes, storedMs, check, close: () => this.#leave(shared) };
  }

  /** Compares its digest, whatever is known of it. False when it is not held, or was wrong and is gone. */
  async verify(digest: Digest): Promise<boolean> {
    return (await this.#openChecked(digest, true)) !== undefined;
  }

  /** Wrong bytes were found while reading. */
  async drop(digest: Digest): Promise<void> {
    await this.#drop(digest, this.#known.get(digest)?.identity ?? '', WRONG_BYTES);
  }

  /** The bytes behind `fd` were checked while they were written. */
  trust(digest: Digest, fd: number): void {
    // A caller that is opening it now looked before the file existed.
    this.#opening.delete(digest);
    this.#corrupt.delete(digest);
    this.#known.set(digest, { identity: identityOf(fstatSync(fd, { bigint: true })), blocks: undefined });
  }

  forget(digest: Digest): void {
    this.#known.delete(digest);
    const shared = this.#open.get(digest);
    if (shared) this.#retire(shared);
  }

  /** Closes what nobody reads. */
  closeIdle(): void {
    clearTimeout(this.#closing);
    this.#closing = undefined;
    for (const shared of this.#idle) this.#retire(shared);
  }

  /** What is open now, unless somebody has written to it or removed it since. */
  #reuse(digest: Digest): Shared | undefined {
    const shared = this.#open.get(digest);
    if (!shared) return undefined;
    const stats = fstatSync(shared.fd, { bigint: true });
    if (stats.nlink > 0n && identityOf(stats) === shared.known.identity) return shared;
    this.#retire(shared);
    return undefined;
  }

  /** Nobody else gets it; it is closed when its last reader leaves. */
  #retire(shared: Shared): void {
    if (this.#open.get(shared.digest) === shared) this.#open.delete(shared.digest);
    if (this.#idle.delete(shared)) closeSync(shared.fd);
  }

  #leave(shared: Shared): void {
    shared.users -= 1;
    if (shared.users > 0) return;
    if (this.#open.get(shared.digest) !== shared) {
      closeSync(shared.fd);
      return;
    }
    this.#idle.add(shared);
    this.#closing ??= setTimeout(() => this.closeIdle(), IDLE_MS).unref();
    const [longest] = this.#idle;
    if (longest && this.#idle.size > IDLE_MAX) this.#retire(longest);
  }

  /**
   * One opening, and one check of the bytes, for all who ask meanwhile. No caller can abort it, so the signals of a
   * SingleFlight would only cost time.
   */
  #openOnce(digest: Digest): Promise<Shared | undefined> {
    let opening = this.#opening.get(digest);
    if (!opening) {
      const started = this.#openChecked(digest).finally(() => {
        if (this.#opening.get(digest) === started) this.#opening.delete(digest);
      });
      this.#opening.set(digest, started);
      opening = started;
    }
    return opening;
  }

  async #openChecked(digest: Digest, isAnew = false): Promise<Shared | undefined> {
    let fd: number;
    try {
      fd = await openRegular(this.#options.layout.blob(digest), () => this.closeIdle());
    } catch (error) {
      await this.#explain(digest, error as NodeJS.ErrnoException);
      return undefined;
    }
    try {
      const shared = await this.#check(fd, digest, isAnew);
      if (shared) {
        this.#open.set(digest, shared);
        // The opening itself is a user until all who waited for it have had their turn.
        setImmediate(() => this.#leave(shared));
        return shared;
      }
    } catch (error) {
      this.#options.onCorrupt(digest, `it cannot be read: ${(error as Error).message}`);
    }
    closeSync(fd);
    return undefined;
  }

  async #check(fd: number, digest: Digest, isAnew: boolean): Promise<Shared | undefined> {
    const stats = fstatSync(fd, { bigint: true });
    const identity = identityOf(stats);
    const sizeBytes = Number(stats.size);
    if (this.#corrupt.get(digest) === identity) return undefined;
    let known = this.#known.get(digest);
    if (known?.identity !== identity || isAnew) {
      if (!stats.isFile()) return this.#drop(digest, identity, 'not a regular file');
      const sums =
        isAnew || sizeBytes < CHECKSUM_BLOCK_BYTES
          ? undefined
          : await readSums(this.#options.layout, digest, sizeBytes);
      if (sums === undefined && !(await this.#checkWhole(fd, sizeBytes, digest)))
        return this.#drop(digest, identity, sizeBytes === 0 ? 'an empty file' : WRONG_BYTES);
      known = { identity, blocks: sums && new BlockChecker(sizeBytes, sums) };
      this.#known.set(digest, known);
    }
    return { digest, fd, sizeBytes, storedMs: Number(stats.mtimeMs), known, users: 1 };
  }

  /** Its sums are kept for the next process: most blobs are never read again, so summing them as they come would be waste. */
  async #checkWhole(fd: number, sizeBytes: number, digest: Digest): Promise<boolean> {
    const { hasDigest, sums } = await this.#options.checkFile(fd, sizeBytes, digest, true);
    if (hasDigest && sums) {
      await keepSums(this.#options.layout, digest, sums).catch(() => {
        // A disk that refuses: the next process reads it whole once more.
      });
    }
    return hasDigest;
  }

  async #explain(digest: Digest, error: NodeJS.ErrnoException): Promise<void> {
    if (error.code === 'ENOENT') this.#options.onMissing(digest);
    else if (error.code === 'ELOOP') await this.#drop(digest, '', 'a symbolic link');
    else if (!lacksHandles(error)) this.#options.onCorrupt(digest, `it cannot be opened: ${error.message}`);
  }

  async #drop(digest: Digest, identity: string, why: string): Promise<undefined> {
    this.#known.delete(digest);
    await rm(this.#options.layout.blob(digest), { force: true, recursive: true }).catch(() => {
      // A read-only disk: it stays, and is never looked at again.
      this.#corrupt.set(digest, identity);
    });
    this.#options.onCorrupt(digest, why);
  }
}
