import { describe, expect, test, vi } from 'vitest';
import { BufferPool } from '../../src/store/file-io.ts';

const MIB = 1024 * 1024;

describe('the pool of read buffers', () => {
  test('gives memory that came back to the next reader', () => {
    const pool = new BufferPool();
    pool.enter();
    const first = pool.lend(MIB);
    first.giveBack();
    expect(pool.lend(MIB).buffer === first.buffer).toBe(true);
  });

  test('never gives memory that may still be on its way', () => {
    const pool = new BufferPool();
    pool.enter();
    const first = pool.lend(MIB);
    first.giveUp();
    expect(pool.lend(MIB).buffer === first.buffer).toBe(false);
  });

  test('gives smaller buffers when many read at once', () => {
    const pool = new BufferPool();
    for (let readers = 0; readers < 8; readers += 1) pool.enter();
    expect(pool.lend(2 * MIB).buffer.length).toBe(MIB);
    pool.enter();
    expect(pool.lend(2 * MIB).buffer.length).toBe(MIB / 4);
    for (let readers = 9; readers < 33; readers += 1) pool.enter();
    expect(pool.lend(2 * MIB).buffer.length).toBe(MIB / 16);
  });

  test('never makes a reader wait for slow ones: beyond its bound it gives small ones to throw away', () => {
    const pool = new BufferPool();
    pool.enter();
    const lent = Array.from({ length: 100 }, () => pool.lend(MIB));
    expect(lent.filter(({ buffer }) => buffer.length === MIB)).toHaveLength(64);
    expect(lent.at(-1)?.buffer.length).toBe(MIB / 16);
  });

  test('is whole again after a hundred readers that left in the middle', () => {
    const pool = new BufferPool();
    const leave = pool.enter();
    for (let readers = 0; readers < 100; readers += 1) pool.lend(MIB).giveUp();
    leave();
    pool.enter();
    expect(pool.lend(MIB).buffer.length).toBe(MIB);
  });

  test('keeps its memory while readers come and go, and lets go of most when none has come for a second', () => {
    vi.useFakeTimers();
    try {
      const pool = new BufferPool();
      const readOnce = () => {
        const leave = pool.enter();
        const loans = Array.from({ length: 4 }, () => pool.lend(MIB));
        for (const loan of loans) loan.giveBack();
        leave();
        return new Set(loans.map(({ buffer }) => buffer));
      };
      const first = readOnce();
      vi.advanceTimersByTime(500);
      expect(readOnce()).toEqual(first);
      vi.advanceTimersByTime(1500);
      expect([...readOnce()].filter((buffer) => first.has(buffer))).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });
});
