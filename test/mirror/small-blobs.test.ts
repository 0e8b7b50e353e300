import { pbkdf2, randomBytes } from 'node:crypto';
import { truncateSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { virtual } from '../../src/mirror/virtual.ts';
import type { Digest } from '../../src/oci/digest.ts';

import { DOCKER_HUB } from '../../src/oci/reference.ts';
import { type Access, type BlobOptions, ClientCredential } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { readList } from '../support/configuration.ts';
import { type CacheAtOptions, cacheAt, dataDirectory } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

const app = repository('team/app');
const KIB = 1024;
const MIB = 1024 * KIB;
const alice: Access = { partition: 'alice', credential: new ClientCredential(DOCKER_HUB, 'Basic YTph') };
const bob: Access = { partition: 'bob', credential: new ClientCredential(DOCKER_HUB, 'Basic Yjpi') };

/** A cache that holds a blob of this size, whose file is open: somebody has just read it. */
async function holding(sizeBytes: number, { access, ...options }: CacheAtOptions & { access?: Access } = {}) {
  const directory = await dataDirectory();
  const results: string[] = [];
  const onResult = (kind: string, result: string) => results.push(`${kind} ${result}`);
  const opened = await cacheAt(directory, { onResult, ...options });
  const bytes = randomBytes(sizeBytes);
  const digest = opened.upstream.putBlob(bytes);
  const read = async () => readBlob(await opened.cache.blob(app, digest, { access }));
  await read();
  await opened.cache.close();
  await read();
  opened.upstream.forgetCalls();
  results.length = 0;
  const file = join(opened.layout, 'blobs/sha256', digest.slice('sha256:'.length));
  const small = (asked: Pick<BlobOptions, 'access' | 'range'> = {}, from = app) =>
    opened.cache.smallBlob?.(from, digest, asked);
  return { ...opened, directory, bytes, digest, file, small, results };
}

const rangeOf = (first: number, last?: number) => ({ kind: 'from', first, last }) as const;

async function flipBit(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  await file.write(Buffer.of((byte[0] ?? 0) ^ 0x10), 0, 1, position);
  await file.close();
}

describe('a small part of a stored blob whose file is open', () => {
  test('is read at once, whole or in part, and counted as a hit', async () => {
    const { small, bytes, digest, upstream, results } = await holding(64 * KIB);
    const whole = await small();
    expect(whole).toMatchObject({ digest, sizeBytes: 64 * KIB, range: undefined });
    expect(whole?.lent.bytes.equals(bytes)).toBe(true);
    const part = await small({ range: rangeOf(7, 4006) });
    expect(part).toMatchObject({ digest, sizeBytes: 64 * KIB, range: { start: 7, end: 4007 } });
    expect(part?.lent.bytes.equals(bytes.subarray(7, 4007))).toBe(true);
    const end = await small({ range: { kind: 'suffix', length: 10 } });
    expect(end?.lent.bytes.equals(bytes.subarray(-10))).toBe(true);
    expect(upstream.count()).toBe(0);
    expect(results).toEqual(['blob hit', 'blob hit', 'blob hit']);
  });

  test('keeps its bytes until they are released', async () => {
    const { small, bytes } = await holding(64 * KIB);
    const first = await small({ range: rangeOf(0, 9) });
    const second = await small({ range: rangeOf(10, 19) });
    expect(first?.lent.bytes.equals(bytes.subarray(0, 10))).toBe(true);
    first?.lent.giveBack();
    const third = await small({ range: rangeOf(20, 29) });
    expect(second?.lent.bytes.equals(bytes.subarray(10, 20))).toBe(true);
    expect(third?.lent.bytes.equals(bytes.subarray(20, 30))).toBe(true);
    // Memory that was given back is lent again; what was given up is not.
    expect(third?.lent.bytes.buffer).toBe(first?.lent.bytes.buffer);
    second?.lent.giveUp();
    expect((await small())?.lent.bytes.buffer).not.toBe(second?.lent.bytes.buffer);
  });

  test.each<[string, Pick<BlobOptions, 'range'>]>([
    ['more than 64 KiB', { range: rangeOf(0, 64 * KIB) }],
    ['all of a large blob', {}],
    ['a range that it does not have', { range: rangeOf(MIB) }],
    ['no bytes', { range: { kind: 'suffix', length: 0 } }],
  ])('is not returned for %s', async (_, asked) => {
    const { small } = await holding(MIB);
    expect(small(asked)).toBeUndefined();
  });

  test('needs an open file: the first reader opens it in another way', async () => {
    const { directory, upstream, digest } = await holding(KIB);
    const { cache } = await cacheAt(directory, { upstream });
    expect(cache.smallBlob?.(app, digest, {})).toBeUndefined();
    await readBlob(await cache.blob(app, digest));
    expect(await cache.smallBlob?.(app, digest, {})).toBeDefined();
  });
});

describe('access to a small part', () => {
  test('is for the login that fetched it, not for another and not without one', async () => {
    const { small } = await holding(KIB, { access: alice });
    expect(await small({ access: alice })).toBeDefined();
    expect(small({ access: bob })).toBeUndefined();
    expect(small()).toBeUndefined();
  });

  test('is for a client’s own login only from the repository that authorized it', async () => {
    const { small } = await holding(KIB, { access: alice });
    expect(small({ access: alice }, repository('other/app'))).toBeUndefined();
  });

  test('ends a while after it was granted to a login', async () => {
    let nowMs = 1e12;
    const { small } = await holding(KIB, { access: alice, wallClock: () => nowMs });
    nowMs += 5 * 60_000 - 1;
    expect(await small({ access: alice })).toBeDefined();
    nowMs += 1;
    expect(small({ access: alice })).toBeUndefined();
  });

  test('that was granted to a login ends when its registry refuses it', async () => {
    let nowMs = 1e12;
    const { small, cache, upstream } = await holding(KIB, { access: alice, wallClock: () => nowMs });
    nowMs += 1;
    upstream.before = () => {
      throw new RegistryError('DENIED', 'no more');
    };
    const other = upstream.putBlob(randomBytes(10));
    await expect(cache.blob(app, other, { access: alice })).rejects.toMatchObject({ code: 'DENIED' });
    expect(small({ access: alice })).toBeUndefined();
  });

  test('is not granted under the name of a virtual image, only under its member’s', async () => {
    const { cache, digest } = await holding(KIB);
    const spec = readList({
      image: 'docker.io/qnib/bench',
      manifests: [{ image: 'docker.io/qnib/parts:v1', platform: { os: 'linux', architecture: 'amd64' } }],
    });
    const images = virtual({ next: cache, catalog: () => [spec], now: () => 0, onMissing: () => {} });
    expect(images.smallBlob?.(repository('qnib/bench', 'docker.io'), digest, {})).toBeUndefined();
    expect(await images.smallBlob?.(app, digest, {})).toBeDefined();
  });
});

describe('a small part of a file', () => {
  test('that another program wrote to is not read: the blob is verified again', async () => {
    const { small, cache, bytes, digest, file, upstream } = await holding(10 * KIB);
    expect(await small()).toBeDefined();
    await flipBit(file, 7);
    expect(small()).toBeUndefined();
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.count('blob')).toBe(1);
  });

  test('that was removed is not read', async () => {
    const { small, file } = await holding(10 * KIB);
    await rm(file);
    expect(small()).toBeUndefined();
  });

  test('that is shortened before the read is verified again, and no write failure is logged', async () => {
    const { small, store, lines, cache, bytes, digest, file, upstream } = await holding(10 * KIB);
    // The read waits for a free thread: the file is short before.
    for (let task = 0; task < 64; task += 1) pbkdf2('', '', 5000, 64, 'sha512', () => {});
    const reading = small();
    truncateSync(file, KIB);
    expect(reading).toBeInstanceOf(Promise);
    expect(await reading).toBeUndefined();
    expect(store.trouble).toBeUndefined();
    expect(lines).toEqual([]);
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.count('blob')).toBe(1);
  });

  test('with a flipped bit since before the start is not sent, and the blob is removed', async () => {
    const { directory, upstream, digest, file, bytes } = await holding(3 * MIB);
    const summed = await cacheAt(directory, { upstream });
    await readBlob(await summed.cache.blob(app, digest));
    await summed.cache.close();
    await flipBit(file, MIB + 17);
    const { cache, lines } = await cacheAt(directory, { upstream });
    const head = await readBlob(await cache.blob(app, digest, { range: rangeOf(0, 9) }));
    expect(head.equals(bytes.subarray(0, 10))).toBe(true);
    expect(upstream.count()).toBe(0);
    const sound = await cache.smallBlob?.(app, digest, { range: rangeOf(2 * MIB, 2 * MIB + 9) });
    expect(sound?.lent.bytes.equals(bytes.subarray(2 * MIB, 2 * MIB + 10))).toBe(true);
    const reading = cache.smallBlob?.(app, digest, { range: rangeOf(2 * MIB - 10, 2 * MIB - 1) });
    expect(reading).toBeInstanceOf(Promise);
    expect(await reading).toBeUndefined();
    expect(lines.map(({ event }) => event)).toContain('content-corrupt');
    expect(cache.smallBlob?.(app, digest, { range: rangeOf(0, 9) })).toBeUndefined();
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
  });

  test('that is being read is not evicted', async () => {
    const { small, store, bytes, digest, upstream, cache } = await holding(60 * KIB);
    const readings = Array.from({ length: 20 }, () => small());
    await store.expireBlobs(-1);
    for (const reading of readings) expect((await reading)?.lent.bytes.equals(bytes)).toBe(true);
    await store.expireBlobs(-1);
    expect(small()).toBeUndefined();
    expect((await readBlob(await cache.blob(app, digest))).equals(bytes)).toBe(true);
    expect(upstream.count('blob')).toBe(1);
  });
});

test('small parts of many blobs read concurrently are each their own bytes', async () => {
  const { cache, upstream } = await cacheAt(await dataDirectory());
  const blobs = Array.from({ length: 8 }, () => randomBytes(20 * KIB));
  const digests: Digest[] = blobs.map((bytes) => upstream.putBlob(bytes));
  for (const digest of digests) await readBlob(await cache.blob(app, digest));
  await cache.close();
  for (const digest of digests) await readBlob(await cache.blob(app, digest));
  const readings = Array.from({ length: 200 }, async (_, turn) => {
    const which = turn % blobs.length;
    const digest = digests[which];
    const found = digest && (await cache.smallBlob?.(app, digest, {}));
    const isRight = found?.lent.bytes.equals(blobs[which] ?? Buffer.of());
    found?.lent.giveBack();
    return isRight;
  });
  expect(new Set(await Promise.all(readings))).toEqual(new Set([true]));
});
