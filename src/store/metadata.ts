import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { writeAtomically } from '../lib/atomic-file.ts';
import { entriesAtMost } from '../lib/lru.ts';
import { SerialQueue } from '../lib/queue.ts';
import type { Provenance } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { formatRepository } from '../oci/reference.ts';
import { type Access, hasOwnLogin } from '../oci/registry.ts';
import type { Layout } from './layout.ts';

/** Derived answers and manifests are few and small, and every pull begins with them: they are evicted last. */
export type ContentKind = 'blob' | 'manifest' | 'derived';

/** What is known about content besides its bytes. */
export interface ContentRecord {
  readonly kind: ContentKind;
  readonly mediaType: string | undefined;
  /** The repositories that delivered it, the first one first: `docker.io/library/alpine`. */
  readonly origins: readonly string[];
  /** The keys ({@link partitionKey}) of the partitions that may see it. Never those of a client's own login. */
  readonly partitions: readonly string[];
}

/**
 * Limit of records in memory, in bytes: about 20,000 records. Not the LRU cache's `max`, which allocates for
 * all of them at the start.
 */
const RECORDS_IN_MEMORY_BYTES = 6_000_000;
const RECORD_BYTES = 250;
const PARTITION_BYTES = 50;
const OWN_PARTITION = 'own';
/**
 * Partitions that may see one content. Beyond this the oldest is dropped; the registry is asked for it again.
 */
const PARTITIONS_MAX = 1000;
/** Repositories that delivered one content. Beyond this the oldest one except the first is dropped. */
const ORIGINS_MAX = 100;

/** The key of a partition on disk. It is a hash, because a partition may be derived from a credential. */
export function partitionKey(access: Access | undefined): string {
  return access === undefined
    ? OWN_PARTITION
    : createHash('sha256').update(access.partition).digest('hex').slice(0, 32);
}

function isKind(value: unknown): value is ContentKind {
  return value === 'blob' || value === 'manifest' || value === 'derived';
}

function stringsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function parseRecord(text: string): ContentRecord | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // A power loss may leave half a file. It counts as missing; the next fetch writes it again.
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { kind, mediaType, repository, origins, partitions } = json as Record<string, unknown>;
  if (!isKind(kind) || !Array.isArray(partitions)) return undefined;
  const delivered = stringsOf(origins ?? [repository]);
  if (delivered.length === 0) return undefined;
  return {
    kind,
    mediaType: typeof mediaType === 'string' ? mediaType : undefined,
    origins: delivered,
    partitions: stringsOf(partitions),
  };
}

export interface Records {
  /** The record, if it is in memory. */
  inMemory(digest: Digest): ContentRecord | undefined;
  find(digest: Digest): Promise<ContentRecord | undefined>;
  /**
   * Records a delivery: another origin or partition, or a kind of higher rank. Rejects when the write fails.
   */
  add(
    digest: Digest,
    kind: ContentKind,
    mediaType: string | undefined,
    provenance: Provenance,
  ): Promise<void>;
  /** Adds a partition to an existing record. Rejects when the write fails. */
  grant(digest: Digest, access: Access | undefined): Promise<void>;
  remove(digest: Digest): Promise<void>;
  /** Drops a record from memory because the content, and perhaps the record, is gone from disk. */
  forget(digest: Digest): void;
}

/** Content that was delivered as several kinds keeps the one of the highest rank. */
const RANK: Readonly<Record<ContentKind, number>> = { blob: 0, manifest: 1, derived: 2 };

/** Adds an item at the end. Keeps at most `max` items: the first one and the newest. */
function addTo(known: readonly string[], added: string, max: number): readonly string[] {
  const [first = added, ...others] = known.filter((one, position) => position === 0 || one !== added);
  return first === added ? [first, ...others] : [first, ...others.slice(2 - max), added];
}

function withPartition(known: readonly string[], access: Access | undefined): readonly string[] {
  return hasOwnLogin(access) ? known : addTo(known, partitionKey(access), PARTITIONS_MAX);
}

/** The record of content after another delivery. */
export function mergeRecord(
  known: ContentRecord | undefined,
  kind: ContentKind,
  mediaType: string | undefined,
  { repository, access }: Provenance,
): ContentRecord {
  return {
    kind: known === undefined || RANK[kind] > RANK[known.kind] ? kind : known.kind,
    mediaType: mediaType ?? known?.mediaType,
    origins: addTo(known?.origins ?? [], formatRepository(repository), ORIGINS_MAX),
    partitions: withPartition(known?.partitions ?? [], access),
  };
}

/** True when `b` adds nothing to `a`; the order of origins and partitions does not count. */
function isSame(a: ContentRecord, b: ContentRecord): boolean {
  return (
    a.kind === b.kind &&
    a.mediaType === b.mediaType &&
    b.origins.every((origin) => a.origins.includes(origin)) &&
    b.partitions.every((partition) => a.partitions.includes(partition))
  );
}

