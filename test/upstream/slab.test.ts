import { describe, expect, test } from 'vitest';
import { keepMemory } from '../../src/lib/writable.ts';
import { createSlabPool } from '../../src/upstream/http/body.ts';

const MIB = 1024 * 1024;

describe('a pool of slabs', () => {
  test('chunks of one slab lie one behind the other and never overlap', () => {
    const slab = createSlabPool().take();
    slab.remaining().fill('a', 0, 10);
    const first = slab.slice(10);
    slab.remaining().fill('b', 0, 10);
    const second = slab.slice(10);
    expect([first.chunk.toString(), second.chunk.toString()]).toEqual(['a'.repeat(10), 'b'.repeat(10)]);
  });

  test('memory is used again once its user has left and its last chunk is released, not before', () => {
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
    expect(pool.usage().usedBytes).toBe(2 * MIB);
  });

  test('memory that a client still reads is used again when the last such client has it', () => {
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

  test('many at once get small ones, and no more is kept than a few large ones', () => {
    const pool = createSlabPool();
    const slabs = Array.from({ length: 64 }, () => pool.take());
    expect(pool.usage().usedBytes).toBe(16 * MIB + 48 * 0.25 * MIB);
    for (const slab of slabs) slab.release();
    expect(pool.usage()).toEqual({ usedBytes: 0, keptBytes: 16 * MIB });
  });

  test('one stream that has many small ones gets large ones again as soon as there is room', () => {
    const pool = createSlabPool();
    const large = Array.from({ length: 28 }, () => pool.take());
    const small = Array.from({ length: 100 }, () => pool.take());
    expect(small.at(-1)?.remaining().length).toBe(MIB / 16);
    for (const slab of large) slab.release();
    expect(pool.take().remaining().length).toBe(MIB);
  });

  test('memory of a size that is in demand takes the place of what is kept in vain', () => {
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
