import { describe, expect, test } from 'vitest';
import { SingleFlight } from '../../src/lib/single-flight.ts';

/** Work that ends when it is told to. */
function work() {
  const signals: AbortSignal[] = [];
  const settle: { resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  const start = (signal: AbortSignal) => {
    signals.push(signal);
    return new Promise<string>((resolve, reject) => {
      settle.push({ resolve, reject });
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  return { signals, settle, start };
}

describe('SingleFlight', () => {
  test('runs once for all concurrent callers, and again for later ones', async () => {
    const flights = new SingleFlight<string>();
    const { settle, start } = work();
    const all = Promise.all([1, 2, 3].map(() => flights.share('key', undefined, start)));
    settle[0]?.resolve('once');
    expect(await all).toEqual(['once', 'once', 'once']);
    const later = flights.share('key', undefined, start);
    settle[1]?.resolve('again');
    expect(await later).toBe('again');
    expect(settle).toHaveLength(2);
  });

  test('runs separately for another key', () => {
    const flights = new SingleFlight<string>();
    const { settle, start } = work();
    void flights.share('one', undefined, start);
    void flights.share('two', undefined, start);
    expect(settle).toHaveLength(2);
  });

  test('continues when one of the callers leaves', async () => {
    const flights = new SingleFlight<string>();
    const { signals, settle, start } = work();
    const leaving = new AbortController();
    const first = flights.share('key', leaving.signal, start);
    const second = flights.share('key', undefined, start);
    leaving.abort();
    await expect(first).rejects.toMatchObject({ name: 'AbortError' });
    expect(signals[0]?.aborted).toBe(false);
    settle[0]?.resolve('done');
    expect(await second).toBe('done');
  });

  test('aborts when all callers have left, and later callers do not join it', async () => {
    const flights = new SingleFlight<string>();
    const { signals, settle, start } = work();
    const leaving = new AbortController();
    const first = flights.share('key', leaving.signal, start);
    leaving.abort();
    await expect(first).rejects.toMatchObject({ name: 'AbortError' });
    expect(signals[0]?.aborted).toBe(true);
    const next = flights.share('key', undefined, start);
    settle[1]?.resolve('done');
    expect(await next).toBe('done');
  });

  test('does not abort after it has ended, because its result may still be read', async () => {
    const flights = new SingleFlight<string>();
    const { signals, settle, start } = work();
    const shared = flights.share('key', undefined, start);
    settle[0]?.resolve('done');
    await shared;
    expect(signals[0]?.aborted).toBe(false);
  });

  test('fails for all callers, and runs again for the next one', async () => {
    const flights = new SingleFlight<string>();
    const { settle, start } = work();
    const both = [1, 2].map(() => flights.share('key', undefined, start));
    settle[0]?.reject(new Error('no'));
    for (const { status } of await Promise.allSettled(both)) expect(status).toBe('rejected');
    const next = flights.share('key', undefined, start);
    settle[1]?.resolve('yes');
    expect(await next).toBe('yes');
  });
});
