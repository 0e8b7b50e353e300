import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { type BigIntStats, open, readdirSync, readlinkSync } from 'node:fs';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import type { Blob } from '../../src/oci/registry.ts';
import { BufferPool, hasDigest } from '../../src/store/file-io.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { OpenFiles } from '../../src/store/open-files.ts';
import { createRandom, type Random } from '../soak/random.ts';
import { FUZZ_SEED } from '../support/fuzz.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { turns } from '../support/turns.ts';
import { afterTest, readBlob, repository } from '../support/upstream.ts';

const app = repository('team/app');
const KIB = 1024;
const MIB = 1024 * KIB;

const NS = 1_000_000_000n;
const nanoseconds = ({ mtimeNs }: BigIntStats) => String(mtimeNs % NS).padStart(9, '0');

/** What this process has open below a directory, `(deleted)` where it has no name any more. */
function openBelow(directory: string): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** A cache that holds blobs of these sizes, each with its bytes. */
async function holding(sizes: readonly number[], maxBytes?: number) {
  const directory = await dataDirectory();
  const opened = await cacheAt(directory, maxBytes === undefined ? {} : { maxBytes });
  const blobs = sizes.map((size) => {
    const bytes = randomBytes(size);
    return { bytes, digest: opened.upstream.putBlob(bytes) };
  });
  const fetch = async (digest: Digest) => readBlob(await opened.cache.blob(app, digest));
  for (const { digest } of blobs) await fetch(digest);
  await opened.cache.close();
  opened.upstream.forgetCalls();
  return { ...opened, directory, blobs, fetch };
}

/** Open files of a store that holds this many small blobs. */
async function opening(count: number) {
  const directory = await dataDirectory();
  const layout = layoutOf(directory);
  await prepareLayout(layout);
  const blobs: Digest[] = [];
  for (let at = 0; at < count; at += 1) {
    const bytes = randomBytes(32);
    blobs.push(digestOf(bytes));
    await writeFile(layout.blob(digestOf(bytes)), bytes);
  }
  const files = new OpenFiles({
    layout,
    pool: new BufferPool(),
    checkFile: async (...file) => ({
      hasDigest: await hasDigest(file[0], file[1], file[2]),
      sums: undefined,
    }),
    onCorrupt: (digest, why) => expect.unreachable(`${digest}: ${why}`),
    onMissing: (digest) => expect.unreachable(`${digest} is missing`),
  });
  afterTest(() => files.closeIdle());
  return { files, blobs, directory, pathOf: (digest: Digest) => layout.blob(digest) };
}

describe.skipIf(process.platform !== 'linux')('an open file without readers', () => {
  test('stays open for the next reader, unless it was removed meanwhile', async () => {
    const { upstream, fetch, blobs, directory, layout } = await holding([100 * KIB]);
    const [blob] = blobs;
    if (!blob) throw new Error('one blob');
    const file = join(layout, 'blobs/sha256', blob.digest.slice('sha256:'.length));
    await fetch(blob.digest);
    expect(openBelow(directory)).toEqual([file]);
    await rm(file);
    expect((await fetch(blob.digest)).equals(blob.bytes)).toBe(true);
    expect(upstream.count()).toBeGreaterThan(0);
    expect(openBelow(directory)).not.toContain(`${file} (deleted)`);
  });

  test.each([100 * KIB, 3 * MIB])(
    'is checked again after a byte of %d was changed in place and its modification time set back',
    async (sizeBytes) => {
      const { fetch, blobs, layout } = await holding([sizeBytes]);
      const [blob] = blobs;
      if (!blob) throw new Error('one blob');
      const file = join(layout, 'blobs/sha256', blob.digest.slice('sha256:'.length));
      await fetch(blob.digest);
      const before = await stat(file, { bigint: true });
      const changed = Buffer.from(blob.bytes);
      changed.writeUInt8(changed.readUInt8(sizeBytes >> 1) ^ 1, sizeBytes >> 1);
      await writeFile(file, changed, { flag: 'r+' });
      // To the nanosecond, which utimes() of Node.js cannot set.
      await promisify(execFile)('touch', ['-d', `@${before.mtimeNs / NS}.${nanoseconds(before)}`, file]);
      expect(await stat(file, { bigint: true })).toMatchObject({
        ...{ size: before.size, ino: before.ino, mtimeNs: before.mtimeNs },
      });
      expect((await fetch(blob.digest)).equals(blob.bytes)).toBe(true);
    },
  );

  test('is closed when it is evicted, so that the disk gets its space back', async () => {
    const { cache, upstream, fetch, blobs, directory } = await holding([3 * MIB], 4 * MIB);
    const [blob] = blobs;
    if (!blob) throw new Error('one blob');
    await fetch(blob.digest);
    expect(openBelow(directory)).toHaveLength(1);
    await fetch(upstream.putBlob(randomBytes(2 * MIB)));
    await cache.close();
    await expect.poll(() => openBelow(directory).filter((path) => path.includes('(deleted)'))).toEqual([]);
  });

  test.each([
    [31, 0],
    [32, 0],
    [33, 1],
    [50, 18],
  ])('is one of at most 32: of %d, the %d that were idle longest are closed', async (count, closed) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    afterTest(() => void vi.useRealTimers());
    const { files, blobs, directory, pathOf } = await opening(count);
    for (const digest of blobs) (await files.open(digest))?.close();
    // The opening itself counts as a reader for a turn.
    await turns(2);
    expect(openBelow(directory).toSorted()).toEqual(blobs.slice(closed).map(pathOf).toSorted());
    vi.advanceTimersByTime(4999);
    expect(openBelow(directory)).toHaveLength(count - closed);
    vi.advanceTimersByTime(1);
    expect(openBelow(directory)).toEqual([]);
  });

  test('is closed, but not the one that a verification has opened meanwhile', async () => {
    const { files, blobs, directory, pathOf } = await opening(1);
    const [digest] = blobs as [Digest];
    (await files.open(digest))?.close();
    await turns(2);
    expect(await files.verify(digest)).toBe(true);
    const read = await files.open(digest);
    files.closeIdle();
    const again = files.openAgain(digest);
    expect(again?.fd).toBe(read?.fd);
    read?.close();
    again?.close();
    await turns(2);
    files.closeIdle();
    expect(openBelow(directory)).not.toContain(pathOf(digest));
  });

  test('is closed when the store closes', async () => {
    const { store, fetch, blobs, directory } = await holding([KIB, KIB]);
    for (const { digest } of blobs) await fetch(digest);
    expect(openBelow(directory)).toHaveLength(2);
    await store.close();
    expect(openBelow(directory)).toEqual([]);
  });
});

