import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { keepMemory } from '../../src/lib/writable.ts';
import type { UpstreamOptions } from '../../src/upstream/client.ts';
import { ConcurrencyController } from '../../src/upstream/concurrency-controller.ts';
import { RangeBudget } from '../../src/upstream/range-budget.ts';
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
  'a large blob read by the %s reader from a store that limits each connection',
  (blobReader) => {
    const start = async (
      misdeed?: Misdeed,
      { timeouts, ...options }: Pick<Partial<UpstreamOptions>, 'blobConnections' | 'timeouts' | 'log'> = {},
    ) => {
      const store = await startPacedStore(SIZE, misdeed === undefined ? {} : { misdeed });
      const upstream = upstreamTo(upstreamAt(store.url), {
        blobReader,
        ...options,
        timeouts: { resumeMs: 10, ...timeouts },
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

    test('is fetched over one connection, without a Range, with blobConnections: 1', async () => {
      const { store, read } = await start(undefined, { blobConnections: 1 });
      expect((await read()).equals(store.bytes)).toBe(true);
      expect(store.ranges()).toEqual([undefined]);
    });

    test('is fetched in ranges too when the client requests a large part of it, from its first to its last byte', async () => {
      const { store, upstream } = await start();
      const range = { kind: 'from', first: 1001, last: SIZE - 1002 } as const;
      const blob = await upstream.blob(app, store.digest, { range });
      expect(blob).toMatchObject({ range: { start: 1001, end: SIZE - 1001 }, sizeBytes: SIZE });
      expect((await readBlob(blob)).equals(store.bytes.subarray(1001, SIZE - 1001))).toBe(true);
      expect(store.mostAtOnce()).toBeGreaterThan(1);
    });

    test.each([
      ['reset half-way', 'reset'],
      ['ended short of its Content-Range', 'ended'],
    ] as const)('fault 84: a range that ends early: %s, it is resumed where it broke', async (_, how) => {
      const { store, read } = await start(
        once(isSecond, (__, ___, response) => {
          const end = 12 * MIB;
          response.writeHead(206, {
            ...(how === 'reset' ? { 'content-length': 4 * MIB } : {}),
            etag: '"one"',
            'content-range': `bytes ${8 * MIB}-${end - 1}/${SIZE}`,
          });
          response.write(store.bytes.subarray(8 * MIB, 9 * MIB), () => {
            if (how === 'reset') response.socket?.resetAndDestroy();
            else response.end();
          });
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
    ])('fault 87: a range that is refused: answered %s once, the blob is complete', async (_, status) => {
      const { store, read } = await start(
        once(isSecond, (__, ___, response) => {
          response.writeHead(status, { 'content-length': 0 }).end();
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('fault 87: a range that is refused: the log says so once for a blob', async () => {
      const resumed: unknown[] = [];
      let refused = 0;
      const { store, read } = await start(
        (_, request, response) => {
          if (!isSecond(request.headers.range ?? '') || refused === 2) return 'not mine';
          refused += 1;
          response.writeHead(429, { 'content-length': 0 }).end();
          return 'served';
        },
        { log: (_level, event, _message, fields) => event === 'blob-resumed' && resumed.push(fields) },
      );
      expect((await read()).equals(store.bytes)).toBe(true);
      expect(refused).toBe(2);
      const reason = expect.stringContaining('answered 429');
      expect(resumed).toEqual([{ registry: app.host, blob: expect.any(String), offset: 8 * MIB, reason }]);
    });

    test('fault 87: a range that is refused: by a registry that limits requests, the rest is one request', async () => {
      const { store, read } = await start((nth, request, response) => {
        const { range } = request.headers;
        if (nth < 2 || range === undefined || range.endsWith(`-${SIZE - 1}`)) return 'not mine';
        response.writeHead(429, { 'content-length': 0 }).end();
        return 'served';
      });
      expect((await read()).equals(store.bytes)).toBe(true);
      expect(store.sentBytes()).toBe(SIZE);
      const asked = store.ranges().length;
      // The next blob is one request too.
      expect((await read()).equals(store.bytes)).toBe(true);
      expect(store.ranges().slice(asked)).toEqual([undefined]);
    });

    test('fault 88: the whole blob in place of a range: it is read in one piece, and no byte is misplaced', async () => {
      const { store, read } = await start((nth, _, response) => {
        if (nth === 0) return 'not mine';
        response.writeHead(200, { 'content-length': SIZE, etag: '"one"' });
        response.end(store.bytes);
        return 'served';
      });
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('fault 86: a range of another version: bytes of another ETag are never mixed in', async () => {
      const other = Buffer.alloc(SIZE, 7);
      const { store, read } = await start(
        once(isSecond, (_, request, response) => {
          const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
          const part = other.subarray(Number(first), Number(last) + 1);
          // With the framing of the other ranges: else the reader asks again before it compares versions.
          const framing = {
            'content-length': part.length,
            'content-range': `bytes ${first}-${last}/${SIZE}`,
          };
          response.writeHead(206, { etag: '"two"', ...framing }).end(part);
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('fault 86: a range of another version: bytes of a file of another length are never mixed in', async () => {
      const { store, read } = await start(
        once(isSecond, (_, request, response) => {
          const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
          const part = store.bytes.subarray(Number(first) + 1, Number(last) + 2);
          const contentRange = `bytes ${first}-${last}/${SIZE + 1}`;
          const framing = { 'content-length': part.length, 'content-range': contentRange };
          response.writeHead(206, { etag: '"one"', ...framing }).end(part);
          return 'served';
        }),
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('fault 85: wrong bytes in a range: the digest tells, and the last byte is never written', async () => {
      const { store, upstream } = await start((_, request, response) => {
        const [, first = '', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
        if (Number(first) < 8 * MIB) return 'not mine';
        const end = last === '' ? SIZE : Math.min(Number(last) + 1, SIZE);
        const sizeBytes = end - Number(first);
        const framing = { 'content-length': sizeBytes, 'content-range': `bytes ${first}-${end - 1}/${SIZE}` };
        response.writeHead(206, { etag: '"one"', ...framing }).end(Buffer.alloc(sizeBytes, 1));
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

    test('fault 89: a range that stalls: it is fetched again while the others go on', async () => {
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
        { timeouts: { idleMs: 1000 } },
      );
      expect((await read()).equals(store.bytes)).toBe(true);
    });

    test('a reader that leaves ends every request', async () => {
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
      await expect.poll(() => store.underWay()).toBe(0);
    });

    test('is requested whole from a store that answers no range correctly', async () => {
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

test('fault 90: a signed location that expires half-way: every range uses it until then, and a new one after', async () => {
  const store = await startPacedStore(SIZE, {
    pauseMs: 8,
    misdeed: (nth, request, response) => {
      const url = new URL(request.url ?? '', 'http://store.invalid');
      if (url.pathname.includes('/blobs/')) {
        response.writeHead(307, { location: `/signed?serial=${nth}`, 'content-length': 0 }).end();
        signed.push(`/signed?serial=${nth}`);
        return 'served';
      }
      served += 1;
      if (`${url.pathname}${url.search}` === signed[0] && served > 2) {
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
  expect(served).toBeGreaterThan(3);
  expect(signed.length).toBeGreaterThan(1);
  expect(signed.length).toBeLessThan(served);
  expect(store.sentBytes()).toBe(SIZE);
});

test.each([429, 503])(
  'a signed location that answers %i once is asked again, and no new one is signed',
  async (status) => {
    let refused = 0;
    let signed = 0;
    const store = await startPacedStore(SIZE, {
      misdeed: (_, request, response) => {
        if (request.url?.includes('/blobs/')) {
          signed += 1;
          response.writeHead(307, { location: '/signed', 'content-length': 0 }).end();
          return 'served';
        }
        // The client itself repeats a 503 once.
        if (!isSecond(request.headers.range ?? '') || refused === 2) return 'not mine';
        refused += 1;
        response.writeHead(status, { 'content-length': 0 }).end();
        return 'served';
      },
    });
    const upstream = upstreamTo(upstreamAt(store.url), { timeouts: { resumeMs: 10 } });
    expect((await readBlob(await upstream.blob(app, store.digest))).equals(store.bytes)).toBe(true);
    expect(refused).toBe(2);
    expect(signed).toBe(1);
  },
);

describe('ConcurrencyController', () => {
  /**
   * Feeds the controller with the throughput that `rateOf(connections)` gives, in MB/s, shared by `downloads`, and answers
   * the limits it tried; of each window's bytes the part `behind` comes while the reader has not taken the ones before.
   */
  function run(
    rateOf: (connections: number) => number,
    windows: number,
    { behind = 0, downloads = 1 }: { behind?: number; downloads?: number } = {},
  ) {
    let now = 0;
    const controller = new ConcurrencyController(8, () => now);
    const limits: number[] = [];
    const all = Array.from({ length: downloads }, () => ({}));
    for (const download of all) controller.join(download);
    const receive = (sizeBytes: number, isReaderBehind: boolean) => {
      for (const download of all) {
        controller.record(download, { sizeBytes, flowing: controller.limit, isReaderBehind });
      }
    };
    for (let window = 0; window < windows; window += 1) {
      const sizeBytes = (rateOf(controller.limit * downloads) * 100_000) / downloads;
      receive(sizeBytes * behind, true);
      receive(sizeBytes * (1 - behind), false);
      now += 100;
      controller.record(all[0] ?? {}, { sizeBytes: 0, flowing: controller.limit, isReaderBehind: false });
      limits.push(controller.limit);
    }
    return { controller, limits };
  }

  test('doubles up to its limit while each connection adds its own share', () => {
    const { limits } = run((limit) => limit * 20, 20);
    expect(limits.at(-1)).toBe(8);
    expect(new Set(limits)).toEqual(new Set([2, 4, 8]));
  });

  test('returns to one connection when a second adds nothing', () => {
    const { limits } = run(() => 50, 60);
    expect(limits.filter((limit) => limit > 1).length).toBeLessThan(12);
    expect(limits.at(-1)).toBe(1);
  });

  test('stays at one connection that is not throttled, because more would only cost copies', () => {
    const { limits } = run((limit) => limit * 400, 20);
    expect(new Set(limits)).toEqual(new Set([1]));
  });

  test('stops doubling when the last doubling added less than a fifth', () => {
    const { limits } = run((limit) => Math.min(limit, 4) * 20, 15);
    expect(limits.at(-1)).toBe(4);
  });

  test('stays at one connection while the reader, not the connection, sets the pace', () => {
    const { controller, limits } = run((connections) => connections * 20, 20, { behind: 0.6 });
    expect(new Set(limits)).toEqual(new Set([1]));
    expect(controller.undecidedBytes).toBe(Number.POSITIVE_INFINITY);
  });

  test('doubles although the reader is late for a moment now and then', () => {
    const { limits } = run((connections) => connections * 20, 20, { behind: 0.4 });
    expect(limits.at(-1)).toBe(8);
  });

  test('three downloads that share one line stay at one connection each, because more would add nothing', () => {
    const { limits } = run(() => 60, 60, { downloads: 3 });
    expect(limits.filter((limit) => limit > 1).length).toBeLessThan(12);
    expect(limits.at(-1)).toBe(1);
  });

  test('three downloads whose connections are throttled share the limit of the host', () => {
    const { limits } = run((connections) => Math.min(connections, 8) * 20, 20, { downloads: 3 });
    expect(limits.at(-1)).toBe(4);
  });

  test('a download that starts while a doubling is measured invalidates the measurement', () => {
    let now = 0;
    const controller = new ConcurrencyController(8, () => now);
    const receive = (download: object) => {
      now += 100;
      controller.record(download, { sizeBytes: 2_000_000, flowing: 1, isReaderBehind: false });
    };
    const [first, second] = [{}, {}];
    controller.join(first);
    receive(first);
    expect(controller.limit).toBe(2);
    controller.join(second);
    expect(controller.limit).toBe(1);
    controller.leave(second);
    expect(controller.isUsed).toBe(true);
    controller.leave(first);
    expect(controller.isUsed).toBe(false);
  });

  test('back() halves the connections, and does not double again at once', () => {
    const { controller } = run((limit) => limit * 20, 20);
    controller.back();
    expect(controller.limit).toBe(4);
  });
});

test('a RangeBudget does not reuse memory that a client still reads', () => {
  const budget = new RangeBudget(8, () => 0);
  budget.join('registry.test', () => {});
  const [free, read] = [budget.buffer(), budget.buffer()];
  if (!free || !read) throw new Error('no memory');
  keepMemory(read.subarray(7, 9));
  for (const buffer of [free, read]) budget.release(buffer);
  const again = [budget.buffer(), budget.buffer()];
  expect(again.map((buffer) => buffer === free)).toEqual([true, false]);
  expect(again.map((buffer) => buffer === read)).toEqual([false, false]);
});

test('large blobs whose readers pause share the memory, and each gets its bytes when they continue', async () => {
  const store = await startPacedStore(SIZE);
  const upstream = upstreamTo(upstreamAt(store.url), {
    blobConnections: 100,
    timeouts: { resumeMs: 10, idleMs: 120_000 },
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
      { interval: 300 },
    )
    .toBe(true);
  goOn();
  expect(await Promise.all(reads)).toEqual(reads.map(() => SIZE));
  expect(store.sentBytes()).toBe(reads.length * SIZE);
});
