import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { MemoryPart } from '../../src/mirror/memory-part.ts';

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
