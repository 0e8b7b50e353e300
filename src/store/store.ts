import { LRUCache } from 'lru-cache';
import {
  type ContentStore,
  type HeldBlob,
  type HeldManifest,
  type Intake,
  type Provenance,
  SpoiltContentError,
} from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/reference.ts';
import { type Access, MANIFEST_MAX_BYTES, type Manifest } from '../oci/registry.ts';
import { removeLeftovers, writeAtomically } from './atomic-file.ts';
import { keepSums } from './block-sums.ts';
import { BufferPool } from './buffer-pool.ts';
import { createDiskTrouble, isFull, type StoreLog } from './disk-trouble.ts';
import { copyFile, readAt } from './file-copy.ts';
import { createHasher } from './hasher.ts';
import { HeldFiles } from './held-files.ts';
import { createImageIndexFile } from './image-index-file.ts';
import { checkOnlyIntake, openIntake } from './intake-file.ts';
import { Inventory } from './inventory.ts';
import { layoutOf, prepareLayout } from './layout.ts';
import { type ContentKind, type ContentRecord, createRecords, isRecordFor, partitionKey } from './record.ts';
import { createStock, type Stock } from './stock.ts';
import { createTagFiles } from './tag-files.ts';

export interface StoreOptions {
  /** The data directory; the store lies in `v1` below it. */
  readonly directory: string;
  /** All content together, in bytes. */
  readonly maxBytes: number;
  readonly log: StoreLog;
  /** Wall-clock milliseconds, by which content grows old across restarts. */
  readonly now: () => number;
}

/** Answers of our own making, kept by digest before they are announced. */
export interface KeptAnswers {
  keep(repository: Repository, answer: Manifest, access?: Access): Promise<void>;
  find(repository: Repository, digest: Digest, access?: Access): Promise<Manifest | undefined>;
}

export interface Store extends ContentStore {
  readonly derived: KeptAnswers;
  readonly stock: Stock;
  /** Everything held, in bytes. */
  readonly heldBytes: number;
  /** Writes what is outstanding; content stays readable. */
  close(): Promise<void>;
}

/** Manifests in memory, in bytes: some ten thousand of them. */
const MANIFESTS_IN_MEMORY_BYTES = 32 * 1024 * 1024;
/** Manifests that the disk refused, in bytes: they live as long as the process. */
const UNWRITTEN_BYTES = 32 * 1024 * 1024;

/** A manifest in memory; its record is read again each time, because it may be granted to others. */
interface KnownManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

interface UnwrittenManifest extends KnownManifest {
  readonly partitions: ReadonlySet<string>;
}

/**
 * Opens the store below a data directory. Never rejects because of the disk: what it refuses is said once in the log, and
 * is tried again with every write.
 */
