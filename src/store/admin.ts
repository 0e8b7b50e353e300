import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../oci/digest.ts';
import type { Eviction } from './eviction.ts';
import { digestOfRecordFile, type ImageIndexFile, type Layout } from './layout.ts';
import { diskBytesOf } from './lru-index.ts';
import type { ContentKind, Records } from './metadata.ts';
import type { OpenFiles } from './open-files.ts';
import type { TagFiles } from './tags.ts';

/** One stored content, as an operator sees it. */
export interface StoredItem {
  readonly digest: Digest;
  /** Undefined when the record is missing: such content is served to nobody. */
  readonly kind: ContentKind | undefined;
  readonly mediaType: string | undefined;
  /** The repository that delivered it first: `docker.io/library/alpine`. */
  readonly repository: string | undefined;
  /** The tags that point to it: `docker.io/library/alpine:latest`. */
  readonly tags: readonly string[];
  readonly sizeBytes: number;
  /** What it takes on disk, its record included. */
  readonly diskBytes: number;
  /** Last use in wall-clock milliseconds, accurate to the hour. */
  readonly usedMs: number;
}

/** Maintenance for `metahub cache`. Safe while a mirror uses the same store. */
export interface StoreAdmin {
  list(): Promise<readonly StoredItem[]>;
  /**
   * Compares the bytes with the digest. Resolves with false when the content was corrupt; it is then removed.
   */
  verify(digest: Digest): Promise<boolean>;
  remove(digest: Digest): Promise<void>;
  /** Removes the records and checksums of content that is gone. Resolves with the number of records. */
  removeOrphans(): Promise<number>;
}

/**
 * A record is written just before its content is renamed to its final name: a younger record is not an orphan.
 */
const RECORD_ALONE_MS = 60_000;

export interface StoreAdminOptions {
  readonly layout: Layout;
  readonly records: Records;
  readonly tags: TagFiles;
  readonly inventory: Eviction;
  readonly files: OpenFiles;
  readonly imageIndex: ImageIndexFile;
  readonly now: () => number;
  readonly forget: (digest: Digest) => void;
}

async function tagsByDigest(tags: TagFiles): Promise<ReadonlyMap<Digest, readonly string[]>> {
  const names = new Map<Digest, string[]>();
  for (const { name, digest } of await tags.all()) names.set(digest, [...(names.get(digest) ?? []), name]);
  return names;
}

/** Implements `metahub cache` on the parts of an open store. */
export function createStoreAdmin(options: StoreAdminOptions): StoreAdmin {
  const { layout, records, tags, inventory, files, imageIndex, now, forget } = options;

  async function isAlone(file: string): Promise<boolean> {
    const digest = digestOfRecordFile(file);
    const isHeld = digest && (await stat(layout.blob(digest)).catch(() => undefined));
    const record = isHeld ? undefined : await stat(join(layout.records, file)).catch(() => undefined);
    return record !== undefined && now() - record.mtimeMs > RECORD_ALONE_MS;
  }

  return {
    list: async () => {
      await inventory.scan();
      const names = await tagsByDigest(tags);
      const items: StoredItem[] = [];
      // Sequential: thousands of reads at once would use up the file descriptors.
      for (const { digest, sizeBytes, usedMs } of inventory.holdings) {
        const { kind, mediaType, origins } = (await records.find(digest)) ?? {};
        const repository = origins?.[0];
        const diskBytes = diskBytesOf(sizeBytes);
        const of = names.get(digest) ?? [];
        items.push({ digest, kind, mediaType, repository, tags: of, sizeBytes, diskBytes, usedMs });
      }
      return items;
    },
    verify: (digest) => files.verify(digest),
    remove: async (digest) => {
      await rm(layout.blob(digest), { force: true, recursive: true });
      await records.remove(digest);
      forget(digest);
    },
    removeOrphans: async () => {
      let removed = 0;
      for (const file of await readdir(layout.records)) {
        if (!(await isAlone(file))) continue;
        await rm(join(layout.records, file), { force: true });
        const digest = digestOfRecordFile(file);
        if (digest) await records.remove(digest);
        removed += 1;
      }
      imageIndex.touch();
      return removed;
    },
  };
}
