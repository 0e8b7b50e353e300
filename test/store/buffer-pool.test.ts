import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { BufferPool, copyFile } from '../../src/store/file-io.ts';
import { temporaryFolder } from '../support/folder.ts';

const MIB = 1024 * 1024;

describe('the pool of read buffers', () => {
  test('gives returned memory to the next reader', () => {
    const pool = new BufferPool();
    pool.enter();
    const first = pool.lend(MIB);
    first.giveBack();
    expect(pool.lend(MIB).buffer === first.buffer).toBe(true);
  });

  test('never reuses memory that may still be in use by a socket', () => {
    const pool = new BufferPool();
    pool.enter();
    const first = pool.lend(MIB);
    first.giveUp();
    expect(pool.lend(MIB).buffer === first.buffer).toBe(false);
  });

  test('gives smaller buffers when many readers are active', () => {
    const pool = new BufferPool();
    for (let readers = 0; readers < 8; readers += 1) pool.enter();
    expect(pool.lend(2 * MIB).buffer.length).toBe(MIB);
    pool.enter();
    expect(pool.lend(2 * MIB).buffer.length).toBe(MIB / 4);
    for (let readers = 9; readers < 33; readers += 1) pool.enter();
    expect(pool.lend(2 * MIB).buffer.length).toBe(MIB / 16);
  });

  test('begins a stream with the smallest buffer unless at most one other stream is active', () => {
    const pool = new BufferPool();
    for (const sizeBytes of [MIB, MIB, MIB / 16]) {
      pool.enter();
      expect(pool.lend(2 * MIB, true).buffer.length).toBe(sizeBytes);
    }
    expect(pool.lend(2 * MIB).buffer.length).toBe(MIB);
  });

  test('64 clients that stop reading hold two small buffers each, and no large one', async () => {
    const pool = new BufferPool();
    const path = join(temporaryFolder(), 'blob');
    writeFileSync(path, Buffer.alloc(4 * MIB));
    const file = await open(path);
    const lent: number[] = [];
    const lend = vi.spyOn(pool, 'lend').mockImplementation((...asked) => {
      const loan = BufferPool.prototype.lend.apply(pool, asked);
      lent.push(loan.buffer.length);
      return loan;
    });
    try {
      const clients = Array.from({ length: 64 }, () => new PassThrough({ highWaterMark: 1 }));
      const copies = clients.map((client) => copyFile(file.fd, client, { start: 0, end: 4 * MIB }, pool));
      await expect.poll(() => lent).toHaveLength(128);
      expect(lent.filter((sizeBytes) => sizeBytes === MIB)).toHaveLength(2);
      expect(lent.filter((sizeBytes) => sizeBytes === MIB / 16)).toHaveLength(126);
      for (const client of clients) client.destroy();
      await Promise.allSettled(copies);
    } finally {
      lend.mockRestore();
      await file.close();
    }
  });

  test('never makes a reader wait for slow readers: above its limit it allocates small temporary buffers', () => {
    const pool = new BufferPool();
    pool.enter();
    const lent = Array.from({ length: 100 }, () => pool.lend(MIB));
    expect(lent.filter(({ buffer }) => buffer.length === MIB)).toHaveLength(64);
    expect(lent.at(-1)?.buffer.length).toBe(MIB / 16);
  });

  test('gets all memory back after a hundred readers that left early', () => {
    const pool = new BufferPool();
    const leave = pool.enter();
    for (let readers = 0; readers < 100; readers += 1) pool.lend(MIB).giveUp();
    leave();
    pool.enter();
    expect(pool.lend(MIB).buffer.length).toBe(MIB);
  });

  test('keeps its memory while readers come and go, and frees most of it after a second without readers', () => {
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
