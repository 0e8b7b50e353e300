import { read } from 'node:fs';
import type { Writable } from 'node:stream';
import type { ByteRange } from '../oci/range.ts';
import type { BufferPool, Loan } from './buffer-pool.ts';

/** Reads at a position, whatever else reads the same descriptor; answers how many bytes there were. */
export function readAt(fd: number, buffer: Buffer, sizeBytes: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, sizeBytes, position, (error, bytesRead) => {
      if (error) reject(error);
      else resolve(bytesRead);
    });
  });
}

/** Hands a chunk to the sink; resolves when its memory is free again, which is what the write's callback says. */
function writeChunk(sink: Writable, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const left = () => reject(new Error('the reader has left'));
    if (sink.destroyed) return left();
    sink.once('close', left);
    sink.write(chunk, (error) => {
      sink.off('close', left);
      if (error) reject(error);
      else resolve();
    });
  });
}

async function lendAndRead(fd: number, pool: BufferPool, position: number, end: number) {
  const loan = pool.lend(end - position);
  const wantedBytes = Math.min(loan.buffer.length, end - position);
  const bytesRead = await readAt(fd, loan.buffer, wantedBytes, position);
  if (bytesRead === 0) throw new Error(`the file ends at byte ${position} instead of ${end}`);
  return { loan, bytesRead };
}

async function writeAndGiveBack(sink: Writable, loan: Loan, sizeBytes: number): Promise<void> {
  await writeChunk(sink, loan.buffer.subarray(0, sizeBytes));
  // Not in a finally: memory whose write failed may still be on its way, so it is left to the collector.
  loan.giveBack();
}

/**
 * Copies a part of an open file to a sink: the next part is read while the last is being written, so at most two
 * buffers are in use. No read is under way once this settles.
 */
export async function copyFile(
  fd: number,
  sink: Writable,
  range: ByteRange,
  pool: BufferPool,
): Promise<void> {
  const leave = pool.enter();
  let writing: Promise<void> = Promise.resolve();
  try {
    for (let position = range.start; position < range.end; ) {
      const { loan, bytesRead } = await lendAndRead(fd, pool, position, range.end);
      position += bytesRead;
      await writing;
      writing = writeAndGiveBack(sink, loan, bytesRead);
      writing.catch(() => {
        // Awaited in the next round or at the end; a read error in between must not leave it unhandled.
      });
    }
    await writing;
  } finally {
    leave();
  }
}
