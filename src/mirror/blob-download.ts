import { Writable } from 'node:stream';
import { createCondition } from '../lib/condition.ts';
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
  /** The upstream's bytes, unverified: the intake does that. */
  readonly content: BlobContent;
  readonly intake: Ingest;
  /** How long to go on for nobody: a runtime that lost its connection comes back. */
  readonly lingerMs: number;
}

/** A blob on its way from upstream into the store, read by any number of clients behind its growing end. */
export interface BlobDownload {
  readonly sizeBytes: number | undefined;
  /** Bytes from the start that a reader gets without waiting. */
  readonly availableBytes: number;
  /** Can somebody who comes now have this part? Not once the disk has refused bytes of it. */
  canServe(range: ByteRange | undefined): boolean;
  /** Adds a reader; undefined: of everything. */
  open(range: ByteRange | undefined): BlobContent;
  readonly isOver: boolean;
  /** Resolves when nothing more happens: with the error it failed with, or undefined when it was held or given up. */
  readonly over: Promise<Error | undefined>;
  cancel(): void;
}

/** Up to this size nothing of a blob is given out before its digest is found right. */
const SMALL_BYTES = 1024 * 1024;

interface Reader {
  position: number;
}

/** Bytes that went past the disk: given to the readers there are, and gone. */
interface Passing {
  readonly start: number;
  readonly end: number;
  readonly bytes: Buffer;
}

/**
 * Takes the content in, from the first reader on. The last byte is given to nobody before the digest is found right, so a wrong blob never
 * looks complete. When the disk refuses, the bytes go from hand to hand at the pace of the slowest reader.
 */
