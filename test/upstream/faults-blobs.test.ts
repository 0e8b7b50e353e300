import { randomBytes } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { BlobOptions } from '../../src/oci/registry.ts';
import type { UpstreamOptions } from '../../src/upstream/client.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../support/guarded-registry.ts';
import {
  createContent,
  type Handler,
  serveContent,
  startRawServer,
  startServer,
} from '../support/hostile-registry.ts';
import { turns } from '../support/turns.ts';
import { closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const SIZE = 1_000_000;

/** Every fault is met by both ways of reading a blob. */
describe.each(['raw', 'standard'] as const)('blobs read by the %s reader', (blobReader) => {
  /** A misdeed that the fast way does not read, and asks for once more the plain way. */
  const unusual = (misdeed: Handler): Handler[] => (blobReader === 'raw' ? [misdeed, misdeed] : [misdeed]);

  /** One blob, and a registry that may do anything on its first requests and is honest afterwards. */
  async function start(
    misdeeds: readonly Handler[],
    options: Partial<UpstreamOptions> = {},
    sizeBytes = SIZE,
  ) {
    const content = createContent();
    const bytes = randomBytes(sizeBytes);
    const digest = content.putBlob(bytes);
    let asked = 0;
    const server = closing(
      await startServer((request, response) => {
        const misdeed = misdeeds[asked];
        asked += 1;
        (misdeed ?? serveContent(content))(request, response);
      }),
    );
    const resumes: unknown[] = [];
    const upstream = upstreamTo(upstreamAt(server.url), {
      blobReader,
      // One response for each blob: parallel ranges have tests of their own.
      blobConnections: 1,
      log: (_level, event, _message, fields) => event === 'blob-resumed' && resumes.push(fields?.['offset']),
      ...options,
      timeouts: { resumeMs: 10, ...options.timeouts },
    });
    const ranges = () => server.requests.map(({ headers }) => headers['range']);
    return { bytes, digest, server, upstream, resumes, ranges };
  }

  /** Announces `total`, sends `part` and breaks off. */
  function breaking(part: Buffer, total: number | undefined, how: 'reset' | 'end'): Handler {
    return (_, response) => {
      response.writeHead(200, total === undefined ? { connection: 'close' } : { 'content-length': total });
      response.write(part, () => {
        if (how === 'reset') response.socket?.resetAndDestroy();
        else response.socket?.end();
      });
    };
  }

  /** Reads a blob that has to fail, and tells how many of its bytes were handed on before it did. */
  async function failing(
    upstream: ReturnType<typeof upstreamTo>,
    digest: ReturnType<typeof digestOf>,
    asked: BlobOptions = {},
  ) {
    let writtenBytes = 0;
    const sink = new Writable({
      write: (chunk: Buffer, _, done) => {
        writtenBytes += chunk.length;
        done();
      },
    });
    const blob = await upstream.blob(app, digest, asked);
    if (blob.kind !== 'content') throw new Error('a redirect');
    const error: unknown = await blob.writeTo(sink).then(
      () => undefined,
      (cause) => cause,
    );
    return { error, writtenBytes };
  }

  describe('fault 5: one byte a second', () => {
    const IDLE_MS = 10_000;
    /** Ten bytes, and no more within a window. */
    const dripping =
      (bytes: Buffer): Handler =>
      (_, response) => {
        response.writeHead(200, { 'content-length': SIZE });
        response.write(bytes.subarray(0, 10));
      };

    // The test ends windows: a pause of this process is no pause of the source.
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      onTestFinished(() => void vi.useRealTimers());
    });

    test('a blob is requested again from where it stopped, and arrives complete', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes, ranges } = await start(misdeeds);
      misdeeds.push(dripping(bytes));
      const chunks: Buffer[] = [];
      const blob = await upstream.blob(app, digest);
      if (blob.kind !== 'content') throw new Error('a redirect');
      const written = blob.writeTo(
        new Writable({
          write: (chunk: Buffer, _, done) => {
            chunks.push(Buffer.from(chunk));
            done();
          },
        }),
      );
      await expect.poll(() => Buffer.concat(chunks)).toHaveLength(10);
      vi.advanceTimersByTime(IDLE_MS);
      await written;
      expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
      expect(ranges()).toEqual([undefined, 'bytes=10-999999']);
    });

    test('a blob that stalls on every try fails after four tries, not after years', async () => {
      const { upstream, digest, server } = await start(
        Array.from({ length: 9 }, () => dripping(randomBytes(SIZE))),
      );
      let failed: unknown;
      void failing(upstream, digest).then(({ error }) => {
        failed = error;
      });
      await expect
        .poll(() => {
          vi.advanceTimersByTime(IDLE_MS);
          return failed;
        })
        .toMatchObject({ code: 'UNAVAILABLE' });
      expect(server.requests).toHaveLength(4);
    });

    test('a client that reads slowly is not a stall', async () => {
      const misdeeds: Handler[] = [];
      // More than the buffers between them take.
      const { upstream, digest, bytes, server } = await start(misdeeds, {}, 24_000_000);
      let sentBytes = 0;
      function* pieces() {
        for (let at = 0; at < bytes.length; at = sentBytes) {
          sentBytes = Math.min(at + 65_536, bytes.length);
          yield bytes.subarray(at, sentBytes);
        }
      }
      misdeeds.push((_, response) => {
        response.writeHead(200, { 'content-length': bytes.length });
        Readable.from(pieces()).pipe(response);
      });
      const chunks: Buffer[] = [];
      let receivedBytes = 0;
      let goOn: (() => void) | undefined;
      const sink = new Writable({
        highWaterMark: 1,
        write: (chunk: Buffer, _, done) => {
          chunks.push(Buffer.from(chunk));
          receivedBytes += chunk.length;
          if (goOn === undefined && receivedBytes > 2_000_000) goOn = done;
          else done();
        },
      });
      const blob = await upstream.blob(app, digest);
      if (blob.kind !== 'content') throw new Error('a redirect');
      const written = blob.writeTo(sink);
      await expect.poll(() => goOn).toBeDefined();
      for (let before = -1; before !== sentBytes; ) {
        before = sentBytes;
        await turns(20);
      }
      expect(sentBytes).toBeLessThan(bytes.length);
      vi.advanceTimersByTime(4 * IDLE_MS);
      goOn?.();
      await written;
      expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
      expect(server.requests).toHaveLength(1);
    });
  });

  describe('fault 6: reset mid-blob', () => {
    test('the rest is requested by Range, and the client gets one complete blob', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes, ranges, resumes } = await start(misdeeds);
      misdeeds.push(breaking(bytes.subarray(0, 300_000), SIZE, 'reset'));
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
      expect(ranges()).toEqual([undefined, `bytes=${resumes[0]}-999999`]);
    });

    test('repeated resets: the download continues while each try delivers bytes', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes, resumes } = await start(misdeeds);
      for (let nth = 0; nth < 6; nth += 1) {
        misdeeds.push((request, response) => {
          const from = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
          const headers = {
            'content-length': SIZE - from,
            'content-range': `bytes ${from}-${SIZE - 1}/${SIZE}`,
          };
          response.writeHead(from === 0 ? 200 : 206, headers);
          response.write(bytes.subarray(from, from + 100_000), () => response.destroy());
        });
      }
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
      expect(resumes.length).toBeGreaterThanOrEqual(6);
    });

    test('a registry that answers the Range with the whole blob: the known part is skipped', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes } = await start(misdeeds);
      misdeeds.push(breaking(bytes.subarray(0, 300_000), SIZE, 'reset'), (_, response) => {
        response.writeHead(200, { 'content-length': SIZE }).end(bytes);
      });
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    });

    test('the rest of a blob of another size is not used', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes } = await start(misdeeds);
      misdeeds.push(breaking(bytes.subarray(0, 300_000), SIZE, 'reset'), (request, response) => {
        const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
        const range = `bytes ${from}-${SIZE - 1}/${SIZE + 1}`;
        response.writeHead(206, { 'content-length': SIZE - from, 'content-range': range });
        response.end(randomBytes(SIZE - from));
      });
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    });

    test.each([
      ['earlier', 99_999],
      ['later', 100_001],
    ])('a first part that begins a byte %s than requested is refused', async (_, from) => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes } = await start(misdeeds);
      misdeeds.push((_request, response) => {
        const range = `bytes ${from}-${from + 99}/${SIZE}`;
        response.writeHead(206, { 'content-length': 100, 'content-range': range });
        response.end(bytes.subarray(from, from + 100));
      });
      const range = { kind: 'from', first: 100_000, last: 100_099 } as const;
      await expect(upstream.blob(app, digest, { range })).rejects.toThrow('another part');
    });

    test.each([
      ['of fewer bytes than its Content-Range says', [100_000, 100_099, SIZE], 99, /valid Content-Range/],
      ['of more bytes than its Content-Range says', [100_000, 100_099, SIZE], 101, /valid Content-Range/],
      ['that ends beyond the blob', [100_000, 100_099, 100_099], 100, /valid Content-Range/],
      ['that ends before it begins', [100_000, 99_999, SIZE], 0, /no such part/],
      ['that ends a byte later than requested', [100_000, 100_100, SIZE], 101, /another part/],
    ] as const)('a first part %s is refused', async (_, [first, last, whole], length, why) => {
      const misdeeds: Handler[] = [];
      const { upstream, digest } = await start(misdeeds);
      misdeeds.push((_request, response) => {
        const range = `bytes ${first}-${last}/${whole}`;
        response
          .writeHead(206, { 'content-length': length, 'content-range': range })
          .end(randomBytes(length));
      });
      const range = { kind: 'from', first: 100_000, last: 100_099 } as const;
      await expect(upstream.blob(app, digest, { range })).rejects.toThrow(why);
    });

    test.each([
      ['a byte too long', SIZE - 101, SIZE - 1],
      ['not the last bytes', SIZE - 101, SIZE - 2],
    ])('the last 100 bytes of a blob are not taken from a part that is %s', async (_, first, last) => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes } = await start(misdeeds);
      misdeeds.push((_request, response) => {
        const part = bytes.subarray(first, last + 1);
        const range = `bytes ${first}-${last}/${SIZE}`;
        response.writeHead(206, { 'content-length': part.length, 'content-range': range }).end(part);
      });
      const range = { kind: 'suffix', length: 100 } as const;
      await expect(upstream.blob(app, digest, { range })).rejects.toThrow('another part');
    });

    test('a range of a blob is resumed too', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes, ranges } = await start(misdeeds);
      misdeeds.push((_, response) => {
        response.writeHead(206, {
          'content-length': 500_000,
          'content-range': `bytes 100000-599999/${SIZE}`,
        });
        response.write(bytes.subarray(100_000, 300_000), () => response.destroy());
      });
      const range = { kind: 'from', first: 100_000, last: 599_999 } as const;
      const part = await readBlob(await upstream.blob(app, digest, { range }));
      expect(part.equals(bytes.subarray(100_000, 600_000))).toBe(true);
      expect(ranges()[1]).toMatch(/^bytes=\d+-599999$/);
    });

    test.each([
      ['another part', 206, { 'content-range': `bytes 0-9/${SIZE}`, 'content-length': 10 }],
      ['a part without saying which', 206, { 'content-length': 10 }],
      [
        'a part that ends before it begins',
        206,
        { 'content-range': `bytes 9-0/${SIZE}`, 'content-length': 10 },
      ],
      ['a part beyond its own total', 206, { 'content-range': `bytes 0-9/5`, 'content-length': 10 }],
      ['404', 404, {}],
    ])(
      '%s in answer to the request for the rest is an error, and none of its bytes is used',
      async (_, status, headers) => {
        const misdeeds: Handler[] = [];
        const { upstream, digest, bytes } = await start(misdeeds);
        misdeeds.push(breaking(bytes.subarray(0, 300_000), SIZE, 'reset'));
        for (let nth = 0; nth < 9; nth += 1) {
          misdeeds.push((_request, response) => void response.writeHead(status, headers).end('0123456789'));
        }
        const { error, writtenBytes } = await failing(upstream, digest);
        expect(error).toMatchObject({ name: 'RegistryError' });
        expect(writtenBytes).toBeLessThanOrEqual(300_000);
      },
    );

    test('repeated resets without a byte: the blob fails after four tries', async () => {
      const { upstream, digest, server } = await start(
        Array.from({ length: 20 }, () => breaking(Buffer.from('x'), SIZE, 'reset')),
      );
      const { error } = await failing(upstream, digest);
      expect(error).toMatchObject({ code: 'UNAVAILABLE' });
      expect(server.requests.length).toBeLessThanOrEqual(5);
    });
  });

  describe('fault 7: truncated against Content-Length', () => {
    test('the rest is requested by Range', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes, ranges } = await start(misdeeds);
      misdeeds.push(breaking(bytes.subarray(0, 999_999), SIZE, 'end'));
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
      expect(ranges()).toEqual([undefined, 'bytes=999999-999999']);
    });

    test('truncated on every try: the blob fails, and never looks complete', async () => {
      const bytes = randomBytes(SIZE);
      const { upstream, digest } = await start(
        Array.from({ length: 20 }, () => breaking(bytes.subarray(0, 10), SIZE, 'end')),
      );
      expect((await failing(upstream, digest)).error).toMatchObject({ code: 'UNAVAILABLE' });
    });
  });

  describe('fault 8: truncated, close-delimited', () => {
    test('the digest reveals it, and the rest is requested by Range', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes, ranges } = await start(misdeeds);
      misdeeds.push(...unusual(breaking(bytes.subarray(0, 300_000), undefined, 'end')));
      const blob = await upstream.blob(app, digest);
      expect(blob).toMatchObject({ sizeBytes: undefined });
      expect((await readBlob(blob)).equals(bytes)).toBe(true);
      expect(ranges().at(-1)).toBe('bytes=300000-');
    });

    test('a complete body without a length (HTTP/1.0) is a blob like any other', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes } = await start(misdeeds);
      misdeeds.push(
        ...unusual((_, response) => {
          response.useChunkedEncodingByDefault = false;
          response.writeHead(200, { connection: 'close' }).end(bytes);
        }),
      );
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    });

    test('truncated on every try: the blob fails', async () => {
      const bytes = randomBytes(SIZE);
      const { upstream, digest } = await start(
        Array.from({ length: 20 }, () => breaking(bytes.subarray(0, 10), undefined, 'end')),
      );
      expect((await failing(upstream, digest)).error).toMatchObject({ code: 'UNAVAILABLE' });
    });
  });

  describe('fault 9: longer than announced', () => {
    test('bytes beyond the announced length are not part of the blob', async () => {
      const bytes = randomBytes(SIZE);
      const server = closing(
        await startRawServer((socket) => {
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${SIZE}\r\n\r\n`);
          socket.end(Buffer.concat([bytes, randomBytes(1000)]));
        }),
      );
      const blob = await upstreamTo(upstreamAt(server.url), { blobReader }).blob(app, digestOf(bytes));
      expect((await readBlob(blob)).equals(bytes)).toBe(true);
    });

    test('bytes beyond the announced length are not the answer to the next request', async () => {
      const bytes = Buffer.from('a blob');
      const evil = '{"schemaVersion":2,"manifests":[],"evil":true}';
      const head = `HTTP/1.1 200 OK\r\ncontent-type: ${MEDIA_TYPE.ociIndex}\r\ncontent-length: ${evil.length}\r\n\r\n`;
      const good = evil.replace(',"evil":true', ',"fine":true');
      const server = closing(
        await startRawServer((socket, asked) => {
          if (asked.includes('/blobs/')) {
            socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes.length}\r\n\r\n${bytes}${head}${evil}`);
          } else {
            socket.write(`${head}${good}`);
          }
        }),
      );
      const upstream = upstreamTo(upstreamAt(server.url), { blobReader });
      await readBlob(await upstream.blob(app, digestOf(bytes)));
      expect((await upstream.manifest(app, tagged('v1'))).bytes.toString()).toBe(good);
    });

    test('a rest that is longer than the remainder of the blob is an error before it is written', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes } = await start(misdeeds);
      const tooLong: Handler = (_, response) => {
        response.writeHead(206, { 'content-range': `bytes 999000-${SIZE - 1}/${SIZE}` });
        response.end(randomBytes(50_000));
      };
      misdeeds.push(breaking(bytes.subarray(0, 999_000), SIZE, 'end'), ...unusual(tooLong));
      const { error, writtenBytes } = await failing(upstream, digest);
      expect(error).toMatchObject({ code: 'UNAVAILABLE' });
      expect(writtenBytes).toBeLessThan(SIZE);
    });

    test('endless chunks of a blob of unknown size end at its digest', async () => {
      const endless: Handler = (_, response) => {
        response.writeHead(200);
        response.end(randomBytes(3_000_000));
      };
      const { upstream, digest } = await start(unusual(endless));
      expect((await failing(upstream, digest)).error).toMatchObject({ code: 'UNAVAILABLE' });
    });
  });

  describe('fault 10: wrong digest', () => {
    test('a blob fails, and its last piece is withheld so that it never looks complete', async () => {
      const { upstream, digest } = await start([
        (_, response) => void response.writeHead(200, { 'content-length': SIZE }).end(randomBytes(SIZE)),
      ]);
      const { error, writtenBytes } = await failing(upstream, digest);
      expect(error).toMatchObject({ code: 'UNAVAILABLE', status: 502 });
      expect(String(error)).toContain(`do not have the digest ${digest}`);
      expect(writtenBytes).toBeLessThan(SIZE);
    });

    test('a small blob is requested again before a client has seen a byte', async () => {
      const { upstream, digest, bytes } = await start(
        [(_, response) => void response.writeHead(200, { 'content-length': 100 }).end(randomBytes(100))],
        {},
        100,
      );
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    });

    test('a range that covers the whole blob fails and never looks complete', async () => {
      const { upstream, digest } = await start([
        (_, response) => {
          const headers = { 'content-length': SIZE, 'content-range': `bytes 0-${SIZE - 1}/${SIZE}` };
          response.writeHead(206, headers).end(randomBytes(SIZE));
        },
      ]);
      const range = { kind: 'from', first: 0, last: undefined } as const;
      const { error, writtenBytes } = await failing(upstream, digest, { range });
      expect(String(error)).toContain(`do not have the digest ${digest}`);
      expect(writtenBytes).toBeLessThan(SIZE);
    });

    test('a blob combined from two responses fails', async () => {
      const misdeeds: Handler[] = [];
      const { upstream, digest, bytes } = await start(misdeeds);
      const other = Buffer.from(bytes);
      other[0] = (other[0] ?? 0) ^ 1;
      misdeeds.push(breaking(other.subarray(0, 300_000), SIZE, 'reset'));
      const { error } = await failing(upstream, digest);
      expect(String(error)).toContain('do not have the digest');
    });
  });

  describe('fault 25: token expires mid-pull', () => {
    async function guarded(misdeeds: readonly Handler[] = []) {
      const content = createContent();
      const bytes = randomBytes(SIZE);
      const digest = content.putBlob(bytes);
      const tokens = createTokenService();
      let asked = 0;
      const server = closing(
        await startServer((request, response) => {
          if (request.url?.startsWith('/token')) return tokens.handler(request, response);
          const challenge = bearerChallenge(`http://${request.headers.host}/token`);
          requireBearer(tokens, challenge, (...exchange) => {
            const misdeed = misdeeds[asked];
            asked += 1;
            (misdeed ?? serveContent(content))(...exchange);
          })(request, response);
        }),
      );
      return { tokens, bytes, digest, upstream: upstreamTo(upstreamAt(server.url), { blobReader }) };
    }

    test('between two blobs: a new token is requested, unnoticed by the client', async () => {
      const { tokens, upstream, digest } = await guarded();
      await readBlob(await upstream.blob(app, digest));
      tokens.good.clear();
      await readBlob(await upstream.blob(app, digest));
      expect(tokens.issued()).toBe(2);
    });

    test('in the middle of a blob that breaks off: the rest is requested with a new token', async () => {
      const misdeeds: Handler[] = [];
      const { tokens, upstream, digest, bytes } = await guarded(misdeeds);
      misdeeds.push((...exchange) => {
        tokens.good.clear();
        breaking(bytes.subarray(0, 300_000), SIZE, 'reset')(...exchange);
      });
      expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
      expect(tokens.issued()).toBe(2);
    });
  });

  describe('a reader that leaves', () => {
    /** A blob that begins and never ends; `closed` resolves when nobody listens any longer. */
    function endless() {
      let tell = () => {};
      const closed = new Promise<void>((resolve) => {
        tell = resolve;
      });
      const misdeed: Handler = (_, response) => {
        response.writeHead(200, { 'content-length': SIZE }).write(randomBytes(100_000));
        response.once('close', () => tell());
      };
      return { misdeed, closed };
    }

    test('ends the request to the registry, and receives an error', async () => {
      const { misdeed, closed } = endless();
      const { upstream, digest, server } = await start([misdeed]);
      const blob = await upstream.blob(app, digest);
      if (blob.kind !== 'content') throw new Error('a redirect');
      const sink = new Writable({ write: () => void setImmediate(() => sink.destroy()) });
      await expect(blob.writeTo(sink)).rejects.toThrow('the reader has left');
      await closed;
      expect(server.requests).toHaveLength(1);
    });

    test('before it has read anything cancels the blob', async () => {
      const { misdeed, closed } = endless();
      const { upstream, digest, server } = await start([misdeed]);
      const blob = await upstream.blob(app, digest);
      if (blob.kind === 'content') blob.cancel();
      await closed;
      expect(server.requests).toHaveLength(1);
    });

    test('a slow reader holds at most a few MiB of a large blob in memory', async () => {
      const { upstream, digest } = await start([], {}, 60_000_000);
      const blob = await upstream.blob(app, digest, { verify: false });
      if (blob.kind !== 'content') throw new Error('a redirect');
      let held = 0;
      let most = 0;
      const sink = new Writable({
        highWaterMark: 1,
        write: (chunk: Buffer, _, done) => {
          most = Math.max(most, sink.writableLength);
          held += chunk.length;
          setImmediate(done);
        },
      });
      await blob.writeTo(sink);
      expect(held).toBe(60_000_000);
      expect(most).toBeLessThan(4 * 1024 * 1024);
    });
  });
});
