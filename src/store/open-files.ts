import { type BigIntStats, closeSync, constants, fstatSync, open } from 'node:fs';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Digest } from '../oci/digest.ts';
import { BlockChecker, CHECKSUM_BLOCK_BYTES, keepSums, readSums } from './block-checksums.ts';
import { type BufferPool, identityOf, isSameFile, type PartCheck } from './file-io.ts';
import type { Hasher } from './hasher.ts';
import type { Layout } from './layout.ts';

/** Opens a file, and returns its descriptor. */
type OpenFile = (path: string, flags: number) => Promise<number>;

const openFile: OpenFile = promisify(open);

/** An open file whose bytes have their digest. The receiver closes it, once. */
export interface OpenContent {
  readonly fd: number;
  readonly sizeBytes: number;
  /** When it was written, in wall-clock milliseconds. */
  readonly storedMs: number;
  /** @throws {CorruptContentError} when bytes of this range differ from the verified ones. */
  readonly check: PartCheck;
  close(): void;
}

export interface OpenFilesOptions {
  readonly layout: Layout;
  readonly pool: BufferPool;
  readonly openFile?: OpenFile;
  /** Reads a whole open file. */
  readonly checkFile: Hasher['checkFile'];
  /**
   * Stored content does not have its digest, or cannot be read. It was removed where possible, and is never
   * served.
   */
  readonly onCorrupt: (digest: Digest, why: string) => void;
  /** The file does not exist. */
  readonly onMissing: (digest: Digest) => void;
}

/** What is known about a file. */
interface Known {
  readonly identity: string;
  /** Set when each block is checked as it is read, instead of the whole file before the first read. */
  readonly blocks: BlockChecker | undefined;
}

/** One open file, shared by all readers of the same content. */
interface Shared {
  readonly digest: Digest;
  readonly fd: number;
  readonly sizeBytes: number;
  readonly storedMs: number;
  readonly known: Known;
  /** The file's state when it was checked. */
  readonly stats: BigIntStats;
  users: number;
}

/**
 * Files without readers stay open briefly: a lazy reader requests one part after another, and opening costs
 * more than reading.
 */
const IDLE_MAX = 32;
const IDLE_MS = 5000;

const WRONG_BYTES = 'other bytes than its digest says';

/** When no file descriptor is free, opening is retried for a second: many clients at once are a short peak. */
const HANDLE_TRIES = 20;
const HANDLE_DELAY_MS = 50;

function lacksHandles(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EMFILE' || code === 'ENFILE';
}

async function openRegular(openAt: OpenFile, path: string, onLacking: () => void): Promise<number> {
  // Follows no symbolic link and does not block on a pipe: the store contains plain files only.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  for (let tries = 1; ; tries += 1) {
    try {
      return await openAt(path, flags);
    } catch (error) {
      if (!lacksHandles(error) || tries === HANDLE_TRIES) throw error;
      onLacking();
      await new Promise((resume) => setTimeout(resume, HANDLE_DELAY_MS));
    }
  }
}

/**
 * True when the open file is still the one that was checked, and not deleted. False when that cannot be found
 * out.
 */
function isUnchanged({ fd, stats }: Shared): boolean {
  try {
    const found = fstatSync(fd, { bigint: true });
    return found.nlink > 0n && isSameFile(found, stats);
  } catch {
    return false;
  }
}

/**
 * Opens stored content whose bytes are right. What this process wrote is trusted. Other content is verified
 * before its first byte is served: by the checksums of the blocks that are read, or, where it has none, by its
 * digest; the checksums are then written for the next process. Content whose file was replaced is verified
 * again.
 */
export class OpenFiles {
  readonly #options: OpenFilesOptions;
  readonly #known = new Map<Digest, Known>();
  /** Corrupt files that could not be removed. */
  readonly #corrupt = new Map<Digest, string>();
  readonly #open = new Map<Digest, Shared>();
  readonly #opening = new Map<Digest, Promise<Shared | undefined>>();
  /** Open files without readers, the one that is idle for longest first. */
  readonly #idle = new Set<Shared>();
  #closing: NodeJS.Timeout | undefined;

  constructor(options: OpenFilesOptions) {
    this.#options = options;
  }

  /** Undefined when the content is missing, unreadable or corrupt. */
  async open(digest: Digest): Promise<OpenContent | undefined> {
    const shared = this.#reuse(digest) ?? (await this.#openOnce(digest));
    return shared && this.#enter(shared);
  }

