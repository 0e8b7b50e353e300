import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Body, BrokenBodyError, bodyOf, createBodyStream } from '../../src/upstream/http/body.ts';
import { ParallelBody } from '../../src/upstream/parallel-body.ts';
import { RangeBudget, SEGMENT_BYTES } from '../../src/upstream/range-budget.ts';
import type { OpenedBlob } from '../../src/upstream/resumable-blob.ts';
import '../support/fuzz.ts';

const KIB = 1024;
const IDLE_MS = 60_000;

/** A response with bytes `start` to `end`. */
function opened(start: number, end: number, body: Body): OpenedBlob {
  return {
    ...{ body, start, end, isPart: true, sizeBytes: undefined, host: 'registry.test' },
    ...{ etag: undefined, location: undefined, reportBad: () => {} },
  };
}

test('ParallelBody delivers buffered bytes when its reader takes the range before them late', async () => {
  const bytes = randomBytes(2 * SEGMENT_BYTES);
  let nowMs = 0;
  const flowControl = { pause: () => {}, resume: () => {}, abort: () => {} };
  const first = createBodyStream(flowControl, 60_000);
  let pushed = 0;
  const push = (sizeBytes: number) => {
    first.push(bytes.subarray(pushed, pushed + sizeBytes));
    pushed += sizeBytes;
  };
  let endSecond: () => void = () => {};
  const secondRead = new Promise<void>((resolve) => {
    endSecond = resolve;
  });
  const parallel = new ParallelBody({
    first: opened(0, SEGMENT_BYTES, first),
    end: bytes.length,
    host: 'registry.test',
    open: async (start, end) => {
      const body = bodyOf(bytes.subarray(start, end));
      const read: Body['read'] = (take) => body.read(take).finally(endSecond);
      return opened(start, end, { read, cancel: body.cancel });
    },
    budget: new RangeBudget(8, () => nowMs),
    retryMs: 1,
    onRepeat: () => {},
  });

  const received: Buffer[] = [];
  const releases: (() => void)[] = [];
  const read = parallel.read((chunk, release) => {
    received.push(Buffer.from(chunk));
    releases.push(release);
  });
  // The reader keeps up at first, so the second range is fetched over a connection of its own.
  push(256 * KIB);
  nowMs += 200;
  push(256 * KIB);
  // Then it is behind by more than may be unreleased at once, until all has arrived.
  push(SEGMENT_BYTES - pushed);
  first.end();
  await secondRead;
  await new Promise(setImmediate);
  expect(Buffer.concat(received).length).toBe(SEGMENT_BYTES);

  for (let release = releases.shift(); release !== undefined; release = releases.shift()) release();
  await read;
  expect(Buffer.concat(received).equals(bytes)).toBe(true);
  // What waited in memory comes in slices, so that a slow reader holds little of it at a time.
  expect(Math.max(...received.slice(3).map(({ length }) => length))).toBe(256 * KIB);
});

/** A response that is fed by hand. */
function fed() {
  return createBodyStream({ pause: () => {}, resume: () => {}, abort: () => {} }, IDLE_MS);
}

describe('ParallelBody gives up a range', () => {
  /** Where each request of one range began, when its responses bring so many bytes each and then break off. */
  async function requestsOf(responsesBytes: readonly number[]) {
    const asked: number[] = [];
    const first = fed();
    const parallel = new ParallelBody({
      first: opened(0, SEGMENT_BYTES, first),
      end: SEGMENT_BYTES,
      host: 'registry.test',
      open: async (start, end) => {
        const pieceBytes = responsesBytes[asked.length] ?? 0;
        asked.push(start);
        const body = fed();
        const take: Body['read'] = (taker) => {
          const reading = body.read(taker);
          if (pieceBytes > 0) body.push(Buffer.alloc(pieceBytes));
          body.fail(new BrokenBodyError('the connection broke'));
          return reading;
        };
        return opened(start, end, { read: take, cancel: body.cancel });
      },
      budget: new RangeBudget(1, () => 0),
      retryMs: 0,
      onRepeat: () => {},
    });
    const reading = parallel.read((_, release) => release());
    first.fail(new BrokenBodyError('the connection broke'));
    await expect(reading).rejects.toThrow(BrokenBodyError);
    return asked;
  }

  test('whose third response in a row brings nothing', async () => {
    expect(await requestsOf([0, 0, 1])).toEqual([0, 0]);
    // The second response brings enough, so the count begins anew.
    expect(await requestsOf([0, 16 * KIB, 0, 0])).toEqual([0, 0, 16 * KIB, 16 * KIB]);
  });

  test('whose third response in a row brings less than 16 KiB', async () => {
    const almost = 16 * KIB - 1;
    expect(await requestsOf([1, almost, 16 * KIB])).toEqual([0, 1]);
    expect(await requestsOf([almost, almost, almost])).toEqual([0, almost]);
  });
});

