import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { keepMemory } from '../../src/lib/kept-memory.ts';
import { ConcurrencyController, RangeBudget } from '../../src/upstream/range-budget.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { type Misdeed, startPacedStore } from '../support/paced-store.ts';
import { readBlob, repository, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const MIB = 1024 * 1024;
const SIZE = 36 * MIB + 4321;

/** Answers the requests that `isMeant` names with `act`, once each. */
function once(isMeant: (range: string, nth: number) => boolean, act: Misdeed): Misdeed {
  const met = new Set<string>();
  return (nth, request, response) => {
    const range = request.headers.range ?? '';
    if (met.has(range) || !isMeant(range, nth)) return 'not mine';
    met.add(range);
    return act(nth, request, response);
  };
}

/** The range that starts where the first one ended: every large blob has it. */
const isSecond = (range: string) => range.startsWith(`bytes=${8 * MIB}-`);

/** `plain` is the transport of all other requests; the nightly run reads blobs by it too. */
const READERS =
  process.env['METAHUB_FUZZ_RUNS'] === undefined ? ['raw' as const] : ['raw' as const, 'standard' as const];

describe.each(READERS)(
  'a large blob read the %s way over a store that limits each connection',
  (blobReader) => {
    const start = async (misdeed?: Misdeed, options: object = {}) => {
      const store = await startPacedStore(SIZE, misdeed === undefined ? {} : { misdeed });
      const upstream = upstreamTo(upstreamAt(store.url), {
        blobReader,
        ...options,
        timeouts: { resumeMs: 10, idleMs: 1000 },
      });
      const read = async () => readBlob(await upstream.blob(app, store.digest));
      return { store, upstream, read };
    };

    test('is fetched over several connections, each byte once', async () => {
      const { store, read } = await start();
      expect((await read()).equals(store.bytes)).toBe(true);
      expect(store.mostAtOnce()).toBeGreaterThan(1);
      expect(store.mostAtOnce()).toBeLessThanOrEqual(8);
      expect(store.sentBytes()).toBe(SIZE);
      expect(store.ranges()[0]).toBe(`bytes=0-${8 * MIB - 1}`);
    });

    test('blobConnections: 1 fetches it over one connection, without a Range', async () => {
      const { store, read } = await start(undefined, { blobConnections: 1 });
      expect((await read()).equals(store.bytes)).toBe(true);
      expect(store.ranges()).toEqual([undefined]);
    });

    test('a large part of it that a client requested comes in ranges too, from its first to its last byte', async () => {
      const { store, upstream } = await start();
      const range = { kind: 'from', first: 1001, last: SIZE - 1002 } as const;
      const blob = await upstream.blob(app, store.digest, { range });
      expect(blob).toMatchObject({ range: { start: 1001, end: SIZE - 1001 }, sizeBytes: SIZE });
      expect((await readBlob(blob)).equals(store.bytes.subarray(1001, SIZE - 1001))).toBe(true);
      expect(store.mostAtOnce()).toBeGreaterThan(1);
    });

    test('a range that is reset half-way is resumed where it broke', async () => {
      const { store, read } = await start(
        once(isSecond, (_, __, response) => {
          const end = 12 * MIB;
          response.writeHead(206, {
            'content-length': 4 * MIB,
            etag: '"one"',
            'content-range': `bytes ${8 * MIB}-${end - 1}/${SIZE}`,
          });
          response.write(store.bytes.subarray(8 * MIB, 9 * MIB), () => response.socket?.resetAndDestroy());
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
      const resumed = store
        .ranges()
        .filter((range) => /^bytes=(\d+)-/.test(range ?? '') && !isSecond(range ?? ''));
      expect(resumed.length).toBeGreaterThan(1);
    });

    test.each([
      ['404', 404],
      ['416', 416],
      ['429', 429],
      ['503', 503],
    ])('a range that is once answered %s is fetched all the same', async (_, status) => {
      const { store, read } = await start(
        once(isSecond, (__, ___, response) => {
          response.writeHead(status, { 'content-length': 0 }).end();
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('200 instead of 206 for a later range: the rest is read in one piece, and no byte of it is taken for another', async () => {
      const { store, read } = await start((nth, _, response) => {
        if (nth === 0) return 'not mine';
        response.writeHead(200, { 'content-length': SIZE, etag: '"one"' });
        response.end(store.bytes);
        return 'served';
      });
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('a range of another version of the file is never mixed in', async () => {
      const other = Buffer.alloc(SIZE, 7);
      const { store, read } = await start(
        once(isSecond, (_, request, response) => {
          const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
          response.writeHead(206, { etag: '"two"', 'content-range': `bytes ${first}-${last}/${SIZE}` });
          response.end(other.subarray(Number(first), Number(last) + 1));
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('a range of a file of another length is never mixed in', async () => {
      const { store, read } = await start(
        once(isSecond, (_, request, response) => {
          const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
          const part = store.bytes.subarray(Number(first) + 1, Number(last) + 2);
          response.writeHead(206, { etag: '"one"', 'content-range': `bytes ${first}-${last}/${SIZE + 1}` });
          response.end(part);
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('wrong bytes in a range: the digest tells, and the last byte is never written', async () => {
      const { store, upstream } = await start((_, request, response) => {
        const [, first = '', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
        if (Number(first) < 8 * MIB) return 'not mine';
        const end = last === '' ? SIZE : Math.min(Number(last) + 1, SIZE);
        response.writeHead(206, { etag: '"one"', 'content-range': `bytes ${first}-${end - 1}/${SIZE}` });
        response.end(Buffer.alloc(end - Number(first), 1));
        return 'served';
      });
      const blob = await upstream.blob(app, store.digest);
      if (blob.kind !== 'content') throw new Error('a redirect');
      let writtenBytes = 0;
      const sink = new Writable({
        write: (chunk: Buffer, _, done) => {
          writtenBytes += chunk.length;
          done();
        },
      });
      await expect(blob.writeTo(sink)).rejects.toThrow(/do not have the digest/);
      expect(writtenBytes).toBeLessThan(SIZE);
    });

    test('a range that stalls is fetched again while the others go on', async () => {
      const { store, read } = await start(
        once(isSecond, (_, request, response) => {
          const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
          response.writeHead(206, {
            etag: '"one"',
            'content-length': Number(last) - Number(first) + 1,
            'content-range': `bytes ${first}-${last}/${SIZE}`,
          });
          response.write(store.bytes.subarray(Number(first), Number(first) + 1000));
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('a reader that leaves ends every response', async () => {
      const { store, upstream } = await start();
      const blob = await upstream.blob(app, store.digest);
      if (blob.kind !== 'content') throw new Error('a redirect');
      let writtenBytes = 0;
      const sink = new Writable({
        write: (chunk: Buffer, _, done) => {
          writtenBytes += chunk.length;
          if (writtenBytes > 12 * MIB) sink.destroy();
          done();
        },
      });
      await expect(blob.writeTo(sink)).rejects.toThrow('the reader has left');
      await expect.poll(() => store.underWay(), { timeout: 10_000 }).toBe(0);
    });

    test('a store that answers no range soundly is asked for the whole', async () => {
      const { store, read } = await start((_, request, response) => {
        if (request.headers.range === undefined) return 'not mine';
        response.writeHead(206, { 'content-length': 10 });
        response.end(Buffer.alloc(10));
        return 'served';
      });
      expect((await read()).equals(store.bytes)).toBe(true);
      expect(store.ranges().at(-1)).toBeUndefined();
    });
  },
);

test('a signed location is used for every range until it expires, and then the registry names a new one', async () => {
  const store = await startPacedStore(SIZE, {
    misdeed: (nth, request, response) => {
      const url = new URL(request.url ?? '', 'http://store.invalid');
      if (url.pathname.includes('/blobs/')) {
        response.writeHead(307, { location: `/signed?serial=${nth}`, 'content-length': 0 }).end();
        signed.push(`/signed?serial=${nth}`);
        return 'served';
      }
      served += 1;
      if (`${url.pathname}${url.search}` === signed[0] && served > 4) {
        response.writeHead(403, { 'content-length': 0 }).end();
        return 'served';
      }
      return 'not mine';
    },
  });
  const signed: string[] = [];
  let served = 0;
  const upstream = upstreamTo(upstreamAt(store.url), { timeouts: { resumeMs: 10 } });
  expect((await readBlob(await upstream.blob(app, store.digest))).equals(store.bytes)).toBe(true);
  expect(served).toBeGreaterThan(5);
  expect(signed.length).toBeGreaterThan(1);
  expect(signed.length).toBeLessThan(served);
  expect(store.sentBytes()).toBe(SIZE);
});

describe('ConcurrencyController', () => {
  /** Feeds the controller with the throughput that `rateOf(limit)` gives, in MB/s, and answers the limits it tried. */
  function run(rateOf: (limit: number) => number, windows: number) {
    let now = 0;
    const controller = new ConcurrencyController(8, () => now);
    const limits: number[] = [];
    for (let window = 0; window < windows; window += 1) {
      now += 100;
      controller.record(rateOf(controller.limit) * 100_000, controller.limit);
      limits.push(controller.limit);
    }
    return { controller, limits };
  }

  test('doubles up to its bound while each connection brings its own share', () => {
    const { limits } = run((limit) => limit * 20, 20);
    expect(limits.at(-1)).toBe(8);
    expect(new Set(limits)).toEqual(new Set([2, 4, 8]));
  });

  test('goes back to one connection where a second brings nothing', () => {
    const { limits } = run(() => 50, 60);
    expect(limits.filter((limit) => limit > 1).length).toBeLessThan(12);
    expect(limits.at(-1)).toBe(1);
  });

  test('stays at one connection that nobody limits: more of them would only cost copies', () => {
    const { limits } = run((limit) => limit * 400, 20);
    expect(new Set(limits)).toEqual(new Set([1]));
  });

  test('stays where the next doubling brings less than a fifth more', () => {
    const { limits } = run((limit) => Math.min(limit, 4) * 20, 15);
    expect(limits.at(-1)).toBe(4);
  });

  test('back() halves, and does not double again at once', () => {
    const { controller } = run((limit) => limit * 20, 20);
    controller.back();
    expect(controller.limit).toBe(4);
  });
});

test('a RangeBudget does not hand out memory again that a client still reads', () => {
  const budget = new RangeBudget(8);
  budget.join(() => {});
  const [free, read] = [budget.buffer(), budget.buffer()];
  if (!free || !read) throw new Error('no memory');
  keepMemory(read.subarray(7, 9));
  for (const buffer of [free, read]) budget.release(buffer);
  const again = [budget.buffer(), budget.buffer()];
  expect(again.map((buffer) => buffer === free)).toEqual([true, false]);
  expect(again.map((buffer) => buffer === read)).toEqual([false, false]);
});

test('large blobs whose readers stand still share the memory, and each gets its bytes when they go on', async () => {
  const store = await startPacedStore(SIZE);
  const upstream = upstreamTo(upstreamAt(store.url), {
    blobConnections: 100,
    timeouts: { resumeMs: 10, idleMs: 20_000 },
  });
  let goOn = () => {};
  const going = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const read = async () => {
    const blob = await upstream.blob(app, store.digest);
    if (blob.kind !== 'content') throw new Error('a redirect');
    let receivedBytes = 0;
    await blob.writeTo(
      new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          receivedBytes += chunk.length;
          // The first range passes, so that it is known that more connections are worth it.
          if (receivedBytes < 12 * MIB) done();
          else void going.then(() => done());
        },
      }),
    );
    return receivedBytes;
  };
  const reads = Array.from({ length: 8 }, read);
  // More than fits into the memory for ranges is wanted: everything that may be fetched ahead has come.
  let before = -1;
  await expect
    .poll(
      () => {
        const stands = store.sentBytes() === before && store.underWay() === 0;
        before = store.sentBytes();
        return stands;
      },
      { interval: 300, timeout: 15_000 },
    )
    .toBe(true);
  goOn();
  expect(await Promise.all(reads)).toEqual(reads.map(() => SIZE));
  expect(store.sentBytes()).toBe(reads.length * SIZE);
}, 40_000);
