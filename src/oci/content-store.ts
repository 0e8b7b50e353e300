import type { Writable } from 'node:stream';
import type { LentBytes } from '../lib/writable.ts';
import type { Digest } from './digest.ts';
import type { ByteRange } from './range.ts';
import type { Repository, Tag } from './reference.ts';
import type { Access, Manifest } from './registry.ts';

/** Where stored content came from, and for whom it was fetched. */
export interface Provenance {
  readonly repository: Repository;
  readonly access: Access | undefined;
}

/** A stored manifest; the store has checked its bytes against the digest since it was opened. */
export interface StoredManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** For how long the store has had it, in milliseconds. */
  readonly ageMs: number;
  /**
   * True when it was fetched for this access, or granted to it since; for a client's own login, from this very
   * repository.
   */
  isVisibleTo(access: Access | undefined, repository: Repository): boolean;
  /** True when this repository delivered it: only then may its registry decide who may see it. */
  isFrom(repository: Repository): boolean;
}

/** Stored bytes differ from those that were verified; the bytes before `position` were right and have been written. */
export class CorruptContentError extends Error {
  override readonly name = 'CorruptContentError';
  /** Position in the whole content, in bytes. */
  readonly position: number;

  constructor(position: number) {
    super(`stored content is corrupt from byte ${position}`);
    this.position = position;
  }
}

/** The largest part of a blob that is read into memory before its answer begins, in bytes: a configuration, a lazy reader's range. */
export const SMALL_PART_BYTES = 64 * 1024;

/** A stored blob, opened and pinned: it cannot be evicted before `close`. */
export interface StoredBlob {
  readonly sizeBytes: number;
  readonly ageMs: number;
  /** Its registry has just confirmed it: `ageMs` is 0. @see https://www.rfc-editor.org/rfc/rfc9111#section-5.1 */
  confirm(): void;
  /** As for a manifest. */
  isVisibleTo(access: Access | undefined, repository: Repository): boolean;
  isFrom(repository: Repository): boolean;
  /**
   * Writes these bytes with backpressure. Rejects when the file fails or the sink is destroyed, and with a {@link
   * CorruptContentError} when the bytes are wrong. Does not end the sink.
   */
  writeTo(sink: Writable, range: ByteRange): Promise<void>;
  /**
   * Reads a part of at most {@link SMALL_PART_BYTES}. Undefined when the bytes are wrong or cannot be read: ask for the blob
   * again.
   */
  read(range: ByteRange): Promise<LentBytes | undefined>;
  close(): void;
}

/**
 * A blob on its way into the store: a file that grows at one end and is read behind it. When the disk refuses to take
 * more, the ingest continues without the file: `write` then answers false, and the bytes are only verified.
 */
export interface Ingest {
  /** How many bytes `writeTo` can read back. */
  readonly storedBytes: number;
  /**
   * Takes the next bytes; true when they can be read back. The chunks belong to the caller again once this resolves.
   */
  write(...chunks: readonly Buffer[]): Promise<boolean>;
  /** Writes stored bytes to a reader; several readers may read at once. */
  writeTo(sink: Writable, range: ByteRange): Promise<void>;
  /** True when the written bytes have the digest. Call it once, after the last write. */
  verify(): Promise<boolean>;
  /** Commits verified bytes to the store, durably; does nothing when the disk refused some of them. */
  commit(): Promise<void>;
  /** Closes it; bytes that were not committed are lost. No read may begin after this. */
  close(): void;
}

/** What a tag pointed to when upstream was last asked. */
export interface TagRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

/**
 * Content by digest that outlives the process. Nothing here rejects because of the disk: content that cannot be written
 * is not stored, and content that cannot be read, or is corrupt, counts as absent.
 */
export interface ContentStore {
  manifest(digest: Digest): Promise<StoredManifest | undefined>;
  keepManifest(manifest: Manifest, provenance: Provenance): Promise<void>;
  blob(digest: Digest): Promise<StoredBlob | undefined>;
  /** The same at once; undefined also when it would have to be opened, or anything else waited for. */
  openBlob(digest: Digest): StoredBlob | undefined;
  /** Opens an ingest for a blob of this size in bytes, if known; without a file when the disk refuses. */
  ingest(digest: Digest, sizeBytes: number | undefined, provenance: Provenance): Promise<Ingest>;
  /** Lets this access see stored content too. */
  grant(digest: Digest, provenance: Provenance): Promise<void>;
  /** The repository's registry refused this access: what the registry granted to it before counts no more. */
  revoke(provenance: Provenance): void;
  tag(repository: Repository, tag: Tag): Promise<TagRecord | undefined>;
  /** The tags of a repository that were served, before a restart too; the most recent first. */
  tagsOf(repository: Repository): Promise<readonly Tag[]>;
  /** Stores where a tag points; undefined removes the record. */
  keepTag(repository: Repository, tag: Tag, record: TagRecord | undefined): Promise<void>;
}

/**
 * Derived answers, by digest. A GET by digest must deliver what a HEAD announced: `keep` resolves only when the answer
 * would survive a restart (on a full disk: is at least in memory), and is called before the digest is announced.
 */
export interface DerivedAnswers {
  keep(repository: Repository, answer: Manifest, access?: Access): Promise<void>;
  find(repository: Repository, digest: Digest, access?: Access): Promise<Manifest | undefined>;
}
