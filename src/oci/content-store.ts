import type { Writable } from 'node:stream';
import type { LentBytes } from '../lib/writable.ts';
import type { Digest } from './digest.ts';
import type { ByteRange } from './range.ts';
import type { Repository, Tag } from './reference.ts';
import type { Access, Manifest } from './registry.ts';

/** The repository that content came from, and the access it was fetched for. */
export interface Provenance {
  readonly repository: Repository;
  readonly access: Access | undefined;
}

/** A stored manifest. Its bytes have been verified. */
export interface StoredManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** How long ago its registry last delivered it, in milliseconds. */
  readonly ageMs: number;
  /**
   * True when it was fetched for this access or granted to it later; for a client's own login, in this same
   * repository.
   */
  isVisibleTo(access: Access | undefined, repository: Repository): boolean;
  /** True when this repository delivered it. Only then may its registry decide who may see it. */
  isFrom(repository: Repository): boolean;
}

/** Stored bytes differ from the verified ones. The bytes before `position` were right and have been written. */
export class CorruptContentError extends Error {
  override readonly name = 'CorruptContentError';
  /** The offset in the whole content, in bytes. */
  readonly position: number;

  constructor(position: number) {
    super(`stored content is corrupt from byte ${position}`);
    this.position = position;
  }
}

/**
 * Limit of the part of a blob that is read before the answer begins: a configuration, a lazy reader's range. In
 * bytes.
 */
export const SMALL_PART_BYTES = 64 * 1024;

/** A stored blob, open and pinned: it is not evicted before `close`. */
export interface StoredBlob {
  readonly sizeBytes: number;
  readonly ageMs: number;
  /**
   * Sets `ageMs` to 0, because its registry has confirmed it. @see
   * https://www.rfc-editor.org/rfc/rfc9111#section-5.1
   */
  confirm(): void;
  /** As for a {@link StoredManifest}. */
  isVisibleTo(access: Access | undefined, repository: Repository): boolean;
  isFrom(repository: Repository): boolean;
  /**
   * Writes this range with backpressure, and does not end the sink. Rejects when the file fails or the sink is
   * destroyed; with a {@link CorruptContentError} when the bytes are wrong.
   */
  writeTo(sink: Writable, range: ByteRange): Promise<void>;
  /**
   * Reads at most {@link SMALL_PART_BYTES}. Undefined when the bytes are wrong or cannot be read: request the blob
   * again.
   */
  read(range: ByteRange): Promise<LentBytes | undefined>;
  close(): void;
}

/**
 * A blob on its way into the store: a file that grows at its end and is read behind it. When the disk fails, the
 * ingest continues without the file: `write` then resolves with false, and the bytes are only verified.
 */
export interface Ingest {
  /** How many bytes `writeTo` can read. */
  readonly storedBytes: number;
  /**
   * Takes the next bytes. Resolves with true when they can be read back; then the chunks belong to the caller
   * again.
   */
  write(...chunks: readonly Buffer[]): Promise<boolean>;
  /** Writes stored bytes to a reader. Several readers may read at once. */
  writeTo(sink: Writable, range: ByteRange): Promise<void>;
  /** Compares the digest of the written bytes. Call it once, after the last write. */
  verify(): Promise<boolean>;
  /** Commits verified bytes to the store and syncs them. Does nothing when some bytes could not be written. */
  commit(): Promise<void>;
  /** Closes the ingest. Uncommitted bytes are lost. No new read may begin after this. */
  close(): void;
}

/** Where a tag pointed in upstream's last answer. */
export interface TagRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

/**
 * Stored content by digest, which survives the process. Nothing here rejects because of the disk: what cannot be
 * written is not stored, and what cannot be read or is corrupt counts as absent.
 */
export interface ContentStore {
  manifest(digest: Digest): Promise<StoredManifest | undefined>;
  keepManifest(manifest: Manifest, provenance: Provenance): Promise<void>;
  blob(digest: Digest): Promise<StoredBlob | undefined>;
  /** As `blob`, but without waiting. Undefined also when the blob would have to be opened first. */
  openBlob(digest: Digest): StoredBlob | undefined;
  /** Opens an ingest for a blob of this size in bytes, if known. When the disk fails, it has no file. */
  ingest(digest: Digest, sizeBytes: number | undefined, provenance: Provenance): Promise<Ingest>;
  /** Also lets this access see stored content. */
  grant(digest: Digest, provenance: Provenance): Promise<void>;
  /** The repository's registry refused this access, so its earlier grants no longer count. */
  revoke(provenance: Provenance): void;
  tag(repository: Repository, tag: Tag): Promise<TagRecord | undefined>;
  /** The tags of a repository that were served, those before a restart included; the most recent first. */
  tagsOf(repository: Repository): Promise<readonly Tag[]>;
  /** Stores where a tag points. Undefined removes the record. */
  keepTag(repository: Repository, tag: Tag, record: TagRecord | undefined): Promise<void>;
}

/**
 * Derived answers by digest. A GET by digest must deliver what a HEAD has announced, so `keep` is called before the
 * digest is announced, and resolves when the answer is on disk (on a full disk: in memory).
 */
export interface DerivedAnswers {
  keep(repository: Repository, answer: Manifest, access?: Access): Promise<void>;
  find(repository: Repository, digest: Digest, access?: Access): Promise<Manifest | undefined>;
}
