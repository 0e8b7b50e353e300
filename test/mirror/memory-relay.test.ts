import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { pipeInto } from '../../src/lib/writable.ts';
import { BlobDownload } from '../../src/mirror/blob-download.ts';
import { createBatchSink } from '../../src/mirror/memory-part.ts';
import type { Ingest } from '../../src/oci/content-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { BlobContent } from '../../src/oci/registry.ts';
import { createSlabPool, type Slab, type SlabPool } from '../../src/upstream/http/body.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { repository } from '../support/upstream.ts';

const app = repository('team/app');
const MIB = 1024 * 1024;
const CHUNK_BYTES = 128 * 1024;

function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** Bytes that come through slabs, as from a registry's socket: a slab is filled anew as soon as it is released. */
function contentThroughSlabs(bytes: Buffer, slabs: SlabPool): BlobContent {
  return {
    kind: 'content',
    digest: digestOf(bytes),
    sizeBytes: bytes.length,
    range: undefined,
    cancel: () => {},
    writeTo: async (sink) => {
      const { write, drained } = pipeInto(sink);
      let slab: Slab | undefined;
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
        if (slab?.isFull()) {
          slab.release();
          slab = undefined;
        }
        slab ??= slabs.take();
        const part = bytes.subarray(at, at + CHUNK_BYTES);
        const { chunk, release } = slab.slice(part.length);
        part.copy(chunk);
        await new Promise<void>((resolve) => {
          write(chunk, () => {
            release();
            resolve();
          });
        });
      }
      slab?.release();
      await drained();
    },
  };
}

test('a batch joins chunks that lie side by side in memory, and no others', async () => {
  const batches: string[][] = [];
  const sink = createBatchSink({
    receive: async (chunks) => void batches.push(chunks.map(String)),
    isComplete: () => true,
  });
  const memory = Buffer.from('abcdefgh');
  const chunks = [memory.subarray(0, 2), memory.subarray(2, 4), memory.subarray(5, 7), memory.subarray(4, 5)];
  sink.cork();
  for (const chunk of chunks) sink.write(chunk);
  sink.end(Buffer.from('z'));
  await finished(sink);
  expect(batches).toEqual([['abcd', 'fg', 'e', 'z']]);
});

/** A download of these bytes, and the ranges of the file that its readers were served from. */
async function downloadOf(bytes: Buffer, slabs = createSlabPool()) {
  const digest = digestOf(bytes);
  const { store } = await storeAt(await dataDirectory());
  const real = await store.ingest(digest, bytes.length, { repository: app, access: undefined });
  const fromFile: number[] = [];
  const ingest: Ingest = {
    write: (...chunks) => real.write(...chunks),
    verify: () => real.verify(),
    commit: () => real.commit(),
    close: () => real.close(),
    get storedBytes() {
      return real.storedBytes;
    },
    writeTo: (sink, range) => {
      fromFile.push(range.end - range.start);
      return real.writeTo(sink, range);
    },
  };
  const content = contentThroughSlabs(bytes, slabs);
  const download = new BlobDownload({ digest, name: 'app', content, ingest, lingerMs: 60_000 });
  return { download, fromFile, store, digest };
}

/** A sink that keeps what it is given by reference, and calls back when `ready` says so. */
function keepingSink(ready: () => Promise<void> = async () => {}) {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    highWaterMark: 16 * MIB,
    write: (chunk: Buffer, _encoding, done) => {
      void ready().then(() => {
        // What a socket sends is what the memory holds when its turn comes.
        chunks.push(Buffer.from(chunk));
        done();
      });
    },
  });
  return { sink, received: () => Buffer.concat(chunks) };
}