  /** Opens what is open already, unless the file was written to or removed since. */
  openAgain(digest: Digest): OpenContent | undefined {
    const shared = this.#reuse(digest);
    return shared && this.#enter(shared);
  }

  #enter(shared: Shared): OpenContent {
    shared.users += 1;
    this.#idle.delete(shared);
    const { fd, sizeBytes, storedMs, known } = shared;
    const check: PartCheck = (start, end) => known.blocks?.check(fd, start, end, this.#options.pool);
    return { fd, sizeBytes, storedMs, check, close: () => this.#leave(shared) };
  }

  /**
   * Compares the digest again. Resolves with false when the content is missing, or was corrupt and is removed.
   */
  async verify(digest: Digest): Promise<boolean> {
    return (await this.#openChecked(digest, true)) !== undefined;
  }

  /** Removes content in which a reader found wrong bytes. */
  async drop(digest: Digest): Promise<void> {
    await this.#drop(digest, this.#known.get(digest)?.identity ?? '', WRONG_BYTES);
  }

  /** Reports open content that cannot be read. The file stays, because a later read may succeed. */
  reportUnreadable(digest: Digest, error: Error): void {
    this.#options.onCorrupt(digest, `it cannot be read: ${error.message}`);
  }

  /** Declares the content verified, because the bytes behind `fd` were verified while they were written. */
  trust(digest: Digest, fd: number): void {
    // An opening that runs now may have found no file yet.
    this.#opening.delete(digest);
    this.#corrupt.delete(digest);
    this.#known.set(digest, { identity: identityOf(fstatSync(fd, { bigint: true })), blocks: undefined });
  }

  forget(digest: Digest): void {
    this.#known.delete(digest);
    const shared = this.#open.get(digest);
    if (shared) this.#retire(shared);
  }

  /** Closes files without readers. */
  closeIdle(): void {
    clearTimeout(this.#closing);
    this.#closing = undefined;
    for (const shared of this.#idle) this.#retire(shared);
  }

  /** The open file, unless it was written to or removed since. */
  #reuse(digest: Digest): Shared | undefined {
    const shared = this.#open.get(digest);
    if (!shared) return undefined;
    if (isUnchanged(shared)) return shared;
    this.#retire(shared);
    return undefined;
  }

  /** Gives the file to no new reader. It is closed when its last reader leaves. */
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
   * Joins concurrent callers into one opening and one check. Not a SingleFlight: no caller can abort it, so
   * abort signals would only cost time.
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
      const { layout, openFile: openAt = openFile } = this.#options;
      fd = await openRegular(openAt, layout.blob(digest), () => this.closeIdle());
    } catch (error) {
      await this.#explain(digest, error as NodeJS.ErrnoException);
      return undefined;
    }
    try {
      const shared = await this.#check(fd, digest, isAnew);
      if (shared) {
        this.#open.set(digest, shared);
        // The opening itself counts as a reader until the waiting callers have run.
        setImmediate(() => this.#leave(shared));
        return shared;
      }
    } catch (error) {
      this.reportUnreadable(digest, error as Error);
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
          : await readSums(this.#options.layout, digest, { sizeBytes, userId: Number(stats.uid) });
      if (sums === undefined && !(await this.#checkWhole(fd, sizeBytes, digest)))
        return this.#drop(digest, identity, sizeBytes === 0 ? 'an empty file' : WRONG_BYTES);
      known = { identity, blocks: sums && new BlockChecker(sizeBytes, sums) };
      this.#known.set(digest, known);
    }
    return { digest, fd, sizeBytes, storedMs: Number(stats.mtimeMs), known, stats, users: 1 };
  }

  /** Writes checksums for the next process. Not on arrival, because most blobs are never read again. */
  async #checkWhole(fd: number, sizeBytes: number, digest: Digest): Promise<boolean> {
    const { hasDigest, sums } = await this.#options.checkFile(fd, sizeBytes, digest, true);
    if (hasDigest && sums) {
      await keepSums(this.#options.layout, digest, sums).catch(() => {
        // Without the checksums the next process reads the whole file once more.
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
    // Even if the file cannot be removed, no new reader gets the open one.
    this.forget(digest);
    await rm(this.#options.layout.blob(digest), { force: true, recursive: true }).catch(() => {
      // On a read-only disk the file stays, and is never read again.
      this.#corrupt.set(digest, identity);
    });
    this.#options.onCorrupt(digest, why);
  }
}
