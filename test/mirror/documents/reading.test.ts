import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { profileOfFeatures } from '../../../src/host/assumed-features.ts';
import { BackgroundThread } from '../../../src/lib/background-thread.ts';
import { withBuffers } from '../../../src/mirror/decision-cache.ts';
import { judgeManifest, readAside } from '../../../src/mirror/documents/reading.ts';
import type { DocumentSource } from '../../../src/mirror/documents/source.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { DEFAULT_POLICY } from '../../../src/selection/policy.ts';

/** An index of so many entries, the last of which fits a Broadwell best. */
function indexOf(entries: number, padding = '') {
  const manifests = Array.from({ length: entries }, (_, at) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(Buffer.from(String(at))),
    size: 1,
    platform: {
      os: 'linux',
      architecture: 'amd64',
      features: [at === entries - 1 ? 'cpu:broadwell' : 'cpu:zen4'],
    },
  }));
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests,
    annotations: { padding },
  };
  return { bytes: Buffer.from(JSON.stringify(document)), mediaType: MEDIA_TYPE.ociIndex };
}

const DETAILS = {
  profile: profileOfFeatures(['cpu:broadwell']),
  policy: DEFAULT_POLICY,
  acceptsIndex: true,
  extra: undefined,
};

const judge = async (index: DocumentSource) =>
  withBuffers(await readAside('answer for a host', index, DETAILS));
const rightFor = (index: DocumentSource) => judgeManifest(index, DETAILS);

describe('readAside()', () => {
  test.each([
    ['few entries', 3, ''],
    ['many entries', 500, ''],
    ['few entries and many bytes', 3, 'x'.repeat(200_000)],
  ])('returns the same for an index of %s as the pure function', async (_, entries, padding) => {
    const index = indexOf(entries, padding);
    const decision = await judge(index);
    expect(decision).toEqual(rightFor(index));
    expect(decision.outcome.kind === 'derived' && Buffer.isBuffer(decision.outcome.bytes)).toBe(true);
  });

  test.each([
    ['of 64 KiB', 'children', 64 * 1024, 0],
    ['of one byte more', 'children', 64 * 1024 + 1, 1],
    ['of a few entries to select from', 'answer for a host', 4096, 0],
    ['of more entries to select from', 'answer for a host', 64 * 1024, 1],
  ] as const)(
    'reads a document %s on a thread: %s of %d bytes, %d times',
    async (_, question, sizeBytes, times) => {
      const run = vi.spyOn(BackgroundThread.prototype, 'run');
      onTestFinished(() => run.mockRestore());
      const entries = question === 'children' ? 3 : Math.floor(sizeBytes / 250);
      const short = indexOf(entries);
      const index = indexOf(entries, 'x'.repeat(sizeBytes - short.bytes.length));
      expect(index.bytes).toHaveLength(sizeBytes);
      await (question === 'children' ? readAside(question, index, undefined) : judge(index));
      expect(run).toHaveBeenCalledTimes(times);
    },
  );

  test('reads one large index after another, and several concurrently, on one thread', async () => {
    const indexes = [400, 500, 600].map((entries) => indexOf(entries));
    for (const index of indexes) expect(await judge(index)).toEqual(rightFor(index));
    expect(await Promise.all(indexes.map(judge))).toEqual(indexes.map(rightFor));
  });

  test('continues after a manifest that it refuses', async () => {
    const bad = { ...indexOf(3), bytes: Buffer.from(`[${'1,'.repeat(60_000)}1]`) };
    await expect(judge(bad)).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
    const good = indexOf(400);
    expect(await judge(good)).toEqual(rightFor(good));
  });

  test('does not block the event loop while it reads a large index', async () => {
    const index = indexOf(3000);
    await judge(indexOf(400));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await judge(index);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  test('refuses requests with 503 when too many large manifests wait', async () => {
    const index = indexOf(3, 'x'.repeat(4_000_000));
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => judge(index)));
    const refusals = outcomes.filter(({ status }) => status === 'rejected');
    expect(refusals.length).toBeGreaterThan(0);
    for (const { reason } of refusals as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code: 'UNAVAILABLE', status: 503, headers: { 'retry-after': '1' } });
    }
    expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(4);
  });
});