export async function openStore({ directory, maxBytes, log, now }: StoreOptions): Promise<Store> {
  const layout = layoutOf(directory);
  const trouble = createDiskTrouble(layout.root, log);
  const records = createRecords(layout);
  const tags = createTagFiles(layout);
  const pool = new BufferPool();
  const imageIndex = createImageIndexFile({ layout, records, tags, onError: trouble.report });
  const manifests = new LRUCache<Digest, KnownManifest>({
    maxSize: MANIFESTS_IN_MEMORY_BYTES,
    sizeCalculation: ({ bytes }) => bytes.length + 256,
  });
  const unwritten = new LRUCache<Digest, UnwrittenManifest>({
    maxSize: UNWRITTEN_BYTES,
    sizeCalculation: ({ bytes }) => bytes.length + 256,
  });
  const forget = (digest: Digest) => {
    inventory.forget(digest);
    manifests.delete(digest);
    files.forget(digest);
    imageIndex.touch();
  };
  const hasher = createHasher();
  const files = new HeldFiles({
    layout,
    pool,
    hasDigest: hasher.hasDigest,
    onMissing: (digest) => inventory.forget(digest),
    onSpoilt: (digest, why) => {
      forget(digest);
      log('warning', 'held content was spoilt and is fetched again', { digest, why });
    },
  });
  const inventory = new Inventory({
    layout,
    records,
    maxBytes,
    now,
    onEvicted: (digest, sizeBytes) => {
      forget(digest);
      log('debug', 'evicted', { digest, sizeBytes });
    },
  });

  try {
    await prepareLayout(layout);
    const removed = await removeLeftovers(layout, now());
    if (removed > 0) log('info', 'removed what an earlier run left half written', { files: removed });
  } catch (error) {
    trouble.report(error as Error);
  }
  void inventory.scan();

  /** Runs a write; where the disk is full, evicts and tries once more. Answers whether it worked. */
  async function attempt(sizeBytes: number, write: () => Promise<void>): Promise<boolean> {
    for (const isLast of [false, true]) {
      try {
        await write();
        trouble.over();
        return true;
      } catch (error) {
        if (isLast || !(await mayRetry(error as Error, sizeBytes))) return refuse(error as Error);
      }
    }
    return false;
  }

  function refuse(error: Error): false {
    // A file that cannot be made because its directory could not be made: that has been said.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') trouble.report(error);
    return false;
  }

  async function mayRetry(error: Error, sizeBytes: number): Promise<boolean> {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      // The directory was removed under us, or could not be made before.
      return prepareLayout(layout).then(
        () => true,
        (reason: Error) => refuse(reason),
      );
    }
    if (!isFull(error)) return false;
    const before = inventory.heldBytes;
    await inventory.freeUp(sizeBytes);
    return inventory.heldBytes < before;
  }

  async function keep(kind: ContentKind, manifest: Manifest, provenance: Provenance): Promise<void> {
    const { digest, bytes, mediaType } = manifest;
    const { access } = provenance;
    const record = await records.find(digest);
    const isKept =
      manifests.has(digest) &&
      record !== undefined &&
      isRecordFor(record, access) &&
      record.mediaType === mediaType &&
      (record.kind === kind || kind === 'manifest');
    if (isKept) return inventory.use(digest, bytes.length);
    const isWritten = await attempt(bytes.length, async () => {
      await records.add(digest, kind, mediaType, provenance);
      await writeAtomically(layout, layout.blob(digest), bytes, { durable: kind === 'derived' });
    });
    if (isWritten) {
      unwritten.delete(digest);
      manifests.set(digest, { bytes, mediaType });
      inventory.use(digest, bytes.length);
      imageIndex.touch();
      if (kind === 'manifest') void inventory.makeRoom();
      return;
    }
    const partitions = new Set(unwritten.get(digest)?.partitions).add(partitionKey(access));
    unwritten.set(digest, { bytes, mediaType, partitions });
  }

  async function readManifest(digest: Digest, record: ContentRecord): Promise<KnownManifest | undefined> {
    const { mediaType } = record;
    const content = mediaType === undefined ? undefined : await files.open(digest);
    if (!content || mediaType === undefined) return undefined;
    try {
      if (content.sizeBytes > MANIFEST_MAX_BYTES) return undefined;
      await content.check(0, content.sizeBytes);
      const bytes = Buffer.allocUnsafeSlow(content.sizeBytes);
      const isWhole = (await readAt(content.fd, bytes, bytes.length, 0)) === bytes.length;
      return isWhole ? { bytes, mediaType } : undefined;
    } catch (error) {
      if (error instanceof SpoiltContentError) await files.drop(digest);
      else trouble.report(error as Error);
      return undefined;
    } finally {
      content.close();
    }
  }

  async function manifest(digest: Digest): Promise<HeldManifest | undefined> {
    const refused = unwritten.get(digest);
    if (refused) {
      const { bytes, mediaType, partitions } = refused;
      return { bytes, mediaType, isFor: (access) => partitions.has(partitionKey(access)) };
    }
    const record = await records.find(digest);
    if (!record) return undefined;
    const known = manifests.get(digest) ?? (await readManifest(digest, record));
    if (!known) return undefined;
    manifests.set(digest, known);
    inventory.use(digest, known.bytes.length);
    return { ...known, isFor: (access) => isRecordFor(record, access) };
  }

  async function blob(digest: Digest): Promise<HeldBlob | undefined> {
    const record = await records.find(digest);
    const content = record && (await files.open(digest));
    if (!record || !content) return undefined;
    inventory.use(digest, content.sizeBytes);
    const unpin = inventory.pin(digest);
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
          await copyFile(content.fd, sink, range, pool, content.check);
        } catch (error) {
          if (error instanceof SpoiltContentError) await files.drop(digest);
          throw error;
        } finally {
          leave();
        }
      },
      close: leave,
    };
  }

  async function intake(
    digest: Digest,
    sizeBytes: number | undefined,
    provenance: Provenance,
  ): Promise<Intake> {
    if ((sizeBytes ?? 0) > maxBytes) return checkOnlyIntake(digest);
    const release = inventory.reserve(sizeBytes ?? 0);
    void inventory.makeRoom();
    let opened: Intake | undefined;
    const isOpen = await attempt(sizeBytes ?? 0, async () => {
      opened = await openIntake({
        digest,
        sizeBytes,
        maxBytes,
        hasher,
        incoming: layout.incoming,
        path: layout.blob(digest),
        pool,
        onRefused: async (error) => {
          return (await mayRetry(error, sizeBytes ?? 1024 * 1024)) || refuse(error);
        },
        beforeHeld: async (sums) => {
          await records.add(digest, 'blob', undefined, provenance);
          await keepSums(layout, digest, sums);
        },
        onHeld: (fd, heldBytes) => {
          files.trust(digest, fd);
          release();
          inventory.use(digest, heldBytes);
          trouble.over();
          void inventory.makeRoom();
        },
        onClosed: release,
      });
    });
    if (isOpen && opened) return opened;
    release();
    return checkOnlyIntake(digest);
  }

  return {
    manifest,
    blob,
    intake,
    get heldBytes() {
      return inventory.heldBytes;
    },
    keepManifest: (found, provenance) => keep('manifest', found, provenance),
    grant: async (digest, provenance) => {
      const record = await records.find(digest);
      if (!record) return;
      await attempt(0, () => records.add(digest, record.kind, record.mediaType, provenance));
    },
    tag: (repository, tag) => tags.find(repository, tag),
    keepTag: async (repository, tag, record) => {
      await attempt(0, () => tags.put(repository, tag, record));
      imageIndex.touch();
    },
    derived: {
      keep: (repository, answer, access) => keep('derived', answer, { repository, access }),
      find: async (_repository, digest, access) => {
        const held = await manifest(digest);
        if (!held?.isFor(access)) return undefined;
        const { bytes, mediaType } = held;
        return { digest, bytes, mediaType, maxAgeMs: Number.POSITIVE_INFINITY };
      },
    },
    stock: createStock({
      layout,
      records,
      tags,
      inventory,
      files,
      imageIndex,
      now,
      forget,
      hasDigest: hasher.hasDigest,
    }),
    close: async () => {
      files.closeIdle();
      await imageIndex.flush();
      await hasher.close();
    },
  };
}