/** The records on disk, each read when it is first needed. */
export function createRecords(layout: Layout): Records {
  const memory = new LRUCache<Digest, ContentRecord>({
    maxSize: RECORDS_IN_MEMORY_BYTES,
    sizeCalculation: ({ partitions }) => RECORD_BYTES + partitions.length * PARTITION_BYTES,
  });
  const queue = new SerialQueue<Digest>();

  async function read(digest: Digest): Promise<ContentRecord | undefined> {
    const text = await readFile(layout.record(digest), 'utf8').catch(() => undefined);
    const record = text === undefined ? undefined : parseRecord(text);
    if (record) memory.set(digest, record);
    return record;
  }

  async function find(digest: Digest): Promise<ContentRecord | undefined> {
    return memory.get(digest) ?? (await read(digest));
  }

  /** Writes the record that `change` returns, unless it adds nothing. */
  async function update(
    digest: Digest,
    change: (known: ContentRecord | undefined) => ContentRecord | undefined,
  ): Promise<void> {
    const newsTo = (known: ContentRecord | undefined) => {
      const record = change(known);
      return record && known && isSame(known, record) ? undefined : record;
    };
    // Another process on the same store may have added to the record on disk since it was read.
    const record = newsTo(memory.get(digest)) && newsTo(await read(digest));
    if (!record) return;
    const durable = record.kind === 'derived';
    await writeAtomically(layout, layout.record(digest), Buffer.from(JSON.stringify(record)), { durable });
    memory.set(digest, record);
  }

  return {
    inMemory: (digest) => memory.get(digest),
    find,
    // One after another for each digest: two partitions that store the same content at once must both be in its
    // record.
    add: (digest, kind, mediaType, provenance) =>
      queue.run(digest, () => update(digest, (known) => mergeRecord(known, kind, mediaType, provenance))),
    grant: (digest, access) =>
      queue.run(digest, async () => {
        await find(digest);
        await update(
          digest,
          (known) => known && { ...known, partitions: withPartition(known.partitions, access) },
        );
      }),
    forget: (digest) => void memory.delete(digest),
    remove: async (digest) => {
      memory.delete(digest);
      await Promise.all(
        [layout.record(digest), layout.sums(digest)].map((path) => rm(path, { force: true })),
      );
    },
  };
}

/**
 * How long a registry's permission for a client's own login counts, in milliseconds: as long as most tokens
 * live.
 */
const GRANT_MAX_AGE_MS = 5 * 60_000;
const GRANTS_MAX = 200_000;
const REVOCATIONS_MAX = 100_000;

/**
 * A permission counts for one repository only: its content may be gone there while another repository still has
 * it.
 */
function grantKey(digest: Digest, { access, repository }: Provenance): string {
  return `${partitionKey(access)} ${formatRepository(repository)}@${digest}`;
}

/**
 * Decides who may see stored content. For requests that use the mirror's own credentials, the content's record
 * decides, permanently. For a client's own login, a permission counts for {@link GRANT_MAX_AGE_MS} and is kept
 * in memory only: the registry may revoke it, and nothing derived from a client's credential is written to
 * disk.
 */
export class Visibility {
  readonly #now: () => number;
  /** When a login was last granted access, in wall-clock milliseconds. */
  readonly #grants = new LRUCache<string, number>(entriesAtMost(GRANTS_MAX));
  /** When a registry last refused a login, in wall-clock milliseconds. */
  readonly #revoked = new LRUCache<string, number>({
    ...entriesAtMost(REVOCATIONS_MAX),
    dispose: (revokedMs, _login, reason) => {
      if (reason === 'evict') this.#forgottenMs = Math.max(this.#forgottenMs, revokedMs);
    },
  });
  /** The latest refusal that `#revoked` has forgotten. Grants up to then no longer count, of any login. */
  #forgottenMs = Number.NEGATIVE_INFINITY;

  constructor(now: () => number) {
    this.#now = now;
  }

  includes(
    digest: Digest,
    record: Pick<ContentRecord, 'partitions'>,
    { access, repository }: Provenance,
  ): boolean {
    const partition = partitionKey(access);
    if (!hasOwnLogin(access)) return record.partitions.includes(partition);
    const grantedMs = this.#grants.get(grantKey(digest, { access, repository }));
    if (grantedMs === undefined) return false;
    const ageMs = this.#now() - grantedMs;
    // A clock that was set back must not prolong a grant.
    if (ageMs < 0 || ageMs >= GRANT_MAX_AGE_MS) return false;
    const revokedMs = this.#revoked.get(`${partition} ${repository.host}`) ?? Number.NEGATIVE_INFINITY;
    return Math.max(revokedMs, this.#forgottenMs) < grantedMs;
  }

  /** Records that the repository's registry let this login see the content. */
  grant(digest: Digest, provenance: Provenance): void {
    if (hasOwnLogin(provenance.access)) this.#grants.set(grantKey(digest, provenance), this.#now());
  }

  /** Records that the repository's registry refused this login: earlier permissions no longer count. */
  revoke({ repository, access }: Provenance): void {
    if (hasOwnLogin(access)) this.#revoked.set(`${partitionKey(access)} ${repository.host}`, this.#now());
  }
}
