import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Body } from '../../src/upstream/http/body.ts';
import { drain, noticesOf, receive } from '../../src/upstream/http/reply.ts';

const KIB = 1024;

/** A response that sends these chunks and then nothing more. `send` sends another one. */
function replyOf(chunks: readonly number[], headers: Readonly<Record<string, string>> = {}) {
  const state = { cancelled: false };
  let send = (_sizeBytes: number): void => {};
  let settle = (_error: Error): void => {};
  const body: Body = {
    read: (take) => {
      send = (sizeBytes) => take(Buffer.alloc(sizeBytes), () => {});
      for (const sizeBytes of chunks) send(sizeBytes);
      return new Promise((_, reject) => {
        settle = reject;
      });
    },
    cancel: (reason = new Error('cancelled')) => {
      state.cancelled = true;
      settle(reason);
    },
  };
  const url = new URL('https://registry.test/v2/team/app/manifests/v1');
  return {
    state,
    send: (sizeBytes: number) => send(sizeBytes),
    reply: { status: 200, headers, url, target: url.pathname, body },
  };
}

describe('noticesOf()', () => {
  test.each([
    [256, 1],
    [257, 0],
  ])('passes on a header of %d characters: %d', (characters, count) => {
    const notices = noticesOf({ warning: 'w'.repeat(characters) });
    expect(Object.keys(notices)).toHaveLength(count);
  });
});

describe('drain()', () => {
  test.each([
    [[32 * KIB, 32 * KIB], false],
    [[32 * KIB, 32 * KIB, 1], true],
  ])('of %o bytes closes the connection: %s', (chunks, isClosed) => {
    const { reply, state } = replyOf(chunks);
    drain(reply);
    expect(state.cancelled).toBe(isClosed);
  });
});

describe('receive() of a large document', () => {
  test.each([
    ['16 KiB in five seconds', [16 * KIB, 16 * KIB, 16 * KIB], [false, false, false]],
    ['a byte less in the second five seconds', [16 * KIB, 16 * KIB - 1], [false, true]],
    ['a byte less from the start', [16 * KIB - 1], [true]],
  ])('that brings %s', async (_, windows, isGivenUp) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const { reply, state, send } = replyOf([], { 'content-length': String(100 * KIB) });
    const received = receive(reply, { maxBytes: 100 * KIB, timeoutMs: 60_000 }, (bytes) => bytes).catch(
      (error: { status: number }) => error.status,
    );
    const seen: boolean[] = [];
    for (const sizeBytes of windows) {
      send(sizeBytes);
      vi.advanceTimersByTime(4999);
      expect(state.cancelled).toBe(false);
      vi.advanceTimersByTime(1);
      seen.push(state.cancelled);
    }
    expect(seen).toEqual(isGivenUp);
    if (!state.cancelled) vi.advanceTimersByTime(60_000);
    expect(await received).toBe(504);
  });

  test('of 64 KiB or less has its whole time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const { reply, state } = replyOf([1], { 'content-length': String(64 * KIB) });
    const received = receive(reply, { maxBytes: 100 * KIB, timeoutMs: 60_000 }, (bytes) => bytes).catch(
      (error: { status: number }) => error.status,
    );
    vi.advanceTimersByTime(59_999);
    expect(state.cancelled).toBe(false);
    vi.advanceTimersByTime(1);
    expect(await received).toBe(504);
  });
});
