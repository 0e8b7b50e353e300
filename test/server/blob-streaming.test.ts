import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { ask, dial, exchange, type Served, serve } from '../support/served.ts';

const MIB = 2 ** 20;
const WHOLE = Buffer.alloc(4 * MIB, 'the bytes of a layer ');

function open({ port }: Served, digest: string): { req: ClientRequest; answered: Promise<IncomingMessage> } {
  const req = request({ port, host: '127.0.0.1', path: `/v2/a/b/blobs/${digest}`, agent: false });
  const answered = once(req, 'response').then(([res]) => res as IncomingMessage);
  onTestFinished(() => {
    req.destroy();
  });
  req.end();
  return { req, answered };
}

/** What came, and whether the client can tell that it is not all. */
async function drain(answered: Promise<IncomingMessage>): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of await answered) chunks.push(chunk as Buffer);
    return { bytes: Buffer.concat(chunks), isWhole: true };
  } catch {
    // An aborted response is what is looked for.
    return { bytes: Buffer.concat(chunks), isWhole: false };
  }
}

const pull = (served: Served, digest: string) => drain(open(served, digest).answered);

describe('a blob that cannot be completed never ends like a complete one', () => {
  test.each([
    ['its source fails half-way', true],
    ['its source fails half-way, its length unknown', false],
  ])('%s', async (_, saysSize) => {
    const served = await serve();
    const { registry } = served;
    const digest = registry.putBlob(WHOLE);
    registry.saysSize = saysSize;
    registry.beforeChunk = (offset) => {
      if (offset >= WHOLE.length / 2) throw new Error('the disk is gone');
    };
    const { bytes, isWhole } = await pull(served, digest);
    expect(isWhole).toBe(false);
    expect(bytes.equals(WHOLE.subarray(0, bytes.length))).toBe(true);
    const line = served.log.find(({ event }) => event === 'answer-broken-off');
    expect(line).toMatchObject({ level: 'warning', fields: { reason: 'the disk is gone' } });
  });

  test.each([
    ['wrong bytes', (bytes: Buffer) => Buffer.alloc(bytes.length, 'x')],
    ['fewer bytes than announced', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['more bytes than announced', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('more')])],
    ['no bytes', () => Buffer.alloc(0)],
  ])('whose source has %s', async (_, tamper) => {
    for (const saysSize of [true, false]) {
      const served = await serve();
      const digest = served.registry.putBlob(WHOLE);
      served.registry.tamper = tamper;
      served.registry.saysSize = saysSize;
      expect((await pull(served, digest)).isWhole).toBe(false);
    }
  });

  test.each([
    ['fewer', -1],
    ['more', 1],
  ])('whose source does not verify its bytes and writes %s than announced', async (_, difference) => {
    const served = await serve();
    const digest = served.registry.putBlob(WHOLE);
    served.registry.blob = async () => ({
      kind: 'content',
      digest,
      sizeBytes: WHOLE.length,
      range: undefined,
      cancel: () => {},
      writeTo: async (sink) => {
        sink.write(Buffer.alloc(WHOLE.length + difference));
      },
    });
    expect((await pull(served, digest)).isWhole).toBe(false);
  });

  test('to an HTTP/1.0 client, for whom the end of the connection means the end of the body: the connection is reset', async () => {
    const { port, registry } = await serve();
    const digest = registry.putBlob(WHOLE);
    registry.saysSize = false;
    const socket = dial(port);
    const broken = once(socket, 'error');
    socket.on('data', () => {});
    registry.beforeChunk = async (offset) => {
      if (offset < WHOLE.length / 2) return;
      // libuv does not always report a reset that arrives together with data.
      await expect.poll(() => socket.bytesRead).toBeGreaterThan(offset);
      throw new Error('the disk is gone');
    };
    socket.write(`GET /v2/a/b/blobs/${digest} HTTP/1.0\r\n\r\n`);
    expect((await broken)[0]).toMatchObject({ code: 'ECONNRESET' });
  });

  test('a manifest whose bytes have another digest gives 502, and none of it is sent', async () => {
    const { port, registry } = await serve();
    const digest = registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
    const manifest = registry.manifest;
    registry.manifest = async (...asked) => ({ ...(await manifest(...asked)), bytes: Buffer.from('{}') });
    for (const reference of ['latest', digest]) {
      const { status, body } = await ask(port, `/v2/a/b/manifests/${reference}`);
      expect(status).toBe(502);
      expect(body.toString()).toContain('another digest');
    }
  });

  test('another manifest than the one requested by digest gives 502, though its own digest is right', async () => {
    const { port, registry } = await serve();
    const asked = registry.putManifest({ schemaVersion: 2, manifests: [] });
    const other = registry.putManifest({ schemaVersion: 2, manifests: [], annotations: { a: 'b' } });
    const manifest = registry.manifest;
    registry.manifest = (repository, _, options) =>
      manifest(repository, { kind: 'digest', digest: other }, options);
    expect((await ask(port, `/v2/a/b/manifests/${asked}`)).status).toBe(502);
    expect((await ask(port, `/v2/a/b/manifests/${other}`)).status).toBe(200);
  });
});

