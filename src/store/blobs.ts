import { CorruptContentError, type Ingest, type Provenance, type StoredBlob } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { formatRepository } from '../oci/reference.ts';
import type { BestEffortWrites, DiskHealth } from './disk-health.ts';
import type { FreeSpaceFloor } from './disk-space.ts';
import type { Eviction } from './eviction.ts';
import { type BufferPool, copyFile } from './file-io.ts';
import type { Hasher } from './hasher.ts';
import { checkOnlyIngest, openIngest } from './ingest.ts';
import type { Layout } from './layout.ts';
import { diskBytesOf } from './lru-index.ts';
import type { Records, Visibility } from './metadata.ts';
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
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
}

/** Room made for a blob of unknown size when the disk is full, in bytes. */
const UNKNOWN_SIZE_BYTES = 1024 * 1024;

/** Blobs: read from open files, and taken in through files that grow. */
export class BlobStore {
  readonly #options: BlobStoreOptions;

  constructor(options: BlobStoreOptions) {
    this.#options = options;
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    const { records, files, inventory, visibility, now } = this.#options;
    const unpin = await inventory.pinAfterEviction(digest);
    const record = await records.find(digest);
    const content = record && (await files.open(digest));
    if (!record || !content) {
      unpin();
      return undefined;
    }
    inventory.use(digest, record.kind, content.sizeBytes);
    let users = 1;
    const leave = () => {
      users -= 1;
      if (users > 0) return;
      unpin();
      content.close();
    };
    return {
      sizeBytes: content.sizeBytes,
      ageMs: Math.max(0, now() - content.storedMs),
      isVisibleTo: (access, repository) => visibility.includes(digest, record, { access, repository }),
      isFrom: (repository) => record.origins.includes(formatRepository(repository)),
      writeTo: async (sink, range) => {
        users += 1;
        try {
          await this.#copy(digest, content, sink, range);
        } finally {
          leave();
        }
      },
      close: leave,
    };
  }

  async #copy(digest: Digest, content: OpenContent, ...to: Parameters<StoredBlob['writeTo']>): Promise<void> {
    const { pool, files } = this.#options;
    try {
      await copyFile(content.fd, ...to, pool, content.check);
    } catch (error) {
      if (error instanceof CorruptContentError) await files.drop(digest);
      throw error;
    }
  }

  async ingest(digest: Digest, sizeBytes: number | undefined, provenance: Provenance): Promise<Ingest> {
    const { inventory, writes, maxBytes } = this.#options;
    if (diskBytesOf(sizeBytes ?? 0) > maxBytes) return checkOnlyIngest(digest);
    const release = inventory.reserve(sizeBytes ?? 0);
    void inventory.makeRoom();
    if (!(await this.#leavesFloor(diskBytesOf(sizeBytes ?? UNKNOWN_SIZE_BYTES)))) {
      release();
      return checkOnlyIngest(digest);
    }
    let opened: Ingest | undefined;
    await writes.attempt(sizeBytes ?? UNKNOWN_SIZE_BYTES, async () => {
      opened = await this.#openIngest(digest, sizeBytes, provenance, release);
    });
    if (opened) return opened;
    release();
    return checkOnlyIngest(digest);
  }

  /** Does the disk stay above its floor with so many bytes more, after making room for them where that helps? */
  async #leavesFloor(sizeBytes: number): Promise<boolean> {
    const { floor, inventory } = this.#options;
    const shortageBytes = await floor.shortageFor(sizeBytes);
    if (shortageBytes === 0) return true;
    await inventory.scan();
    if (inventory.heldBytes < shortageBytes) return false;
    await inventory.freeUp(shortageBytes);
    return (await floor.shortageFor(sizeBytes)) === 0;
  }

  #openIngest(
    digest: Digest,
    sizeBytes: number | undefined,
    provenance: Provenance,
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
