import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { createBatchSink, MemoryPart } from '../../src/mirror/memory-part.ts';

const BYTES = Buffer.from('0123456789');
const part = new MemoryPart(100, [BYTES.subarray(0, 4), BYTES.subarray(4)]);

test.each([
  [100, 110, '0123456789'],
  [102, 107, '23456'],
  [104, 1000, '456789'],
  [103, 104, '3'],
])('a part of a blob writes its bytes from %d to %d: %s', async (position, end, written) => {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  expect(await part.writeTo(sink, position, end)).toBe(position + written.length);
  expect(Buffer.concat(chunks).toString()).toBe(written);
});

test('a part of a blob includes the positions of its bytes', () => {
  expect([part.start, part.end]).toEqual([100, 110]);
  expect([99, 100, 109, 110].map((position) => part.includes(position))).toEqual([false, true, true, false]);
});

test('a write of a part to a reader that fails fails too', async () => {
  const failure = new Error('the reader has left');
  const sink = new Writable({ write: (_chunk, _encoding, done) => done(failure) });
  sink.on('error', () => {});
  await expect(part.writeTo(sink, 100, 110)).rejects.toBe(failure);
});

test('parts that are being written to clients use at most 64 MiB of memory; then clients read the file', async () => {
  const MIB = 1024 * 1024;
  const memory = Buffer.alloc(63 * MIB);
  // Two chunks of one memory block count once.
  const most = new MemoryPart(0, [memory.subarray(0, 4), memory.subarray(4)]);
  const fitting = new MemoryPart(0, [Buffer.alloc(MIB)]);
  const excess = new MemoryPart(0, [Buffer.alloc(MIB + 1)]);
  const relays = () => [most, fitting, excess].map((one) => one.mayRelay());
  expect(relays()).toEqual([true, true, true]);
  let finish = () => {};
  const slow = new Writable({
    write: (_chunk, _encoding, done) => {
      finish = done;
    },
  });
  const writing = most.writeTo(slow, 0, 1);
  expect(relays()).toEqual([false, true, false]);
  finish();
  await writing;
  expect(relays()).toEqual([true, true, true]);
  expect(new MemoryPart(0, [Buffer.alloc(64 * MIB + 1)]).mayRelay()).toBe(false);
});

test('a part that a client never took no longer counts when the client has left', async () => {
  const large = new MemoryPart(0, [Buffer.alloc(60 * 1024 * 1024)]);
  const stuck = new Writable({ write: () => {} });
  const writing = large.writeTo(stuck, 0, 1);
  expect(large.mayRelay()).toBe(false);
  stuck.destroy();
  await expect(writing).rejects.toThrow('the reader has left');
  expect(large.mayRelay()).toBe(true);
});

test('a sink of batches stops its source when two MiB wait', () => {
  const sink = createBatchSink({ receive: () => new Promise(() => {}), isComplete: () => false });
  const MIB = 1024 * 1024;
  expect(sink.write(Buffer.alloc(2 * MIB - 1))).toBe(true);
  expect(sink.write(Buffer.alloc(1))).toBe(false);
});
