import type { Writable } from 'node:stream';
import { createCondition } from '../lib/queue.ts';
import { watchSink } from '../lib/writable.ts';
import type { Ingest } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BlobContent } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { createBatchSink, MemoryPart } from './memory-part.ts';

export interface BlobDownloadOptions {
  readonly digest: Digest;
  /** `docker.io/library/alpine@sha256:…`, for messages. */
  readonly name: string;
  /** The upstream's bytes, not verified; the ingest verifies them. */
  readonly content: BlobContent;
  readonly ingest: Ingest;
  /** How long the download continues without a reader, in milliseconds: a runtime may reconnect. */
  readonly lingerMs: number;
}

/**
 * Readers get nothing of a blob up to this size before its digest is verified. A blob of unknown length counts by
 * what has arrived.
 */
const SMALL_BYTES = 1024 * 1024;

/** One client, with the first byte that it still needs. */
interface Reader {
  position: number;
}

/**
 * The download of one blob into the store, followed by any number of readers. It starts with the first reader. No
 * reader gets the last byte before the digest is verified, so a wrong blob never looks complete.
 *
 * A reader that keeps up takes the bytes from memory while they are written to disk. A reader that is behind, or
 * comes late, reads the file until it has caught up. So no reader slows the download down or makes its memory grow.
 */
export class BlobDownload {
  /** Resolves at the end: with the error that ended the download; undefined when it was committed or cancelled. */
  readonly finished: Promise<Error | undefined>;
  #resolveFinished: (failure: Error | undefined) => void = () => {};