describe('a reader of a download', () => {
  test('that keeps up is served from memory: only the last byte comes from the file, after the digest is verified', async () => {
    const bytes = randomBytes(5 * MIB);
    const { download, fromFile } = await downloadOf(bytes);
    const { sink, received } = keepingSink();
    await download.open(undefined).writeTo(sink);
    expect(received().equals(bytes)).toBe(true);
    expect(fromFile).toEqual([1]);
    await download.finished;
  });

  test('that stops reading delays neither the download nor another reader, and continues from the file', async () => {
    const bytes = randomBytes(24 * MIB);
    const { download, fromFile, store, digest } = await downloadOf(bytes);
    const { open, opened } = gate();
    const [slow, quick] = [keepingSink(() => opened), keepingSink()];
    const slowly = download.open(undefined).writeTo(slow.sink);
    await download.open(undefined).writeTo(quick.sink);
    expect(quick.received().equals(bytes)).toBe(true);
    expect(await download.finished).toBeUndefined();
    expect(slow.received()).toHaveLength(0);
    expect((await store.blob(digest))?.sizeBytes).toBe(bytes.length);
    open();
    await slowly;
    expect(slow.received().equals(bytes)).toBe(true);
    expect(fromFile.reduce((sum, sizeBytes) => sum + sizeBytes)).toBeGreaterThan(20 * MIB);
  });

  test('that comes late catches up from the file and then keeps up', async () => {
    const bytes = randomBytes(8 * MIB);
    const { download } = await downloadOf(bytes);
    const half = gate();
    const first = keepingSink(async () => {
      if (first.received().length >= 4 * MIB) half.open();
    });
    const firstly = download.open(undefined).writeTo(first.sink);
    await half.opened;
    const late = keepingSink();
    await download.open({ start: MIB, end: bytes.length }).writeTo(late.sink);
    await firstly;
    expect(late.received().equals(bytes.subarray(MIB))).toBe(true);
    await download.finished;
  });

  test('gets its own bytes when the memory that it was given would be reused', async () => {
    const bytes = randomBytes(8 * MIB);
    const slabs = createSlabPool();
    const { download } = await downloadOf(bytes, slabs);
    const { open, opened } = gate();
    const slow = keepingSink(() => opened);
    const slowly = download.open(undefined).writeTo(slow.sink);
    await download.finished;
    // Another blob comes through the same slabs before the first client reads on.
    const other = await downloadOf(randomBytes(8 * MIB), slabs);
    await other.download.open(undefined).writeTo(keepingSink().sink);
    await other.download.finished;
    open();
    await slowly;
    expect(slow.received().equals(bytes)).toBe(true);
  });

  test('gets no byte of another blob when the download is cancelled while the reader is being written to', async () => {
    const bytes = randomBytes(8 * MIB);
    const slabs = createSlabPool();
    const { download } = await downloadOf(bytes, slabs);
    const { open, opened } = gate();
    const begun = gate();
    const slow = keepingSink(() => {
      begun.open();
      return opened;
    });
    const slowly = download.open(undefined).writeTo(slow.sink);
    slowly.catch(() => {});
    await begun.opened;
    download.cancel();
    await download.finished;
    const other = await downloadOf(randomBytes(8 * MIB), slabs);
    await other.download.open(undefined).writeTo(keepingSink().sink);
    open();
    await other.download.finished;
    await expect(slowly).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const received = slow.received();
    expect(received.length).toBeGreaterThan(0);
    expect(received.equals(bytes.subarray(0, received.length))).toBe(true);
  });
});

describe('createBatchSink()', () => {
  /** A sink that collects until it is told to go on; with the sizes of its batches. */
  function collecting(isComplete = () => false) {
    const batches: number[] = [];
    const waits: (() => void)[] = [];
    const sink = createBatchSink({
      receive: async (chunks) => {
        batches.push(chunks.reduce((sum, { length }) => sum + length, 0));
      },
      isComplete,
      wait: () => new Promise((resolve) => waits.push(resolve)),
    });
    const write = (sizeBytes: number) => {
      sink.write(Buffer.alloc(sizeBytes));
      return setImmediate();
    };
    return { sink, write, batches, waits };
  }

  test('forwards the first chunk at once, and batches the small ones after it', async () => {
    const { sink, write, batches, waits } = collecting();
    for (let chunk = 0; chunk < 100; chunk += 1) await write(1000);
    expect(batches).toEqual([1000, 1000]);
    waits.pop()?.();
    await expect.poll(() => batches).toEqual([1000, 1000, 98_000]);
    waits.pop()?.();
    await new Promise<void>((resolve) => sink.end(resolve));
    expect(batches).toHaveLength(3);
  });

  test.each([
    ['a batch of 512 KiB', MIB / 2, () => false],
    ['what completes the blob', 1000, () => true],
  ])('waits for nothing after %s', async (_, sizeBytes, isComplete) => {
    const { sink, write, batches, waits } = collecting(isComplete);
    for (let chunk = 0; chunk < 3; chunk += 1) await write(sizeBytes);
    await new Promise<void>((resolve) => sink.end(resolve));
    expect([batches, waits]).toEqual([[sizeBytes, sizeBytes, sizeBytes], []]);
  });

  test('ends the wait when 512 KiB have arrived, so that a fast source with small chunks is not delayed', async () => {
    const { write, batches, waits } = collecting();
    for (let chunk = 0; chunk < 2; chunk += 1) await write(16 * 1024);
    for (let chunk = 0; chunk < 31; chunk += 1) await write(16 * 1024);
    expect([batches.length, waits.length]).toEqual([2, 1]);
    await write(16 * 1024);
    await expect.poll(() => batches).toEqual([16 * 1024, 16 * 1024, MIB / 2]);
    expect(waits).toHaveLength(1);
  });

  test('waits for a batch that is one byte smaller', async () => {
    const { write, waits } = collecting();
    for (let chunk = 0; chunk < 2; chunk += 1) await write(MIB / 4 - 1);
    expect(waits).toHaveLength(1);
  });
});