export function startBlobDownload({
  digest,
  name,
  content,
  intake,
  lingerMs,
}: BlobDownloadOptions): BlobDownload {
  const { sizeBytes } = content;
  const pulse = createCondition();
  let settle: (failure: Error | undefined) => void = () => {};
  const over = new Promise<Error | undefined>((resolve) => {
    settle = resolve;
  });
  const readers = new Set<Reader>();
  let receivedBytes = 0;
  let isVerified = false;
  let failure: Error | undefined;
  let passing: Passing | undefined;
  let lastByte: Buffer | undefined;
  let isOver = false;
  let isGivenUp = false;
  let running: Promise<void> | undefined;
  let taking: Promise<void> = Promise.resolve();
  let lingering: NodeJS.Timeout | undefined;

  const available = () => {
    const { storedBytes } = intake;
    if (isVerified) return storedBytes;
    // Waiting costs nothing here, and a runtime that keeps a part of a wrong config or layer would go on from it for ever.
    // Past the disk there is no waiting: what is behind is there only for a moment.
    if (sizeBytes !== undefined && sizeBytes <= SMALL_BYTES && passing === undefined) return 0;
    return Math.max(0, Math.min(storedBytes, (sizeBytes ?? receivedBytes) - 1));
  };

  /** Shows bytes to every reader there is and waits until each has them or has left. */
  async function passOn(start: number, bytes: Buffer): Promise<void> {
    passing = { start, end: start + bytes.length, bytes };
    const { end } = passing;
    pulse.notifyAll();
    while (failure === undefined && [...readers].some(({ position }) => position < end)) await pulse.wait();
  }

  async function take(chunks: readonly Buffer[]): Promise<void> {
    if (failure !== undefined) throw failure;
    const start = receivedBytes;
    for (const { length } of chunks) receivedBytes += length;
    if (sizeBytes !== undefined && receivedBytes > sizeBytes) {
      throw new RegistryError('UNAVAILABLE', `${name} is longer than announced`);
    }
    if (await intake.write(...chunks)) return pulse.notifyAll();
    const held = lastByte ?? Buffer.alloc(0);
    const bytes = Buffer.concat([held, ...chunks]);
    lastByte = Buffer.from(bytes.subarray(-1));
    await passOn(start - held.length, bytes.subarray(0, -1));
  }

  const sink = new Writable({
    highWaterMark: 1024 * 1024,
    // What arrives while the disk is at work is written at once: fewer and larger writes.
    writev: (pending: readonly { readonly chunk: Buffer }[], done) => {
      taking = take(pending.map(({ chunk }) => chunk)).then(() => done(), done);
    },
  });
  sink.on('error', () => {
    // The upstream's `writeTo` rejects with it.
  });

  async function run(): Promise<void> {
    try {
      await content.writeTo(sink);
      if (sizeBytes !== undefined && receivedBytes !== sizeBytes) {
        throw new RegistryError('UNAVAILABLE', `${name} ended at byte ${receivedBytes} of ${sizeBytes}`);
      }
      if (!(await intake.verify())) {
        content.distrust?.();
        throw new RegistryError('UNAVAILABLE', `the upstream's bytes for ${name} do not have that digest`);
      }
      isVerified = true;
      pulse.notifyAll();
      if (lastByte) await passOn(receivedBytes - 1, lastByte);
      await intake.hold();
    } catch (error) {
      failure = error as Error;
      pulse.notifyAll();
    } finally {
      sink.destroy();
      // The file must not be closed while something is being written to it.
      await taking;
      await end();
    }
  }

  async function end(): Promise<void> {
    isOver = true;
    clearTimeout(lingering);
    pulse.notifyAll();
    if (readers.size === 0) await intake.close();
    settle(isGivenUp ? undefined : failure);
  }

  function leave(reader: Reader): void {
    if (!readers.delete(reader)) return;
    pulse.notifyAll();
    if (readers.size > 0) return;
    if (isOver) void intake.close();
    else lingering = setTimeout(cancel, lingerMs).unref();
  }

  function cancel(): void {
    if (isOver || isVerified) return;
    isGivenUp = failure === undefined;
    failure ??= new RegistryError('UNAVAILABLE', `${name} was given up: nobody waits for it`);
    if (running) {
      sink.destroy(failure);
      pulse.notifyAll();
    } else {
      content.cancel();
      void end();
    }
  }

  async function follow(reader: Reader, wanted: ByteRange | undefined, target: Writable): Promise<void> {
    const watch = watchSink(target, pulse.notifyAll);
    const endOf = () => wanted?.end ?? (isVerified ? receivedBytes : Number.POSITIVE_INFINITY);
    try {
      while (reader.position < endOf()) {
        const reason = failure ?? watch.reason;
        if (reason !== undefined) throw reason;
        const { position } = reader;
        const storedEnd = Math.min(available(), endOf());
        if (position < storedEnd) {
          await intake.writeTo(target, { start: position, end: storedEnd });
          reader.position = storedEnd;
        } else if (passing && passing.start <= position && position < passing.end) {
          const { start, bytes } = passing;
          const part = bytes.subarray(position - start, endOf() - start);
          await writeChunk(target, part);
          reader.position = position + part.length;
        } else {
          await pulse.wait();
          continue;
        }
        if (passing) pulse.notifyAll();
      }
    } finally {
      watch.stop();
    }
  }

  lingering = setTimeout(cancel, lingerMs).unref();
  return {
    sizeBytes,
    over,
    cancel,
    get isOver() {
      return isOver || failure !== undefined;
    },
    get availableBytes() {
      return available();
    },
    canServe: (range) =>
      !isOver &&
      failure === undefined &&
      (passing === undefined || (range?.end ?? Number.POSITIVE_INFINITY) <= available()),
    open: (range) => {
      const reader: Reader = { position: range?.start ?? 0 };
      readers.add(reader);
      clearTimeout(lingering);
      running ??= run();
      return {
        kind: 'content',
        digest,
        sizeBytes,
        range,
        cancel: () => leave(reader),
        writeTo: async (target) => {
          try {
            await follow(reader, range, target);
          } finally {
            leave(reader);
          }
        },
      };
    },
  };
}
