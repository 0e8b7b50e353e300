import type { Writable } from 'node:stream';
import type { LentBytes } from '../lib/writable.ts';
import { CorruptContentError, type Ingest, type Provenance, type StoredBlob } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import type { Access } from '../oci/registry.ts';
import type { ArrivingContent, BestEffortWrites, DiskHealth, FreeSpaceFloor } from './disk.ts';
import type { Eviction } from './eviction.ts';
import { type BufferPool, copyFile, readSmallPart } from './file-io.ts';
import type { Hasher } from './hasher.ts';
import { checkOnlyIngest, openIngest } from './ingest.ts';
import type { Layout } from './layout.ts';
import { diskBytesOf } from './lru-index.ts';
import type { ContentRecord, Records, Visibility } from './metadata.ts';
import type { OpenContent, OpenFiles } from './open-files.ts';

export interface BlobStoreOptions {
  readonly layout: Layout;
  readonly records: Records;
  readonly visibility: Visibility;
  readonly files: OpenFiles;
  readonly inventory: Eviction;
  readonly pool: BufferPool;
  readonly hasher: Hasher;
  readonly writes: BestEffortWrites;
  readonly trouble: DiskHealth;
  readonly maxBytes: number;
  readonly floor: FreeSpaceFloor;
  /** Wall-clock milliseconds. */
  readonly now: () => number;
}

/** How many bytes to evict on a full disk for a blob of unknown size. */
const UNKNOWN_SIZE_BYTES = 1024 * 1024;
const CHECK_EVERY_BYTES = 16 * 1024 * 1024;

/** What an opened blob consists of. */
interface BlobParts {
  readonly digest: Digest;
  readonly record: ContentRecord;
  readonly content: OpenContent;
  readonly unpin: () => void;
}

/** An open blob. Its file stays open and pinned until `close` was called and the last read has ended. */
class OpenedBlob implements StoredBlob {
  readonly sizeBytes: number;
  ageMs: number;
  readonly #options: BlobStoreOptions;
  readonly #parts: BlobParts;
  #users = 1;

  constructor(options: BlobStoreOptions, parts: BlobParts) {
    const { sizeBytes, storedMs } = parts.content;
    this.sizeBytes = sizeBytes;
    this.ageMs = Math.max(0, options.now() - storedMs);
    this.#options = options;
    this.#parts = parts;
  }

  confirm(): void {
    this.ageMs = 0;
  }

  isVisibleTo(access: Access | undefined, repository: Repository): boolean {
    const { digest, record } = this.#parts;
    return this.#options.visibility.includes(digest, record, { access, repository });
  }

  isFrom(repository: Repository): boolean {
    return this.#parts.record.origins.includes(formatRepository(repository));
  }

  async writeTo(sink: Writable, range: ByteRange): Promise<void> {
    const { content, digest } = this.#parts;
    const { pool, files } = this.#options;
    this.#users += 1;
    try {
      await copyFile(content.fd, sink, range, pool, content.check);
    } catch (error) {
      if (error instanceof CorruptContentError) await files.drop(digest);
      throw error;
    } finally {
      this.close();
    }
  }

  async read(range: ByteRange): Promise<LentBytes | undefined> {
    const { content, digest } = this.#parts;
    const { pool, files } = this.#options;
    this.#users += 1;
    try {
      return await readSmallPart(content.fd, range, pool, content.check);
    } catch (error) {
      if (error instanceof CorruptContentError) await files.drop(digest);
      return undefined;
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#parts.unpin();
    this.#parts.content.close();
  }
}

/** Blobs on disk: reads from open files, writes by {@link openIngest}. */
export class BlobStore {
  readonly #options: BlobStoreOptions;

  constructor(options: BlobStoreOptions) {
    this.#options = options;
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    const { records, files, inventory } = this.#options;
    const unpin = await inventory.pinAfterEviction(digest);
    const record = await records.find(digest);
    const content = record && (await files.open(digest));
    if (record && content) return this.#opened(digest, record, content, unpin);
    unpin();
    return undefined;
  }

