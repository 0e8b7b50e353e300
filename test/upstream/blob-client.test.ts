import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BlobClient } from '../../src/upstream/blob-client.ts';
import type { ChainClient } from '../../src/upstream/failover.ts';
import { bodyOf } from '../../src/upstream/http/body.ts';
import { RangeBudget } from '../../src/upstream/range-budget.ts';
import { type OpenedBlob, UnsoundRangeError } from '../../src/upstream/resumable-blob.ts';
import { repository } from '../support/upstream.ts';

const BYTES = Buffer.from('the bytes of a blob');
const DIGEST = digestOf(BYTES);

/** The blob, whole. */
const whole = (): OpenedBlob => ({
  ...{ body: bodyOf(BYTES), start: 0, end: BYTES.length, isPart: false, sizeBytes: BYTES.length },
  ...{ host: 'registry.test', etag: undefined, location: undefined, reportBad: () => {} },
});

test('BlobClient remembers 500 hosts that answer no range properly, and forgets the one noted first', async () => {
  let ranges = 0;
  const ask = async (...[, , { headers }]: Parameters<ChainClient['ask']>) => {
    if (headers?.['range'] === undefined) return whole();
    ranges += 1;
    throw new UnsoundRangeError('UNAVAILABLE', 'no Content-Range');
  };
  const client = new BlobClient({
    ask: ask as ChainClient['ask'],
    send: () => Promise.reject(new Error('no location is named')),
    budget: new RangeBudget(8, () => 0),
    now: () => 0,
    mode: 'stream',
    mayFollow: async () => true,
    resumeMs: 1,
    onResume: () => {},
  });
  /** True when the host is asked for a range. */
  const asksForRange = async (nth: number) => {
    const before = ranges;
    await client.get(repository('team/app', `r${nth}.test`), DIGEST);
    return ranges > before;
  };
  for (let nth = 0; nth < 500; nth += 1) await asksForRange(nth);
  expect(ranges).toBe(500);
  expect([await asksForRange(499), await asksForRange(0)]).toEqual([false, false]);
  await asksForRange(500);
  // A look at a host counts as a use, so the second host is the one that is forgotten.
  expect([await asksForRange(0), await asksForRange(2), await asksForRange(1)]).toEqual([false, false, true]);
});
