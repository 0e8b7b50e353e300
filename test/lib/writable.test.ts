import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { watchSink, writeChunk } from '../../src/lib/writable.ts';

/** A sink that never takes what it is given. */
function stuckSink(): Writable {
  return new Writable({ write: () => {} });
}

describe('writeChunk()', () => {
  test('rejects with the reason when the sink was closed before', async () => {
    const sink = stuckSink();
    sink.destroy();
    await expect(writeChunk(sink, Buffer.from('late'))).rejects.toThrow('the reader has left');
  });

  test('rejects when the sink closes before it has accepted the chunk', async () => {
    const sink = stuckSink();
    const writing = writeChunk(sink, Buffer.from('half'));
    sink.destroy();
    await expect(writing).rejects.toThrow('the reader has left');
  });

  test('rejects with the sink’s own error', async () => {
    const sink = stuckSink();
    sink.on('error', () => {});
    const writing = writeChunk(sink, Buffer.from('half'));
    sink.destroy(new Error('the cable is cut'));
    await expect(writing).rejects.toThrow('the cable is cut');
  });

  test('keeps no listener once the chunk is accepted', async () => {
    const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
    for (let count = 0; count < 3; count += 1) await writeChunk(sink, Buffer.from('whole'));
    expect(sink.listenerCount('error') + sink.listenerCount('close')).toBe(0);
  });
});

test('watchSink() reports once why the sink has closed', async () => {
  const sink = stuckSink();
  const reasons: string[] = [];
  const watch = watchSink(sink, ({ message }) => reasons.push(message));
  expect(watch.reason).toBeUndefined();
  const closed = new Promise((resolve) => sink.once('close', resolve));
  sink.destroy(new Error('the cable is cut'));
  await closed;
  expect(reasons).toEqual(['the cable is cut']);
  expect(watch.reason?.message).toBe('the cable is cut');
});
