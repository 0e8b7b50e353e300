import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { writeAtomically } from '../lib/atomic-file.ts';
import type { Provenance } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { formatRepository } from '../oci/reference.ts';
import type { Access } from '../oci/registry.ts';
import type { Layout } from './layout.ts';

/** Derived answers and manifests are few and small and what a pull begins with: they are evicted last. */
export type ContentKind = 'blob' | 'manifest' | 'derived';

/** What the bytes themselves cannot tell. */
export interface ContentRecord {
  readonly kind: ContentKind;
  readonly mediaType: string | undefined;
  /** `docker.io/library/alpine`, whence it came first. */
  readonly repository: string;
  /** Keys of the partitions that may see it, see {@link partitionKey}. */
  readonly partitions: readonly string[];
}

/** Records kept in memory, in bytes: some 20,000 of them. Not a number of them, for which room is made at the start. */
const RECORDS_IN_MEMORY_BYTES = 6_000_000;
const RECORD_BYTES = 250;
const PARTITION_BYTES = 50;
const OWN_PARTITION = 'own';
/** Eyes that may see one content; beyond, the oldest grant is given up and would be asked for again. */
const PARTITIONS_MAX = 1000;

/** What stands for a partition on disk: hashed, because it may be made from a credential. */
export function partitionKey(access: Access | undefined): string {
  return access === undefined
    ? OWN_PARTITION
    : createHash('sha256').update(access.partition).digest('hex').slice(0, 32);
}

function isKind(value: unknown): value is ContentKind {
  return value === 'blob' || value === 'manifest' || value === 'derived';
}

function parseRecord(text: string): ContentRecord | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Half written before a loss of power: as good as none, and the next fetch writes it anew.
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { kind, mediaType, repository, partitions } = json as Record<string, unknown>;
  if (!isKind(kind) || typeof repository !== 'string' || !Array.isArray(partitions)) return undefined;
  return {
    kind,
    mediaType: typeof mediaType === 'string' ? mediaType : undefined,
    repository,
    partitions: partitions.filter((partition) => typeof partition === 'string'),
  };
}

export interface Records {
  find(digest: Digest): Promise<ContentRecord | undefined>;
  /** Adds to what is recorded: a further partition, or a kind that counts for more. Rejects when the disk refuses. */
  add(
    digest: Digest,
    kind: ContentKind,
    mediaType: string | undefined,
    provenance: Provenance,
  ): Promise<void>;
  remove(digest: Digest): Promise<void>;
  /** Its content is gone, and maybe the record too: what is remembered of it says nothing any more. */
  forget(digest: Digest): void;
}

/** What content counts as when it came in several ways. */
const RANK: Readonly<Record<ContentKind, number>> = { blob: 0, manifest: 1, derived: 2 };

function merge(
  known: ContentRecord | undefined,
  kind: ContentKind,
  mediaType: string | undefined,
  { repository, access }: Provenance,
): ContentRecord {
  const partition = partitionKey(access);
  const others = (known?.partitions ?? []).filter((other) => other !== partition);
  return {
    kind: known === undefined || RANK[kind] > RANK[known.kind] ? kind : known.kind,
    mediaType: mediaType ?? known?.mediaType,
    repository: known?.repository ?? formatRepository(repository),
    partitions: [...others.slice(1 - PARTITIONS_MAX), partition],
  };
}

/** Does it say the same, in whatever order its partitions came? */
function isSame(a: ContentRecord, b: ContentRecord): boolean {
  return (
    a.kind === b.kind &&
    a.mediaType === b.mediaType &&
    b.partitions.every((partition) => a.partitions.includes(partition))
  );
}

/** May this access see the content? */
export function visibleTo(record: ContentRecord, access: Access | undefined): boolean {
  return record.partitions.includes(partitionKey(access));
}

/** The records on disk, read when first asked for. */
export function createRecords(layout: Layout): Records {
  const memory = new LRUCache<Digest, ContentRecord>({
    maxSize: RECORDS_IN_MEMORY_BYTES,
    sizeCalculation: ({ partitions }) => RECORD_BYTES + partitions.length * PARTITION_BYTES,
  });
  const adding = new Map<Digest, Promise<void>>();

  async function read(digest: Digest): Promise<ContentRecord | undefined> {
    const text = await readFile(layout.record(digest), 'utf8').catch(() => undefined);
    const record = text === undefined ? undefined : parseRecord(text);
    if (record) memory.set(digest, record);
    return record;
  }

  async function find(digest: Digest): Promise<ContentRecord | undefined> {
    return memory.get(digest) ?? (await read(digest));
  }

  async function addNow(
    digest: Digest,
    kind: ContentKind,
    mediaType: string | undefined,
    provenance: Provenance,
  ): Promise<void> {
    const newsTo = (known: ContentRecord | undefined) => {
      const record = merge(known, kind, mediaType, provenance);
      return known && isSame(known, record) ? undefined : record;
    };
    // On disk there may be more than is remembered: another daemon adds to it too.
    const record = newsTo(memory.get(digest)) && newsTo(await read(digest));
    if (!record) return;
    const durable = kind === 'derived';
    await writeAtomically(layout, layout.record(digest), Buffer.from(JSON.stringify(record)), { durable });
    memory.set(digest, record);
  }

  return {
    find,
    // In turn for each digest: two partitions that keep the same content at once must both end up in its record.
    add: (digest, kind, mediaType, provenance) => {
      const before = adding.get(digest) ?? Promise.resolve();
      const turn = before
        .catch(() => {
          // Told to the one whose turn it was.
        })
        .then(() => addNow(digest, kind, mediaType, provenance))
        .finally(() => {
          if (adding.get(digest) === turn) adding.delete(digest);
        });
      adding.set(digest, turn);
      return turn;
    },
    forget: (digest) => void memory.delete(digest),
    remove: async (digest) => {
      memory.delete(digest);
      await Promise.all(
        [layout.record(digest), layout.sums(digest)].map((path) => rm(path, { force: true })),
      );
    },
  };
}