  readonly #options: BlobDownloadOptions;
  readonly #readers = new Set<Reader>();
  /** Notified of every change that a reader or the writer waits for. */
  readonly #changed = createCondition();
  /** Receives the upstream's bytes while the download runs. */
  #sink: Writable | undefined;
  #receivedBytes = 0;
  /** The running write to the store. */
  #storing: Promise<void> = Promise.resolve();
  /** The batch that is being written to the store. */
  #arriving: MemoryPart | undefined;
  /** Bytes that could not be written. Readers get them from memory, and the download waits for the slowest reader. */
  #unstored: MemoryPart | undefined;
  /** The last one of the bytes that could not be written, withheld until the digest is verified. */
  #heldBack: Buffer | undefined;
  #isVerified = false;
  #isFinished = false;
  #isCancelled = false;
  #failure: Error | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(options: BlobDownloadOptions) {
    this.#options = options;
    this.finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
    this.#startLinger();
  }

  /** The size that upstream announced, or, once the bytes are verified, their number. */
  get sizeBytes(): number | undefined {
    return this.#options.content.sizeBytes ?? this.verifiedSizeBytes;
  }

  /** The size of the verified bytes; undefined before. */
  get verifiedSizeBytes(): number | undefined {
    return this.#isVerified ? this.#receivedBytes : undefined;
  }

  /** True when it accepts no new reader, because it has ended or is about to. */
  get isOver(): boolean {
    return this.#isFinished || this.#failure !== undefined;
  }

  /** How many bytes from the start a reader gets without waiting. */
  get availableBytes(): number {
    const { storedBytes } = this.#options.ingest;
    if (this.#isVerified) return storedBytes;
    // After a failed write a small blob is not withheld: what its readers do not take at once is lost.
    if (this.#isSmall && this.#unstored === undefined) return 0;
    return Math.max(0, Math.min(storedBytes, (this.sizeBytes ?? this.#receivedBytes) - 1));
  }

  /**
   * A small blob is withheld until it is verified: a runtime that keeps a part of a wrong one would resume it
   * forever.
   */
  get #isSmall(): boolean {
    return (this.sizeBytes ?? this.#receivedBytes) <= SMALL_BYTES;
  }

  /** True when a new reader can get this range, because all of it is on disk or still to come. */
  canServe(range: ByteRange | undefined): boolean {
    if (this.isOver) return false;
    return this.#unstored === undefined || (range?.end ?? Number.POSITIVE_INFINITY) <= this.availableBytes;
  }

  /** Adds a reader of a range; without one, of everything. */
  open(range: ByteRange | undefined): BlobContent {
    const reader: Reader = { position: range?.start ?? 0 };
    this.#readers.add(reader);
    clearTimeout(this.#linger);
    this.#start();
    return {
      kind: 'content',
      digest: this.#options.digest,
      sizeBytes: this.sizeBytes,
      range,
      cancel: () => this.#leave(reader),
      writeTo: (target) => this.#serve(reader, range, target).finally(() => this.#leave(reader)),
    };
  }

  /** Cancels the download, unless its bytes are verified: then only the commit is left. */
  cancel(): void {
    if (this.#isFinished || this.#isVerified) return;
    this.#isCancelled = this.#failure === undefined;
    this.#failure ??= new RegistryError(
      'UNAVAILABLE',
      `the download of ${this.#options.name} was cancelled: no client waits for it`,
    );
    if (this.#sink) {
      this.#letGoOfArriving();
      this.#sink.destroy(this.#failure);
      this.#changed.notifyAll();
    } else {
      this.#options.content.cancel();
      void this.#finish();
    }
  }

  #start(): void {
    if (this.#sink) return;
    this.#sink = createBatchSink({
      receive: (chunks) => {
        this.#storing = this.#receive(chunks);
        return this.#storing;
      },
      isComplete: () => this.sizeBytes === undefined || this.#receivedBytes === this.sizeBytes,
    });
    // The upstream's `writeTo` rejects with the same error.
    this.#sink.on('error', () => {});
    void this.#run(this.#sink);
  }

  async #run(sink: Writable): Promise<void> {
    const { content, ingest } = this.#options;
    try {
      await content.writeTo(sink);
      this.#checkSize();
      await this.#verify();
      if (this.#heldBack) await this.#passOn(this.#receivedBytes - 1, this.#heldBack);
      await ingest.commit();
    } catch (error) {
      this.#failure = error as Error;
      this.#changed.notifyAll();
    } finally {
      this.#letGoOfArriving();
      sink.destroy();
      // The file must not be closed during a write. If that write fails, `writeTo` has failed with the same error.
      await Promise.allSettled([this.#storing]);
      await this.#finish();
    }
  }

  async #receive(chunks: readonly Buffer[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const start = this.#receivedBytes;
    for (const { length } of chunks) this.#receivedBytes += length;
    if (this.sizeBytes !== undefined && this.#receivedBytes > this.sizeBytes) {
      throw new RegistryError('UNAVAILABLE', `${this.#options.name} is longer than announced`);
    }
    this.#arriving = new MemoryPart(start, chunks);
    this.#changed.notifyAll();
    try {
      if (await this.#options.ingest.write(...chunks)) this.#changed.notifyAll();
      else await this.#passOnAllButLast(start, chunks);
    } finally {
      this.#letGoOfArriving();
    }
  }

  /** Returns the chunks to the upstream. */
  #letGoOfArriving(): void {
    this.#arriving?.letGo();
    this.#arriving = undefined;
  }

  /** Passes bytes that could not be written to the readers, except the last byte, which waits for the digest. */
  async #passOnAllButLast(start: number, chunks: readonly Buffer[]): Promise<void> {
    const before = this.#heldBack ?? Buffer.alloc(0);
    const bytes = Buffer.concat([before, ...chunks]);
    this.#heldBack = Buffer.from(bytes.subarray(-1));
    await this.#passOn(start - before.length, bytes.subarray(0, -1));
  }

  /** Offers bytes to all current readers. Resolves when each of them has taken them or has left. */
  async #passOn(start: number, bytes: Buffer): Promise<void> {
    const part = new MemoryPart(start, [bytes]);
    this.#unstored = part;
    this.#changed.notifyAll();
    const isBehind = ({ position }: Reader) => position < part.end;
    while (this.#failure === undefined && [...this.#readers].some(isBehind)) await this.#changed.wait();
  }

  #checkSize(): void {
    if (this.sizeBytes === undefined || this.#receivedBytes === this.sizeBytes) return;
    const progress = `byte ${this.#receivedBytes} of ${this.sizeBytes}`;
    throw new RegistryError('UNAVAILABLE', `${this.#options.name} ended at ${progress}`);
  }

  async #verify(): Promise<void> {
    const { content, ingest, name } = this.#options;
    if (!(await ingest.verify())) {
      content.distrust?.();
      throw new RegistryError('UNAVAILABLE', `the upstream's bytes for ${name} do not have that digest`);
    }
    this.#isVerified = true;
    this.#changed.notifyAll();
  }

  async #finish(): Promise<void> {
    this.#isFinished = true;
    clearTimeout(this.#linger);
    this.#changed.notifyAll();
    if (this.#readers.size === 0) await this.#options.ingest.close();
    this.#resolveFinished(this.#isCancelled ? undefined : this.#failure);
  }

  async #serve(reader: Reader, range: ByteRange | undefined, target: Writable): Promise<void> {
    const sink = watchSink(target, this.#changed.notifyAll);
    const endOf = () => range?.end ?? this.verifiedSizeBytes ?? Number.POSITIVE_INFINITY;
    try {
      while (reader.position < endOf()) {
        const reason = this.#failure ?? sink.reason;
        if (reason !== undefined) throw reason;
        // There must be no await between this check and the wait, or a notification in between would be lost.
        const writing =
          this.#writeStored(reader, endOf(), target) ??
          this.#writeArriving(reader, endOf(), target) ??
          this.#writeFrom(this.#unstored, reader, endOf(), target);
        await (writing ?? this.#changed.wait());
        if (writing && this.#unstored) this.#changed.notifyAll();
      }
    } finally {
      sink.stop();
    }
  }

  /** Writes bytes from the file. Undefined when those that this reader needs next are not stored yet. */
  #writeStored(reader: Reader, end: number, target: Writable): Promise<void> | undefined {
    const part = { start: reader.position, end: Math.min(this.availableBytes, end) };
    if (part.start >= part.end) return undefined;
    return this.#options.ingest.writeTo(target, part).then(() => {
      reader.position = part.end;
    });
  }

  /** Writes bytes that are being stored. Undefined when they are not those that this reader needs next. */
  #writeArriving(reader: Reader, end: number, target: Writable): Promise<void> | undefined {
    const part = this.#arriving;
    if (this.#isSmall || part?.mayRelay() !== true) return undefined;
    // As in the file, the last byte waits for the digest.
    return this.#writeFrom(part, reader, Math.min(end, (this.sizeBytes ?? 0) - 1), target);
  }

  /** Writes bytes of a part in memory. Undefined when they are not those that this reader needs next. */
  #writeFrom(part: MemoryPart | undefined, reader: Reader, end: number, target: Writable) {
    if (!part?.includes(reader.position) || reader.position >= end) return undefined;
    return part.writeTo(target, reader.position, end).then((position) => {
      reader.position = position;
    });
  }

  #leave(reader: Reader): void {
    if (!this.#readers.delete(reader)) return;
    this.#changed.notifyAll();
    if (this.#readers.size > 0) return;
    if (this.#isFinished) void this.#options.ingest.close();
    else this.#startLinger();
  }

  #startLinger(): void {
    this.#linger = setTimeout(() => this.cancel(), this.#options.lingerMs).unref();
  }
}