  /** Opens a blob without waiting: only when its file is already open and its record is in memory. */
  openAtOnce(digest: Digest): StoredBlob | undefined {
    const { records, files, inventory } = this.#options;
    const record = inventory.isBeingEvicted(digest) ? undefined : records.inMemory(digest);
    const content = record && files.openAgain(digest);
    return record && content && this.#opened(digest, record, content, inventory.pin(digest));
  }

  #opened(digest: Digest, record: ContentRecord, content: OpenContent, unpin: () => void): StoredBlob {
    this.#options.inventory.use(digest, record.kind, content.sizeBytes);
    return new OpenedBlob(this.#options, { digest, record, content, unpin });
  }

  async ingest(digest: Digest, sizeBytes: number | undefined, provenance: Provenance): Promise<Ingest> {
    const { inventory, writes, maxBytes, floor } = this.#options;
    if (diskBytesOf(sizeBytes ?? 0) > maxBytes) return checkOnlyIngest(digest);
    const unreserve = inventory.reserve(sizeBytes ?? 0);
    const arrival = floor.begin(diskBytesOf(sizeBytes ?? UNKNOWN_SIZE_BYTES));
    const release = () => {
      unreserve();
      floor.end(arrival);
    };
    void inventory.makeRoom();
    if (!(await this.#leavesFloor(arrival))) {
      release();
      return checkOnlyIngest(digest);
    }
    let opened: Ingest | undefined;
    await writes.attempt(sizeBytes ?? UNKNOWN_SIZE_BYTES, async () => {
      opened = await this.#openIngest(digest, sizeBytes, provenance, arrival, release);
    });
    if (opened) return opened;
    release();
    return checkOnlyIngest(digest);
  }

  /** True when the disk stays above its free-space floor with the rest of this content, evicting if that helps. */
  async #leavesFloor(arrival: ArrivingContent): Promise<boolean> {
    const { floor, inventory } = this.#options;
    const shortageBytes = await floor.shortageUpTo(arrival);
    if (shortageBytes === 0) return true;
    await inventory.scan();
    if (inventory.heldBytes < shortageBytes) return false;
    await inventory.freeUp(shortageBytes);
    return (await floor.shortageUpTo(arrival)) === 0;
  }

  /** Looks at the disk again after every {@link CHECK_EVERY_BYTES}, because other programs fill it too. */
  #watchFloor(arrival: ArrivingContent): (storedBytes: number) => true | Promise<boolean> {
    const sizeBytes = arrival.leftBytes;
    let checkedBytes = 0;
    return (storedBytes) => {
      arrival.leftBytes = Math.max(0, sizeBytes - storedBytes);
      if (storedBytes - checkedBytes < CHECK_EVERY_BYTES) return true;
      checkedBytes = storedBytes;
      return this.#leavesFloor(arrival).then((mayGrow) => {
        if (!mayGrow) this.#options.floor.end(arrival);
        return mayGrow;
      });
    };
  }

  #openIngest(
    digest: Digest,
    sizeBytes: number | undefined,
    provenance: Provenance,
    arrival: ArrivingContent,
    release: () => void,
  ): Promise<Ingest> {
    const { layout, records, files, inventory, pool, hasher, writes, trouble, maxBytes, visibility } =
      this.#options;
    let unpin = () => {};
    return openIngest({
      digest,
      sizeBytes,
      maxBytes,
      hasher,
      incoming: layout.incoming,
      path: layout.blob(digest),
      pool,
      mayGrow: this.#watchFloor(arrival),
      onRefused: (error) => writes.remedy(error, sizeBytes ?? UNKNOWN_SIZE_BYTES),
      onGivenUp: (error) => writes.refuse(error, sizeBytes ?? UNKNOWN_SIZE_BYTES),
      beforeCommit: async () => {
        unpin = await inventory.pinAfterEviction(digest);
        await records.add(digest, 'blob', undefined, provenance);
        visibility.grant(digest, provenance);
      },
      onCommitted: (fd, heldBytes) => {
        files.trust(digest, fd);
        release();
        inventory.use(digest, 'blob', heldBytes);
        unpin();
        trouble.over(heldBytes);
        void inventory.makeRoom();
      },
      onClosed: () => {
        release();
        unpin();
      },
    });
  }
}
