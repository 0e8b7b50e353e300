import { describe, expect, test } from 'vitest';
import { keepMemory } from '../../src/lib/writable.ts';
import { createSlabPool } from '../../src/upstream/http/body.ts';

const MIB = 1024 * 1024;

describe('a pool of slabs', () => {
  test('chunks of one slab follow each other and never overlap', () => {
    const slab = createSlabPool().take();
    slab.remaining().fill('a', 0, 10);
    const first = slab.slice(10);
    slab.remaining().fill('b', 0, 10);
    const second = slab.slice(10);
    expect([first.chunk.toString(), second.chunk.toString()]).toEqual(['a'.repeat(10), 'b'.repeat(10)]);
  });

  test('memory is reused once its user has left and its last chunk is released, not before', () => {
    const pool = createSlabPool();
    const slab = pool.take();
    const [first, second] = [slab.slice(100), slab.slice(100)];
    slab.release();
    first.release();
    expect(pool.take().remaining().buffer).not.toBe(first.chunk.buffer);
    second.release();
    expect(pool.take().remaining().buffer).toBe(first.chunk.buffer);
  });

  test('releasing or leaving twice frees nothing that is still in use', () => {
    const pool = createSlabPool();
    const slab = pool.take();
    const [first, second] = [slab.slice(100), slab.slice(100)];
    for (let times = 0; times < 3; times += 1) {
      first.release();
      slab.release();
    }
    expect(pool.take().remaining().buffer).not.toBe(second.chunk.buffer);
    expect(pool.usage().usedBytes).toBe(2 * 2 * MIB);
  });

  test('memory that clients still read is reused when the last of them is done', () => {
    const pool = createSlabPool();
    const slab = pool.take();
    const { chunk, release } = slab.slice(100);
    const [first, second] = [keepMemory(chunk), keepMemory(chunk)];
    release();
    slab.release();
    expect(pool.usage()).toEqual({ usedBytes: 0, keptBytes: 0 });
    first();
    expect(pool.take().remaining().buffer).not.toBe(chunk.buffer);
    second();
    expect(pool.take().remaining().buffer).toBe(chunk.buffer);
  });

  test('many concurrent users get small slabs, and only a few large slabs are kept', () => {
    const pool = createSlabPool();
    const slabs = Array.from({ length: 64 }, () => pool.take());
    expect(pool.usage().usedBytes).toBe(8 * 2 * MIB + 48 * 0.25 * MIB + 8 * 0.0625 * MIB);
    for (const slab of slabs) slab.release();
    expect(pool.usage()).toEqual({ usedBytes: 0, keptBytes: 14.5 * MIB });
  });

  test('a stream with many small slabs gets large ones again as soon as there is space', () => {
    const pool = createSlabPool();
    const large = Array.from({ length: 28 }, () => pool.take());
    const small = Array.from({ length: 100 }, () => pool.take());
    expect(small.at(-1)?.remaining().length).toBe(MIB / 16);
    for (const slab of large) slab.release();
    expect(pool.take().remaining().length).toBe(2 * MIB);
  });

  test('memory of a size in demand replaces unused memory of another size', () => {
    const pool = createSlabPool();
    const large = Array.from({ length: 16 }, () => pool.take());
    const medium = pool.take();
    const { chunk, release } = medium.slice(100);
    for (const slab of large) slab.release();
    medium.release();
    release();
    const [first, ...others] = Array.from({ length: 17 }, () => pool.take());
    expect(first?.remaining().buffer).not.toBe(chunk.buffer);
    expect(others.at(-1)?.remaining().buffer).toBe(chunk.buffer);
  });
});
