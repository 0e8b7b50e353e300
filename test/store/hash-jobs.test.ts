import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type DigestAlgorithm, digestOf, encodedOf } from '../../src/oci/digest.ts';
import { BlockSummer } from '../../src/store/block-checksums.ts';
import { createHashJobs, type HashOrder } from '../../src/store/hash-jobs.ts';
import { dataDirectory } from '../support/store.ts';
import { afterTest } from '../support/upstream.ts';

/** More than a job reads at once. */
const bytes = randomBytes(1_300_000);

async function fileOf(content: Buffer) {
  const file = await open(join(await dataDirectory(), 'content'), 'w+');
  afterTest(() => file.close());
  await file.write(content);
  return file;
}

const hexOf = (content: Buffer, algorithm?: DigestAlgorithm) => encodedOf(digestOf(content, algorithm));

function sumsOf(content: Buffer): Buffer {
  const summer = new BlockSummer();
  summer.update(content);
  return summer.finish();
}

/** Jobs on the file, and how to open one of them. */
async function jobsOn(content: Buffer) {
  const { fd } = await fileOf(content);
  const deal = createHashJobs();
  const start = (id: number, { algorithm = 'sha256' as DigestAlgorithm, withSums = false } = {}) =>
    deal({ kind: 'open', id, algorithm, fd, withSums });
  return { deal, start };
}

describe('a job of the hashing thread', () => {
  test.each([
    ['sha256', false],
    ['sha512', true],
  ] as const)(
    'computes the %s digest of a growing file, with block checksums: %s',
    async (algorithm, withSums) => {
      const { deal, start } = await jobsOn(bytes);
      expect(start(1, { algorithm, withSums })).toBeUndefined();
      // The last one has been passed already.
      for (const end of [1, 600_000, bytes.length, 5])
        expect(deal({ kind: 'advance', id: 1, end })).toBeUndefined();
      const sums = withSums ? sumsOf(bytes) : undefined;
      expect(deal({ kind: 'finish', id: 1 })).toEqual({
        kind: 'finished',
        id: 1,
        hex: hexOf(bytes, algorithm),
        sums,
      });
    },
  );

  test('stops at the requested offset, and continues with bytes that are in no file', async () => {
    const { deal, start } = await jobsOn(bytes);
    start(1);
    deal({ kind: 'advance', id: 1, end: 700_000 });
    expect(deal({ kind: 'append', id: 1, bytes: Buffer.from('end') })).toEqual({ kind: 'done', id: 1 });
    const hex = hexOf(Buffer.concat([bytes.subarray(0, 700_000), Buffer.from('end')]));
    expect(deal({ kind: 'finish', id: 1 })).toEqual({ kind: 'finished', id: 1, hex, sums: undefined });
  });

  test('is independent of a job that runs at the same time', async () => {
    const { deal, start } = await jobsOn(bytes);
    for (const id of [1, 2]) start(id);
    deal({ kind: 'advance', id: 1, end: 10 });
    deal({ kind: 'append', id: 2, bytes: Buffer.from('two') });
    deal({ kind: 'advance', id: 1, end: 20 });
    expect(deal({ kind: 'finish', id: 2 })).toMatchObject({ hex: hexOf(Buffer.from('two')) });
    expect(deal({ kind: 'finish', id: 1 })).toMatchObject({ hex: hexOf(bytes.subarray(0, 20)) });
  });

  test('fails when its file is shorter than expected', async () => {
    const { deal, start } = await jobsOn(bytes);
    start(1);
    const reply = deal({ kind: 'advance', id: 1, end: bytes.length + 1 });
    expect(reply).toEqual({ kind: 'failed', id: 1, message: `the file ends at byte ${bytes.length}` });
    expect(deal({ kind: 'finish', id: 1 })).toMatchObject({ kind: 'failed', id: 1 });
  });

  test.each([
    ['advance', { kind: 'advance', id: 1, end: 1 }],
    ['append', { kind: 'append', id: 1, bytes: Buffer.of(1) }],
    ['finish', { kind: 'finish', id: 1 }],
  ] as [string, HashOrder][])(
    'does not exist for %s before it is opened and after it is removed',
    async (_, order) => {
      const { deal, start } = await jobsOn(bytes);
      const missing = { kind: 'failed', id: 1, message: 'no such job' };
      expect(deal(order)).toEqual(missing);
      start(1);
      expect(deal({ kind: 'forget', id: 1 })).toEqual({ kind: 'done', id: 1 });
      expect(deal(order)).toEqual(missing);
    },
  );
});
