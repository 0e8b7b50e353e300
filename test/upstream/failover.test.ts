import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type EndpointSettings, upstreamAt } from '../../src/upstream/settings.ts';
import {
  type Content,
  createContent,
  type Handler,
  serveContent,
  startServer,
} from '../support/hostile-registry.ts';
import { closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const app = repository('team/app');
const answering =
  (status: number): Handler =>
  (_, response) =>
    void response.writeHead(status).end();

/** Servers asked in this order, the last one the authority, and a clock of the test's own. */
async function chainOf(...handlers: readonly Handler[]) {
  const servers = await Promise.all(handlers.map(async (handler) => closing(await startServer(handler))));
  const [first, ...rest] = servers.map(({ url }): EndpointSettings => upstreamAt(url).endpoints[0]);
  if (first === undefined) throw new Error('a chain has a member');
  const clock = { now: 0 };
  const upstream = upstreamTo({ endpoints: [first, ...rest] }, { now: () => clock.now });
  const asked = () => servers.map(({ requests }) => requests.length);
  return { servers, clock, upstream, asked };
}

/** Of the index that a good member has. */
const INDEX_DIGEST = digestOf(Buffer.from(JSON.stringify(INDEX)));

function withIndex(): Content {
  const content = createContent();
  content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  return content;
}

describe('a chain of mirrors', () => {
  test('is tried in order: the first member with the manifest serves it, the others get no request', async () => {
    const { upstream, asked } = await chainOf(serveContent(withIndex()), serveContent(withIndex()));
    await upstream.manifest(app, tagged('v1'));
    expect(asked()).toEqual([1, 0]);
  });

  test.each([404, 401, 403, 429, 500, 503])('continues after status %i', async (status) => {
    const { upstream } = await chainOf(answering(status), serveContent(withIndex()));
    expect(await upstream.manifest(app, tagged('v1'))).toMatchObject({ digest: INDEX_DIGEST });
  });

  test('continues after a member that refuses connections', async () => {
    const { upstream, servers } = await chainOf(answering(200), serveContent(withIndex()));
    await servers[0]?.close();
    expect(await upstream.manifest(app, tagged('v1'))).toMatchObject({ digest: INDEX_DIGEST });
  });

  test('continues after a truncated manifest', async () => {
    const broken: Handler = (_, response) => {
      response.writeHead(200, { 'content-type': MEDIA_TYPE.ociIndex, 'content-length': 1000 });
      response.write('{', () => response.destroy());
    };
    const { upstream } = await chainOf(broken, serveContent(withIndex()));
    expect(await upstream.manifest(app, tagged('v1'))).toMatchObject({ digest: INDEX_DIGEST });
  });

  test('returns the authority’s error when no member has the content', async () => {
    const { upstream, servers } = await chainOf(answering(500), answering(404));
    const asked = upstream.manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
    await expect(asked).rejects.toThrow(servers[1]?.host);
  });

  test('returns the authority’s error, not that of a mirror that was tried after it', async () => {
    const { upstream, servers } = await chainOf(answering(404), answering(503));
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toThrow(servers[1]?.host);
  });
});

test('a mirror of many registries (Spegel, Dragonfly) is told which registry is meant, the authority is not', async () => {
  const [mirror, authority] = [
    closing(await startServer(answering(404))),
    closing(await startServer(serveContent(withIndex()))),
  ];
  const [first] = upstreamAt(mirror.url).endpoints;
  const [second] = upstreamAt(authority.url).endpoints;
  const upstream = upstreamTo({ endpoints: [{ ...first, ns: true }, second] });
  await upstream.manifest(repository('library/alpine', 'docker.io'), tagged('v1'));
  expect(mirror.requests[0]?.target).toBe('/v2/library/alpine/manifests/v1?ns=docker.io');
  expect(authority.requests[0]?.target).toBe('/v2/library/alpine/manifests/v1');
});

describe('the order of members after failures', () => {
  test('puts a member that failed last for a while, then first again', async () => {
    let isDown = true;
    const content = withIndex();
    const flaky: Handler = (request, response) =>
      (isDown ? answering(503) : serveContent(content))(request, response);
    const { upstream, clock, asked } = await chainOf(flaky, serveContent(content));
    await upstream.manifest(app, tagged('v1'));
    isDown = false;
    clock.now = 14_000;
    await upstream.manifest(app, tagged('v1'));
    expect(asked()).toEqual([2, 2]);
    clock.now = 15_001;
    await upstream.manifest(app, tagged('v1'));
    expect(asked()).toEqual([3, 2]);
  });

  test('tries a member that keeps failing less and less often, at least every two minutes', async () => {
    const { upstream, clock, servers } = await chainOf(answering(503), serveContent(withIndex()));
    const triedAt: number[] = [];
    for (; clock.now < 600_000; clock.now += 15_000) {
      const before = servers[0]?.requests.length;
      await upstream.manifest(app, tagged('v1'));
      if (servers[0]?.requests.length !== before) triedAt.push(clock.now / 1000);
    }
    expect(triedAt).toEqual([0, 15, 45, 105, 225, 345, 465, 585]);
  });

  test('counts many requests that fail together as one failure', async () => {
    const { upstream, clock, servers } = await chainOf(answering(503), serveContent(withIndex()));
    await Promise.all(Array.from({ length: 10 }, () => upstream.manifest(app, tagged('v1'))));
    const before = servers[0]?.requests.length ?? 0;
    clock.now = 15_001;
    await upstream.manifest(app, tagged('v1'));
    expect(servers[0]?.requests.length).toBeGreaterThan(before);
  });

  test('does not change when a member does not have the content', async () => {
    const { upstream, asked } = await chainOf(answering(404), serveContent(withIndex()));
    await upstream.manifest(app, tagged('v1'));
    await upstream.manifest(app, tagged('v1'));
    expect(asked()).toEqual([2, 2]);
  });

  test('while the authority says no, a mirror that failed is not waited for', async () => {
    const { upstream, asked } = await chainOf(answering(503), answering(404));
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 404 });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 404 });
    expect(asked()).toEqual([2, 2]);
  });

  test('tries all members when all failed recently', async () => {
    let isDown = true;
    const content = withIndex();
    const flaky: Handler = (request, response) =>
      (isDown ? answering(503) : serveContent(content))(request, response);
    const { upstream } = await chainOf(flaky, flaky);
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    isDown = false;
    await upstream.manifest(app, tagged('v1'));
  });
});

