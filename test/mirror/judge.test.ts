import { describe, expect, onTestFinished, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { createJudge, type JudgeRequest, judgeManifest } from '../../src/mirror/judge.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';

/** An index of so many entries, the last of which fits a Broadwell best. */
function requestOf(entries: number, padding = ''): JudgeRequest {
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
  return {
    bytes: Buffer.from(JSON.stringify(document)),
    mediaType: MEDIA_TYPE.ociIndex,
    profile: profileOfFeatures(['cpu:broadwell']),
    policy: DEFAULT_POLICY,
    acceptsIndex: true,
    extra: undefined,
  };
}

function newJudge() {
  const judge = createJudge();
  onTestFinished(() => judge.close());
  return judge;
}

describe('createJudge()', { timeout: 60_000 }, () => {
  test.each([
    ['few entries', 3, ''],
    ['many entries', 500, ''],
    ['few entries and many bytes', 3, 'x'.repeat(200_000)],
  ])('answers for an index of %s as the pure function does', async (_, entries, padding) => {
    const request = requestOf(entries, padding);
    const decision = await newJudge().judge(request);
    expect(decision).toEqual(judgeManifest(request));
    expect(decision.outcome.kind === 'derived' && Buffer.isBuffer(decision.outcome.bytes)).toBe(true);
  });

  test('judges one large index after the other, and several at once, on one thread', async () => {
    const judge = newJudge();
    const requests = [400, 500, 600].map((entries) => requestOf(entries));
    for (const request of requests) expect(await judge.judge(request)).toEqual(judgeManifest(request));
    const together = await Promise.all(requests.map((request) => judge.judge(request)));
    expect(together).toEqual(requests.map(judgeManifest));
  });

  test('goes on after a manifest that it refuses', async () => {
    const judge = newJudge();
    const bad = { ...requestOf(3), bytes: Buffer.from(`[${'1,'.repeat(60_000)}1]`) };
    await expect(judge.judge(bad)).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
    const good = requestOf(400);
    expect(await judge.judge(good)).toEqual(judgeManifest(good));
  });

  test('leaves the event loop to others while it judges a large index', async () => {
    const judge = newJudge();
    const request = requestOf(3000);
    await judge.judge(requestOf(400));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await judge.judge(request);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  test('sends clients away with 503 when too many large manifests wait', async () => {
    const judge = newJudge();
    const request = requestOf(3, 'x'.repeat(4_000_000));
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => judge.judge(request)));
    const refusals = outcomes.filter(({ status }) => status === 'rejected');
    expect(refusals.length).toBeGreaterThan(0);
    for (const { reason } of refusals as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code: 'UNAVAILABLE', status: 503, headers: { 'retry-after': '1' } });
    }
    expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(4);
  });
});
