import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { AdmissionController, Admitted, Registry, SmallBlob } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import type { MirrorServerOptions } from '../../src/server/server.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { type Answer, ask, dial, exchange, serve } from '../support/served.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

const app = repository('team/app');
const KIB = 1024;

/** A gate that admits everybody to this registry. */
function gateTo(registry: Registry, admitted: Partial<Admitted> = {}): AdmissionController {
  return { admit: () => ({ kind: 'admitted', registry, key: '', ...admitted }) };
}

/** A cache that holds an open blob, behind two servers: one may take the short way, the other may not. */
async function bothWays(options: Partial<MirrorServerOptions> = {}, admitted: Partial<Admitted> = {}) {
  const opened = await cacheAt(await dataDirectory());
  const { cache, upstream, layout } = opened;
  const bytes = randomBytes(200 * KIB);
  const digest = upstream.putBlob(bytes);
  const little = randomBytes(5 * KIB);
  const littleDigest = upstream.putBlob(little);
  const { access } = admitted;
  for (let round = 0; round < 2; round += 1) {
    await readBlob(await cache.blob(app, digest, { access }));
    await readBlob(await cache.blob(app, littleDigest, { access }));
    await cache.close();
  }
  let longWays = 0;
  const counted: Registry = {
    ...cache,
    blob: (...asked) => {
      longWays += 1;
      return cache.blob(...asked);
    },
  };
  const { smallBlob: _, ...longOnly } = counted;
  const short = await serve({ gate: gateTo(counted, admitted), ...options });
  const long = await serve({ gate: gateTo(longOnly, admitted), ...options });
  upstream.forgetCalls();
  return {
    ...{ short, long, upstream, cache, layout, bytes, digest, little, littleDigest },
    path: `/v2/team/app/blobs/${digest}?ns=registry.test`,
    littlePath: `/v2/team/app/blobs/${littleDigest}?ns=registry.test`,
    longWays: () => longWays,
  };
}

/** What may not differ between the ways. */
function comparable({ status, headers: { date: _, age, ...headers }, body }: Answer) {
  return { status, headers: { ...headers, age: typeof age }, body: body.toString('hex') };
}

const isAllowedHost = () => true;

