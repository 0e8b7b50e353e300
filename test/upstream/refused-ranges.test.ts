import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, readBlob, repository, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');

/** A registry that answers a request with a Range by `refuse`, and any other honestly. */
async function start(refuse: Handler, first: Handler | undefined = undefined, now = () => performance.now()) {
  const content = createContent();
  const honest = serveContent(content);
  let isFirst = true;
  const server = closing(
    await startServer((request, response) => {
      const handler = request.headers.range === undefined ? honest : refuse;
      (isFirst && first ? first : handler)(request, response);
      isFirst = false;
    }),
  );
  const put = () => {
    const bytes = randomBytes(100_000);
    return { bytes, digest: content.putBlob(bytes) };
  };
  const upstream = upstreamTo(upstreamAt(server.url), { timeouts: { resumeMs: 10 }, now });
  const requests = () => server.requests.map(({ headers }) => headers['range']);
  /** Each once: the fast way asks for an unusual answer once more the plain way. */
  const ranges = () => [...new Set(requests())];
  return { content, put, upstream, ranges, requests };
}

const status =
  (code: number): Handler =>
  (_, response) =>
    void response.writeHead(code).end();

describe('a registry that refuses Range requests', () => {
  test.each<[string, Handler]>([
    ['400', status(400)],
    ['403', status(403)],
    ['405', status(405)],
    ['412', status(412)],
    ['500', status(500)],
    ['501', status(501)],
    ['a reset', (_, response) => void response.socket?.resetAndDestroy()],
  ])('by %s serves whole blobs, and gets requests without Range from then on', async (_, refuse) => {
    const { put, upstream, requests } = await start(refuse);
    for (const { bytes, digest } of [put(), put()]) {
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    }
    const asked = requests();
    expect(asked[0]).toBe('bytes=0-8388607');
    expect(asked.slice(-2)).toEqual([undefined, undefined]);
  });

  test('gets requests with Range again ten minutes later, and not before', async () => {
    const clock = { ms: 0 };
    const { put, upstream, requests } = await start(status(405), undefined, () => clock.ms);
    const asksForRange = async (ms: number) => {
      clock.ms = ms;
      const before = requests().length;
      await readBlob(await upstream.blob(app, put().digest));
      return requests()
        .slice(before)
        .some((range) => range !== undefined);
    };
    expect(await asksForRange(0)).toBe(true);
    expect(await asksForRange(599_999)).toBe(false);
    expect(await asksForRange(600_000)).toBe(true);
  });

  test('serves the rest of a blob that broke off as a whole blob', async () => {
    const half: { bytes?: Buffer } = {};
    const { put, upstream, ranges } = await start(status(403), (_, response) => {
      response.writeHead(200, { 'content-length': 100_000 });
      response.write(half.bytes, () => response.destroy());
    });
    const { bytes, digest } = put();
    half.bytes = bytes.subarray(0, 50_000);
    expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    expect(ranges()).toEqual(['bytes=0-8388607', 'bytes=50000-99999', undefined]);
  });

  test('refuses the range that a client requested', async () => {
    const { put, upstream, ranges } = await start(status(403));
    const range = { kind: 'from', first: 0, last: 9 } as const;
    await expect(upstream.blob(app, put().digest, { range })).rejects.toMatchObject({ code: 'DENIED' });
    expect(ranges()).toEqual(['bytes=0-9']);
  });

  test.each([404, 410, 429, 503])(
    'by %d, which concerns the blob or the registry, gets no request for the whole blob',
    async (code) => {
      const { put, upstream, ranges } = await start(status(code));
      await expect(upstream.blob(app, put().digest)).rejects.toMatchObject({ name: 'RegistryError' });
      expect(ranges()).toEqual(['bytes=0-8388607']);
    },
  );
});

describe('a registry whose parts are unusable, but not its whole blobs,', () => {
  const bytes = randomBytes(300_000);
  const part = (head: Record<string, string>, sizeBytes: number): Handler => {
    return (_, response) => {
      response
        .writeHead(206, { 'content-length': String(sizeBytes), ...head })
        .end(Buffer.alloc(sizeBytes, 1));
    };
  };
  const KINDS: readonly (readonly [string, Handler])[] = [
    ['of another offset', part({ 'content-range': 'bytes 7-16/300000' }, 10)],
    ['beyond the end', part({ 'content-range': 'bytes 100000-300009/300000' }, 200_010)],
    [
      'encoded with gzip',
      part({ 'content-range': 'bytes 100000-299999/300000', 'content-encoding': 'gzip' }, 200_000),
    ],
    ['of multipart/byteranges', part({ 'content-type': 'multipart/byteranges; boundary=b' }, 10)],
  ];

  test.each(KINDS)('%s, serves blobs whole', async (_, unusable) => {
    const { put, upstream, ranges } = await start(unusable);
    const { bytes: blob, digest } = put();
    expect((await readBlob(await upstream.blob(app, digest))).equals(blob)).toBe(true);
    expect(ranges()).toEqual(['bytes=0-8388607', undefined]);
  });

  test.each(KINDS)('%s, serves the rest of a blob that broke off as a whole blob', async (_, unusable) => {
    const { content, upstream, ranges } = await start(unusable, (__, response) => {
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 100_000), () => response.destroy());
    });
    const digest = content.putBlob(bytes);
    expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    expect(ranges()).toEqual(['bytes=0-8388607', 'bytes=100000-299999', undefined]);
  });

  test('encoded with gzip, does not serve them in place of the part that a client requested', async () => {
    const head = { 'content-range': 'bytes 0-9/100000', 'content-encoding': 'gzip' };
    const { put, upstream } = await start(part(head, 10));
    const range = { kind: 'from', first: 0, last: 9 } as const;
    await expect(upstream.blob(app, put().digest, { range })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
