import { stat } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { writeAtomically } from '../lib/atomic-file.ts';
import { CorruptContentError, type Provenance, type StoredManifest } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { formatRepository } from '../oci/reference.ts';
import { MANIFEST_MAX_BYTES, type Manifest } from '../oci/registry.ts';
import type { BestEffortWrites, DiskHealth } from './disk.ts';
import type { Eviction } from './eviction.ts';
import { readAt } from './file-io.ts';
import type { ImageIndexFile, Layout } from './layout.ts';
import {
  type ContentKind,
  type ContentRecord,
  mergeRecord,
  type Records,
  type Visibility,
} from './metadata.ts';
import type { OpenFiles } from './open-files.ts';

/** Limit of manifests in memory, in bytes: about ten thousand manifests. */
const IN_MEMORY_BYTES = 32 * 1024 * 1024;
/** Limit of manifests that could not be written to disk, in bytes. They are lost when the process ends. */
const UNWRITTEN_BYTES = 32 * 1024 * 1024;
/** What an entry costs in memory besides its bytes. */
const ENTRY_BYTES = 256;

/**
 * A manifest in memory. Its record is looked up each time, because access may be granted to others meanwhile.
 */
interface Known {
  readonly bytes: Buffer;
  readonly mediaType: string;
  /** When its registry delivered it, in wall-clock milliseconds. */
  readonly storedMs: number;
}

interface Unwritten extends Known {
  readonly record: ContentRecord;
}

export interface ManifestStoreOptions {
  readonly layout: Layout;
  readonly records: Records;
  readonly visibility: Visibility;
  readonly files: OpenFiles;
  readonly inventory: Eviction;
  readonly imageIndex: ImageIndexFile;
  readonly writes: BestEffortWrites;
  readonly trouble: DiskHealth;
  /** Wall-clock milliseconds. */
  readonly now: () => number;
}

const sizeCalculation = ({ bytes }: Known) => bytes.length + ENTRY_BYTES;

/** Manifests and derived answers: all on disk, the most recently used ones also in memory. */
export class ManifestStore {
  readonly #options: ManifestStoreOptions;
  readonly #memory = new LRUCache<Digest, Known>({ maxSize: IN_MEMORY_BYTES, sizeCalculation });
  readonly #unwritten = new LRUCache<Digest, Unwritten>({ maxSize: UNWRITTEN_BYTES, sizeCalculation });

  constructor(options: ManifestStoreOptions) {
    this.#options = options;
  }

  async find(digest: Digest): Promise<StoredManifest | undefined> {
    const refused = this.#unwritten.get(digest);
    if (refused) return this.#stored(digest, refused, refused.record);
    const record = await this.#options.records.find(digest);
    if (record?.mediaType === undefined) return undefined;
    const known = (await this.#remembered(digest)) ?? (await this.#read(digest, record.mediaType));
    if (!known) return undefined;
    this.#memory.set(digest, known);
    this.#options.inventory.use(digest, record.kind, known.bytes.length);
    return this.#stored(digest, known, record);
  }

  /** The manifest in memory, unless its file was deleted: then it is fetched and written again. */
  async #remembered(digest: Digest): Promise<Known | undefined> {
    const known = this.#memory.get(digest);
    if (known === undefined || (await this.#isOnDisk(digest))) return known;
    this.#memory.delete(digest);
    return undefined;
  }

  #stored(digest: Digest, { bytes, mediaType, storedMs }: Known, record: ContentRecord): StoredManifest {
    return {
      bytes,
      mediaType,
      ageMs: Math.max(0, this.#options.now() - storedMs),
      isVisibleTo: (access, repository) =>
        this.#options.visibility.includes(digest, record, { access, repository }),
      isFrom: (repository) => record.origins.includes(formatRepository(repository)),
    };
  }

  /** Stores a manifest. Resolves when it is on disk, or in memory if the write fails. */
  async keep(kind: ContentKind, manifest: Manifest, provenance: Provenance): Promise<void> {
    const unpin = await this.#options.inventory.pinAfterEviction(manifest.digest);
    try {
      await this.#keep(kind, manifest, provenance);
    } finally {
      unpin();
    }
  }

  async #keep(kind: ContentKind, manifest: Manifest, provenance: Provenance): Promise<void> {
    const { records, inventory, imageIndex, trouble, visibility } = this.#options;
    const { digest, bytes, mediaType } = manifest;
    visibility.grant(digest, provenance);
    const use = async () => inventory.use(digest, (await records.find(digest))?.kind ?? kind, bytes.length);
    if (await this.#isKept(kind, manifest, provenance)) return use();
    if (!(await this.#write(kind, manifest, provenance))) {
      const record = mergeRecord(this.#unwritten.get(digest)?.record, kind, mediaType, provenance);
      this.#unwritten.set(digest, { bytes, mediaType, record, storedMs: this.#options.now() });
      return;
    }
    trouble.over(bytes.length);
    this.#unwritten.delete(digest);
    this.#memory.set(digest, { bytes, mediaType, storedMs: this.#options.now() });
    await use();
    imageIndex.touch();
    void inventory.makeRoom();
  }

  forget(digest: Digest): void {
    this.#memory.delete(digest);
  }

  async #isKept(
    kind: ContentKind,
    { digest, mediaType }: Manifest,
    { access, repository }: Provenance,
  ): Promise<boolean> {
    if (!this.#memory.has(digest) || !(await this.#isOnDisk(digest))) return false;
    const record = await this.#options.records.find(digest);
    if (record?.mediaType !== mediaType || !record.origins.includes(formatRepository(repository)))
      return false;
    if (!this.#options.visibility.includes(digest, record, { access, repository })) return false;
    return record.kind === kind || kind === 'manifest';
  }

  /** Looks at the disk: another process may have removed the content and its record. */
  async #isOnDisk(digest: Digest): Promise<boolean> {
    const { layout, records } = this.#options;
    const isThere = await stat(layout.blob(digest)).then(
      () => true,
      () => false,
    );
    if (!isThere) records.forget(digest);
    return isThere;
  }

  #write(kind: ContentKind, manifest: Manifest, provenance: Provenance): Promise<boolean> {
    const { layout, records, writes } = this.#options;
    const { digest, bytes, mediaType } = manifest;
    return writes.attempt(bytes.length, async () => {
      await records.add(digest, kind, mediaType, provenance);
      await writeAtomically(layout, layout.blob(digest), bytes, { durable: kind === 'derived' });
    });
  }

  async #read(digest: Digest, mediaType: string): Promise<Known | undefined> {
    const { files } = this.#options;
    const content = await files.open(digest);
    if (!content) return undefined;
    const { fd, sizeBytes, storedMs } = content;
    try {
      if (sizeBytes > MANIFEST_MAX_BYTES) return undefined;
      await content.check(0, sizeBytes);
      const bytes = Buffer.allocUnsafeSlow(sizeBytes);
      const isWhole = (await readAt(fd, bytes, sizeBytes, 0)) === sizeBytes;
      return isWhole ? { bytes, mediaType, storedMs } : undefined;
    } catch (error) {
      if (error instanceof CorruptContentError) await files.drop(digest);
      else files.reportUnreadable(digest, error as Error);
      return undefined;
    } finally {
      content.close();
    }
  }
}