describe('content for which no file handle is free', () => {
  /** Opens it when this many tries have failed; how often it was tried, and whether it was opened. */
  async function opened(failures: number) {
    const layout = layoutOf(await dataDirectory());
    await prepareLayout(layout);
    const bytes = randomBytes(32);
    await writeFile(layout.blob(digestOf(bytes)), bytes);
    let tries = 0;
    const files = new OpenFiles({
      layout,
      pool: new BufferPool(),
      openFile: async (path, flags) => {
        tries += 1;
        if (tries <= failures) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
        return promisify(open)(path, flags);
      },
      checkFile: async () => ({ hasDigest: true, sums: undefined }),
      onCorrupt: (_, why) => expect.unreachable(why),
      onMissing: (digest) => expect.unreachable(`${digest} is missing`),
    });
    afterTest(() => files.closeIdle());
    const content = await files.open(digestOf(bytes));
    content?.close();
    return { tries, isOpened: content !== undefined };
  }

  test.each([
    [19, { tries: 20, isOpened: true }],
    [20, { tries: 20, isOpened: false }],
  ])('is tried for a second: after %d failures %o', async (failures, outcome) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    afterTest(() => void vi.useRealTimers());
    let found: unknown;
    void opened(failures).then((result) => {
      found = result;
    });
    let waitedMs = 0;
    while (found === undefined) {
      await turns(1);
      if (found !== undefined || vi.getTimerCount() === 0) continue;
      vi.advanceTimersByTime(50);
      waitedMs += 50;
    }
    expect(found).toEqual(outcome);
    expect(waitedMs).toBe(950);
  });
});

/** A client that takes its time over every chunk, and looks at the bytes only afterwards. */
async function readLate(blob: Blob, random: Random): Promise<Buffer> {
  if (blob.kind !== 'content') throw new Error(`redirected to ${blob.location}`);
  const copies: Buffer[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      const look = () => {
        copies.push(Buffer.from(chunk));
        done();
      };
      void turns(random.whole(0, 50)).then(look);
    },
  });
  await blob.writeTo(sink);
  return Buffer.concat(copies);
}

/** Memory is used again: given back a moment too early, one reader would see another's bytes. */
test('concurrent readers of large and small parts each get their own bytes, however late they read', async () => {
  const { cache, blobs } = await holding([5 * MIB, 3 * MIB, 40 * KIB]);
  const random = createRandom(FUZZ_SEED);
  const readers = blobs.flatMap(({ bytes, digest }) =>
    Array.from({ length: 12 }, async (_, turn) => {
      const first = random.whole(0, bytes.length - KIB - 1);
      const last = turn % 2 === 0 ? Math.min(first + 64 * KIB, bytes.length) - 1 : bytes.length - 1;
      const blob = await cache.blob(app, digest, { range: { kind: 'from', first, last } });
      expect(
        (await readLate(blob, random.fork())).equals(bytes.subarray(first, last + 1)),
        `seed ${FUZZ_SEED}`,
      ).toBe(true);
    }),
  );
  await Promise.all(readers);
});