describe('a mirror that holds a corrupt blob', () => {
  /** The first member's copy has one bit flipped; `sizeBytes` decides whether it fits one chunk. */
  async function start(sizeBytes: number) {
    const [good, bad] = [createContent(), createContent()];
    const bytes = randomBytes(sizeBytes);
    const digest = good.putBlob(bytes);
    const flipped = Buffer.from(bytes);
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    bad.blobs.set(digest, flipped);
    return { digest, bytes, ...(await chainOf(serveContent(bad), serveContent(good))) };
  }

  test('that is small: the blob is read from the next member before the client sees a wrong byte', async () => {
    const { upstream, digest, bytes } = await start(1000);
    expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
  });

  test('that is large: the read fails, and the next read is served by another member', async () => {
    const { upstream, digest, bytes } = await start(2_000_000);
    await expect(readBlob(await upstream.blob(app, digest))).rejects.toThrow('do not have the digest');
    expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
  });

  test('that a caller detects by verifying the digest itself: the effect is the same', async () => {
    const { upstream, digest, bytes } = await start(2_000_000);
    const wrong = await upstream.blob(app, digest, { verify: false });
    expect((await readBlob(wrong)).equals(bytes)).toBe(false);
    if (wrong.kind === 'content') wrong.distrust?.();
    expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
  });
});

test('a blob that its mirror breaks off repeatedly is completed by the next member', async () => {
  const content = createContent();
  const bytes = randomBytes(500_000);
  const digest = content.putBlob(bytes);
  const breaking: Handler = (_, response) => {
    response.writeHead(200, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, 100_000), () => response.destroy());
  };
  const { upstream, servers } = await chainOf(breaking, serveContent(content));
  expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
  const [asked] = servers[1]?.requests ?? [];
  expect(asked?.headers['range']).toMatch(/^bytes=\d+-499999$/);
});
