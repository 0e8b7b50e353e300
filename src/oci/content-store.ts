import type { Writable } from 'node:stream';
import type { Digest } from './digest.ts';
import type { ByteRange } from './range.ts';
import type { Repository, Tag } from './reference.ts';
import type { Access, Manifest } from './registry.ts';

/** Where held content came from and for whom it was fetched. */
export interface Provenance {
  readonly repository: Repository;
  readonly access: Access | undefined;
}

/** A manifest that is held; its bytes have been checked against the digest since the store was opened. */
export interface StoredManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** For how long it has been held, in milliseconds. */
  readonly ageMs: number;
  /** Was it fetched for this access, or granted to it since? To a login of the client's own, from this very repository. */
  isVisibleTo(access: Access | undefined, repository: Repository): boolean;
  /** Did this repository deliver it? Only then does its registry's word count for who may see it. */
  isFrom(repository: Repository): boolean;
}

/** Held bytes turned out not to be those that were verified; those before `position` were right, and have been written. */
export class CorruptContentError extends Error {
  override readonly name = 'CorruptContentError';
  /** In the whole content, in bytes. */
  readonly position: number;

  constructor(position: number) {
    super(`stored content is corrupt from byte ${position}`);
    this.position = position;
  }
}

/** A blob that is held, opened and pinned: it cannot be evicted before `close`. */
export interface StoredBlob {
  readonly sizeBytes: number;
  readonly ageMs: number;
  /** As of a manifest. */
  isVisibleTo(access: Access | undefined, repository: Repository): boolean;
  isFrom(repository: Repository): boolean;
  /**
   * Writes these bytes with backpressure; rejects when the file fails or the sink is destroyed, and with a
   * {@link CorruptContentError} when the bytes are wrong. Does not end the sink.
   */
  writeTo(sink: Writable, range: ByteRange): Promise<void>;
  close(): void;
}

/**
 * A blob on its way into the store: a file that grows at one end and is read behind it. When the disk refuses to take
 * more, the ingest goes on without it: `write` then answers false, and the bytes are only checked.
 */
export interface Ingest {
  /** Bytes that can be read back with `writeTo`. */
  readonly storedBytes: number;
  /** Takes the next bytes; true when they can be read back. The chunks are the caller's again once this resolves. */
  write(...chunks: readonly Buffer[]): Promise<boolean>;
  /** Writes stored bytes to a reader; several may read at once. */
  writeTo(sink: Writable, range: ByteRange): Promise<void>;
  /** Do the bytes written have the digest? To be asked once, after the last. */
  verify(): Promise<boolean>;
  /** Puts verified bytes into the store, durably; does nothing when the disk refused some of them. */
  commit(): Promise<void>;
  /** Lets go of it: what was not put into the store is gone. No read may begin after this. */
  close(): void;
}

/** What a tag pointed to when the upstream was last asked. */
export interface TagRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

/**
 * Content by digest that outlives the process. Nothing here rejects because of the disk: what cannot be kept is not
 * kept, what cannot be read or is not what its digest says is not held.
 */
export interface ContentStore {
  manifest(digest: Digest): Promise<StoredManifest | undefined>;
  keepManifest(manifest: Manifest, provenance: Provenance): Promise<void>;
  blob(digest: Digest): Promise<StoredBlob | undefined>;
  /** Opens an ingest for a blob of this size, in bytes, where that is known; one without a file when the disk refuses. */
  ingest(digest: Digest, sizeBytes: number | undefined, provenance: Provenance): Promise<Ingest>;
  /** Lets this access see stored content as well. */
  grant(digest: Digest, provenance: Provenance): Promise<void>;
  /** The repository's registry has refused this access: what it granted to it before counts no more. */
  revoke(provenance: Provenance): void;
  tag(repository: Repository, tag: Tag): Promise<TagRecord | undefined>;
  /** The tags of a repository that were served, restarts included; those served last first. */
  tagsOf(repository: Repository): Promise<readonly Tag[]>;
  /** Remembers where a tag points; undefined forgets it. */
  keepTag(repository: Repository, tag: Tag, record: TagRecord | undefined): Promise<void>;
}

/**
 * Answers of our own making, by digest. Whatever a HEAD announced, a GET by digest must deliver: `keep` resolves only
 * when the answer would survive a restart (or, on a full disk, is at least held in memory), and is called before the
 * digest is announced.
 */
export interface DerivedAnswers {
  keep(repository: Repository, answer: Manifest, access?: Access): Promise<void>;
  find(repository: Repository, digest: Digest, access?: Access): Promise<Manifest | undefined>;
}