describe('the fast path for small blobs', () => {
  test('sends what the general path sends, without calling it', async () => {
    const { short, path, littlePath, bytes, little, longWays } = await bothWays({ isAllowedHost });
    const whole = await ask(short.port, littlePath);
    expect(whole.status).toBe(200);
    expect(whole.body.equals(little)).toBe(true);
    const part = await ask(short.port, path, { headers: { range: 'bytes=100-65635' } });
    expect(part.status).toBe(206);
    expect(part.headers['content-range']).toBe(`bytes 100-65635/${bytes.length}`);
    expect(part.body.equals(bytes.subarray(100, 65636))).toBe(true);
    expect(longWays()).toBe(0);
  });

  test.each([
    [8192, 200],
    [8193, 414],
  ])('gives the same response as the general path: a target of %d bytes', async (targetBytes, status) => {
    const { short, littlePath } = await bothWays({ isAllowedHost });
    expect((await ask(short.port, `${littlePath}&pad=`.padEnd(targetBytes, 'x'))).status).toBe(status);
  });

  test.each<[string, 'GET' | 'HEAD', Record<string, string>, number]>([
    ['no condition', 'GET', {}, 200],
    ['HEAD', 'HEAD', {}, 200],
    ['HEAD with a range', 'HEAD', { range: 'bytes=0-9' }, 200],
    ['a range', 'GET', { range: 'bytes=10-19' }, 206],
    ['a suffix', 'GET', { range: 'bytes=-7' }, 206],
    ['a range beyond the end', 'GET', { range: 'bytes=4000-999999' }, 206],
    ['a range from the end', 'GET', { range: 'bytes=5120-' }, 416],
    ['several ranges', 'GET', { range: 'bytes=0-1,4-5' }, 200],
    ['a malformed range', 'GET', { range: 'bytes=9-x' }, 200],
    ['an If-Range of another blob', 'GET', { range: 'bytes=0-9', 'if-range': '"sha256:other"' }, 200],
    ['an If-Range with a date', 'GET', { range: 'bytes=0-9', 'if-range': new Date().toUTCString() }, 200],
    ['If-None-Match of another', 'GET', { 'if-none-match': '"other"' }, 200],
    ['Cache-Control: no-cache', 'GET', { 'cache-control': 'no-cache' }, 200],
    ['a Via', 'GET', { via: '1.1 somebody' }, 200],
    ['a Via that is a loop', 'GET', { via: '1.1 metahub-test' }, 508],
    ['a request of another site', 'GET', { 'sec-fetch-site': 'cross-site' }, 403],
    ['another name of this machine', 'GET', { host: 'evil.test' }, 403],
    ['a malformed Host', 'GET', { host: 'a b' }, 400],
    ['a body', 'GET', { 'content-length': '3' }, 400],
  ])('gives the same response as the general path: %s', async (_, method, headers, status) => {
    const { short, long, littlePath } = await bothWays({ isAllowedHost });
    const [one, other] = [
      await ask(short.port, littlePath, { method, headers }),
      await ask(long.port, littlePath, { method, headers }),
    ];
    expect(one.status).toBe(status);
    expect(comparable(one)).toEqual(comparable(other));
  });

  test('forbids other caches to keep an answer where logins differ', async () => {
    const { short, long, littlePath, longWays } = await bothWays({ isAllowedHost, hasLogins: true });
    const one = await ask(short.port, littlePath);
    expect(longWays()).toBe(0);
    expect(one.status).toBe(200);
    expect(one.headers['cache-control']).toMatch(/^private\b/);
    expect(comparable(one)).toEqual(comparable(await ask(long.port, littlePath)));
  });

  test('gives the same response for the blob’s own If-Range and If-None-Match', async () => {
    const { short, long, littlePath, littleDigest } = await bothWays({ isAllowedHost });
    for (const headers of [
      { range: 'bytes=0-9', 'if-range': `"${littleDigest}"` },
      { 'if-none-match': `"${littleDigest}"` },
    ]) {
      const answers = [
        await ask(short.port, littlePath, { headers }),
        await ask(long.port, littlePath, { headers }),
      ];
      expect(answers[0]?.status).toBe('range' in headers ? 206 : 304);
      expect(answers.map((answer) => comparable(answer))[0]).toEqual(comparable(answers[1] as Answer));
    }
  });

  test('sends a private Cache-Control when the response is for one login alone', async () => {
    const admitted = { login: 'lab', access: { partition: 'lab' } };
    const { short, long, littlePath, longWays } = await bothWays({ isAllowedHost }, admitted);
    const answer = await ask(short.port, littlePath);
    expect(answer.headers['cache-control']).toBe('private, no-store');
    expect(longWays()).toBe(0);
    expect(comparable(answer)).toEqual(comparable(await ask(long.port, littlePath)));
    await expect
      .poll(() => short.log.find(({ event }) => event === 'request')?.fields)
      .toMatchObject({ login: 'lab', status: '200' });
  });

  test('sends nothing to a client that the gate refuses or that has no access to the blob', async () => {
    const { cache, upstream, littlePath } = await bothWays(
      { isAllowedHost },
      { access: { partition: 'lab' } },
    );
    upstream.before = () => {
      throw new RegistryError('DENIED', 'not for you');
    };
    const stranger = await serve({ gate: gateTo(cache, { access: { partition: 'other' } }), isAllowedHost });
    expect((await ask(stranger.port, littlePath)).status).toBe(403);
    const error = new RegistryError('DENIED', 'nobody');
    for (const admit of [
      () => ({ kind: 'refused', error }) as const,
      async () => ({ kind: 'refused', error }) as const,
    ]) {
      const closed = await serve({ gate: { admit }, isAllowedHost });
      expect((await ask(closed.port, littlePath)).status).toBe(403);
    }
  });

  test('counts and logs a request once, as the general path does', async () => {
    const { short, littlePath, little } = await bothWays({ isAllowedHost });
    await ask(short.port, littlePath);
    await ask(short.port, littlePath, { headers: { range: 'bytes=0-9' } });
    await expect.poll(() => short.log.filter(({ event }) => event === 'request')).toHaveLength(2);
    const [whole] = short.log.filter(({ event }) => event === 'request');
    expect(whole?.fields).toMatchObject({ method: 'GET', status: '200', client: '127.0.0.1' });
    expect(Number(whole?.fields['bytes'])).toBeGreaterThan(little.length);
    const text = short.server.metrics.text();
    expect(text).toContain('metahub_requests_total{kind="blob",method="GET",status="200"} 1');
    expect(text).toContain('metahub_requests_total{kind="blob",method="GET",status="206"} 1');
    expect(text).toContain('metahub_request_duration_seconds_count{kind="blob"} 2');
    expect(text).toContain('metahub_requests_in_flight 0');
  });

  test('counts in the limit of concurrent requests', async () => {
    const { cache, littlePath } = await bothWays({ isAllowedHost });
    const busy = await serve({ gate: gateTo(cache), isAllowedHost, limits: { inFlight: 0 } });
    const answer = await ask(busy.port, littlePath);
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
  });

  test('answers pipelined requests in their order', async () => {
    const { short, path, bytes } = await bothWays({ isAllowedHost });
    const get = (first: number) =>
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=${first}-${first + 9}\r\n${first === 30 ? 'Connection: close\r\n' : ''}\r\n`;
    const received = Buffer.from(await exchange(short.port, get(10) + get(20) + get(30)), 'latin1');
    const places = [10, 20, 30].map((first) => received.indexOf(bytes.subarray(first, first + 10)));
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  test('continues on the general path when a block turns out to be wrong, and the client gets the right bytes', async () => {
    const directory = await dataDirectory();
    const first = await cacheAt(directory);
    const bytes = randomBytes(2 * 1024 * KIB);
    const digest = first.upstream.putBlob(bytes);
    await readBlob(await first.cache.blob(app, digest));
    await first.cache.close();
    const summed = await cacheAt(directory, { upstream: first.upstream });
    await readBlob(await summed.cache.blob(app, digest));
    await summed.cache.close();
    const file = await open(join(first.layout, 'blobs/sha256', digest.slice('sha256:'.length)), 'r+');
    await file.write(Buffer.of((bytes[1100 * KIB] ?? 0) ^ 1), 0, 1, 1100 * KIB);
    await file.close();
    const { cache } = await cacheAt(directory, { upstream: first.upstream });
    const { port, log } = await serve({ gate: gateTo(cache), isAllowedHost });
    const path = `/v2/team/app/blobs/${digest}?ns=registry.test`;
    for (const start of [0, 1100 * KIB - 5, 1100 * KIB - 5]) {
      const { status, body } = await ask(port, path, { headers: { range: `bytes=${start}-${start + 99}` } });
      expect(status).toBe(206);
      expect(body.equals(bytes.subarray(start, start + 100))).toBe(true);
    }
    await expect.poll(() => log.filter(({ event }) => event === 'request')).toHaveLength(3);
  });
});

describe('the borrowed memory of a small blob', () => {
  /** A server whose registry lends these bytes when it is told to. */
  async function lending(bytes: Buffer) {
    const registry = createFakeRegistry();
    const digest = registry.putBlob(Buffer.from('on the long way'));
    const returned: string[] = [];
    const lent = { bytes, giveBack: () => returned.push('back'), giveUp: () => returned.push('up') };
    let lend = (_: SmallBlob | undefined) => {};
    const asked = new Promise<void>((resolve) => {
      registry.smallBlob = () => {
        resolve();
        return new Promise((settle) => {
          lend = settle;
        });
      };
    });
    const served = await serve({ gate: gateTo(registry) });
    const small = { digest, sizeBytes: bytes.length, range: undefined, lent };
    const path = `/v2/a/b/blobs/${digest}`;
    return { ...served, path, asked, returned, lend: (is: boolean) => lend(is ? small : undefined) };
  }

  test('is released once the blob is sent', async () => {
    const { port, path, asked, returned, lend } = await lending(Buffer.from('lent'));
    const answer = ask(port, path);
    await asked;
    lend(true);
    expect((await answer).body.toString()).toBe('lent');
    await expect.poll(() => returned).toEqual(['back']);
  });

  test('is released without sending when the client has left meanwhile, and the log says so', async () => {
    const { port, path, asked, returned, lend, log } = await lending(Buffer.from('lent'));
    const socket = dial(port);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await asked;
    socket.destroy();
    await expect.poll(() => log.find(({ event }) => event === 'request')?.fields['status']).toBe('broken');
    lend(true);
    await expect.poll(() => returned).toEqual(['back']);
  });

  test('is released once when the client leaves in the middle of it, and the log says so', async () => {
    const { port, path, asked, returned, lend, log, server } = await lending(Buffer.alloc(64 * 1024 * KIB));
    const socket = dial(port);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await asked;
    lend(true);
    await once(socket, 'data');
    socket.destroy();
    await expect.poll(() => log.find(({ event }) => event === 'request')?.fields['status']).toBe('broken');
    await expect.poll(() => returned).toHaveLength(1);
    await expect.poll(() => log.map(({ event }) => event)).toContain('answer-broken-off');
    expect(server.metrics.text()).toContain('metahub_failures_total{code="broken"} 1');
  });

  test('of a read that fails gives the response of the general path, with one line in the log', async () => {
    const { port, path, asked, lend, log, server } = await lending(Buffer.from('lent'));
    const answer = ask(port, path);
    await asked;
    lend(false);
    expect((await answer).body.toString()).toBe('on the long way');
    await expect.poll(() => log.filter(({ event }) => event === 'request')).toHaveLength(1);
    expect(server.metrics.text()).toContain('metahub_requests_in_flight 0');
  });

  test('of a registry that throws gives 500, and the request counts as ended', async () => {
    const registry = createFakeRegistry();
    const digest = registry.putBlob(Buffer.from('some'));
    registry.smallBlob = () => {
      throw new Error('no');
    };
    const { port, server } = await serve({ gate: gateTo(registry) });
    expect((await ask(port, `/v2/a/b/blobs/${digest}`)).status).toBe(500);
    expect(server.metrics.text()).toContain('metahub_requests_in_flight 0');
  });
});