describe('a client that leaves', () => {
  test('before the response begins: the request to the registry is cancelled', async () => {
    const { port, registry, log } = await serve();
    registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
    const asked = new Promise<AbortSignal | undefined>((resolve) => {
      registry.before = ({ options }) => {
        resolve(options.signal);
        return new Promise((_, reject) => {
          options.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error));
        });
      };
    });
    const socket = dial(port);
    socket.write('GET /v2/a/b/manifests/latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    const signal = await asked;
    expect(signal?.aborted).toBe(false);
    socket.destroy();
    await expect.poll(() => signal?.aborted).toBe(true);
    await expect.poll(() => log.find(({ event }) => event === 'request')?.fields['status']).toBe('broken');
    expect(log.filter(({ level }) => level === 'warning' || level === 'error')).toEqual([]);
  });

  test('in the middle of a blob: its source stops, and no error of the mirror is logged', async () => {
    const served = await serve();
    const { registry, log } = served;
    const digest = registry.putBlob(Buffer.alloc(64 * MIB));
    const { req, answered } = open(served, digest);
    await once(await answered, 'readable');
    req.destroy();
    await expect.poll(() => log.find(({ event }) => event === 'answer-broken-off')?.level).toBe('info');
    expect(registry.blobBytes()).toBeLessThan(64 * MIB);
  });

  test('between the registry’s response and the mirror’s: the opened blob is cancelled', async () => {
    const { port, registry } = await serve();
    const digest = registry.putBlob(WHOLE);
    const socket = dial(port);
    const cancelled = new Promise<boolean>((resolve) => {
      const blob = registry.blob;
      registry.blob = async (repository, asked, options) => {
        const content = await blob(repository, asked, options);
        socket.destroy();
        await new Promise((gone) => options?.signal?.addEventListener('abort', gone));
        return { ...content, cancel: () => resolve(true) } as typeof content;
      };
    });
    socket.write(`GET /v2/a/b/blobs/${digest} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    expect(await cancelled).toBe(true);
  });
});

describe('fault 60: a slow reader', () => {
  test('slows its source down instead of filling memory, and gets every byte', async () => {
    const served = await serve();
    const { registry } = served;
    const big = Buffer.alloc(64 * MIB, 'slowly ');
    const digest = registry.putBlob(big);
    const { answered } = open(served, digest);
    (await answered).pause();
    let before = -1;
    // Until the kernel's buffers are full and the source stands still.
    await expect
      .poll(
        () => {
          const stands = registry.blobBytes() === before;
          before = registry.blobBytes();
          return stands && before > 0;
        },
        { interval: 200 },
      )
      .toBe(true);
    expect(registry.blobBytes()).toBeLessThan(32 * MIB);
    const { bytes, isWhole } = await drain(answered);
    expect(isWhole).toBe(true);
    expect(digestOf(bytes)).toBe(digest);
  });

  test('is disconnected when it reads nothing for too long', async () => {
    const { port, registry, log } = await serve({ limits: { idleTimeoutMs: 300 } });
    const digest = registry.putBlob(Buffer.alloc(64 * MIB));
    const socket = dial(port);
    socket.pause();
    socket.write(`GET /v2/a/b/blobs/${digest} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await expect.poll(() => log.some(({ event }) => event === 'answer-broken-off')).toBe(true);
  });
});

