import { Writable } from 'node:stream';
import { createCondition } from '../lib/queue.ts';
import { watchSink, writeChunk } from '../lib/writable.ts';
import type { Ingest } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BlobContent } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';

export interface BlobDownloadOptions {
  readonly digest: Digest;
  /** `docker.io/library/alpine@sha256:…`, for messages. */
  readonly name: string;
  /** The upstream's bytes, unverified: the ingest verifies them. */
  readonly content: BlobContent;
  readonly ingest: Ingest;
  /** For how long the download goes on without a reader: a runtime that lost its connection comes back. */
  readonly lingerMs: number;
}

/** Up to this size a reader gets nothing of a blob before its digest is verified. */
const SMALL_BYTES = 1024 * 1024;
/** Bytes that may wait in memory while the disk is at work, in bytes. */
const WRITE_BUFFER_BYTES = 1024 * 1024;

/** One client, and the first byte that it does not have yet. */
interface Reader {
  position: number;
}

/** Bytes that the disk refused: the readers get them from memory, and the next bytes wait for the slowest reader. */
interface UnstoredPart extends ByteRange {
  readonly bytes: Buffer;
}

const NO_BYTES = Buffer.alloc(0);

/**
 * The download of one blob into the store, which any number of readers follow. It starts with the first reader. Nobody
 * gets the last byte before the digest is verified, so a wrong blob never looks complete.
 */
export class BlobDownload {
  /** Resolves at the end: with the error that ended it, or with undefined when it was committed or cancelled. */
  readonly finished: Promise<Error | undefined>;
  #resolveFinished: (failure: Error | undefined) => void = () => {};

  readonly #options: BlobDownloadOptions;
  readonly #readers = new Set<Reader>();
  /** Notified of everything that a reader or the writer may wait for. */
  readonly #changed = createCondition();
  /** Takes the upstream's bytes while the download runs. */
  #sink: Writable | undefined;
  #receivedBytes = 0;
  /** The write to the store that is under way. */
  #storing: Promise<void> = Promise.resolve();
  #unstored: UnstoredPart | undefined;
  /** The last of the unstored bytes, held back until the digest is verified. */
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

  /** As announced by the upstream; known in any case once the bytes are verified. */
  get sizeBytes(): number | undefined {
    return this.#options.content.sizeBytes ?? this.verifiedSizeBytes;
  }

  /** Undefined until the digest is verified. */
  get verifiedSizeBytes(): number | undefined {
    return this.#isVerified ? this.#receivedBytes : undefined;
  }

  /** It serves no new reader: it is finished, or about to be. */
  get isOver(): boolean {
    return this.#isFinished || this.#failure !== undefined;
  }

  /** Bytes from the start that a reader gets without waiting. */
  get availableBytes(): number {
    const { storedBytes } = this.#options.ingest;
    if (this.#isVerified) return storedBytes;
    // A runtime that keeps a part of a wrong config or layer would resume from it for ever. Waiting costs nothing for a
    // small blob, except where the disk refuses: what readers do not take at once is gone.
    const isSmall = this.sizeBytes !== undefined && this.sizeBytes <= SMALL_BYTES;
    if (isSmall && this.#unstored === undefined) return 0;
    return Math.max(0, Math.min(storedBytes, (this.sizeBytes ?? this.#receivedBytes) - 1));
  }

  /** Can a new reader get this range? Not when the disk has refused some of its bytes. */
  canServe(range: ByteRange | undefined): boolean {
    if (this.isOver) return false;
    return this.#unstored === undefined || (range?.end ?? Number.POSITIVE_INFINITY) <= this.availableBytes;
  }

  /** Adds a reader; undefined: of everything. */
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
      writeTo: async (target) => {
        try {
          await this.#serve(reader, range, target);
        } finally {
          this.#leave(reader);
        }
      },
    };
  }

  /** Ends it, unless its bytes are verified already: what is left then is to commit them. */
  cancel(): void {
    if (this.#isFinished || this.#isVerified) return;
    this.#isCancelled = this.#failure === undefined;
    this.#failure ??= new RegistryError(
      'UNAVAILABLE',
      `the download of ${this.#options.name} was cancelled: no client waits for it`,
    );
    if (this.#sink) {
      this.#sink.destroy(this.#failure);
      this.#changed.notifyAll();
    } else {
      this.#options.content.cancel();
      void this.#finish();
    }
  }

  // The upstream's side: receive, store, verify, commit.

  #start(): void {
    if (this.#sink) return;
    this.#sink = new Writable({
      highWaterMark: WRITE_BUFFER_BYTES,
      // What arrives while the disk is at work is written at once: fewer and larger writes.
      writev: (pending: readonly { readonly chunk: Buffer }[], done) => {
        this.#storing = this.#receive(pending.map(({ chunk }) => chunk)).then(() => done(), done);
      },
    });
    this.#sink.on('error', () => {
      // The upstream's `writeTo` rejects with it.
    });
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
      sink.destroy();
      // The file must not be closed during a write to it.
      await this.#storing;
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
    if (await this.#options.ingest.write(...chunks)) this.#changed.notifyAll();
    else await this.#passOnAllButLast(start, chunks);
  }

  /** The disk refused these bytes: they go to the readers, except the last one, which waits for the digest. */
  async #passOnAllButLast(start: number, chunks: readonly Buffer[]): Promise<void> {
    const before = this.#heldBack ?? NO_BYTES;
    const bytes = Buffer.concat([before, ...chunks]);
    this.#heldBack = Buffer.from(bytes.subarray(-1));
    await this.#passOn(start - before.length, bytes.subarray(0, -1));
  }

  /** Offers bytes to every reader there is and waits until each has them or has left. */
  async #passOn(start: number, bytes: Buffer): Promise<void> {
    const end = start + bytes.length;
    this.#unstored = { start, end, bytes };
    this.#changed.notifyAll();
    const isBehind = ({ position }: Reader) => position < end;
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

  // The readers' side: each writes what is available to its client, then waits for more.

  async #serve(reader: Reader, range: ByteRange | undefined, target: Writable): Promise<void> {
    const sink = watchSink(target, this.#changed.notifyAll);
    const endOf = () => range?.end ?? this.verifiedSizeBytes ?? Number.POSITIVE_INFINITY;
    try {
      while (reader.position < endOf()) {
        const reason = this.#failure ?? sink.reason;
        if (reason !== undefined) throw reason;
        // No await between this look and the wait: a notification in between would be lost.
        const writing =
          this.#writeStored(reader, endOf(), target) ?? this.#writeUnstored(reader, endOf(), target);
        await (writing ?? this.#changed.wait());
        if (writing && this.#unstored) this.#changed.notifyAll();
      }
    } finally {
      sink.stop();
    }
  }

  /** Writes bytes that the store has; undefined when it has none that this reader needs next. */
  #writeStored(reader: Reader, end: number, target: Writable): Promise<void> | undefined {
    const { position } = reader;
    const availableEnd = Math.min(this.availableBytes, end);
    if (position >= availableEnd) return undefined;
    return this.#options.ingest.writeTo(target, { start: position, end: availableEnd }).then(() => {
      reader.position = availableEnd;
    });
  }

  /** Writes bytes that the disk refused; undefined when they are not those that this reader needs next. */
  #writeUnstored(reader: Reader, end: number, target: Writable): Promise<void> | undefined {
    const part = this.#unstored;
    if (!part || reader.position < part.start || reader.position >= part.end) return undefined;
    const bytes = part.bytes.subarray(reader.position - part.start, end - part.start);
    return writeChunk(target, bytes).then(() => {
      reader.position += bytes.length;
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
