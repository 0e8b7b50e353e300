import { type HeldBlob, type Intake, type Provenance, SpoiltContentError } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { BLOCK_BYTES, keepSums } from './block-sums.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { DiskTrouble } from './disk-trouble.ts';
import type { DiskWrites } from './disk-writes.ts';
import { copyFile } from './file-copy.ts';
import type { Hasher } from './hasher.ts';
import type { HeldFiles, OpenContent } from './held-files.ts';
import { diskBytesOf } from './holdings.ts';
import { checkOnlyIntake, openIntake } from './intake-file.ts';
import type { Inventory } from './inventory.ts';
import type { Layout } from './layout.ts';
import { isRecordFor, type Records } from './record.ts';

export interface HeldBlobsOptions {
  readonly layout: Layout;
  readonly records: Records;
  readonly files: HeldFiles;
  readonly inventory: Inventory;
  readonly pool: BufferPool;
  readonly hasher: Hasher;
  readonly writes: DiskWrites;
  readonly trouble: DiskTrouble;
  readonly maxBytes: number;
}

/** Room made for a blob of unknown size when the disk is full, in bytes. */
const UNKNOWN_SIZE_BYTES = 1024 * 1024;

/** Blobs: read from open files, and taken in through files that grow. */
export class HeldBlobs {
  readonly #options: HeldBlobsOptions;

  constructor(options: HeldBlobsOptions) {
    this.#options = options;
  }

  async open(digest: Digest): Promise<HeldBlob | undefined> {
    const { records, files, inventory } = this.#options;
    const unpin = await inventory.pinAtRest(digest);
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
      isFor: (access) => isRecordFor(record, access),
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

  async #copy(digest: Digest, content: OpenContent, ...to: Parameters<HeldBlob['writeTo']>): Promise<void> {
    const { pool, files } = this.#options;
    try {
      await copyFile(content.fd, ...to, pool, content.check);
    } catch (error) {
      if (error instanceof SpoiltContentError) await files.drop(digest);
      throw error;
    }
  }

  async intake(digest: Digest, sizeBytes: number | undefined, provenance: Provenance): Promise<Intake> {
    const { inventory, writes, maxBytes } = this.#options;
    if (diskBytesOf(sizeBytes ?? 0) > maxBytes) return checkOnlyIntake(digest);
    const release = inventory.reserve(sizeBytes ?? 0);
    void inventory.makeRoom();
    let opened: Intake | undefined;
    await writes.attempt(sizeBytes ?? UNKNOWN_SIZE_BYTES, async () => {
      opened = await this.#openIntake(digest, sizeBytes, provenance, release);
    });
    if (opened) return opened;
    release();
    return checkOnlyIntake(digest);
  }

  #openIntake(
    digest: Digest,
    sizeBytes: number | undefined,
    provenance: Provenance,
    release: () => void,
  ): Promise<Intake> {
    const { layout, records, files, inventory, pool, hasher, writes, trouble, maxBytes } = this.#options;
    let unpin = () => {};
    return openIntake({
      digest,
      sizeBytes,
      maxBytes,
      hasher,
      incoming: layout.incoming,
      path: layout.blob(digest),
      pool,
      onRefused: (error) => writes.remedy(error, sizeBytes ?? UNKNOWN_SIZE_BYTES),
      onGivenUp: (error) => writes.refuse(error, sizeBytes ?? UNKNOWN_SIZE_BYTES),
      beforeHeld: async (sums, heldBytes) => {
        unpin = await inventory.pinAtRest(digest);
        await records.add(digest, 'blob', undefined, provenance);
        // A smaller one is read whole to be checked: its sums would be a file that nobody opens.
        if (heldBytes >= BLOCK_BYTES) await keepSums(layout, digest, sums);
      },
      onHeld: (fd, heldBytes) => {
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
