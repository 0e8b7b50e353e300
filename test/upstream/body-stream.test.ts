import { expect, onTestFinished, test, vi } from 'vitest';
import { createBodyStream, StalledBodyError } from '../../src/upstream/http/body.ts';

const IDLE_MS = 60_000;
const WINDOW_MIN_BYTES = 16 * 1024;

test('a body that delivers 16 KiB in each idle window goes on; with one byte less in a window it has stalled', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const aborted: Error[] = [];
  const stream = createBodyStream(
    { pause: () => {}, resume: () => {}, abort: (reason) => void aborted.push(reason) },
    IDLE_MS,
  );
  const read = stream.read((_, release) => release()).catch((error: unknown) => error);
  const window = (sizeBytes: number) => {
    stream.push(Buffer.alloc(sizeBytes));
    vi.advanceTimersByTime(IDLE_MS);
  };
  window(WINDOW_MIN_BYTES);
  window(WINDOW_MIN_BYTES);
  expect(aborted).toEqual([]);
  window(WINDOW_MIN_BYTES - 1);
  expect(await read).toBeInstanceOf(StalledBodyError);
  expect(aborted).toHaveLength(1);
});
