import { removeLeftovers } from '../lib/atomic-file.ts';
import type { Log } from '../lib/log.ts';
import type { ContentStore, DerivedAnswers } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { hasOwnLogin } from '../oci/registry.ts';
import { createStoreAdmin, type StoreAdmin } from './admin.ts';
import { BlobStore } from './blobs.ts';
import { createBestEffortWrites, createDiskHealth, FreeSpaceFloor } from './disk.ts';
import { Eviction } from './eviction.ts';
import { BufferPool } from './file-io.ts';
import { createHasher } from './hasher.ts';
import { createImageIndexFile, layoutOf, prepareLayout } from './layout.ts';
import { ManifestStore } from './manifests.ts';
import { createRecords, Visibility } from './metadata.ts';
import { OpenFiles } from './open-files.ts';
import { createTagFiles } from './tags.ts';

export interface StoreOptions {
  /** The data directory. The store is in `v1` below it. */
  readonly directory: string;
  /** Limit of all content, in bytes on disk. */
  readonly maxBytes: number;
  /** Limit of the number of contents. Default: 200,000. */
  readonly maxItems?: number;
  /** The share of the file system that content leaves free, 0 to 1. Default: 0. */
  readonly minFreeShare?: number;
  /** Evict blobs that were not used for this long, in milliseconds. Default: never. */
  readonly blobMaxIdleMs?: number | undefined;
  readonly log: Log;
  /** Wall-clock milliseconds, because content ages across restarts. */
  readonly now: () => number;
}

/** How often the limits are checked between writes: other programs fill the disk too. */
const UPKEEP_MS = 10_000;

export interface Store extends ContentStore {
  readonly derived: DerivedAnswers;
  readonly stock: StoreAdmin;
  /** What all stored content takes on disk, in bytes. */
  readonly heldBytes: number;
  /** Why nothing can be written now, for example `the disk is full`; undefined when writes work. */
  readonly trouble: string | undefined;
  /** Evicts blobs that were not used for this long, in milliseconds. */
  expireBlobs(unusedForMs: number): Promise<void>;
  /** Writes outstanding changes; content stays readable. */
  close(): Promise<void>;
}

/** Creates the parts of a store, connected so that when one of them loses content, all forget it. */
function assemble({ directory, maxBytes, maxItems, minFreeShare = 0, log, now }: StoreOptions) {
  const layout = layoutOf(directory);
  const trouble = createDiskHealth(layout.root, log);
  const floor = new FreeSpaceFloor({ directory, minFreeShare, log });
  const records = createRecords(layout);
  const tags = createTagFiles(layout);
  const pool = new BufferPool();
  const hasher = createHasher();
  const imageIndex = createImageIndexFile({
    layout,
    records,
    tags,
    onError: (error) => trouble.report(error),
  });
  const forget = (digest: Digest) => {
    inventory.forget(digest);
    manifests.forget(digest);
    files.forget(digest);
    imageIndex.touch();
  };
  const files = new OpenFiles({
    layout,
    pool,
    checkFile: hasher.checkFile,
    onMissing: (digest) => {
      inventory.forget(digest);
      records.forget(digest);
    },
    onCorrupt: (digest, why) => {
      forget(digest);
      log('warning', 'content-corrupt', 'stored content is corrupt and is fetched again', { digest, why });
    },
  });
  const onEvicted = (digest: Digest, sizeBytes: number) => {
    forget(digest);
    log('debug', 'evicted', 'evicted', { digest, sizeBytes });
  };
  const inventory = new Eviction({ layout, records, maxBytes, maxItems, floor, now, onEvicted });
  const writes = createBestEffortWrites({ layout, inventory, trouble, floor });
  const visibility = new Visibility(now);
  const shared = { layout, records, visibility, files, inventory, imageIndex, writes, trouble, now };
  const manifests = new ManifestStore(shared);
  const blobs = new BlobStore({ ...shared, pool, hasher, maxBytes, floor });
  const stock = createStoreAdmin({ ...shared, tags, now, forget });
  return { ...shared, tags, hasher, manifests, blobs, stock };
}

/**
 * Opens the store below a data directory. Never rejects because of the disk: it logs the failure once, and
 * later writes try again.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const parts = assemble(options);
  const {
    layout,
    records,
    tags,
    files,
    inventory,
    imageIndex,
    hasher,
    manifests,
    blobs,
    writes,
    visibility,
  } = parts;
  try {
    await prepareLayout(layout);
    const removed = await removeLeftovers(layout, options.now());
    if (removed > 0)
      options.log('info', 'leftovers-removed', 'removed half-written files of an earlier run', {
        files: removed,
      });
    await imageIndex.catchUp();
  } catch (error) {
    parts.trouble.report(error as Error);
  }
  void inventory.scan();
  const upkeep = setInterval(() => {
    void inventory.makeRoom();
    if (options.blobMaxIdleMs !== undefined) void inventory.expireBlobs(options.blobMaxIdleMs);
  }, UPKEEP_MS).unref();

  return {
    stock: parts.stock,
    get heldBytes() {
      return inventory.heldBytes;
    },
    get trouble() {
      return parts.trouble.trouble();
    },
    manifest: (digest) => manifests.find(digest),
    keepManifest: (manifest, provenance) => manifests.keep('manifest', manifest, provenance),
    blob: (digest) => blobs.open(digest),
    openBlob: (digest) => blobs.openAtOnce(digest),
    ingest: (digest, sizeBytes, provenance) => blobs.ingest(digest, sizeBytes, provenance),
    grant: async (digest, provenance) => {
      visibility.grant(digest, provenance);
      await writes.attempt(0, () => records.grant(digest, provenance.access));
    },
    revoke: (provenance) => visibility.revoke(provenance),
    tag: (repository, tag) => tags.find(repository, tag),
    tagsOf: (repository) => tags.tagsOf(repository),
    keepTag: async (repository, tag, record) => {
      await writes.attempt(0, async () => {
        if (await tags.put(repository, tag, record)) imageIndex.touch();
      });
    },
    derived: {
      keep: (repository, answer, access) => manifests.keep('derived', answer, { repository, access }),
      find: async (repository, digest, access) => {
        const held = await manifests.find(digest);
        if (!held?.isVisibleTo(access, repository)) return undefined;
        const { bytes, mediaType } = held;
        // The registry can revoke what a client's own login may see, so it is asked each time.
        return { digest, bytes, mediaType, maxAgeMs: hasOwnLogin(access) ? 0 : Number.POSITIVE_INFINITY };
      },
    },
    expireBlobs: (unusedForMs) => inventory.expireBlobs(unusedForMs),
    close: async () => {
      clearInterval(upkeep);
      files.closeIdle();
      await imageIndex.flush();
      await hasher.close();
    },
  };
}