describe('entity tags', () => {
  test('fault 56: a client that has the content gets 304, without a body and without opening the blob', async () => {
    const { port, registry } = await serve();
    const digest = registry.putBlob(WHOLE);
    const manifest = registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
    for (const [path, etag] of [
      [`/v2/a/b/blobs/${digest}`, digest],
      ['/v2/a/b/manifests/latest', manifest],
      [`/v2/a/b/manifests/${manifest}`, manifest],
    ] as const) {
      for (const written of [`"${etag}"`, etag, `W/"${etag}"`, `"x", "${etag}"`, '*']) {
        const answer = await ask(port, path, { headers: { 'if-none-match': written } });
        expect([written, answer.status, answer.body.length]).toEqual([written, 304, 0]);
        expect(answer.headers['etag']).toBe(`"${etag}"`);
        expect(answer.headers['docker-content-digest']).toBe(etag);
      }
      expect((await ask(port, path, { headers: { 'if-none-match': '"other"' } })).status).toBe(200);
    }
    expect(registry.count('blob')).toBe(1);
  });

  test('an unknown blob gives 404, whatever If-None-Match says', async () => {
    const { port } = await serve();
    const absent = digestOf(Buffer.from('absent'));
    const { status } = await ask(port, `/v2/a/b/blobs/${absent}`, {
      headers: { 'if-none-match': `"${absent}"` },
    });
    expect(status).toBe(404);
  });
});

test('after a complete blob the connection answers the next request, and no failure is counted', async () => {
  const { port, registry, log, server } = await serve();
  const digest = registry.putBlob(Buffer.from('a layer'));
  const get = (headers: string) =>
    `GET /v2/a/b/blobs/${digest} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;
  const received = await exchange(port, get('') + get('Range: bytes=2-4\r\n') + get('Connection: close\r\n'));
  const answers = received.split(/(?=HTTP\/1\.1 )/).map((answer) => answer.split('\r\n\r\n')[1]);
  expect(answers).toEqual(['a layer', 'lay', 'a layer']);
  expect(log.filter(({ event }) => event === 'answer-broken-off')).toEqual([]);
  expect(server.metrics.text()).toContain('metahub_failures_total{code="broken"} 0');
});

test('a blob of unknown length reaches HTTP/1.0 and HTTP/1.1 clients complete', async () => {
  const served = await serve();
  const digest = served.registry.putBlob(WHOLE);
  served.registry.saysSize = false;
  const { answered } = open(served, digest);
  expect((await answered).headers['transfer-encoding']).toBe('chunked');
  const { bytes, isWhole } = await drain(answered);
  expect([isWhole, digestOf(bytes)]).toEqual([true, digest]);
  const received = await exchange(served.port, `GET /v2/a/b/blobs/${digest} HTTP/1.0\r\n\r\n`);
  const body = Buffer.from(received.slice(received.indexOf('\r\n\r\n') + 4), 'latin1');
  expect(digestOf(body)).toBe(digest);
});

test('a redirect from the registry is passed to the client', async () => {
  const { port, registry } = await serve();
  const digest = registry.putBlob(Buffer.from('x'));
  registry.blob = async () => ({ kind: 'redirect', location: 'https://cdn.example/layer?sig=1' });
  const { status, headers } = await ask(port, `/v2/a/b/blobs/${digest}`);
  expect([status, headers['location']]).toEqual([307, 'https://cdn.example/layer?sig=1']);
});
