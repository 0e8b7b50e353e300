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
  return { put, upstream, ranges, requests };
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