test('ParallelBody requests at most 64 MiB at once from a host that gives it one connection', async () => {
  let nowMs = 0;
  const MIB = 1024 * KIB;
  const first = fed();
  const asked: (readonly [number, number])[] = [];
  const parallel = new ParallelBody({
    first: opened(0, SEGMENT_BYTES, first),
    end: 1024 * MIB,
    host: 'registry.test',
    open: async (start, end) => {
      asked.push([start, end]);
      return opened(start, end, fed());
    },
    budget: new RangeBudget(1, () => nowMs),
    retryMs: 0,
    onRepeat: () => {},
  });
  // The reader is behind all the time, so nothing is decided while it reads.
  const read = parallel.read(() => {}).catch((error: unknown) => error);
  first.push(Buffer.alloc(2 * MIB));
  nowMs += 100;
  first.push(Buffer.alloc(2 * MIB));
  const reason = new Error('enough');
  parallel.cancel(reason);
  expect(await read).toBe(reason);
  expect(asked).toEqual([[4 * MIB, 68 * MIB]]);
});

const FLOW = fc.record({
  /** Sizes of what arrives at once, in turn. */
  chunks: fc.array(fc.integer({ min: 16 * KIB, max: 1024 * KIB }), { minLength: 1, maxLength: 8 }),
  /** For how many turns of the event loop each connection, and the reader, rests between two chunks, in turn. */
  sourceRests: fc.array(fc.nat(4), { minLength: 1, maxLength: 8 }),
  readerRests: fc.array(fc.nat(8), { minLength: 1, maxLength: 8 }),
  /** What the clock says of one turn, in milliseconds. */
  turnMs: fc.constantFrom(1, 20, 120),
  /** Every how manieth response breaks off in its middle; 0: none. */
  breaksEvery: fc.constantFrom(0, 0, 3, 5),
  sizeBytes: fc.integer({ min: SEGMENT_BYTES + 1, max: 5 * SEGMENT_BYTES }),
});

test('ParallelBody delivers every byte in order at any speed of its connections and its reader', async () => {
  const bytes = randomBytes(5 * SEGMENT_BYTES);
  await fc.assert(
    fc.asyncProperty(FLOW, async ({ chunks, sourceRests, readerRests, turnMs, breaksEvery, sizeBytes }) => {
      let nowMs = 0;
      let responses = 0;
      const at = (list: readonly number[], nth: number) => list[nth % list.length] ?? 0;
      const turns = async (count: number) => {
        for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate);
        nowMs += count * turnMs;
      };
      const respond = (start: number, end: number): OpenedBlob => {
        responses += 1;
        const nth = responses;
        const breaksAt = breaksEvery > 0 && nth % breaksEvery === 0 ? (start + end) >> 1 : undefined;
        let isPaused = true;
        let isGone = false;
        let wake = () => {};
        const stream = createBodyStream(
          {
            pause: () => {
              isPaused = true;
            },
            resume: () => {
              isPaused = false;
              wake();
            },
            abort: () => {
              isGone = true;
              wake();
            },
          },
          IDLE_MS,
        );
        const send = async () => {
          for (let from = start, chunk = nth; from < end && !isGone; chunk += 1) {
            if (isPaused) {
              await new Promise<void>((resolve) => {
                wake = resolve;
              });
              continue;
            }
            const to = Math.min(
              end,
              from + at(chunks, chunk),
              breaksAt !== undefined && from < breaksAt ? breaksAt : end,
            );
            stream.push(bytes.subarray(from, to));
            from = to;
            if (from === breaksAt) return stream.fail(new BrokenBodyError('the connection broke'));
            await turns(at(sourceRests, chunk));
          }
          stream.end();
        };
        void send();
        return opened(start, end, stream);
      };
      const body = new ParallelBody({
        first: respond(0, SEGMENT_BYTES),
        end: sizeBytes,
        host: 'registry.test',
        open: async (start, end) => respond(start, end),
        budget: new RangeBudget(8, () => nowMs),
        retryMs: 0,
        onRepeat: () => {},
      });
      const waiting: (() => void)[] = [];
      const received: Buffer[] = [];
      let isOver = false;
      const reader = (async () => {
        for (let nth = 0; !isOver; nth += 1) {
          await turns(1 + at(readerRests, nth));
          waiting.shift()?.();
        }
      })();
      await body
        .read((chunk, release) => {
          received.push(Buffer.from(chunk));
          waiting.push(release);
        })
        .finally(() => {
          isOver = true;
        });
      await reader;
      expect(Buffer.concat(received).equals(bytes.subarray(0, sizeBytes))).toBe(true);
    }),
    { numRuns: 40 },
  );
});
