import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { PushForwarder } from '../../src/oci/push.ts';
import type { AdmissionController } from '../../src/oci/registry.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { ask, codeOf, dial, exchange, serve } from '../support/served.ts';

const HOST = 'Host: 127.0.0.1\r\n';
const CLOSE = 'Connection: close\r\n';
const statusesOf = (received: string) =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
const bodyOf = (received: string) => received.slice(received.indexOf('\r\n\r\n') + 4);

async function serveLatest(options: Parameters<typeof serve>[0] = {}) {
  const served = await serve(options);
  served.registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
  return served;
}

describe('fault 47: slowloris', () => {
  test('a client that never completes its request head gets 408 and is disconnected', async () => {
    const { port } = await serveLatest({ limits: { headersTimeoutMs: 300 } });
    const received = await exchange(port, 'GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ');
    expect(statusesOf(received)).toEqual([408]);
  });

  test('other clients are served while many such clients hold their connections', async () => {
    const { port } = await serveLatest();
    const slow = Array.from({ length: 200 }, () => dial(port));
    await Promise.all(slow.map((socket) => once(socket, 'connect')));
    for (const socket of slow) socket.write('GET /v2/ HTTP/1.1\r\nX-Slow: ');
    expect((await ask(port, '/v2/library/app/manifests/latest')).status).toBe(200);
  });

  test('the server accepts no more connections than allowed', async () => {
    const { port } = await serveLatest({ limits: { connections: 2 } });
    const held = [dial(port), dial(port)];
    await Promise.all(held.map((socket) => once(socket, 'connect')));
    await expect(ask(port, '/v2/')).rejects.toMatchObject({ code: 'ECONNRESET' });
    held[0]?.destroy();
    await expect.poll(() => ask(port, '/v2/').then(({ status }) => status)).toBe(200);
  });
});

describe('requests that are too large', () => {
  test('fault 48: too many header bytes give 431', async () => {
    const { port } = await serveLatest();
    const received = await exchange(
      port,
      `GET /v2/ HTTP/1.1\r\n${HOST}X-Big: ${'x'.repeat(40 * 1024)}\r\n\r\n`,
    );
    expect(statusesOf(received)).toEqual([431]);
    expect(JSON.parse(bodyOf(received))).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] });
  });

  test.each([
    [31, 200],
    [33, 431],
  ])('fault 48: headers of %i KiB give %i', async (kibibytes, status) => {
    const { port } = await serveLatest();
    const received = await exchange(
      port,
      `GET /v2/ HTTP/1.1\r\n${HOST}${CLOSE}X-Big: ${'x'.repeat(kibibytes * 1024)}\r\n\r\n`,
    );
    expect(statusesOf(received)).toEqual([status]);
  });

  test('a registry token of 16 KiB is accepted', async () => {
    const { port } = await serveLatest();
    const headers = { authorization: `Bearer ${'x'.repeat(16 * 1024)}` };
    expect((await ask(port, '/v2/', { headers })).status).toBe(200);
  });

  test('fault 49: a URL of more than 8 KiB gives 414', async () => {
    const { port } = await serveLatest();
    const answer = await ask(port, `/v2/${'a/'.repeat(5000)}manifests/latest`);
    expect([answer.status, codeOf(answer)]).toEqual([414, 'UNSUPPORTED']);
  });

  test('fault 49: a target of 8 KiB is accepted, and one byte more gives 414', async () => {
    const { port } = await serveLatest();
    const target = (bytes: number) => `/v2/${'a'.repeat(bytes - '/v2//tags/list'.length)}/tags/list`;
    expect((await ask(port, target(8192))).status).toBe(400);
    expect((await ask(port, target(8193))).status).toBe(414);
  });

  test('fault 49: a URL of 1 MB is refused without being buffered', async () => {
    const { port } = await serveLatest();
    const received = await exchange(port, `GET /v2/${'a'.repeat(2 ** 20)} HTTP/1.1\r\n${HOST}\r\n`);
    // The refusal may be lost in the reset that the unread rest of the URL causes.
    expect([[], [431]]).toContainEqual(statusesOf(received));
    expect((await ask(port, '/v2/')).status).toBe(200);
  });
});

describe('fault 50: malformed paths are refused, never normalized', () => {
  test.each([
    '/v2/../v2/library/app/manifests/latest',
    '/v2/./library/app/manifests/latest',
    '/v2/library/../library/app/manifests/latest',
    '/v2/%2e%2e/library/app/manifests/latest',
    '/v2/library%2fapp/manifests/latest',
    '/v2/library//app/manifests/latest',
    '//v2/library/app/manifests/latest',
    '/v2/library/app/manifests/latest/',
    '/v2/library/app/manifests/..',
    '/v2/library/app/manifests/latest%00',
    '/v2/library\\app/manifests/latest',
    '/V2/library/app/manifests/latest',
    '/v2/library/app/manifests/latest#fragment',
    '/v2/library/app;x=y/manifests/latest',
    '*',
  ])('%s', async (target) => {
    const { port, registry } = await serveLatest();
    const received = await exchange(port, `GET ${target} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
    const [status] = statusesOf(received);
    expect([400, 404]).toContain(status);
    expect(JSON.parse(bodyOf(received))).toMatchObject({ errors: [{ code: expect.any(String) }] });
    expect(registry.calls).toEqual([]);
  });

  test.each([
    ['NUL', '/v2/library/app\u0000/manifests/latest'],
    ['a bare line feed', '/v2/library/app\n/manifests/latest'],
    ['a bare carriage return', '/v2/library/app\r/manifests/latest'],
    ['a space', '/v2/library/app /manifests/latest'],
    ['a byte above ASCII', '/v2/library/\u00e4pp/manifests/latest'],
  ])('%s in the target', async (_, target) => {
    const { port, registry } = await serveLatest();
    const received = await exchange(port, `GET ${target} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
    expect(statusesOf(received)).toEqual([400]);
    expect(registry.calls).toEqual([]);
  });
});

describe('fault 51: names of repositories that are none', () => {
  test.each([
    'UPPER/app',
    'team/-app',
    'team/app-',
    'team/a..b',
    'team/a___b',
    'team/app@latest',
    'team/app:latest',
    'team/.hidden',
    `team/${'a'.repeat(300)}`,
    'ghcr.io/UPPER',
    '[::1]:5000/app',
  ])('%s', async (name) => {
    const { port, registry } = await serveLatest();
    const answer = await ask(port, `/v2/${name}/manifests/latest`);
    expect(answer.status).toBe(name.startsWith('[') ? 403 : 400);
    expect(codeOf(answer)).toBe(name.startsWith('[') ? 'DENIED' : 'NAME_INVALID');
    expect(registry.calls).toEqual([]);
  });
});

describe('fault 52: a source host that is not allowed', () => {
  test.each([
    '169.254.169.254',
    'metadata.google.internal',
    '127.0.0.1:22',
    'localhost',
    '[::1]:6443',
    'evil.example',
  ])('gets no request: %s', async (host) => {
    const { port, registry } = await serveLatest();
    for (const target of [
      `/v2/library/app/manifests/latest?ns=${encodeURIComponent(host)}`,
      `/v2/${host}/library/app/manifests/latest`,
      `/v2/library/app/blobs/sha256:${'a'.repeat(64)}?ns=${encodeURIComponent(host)}`,
      `/v2/${host}/library/app/tags/list`,
    ]) {
      const { status } = await ask(port, target);
      expect([400, 403]).toContain(status);
    }
    expect(registry.calls).toEqual([]);
  });
});

describe('fault 53: mirrors in front of each other', () => {
  test('a request that has passed through this mirror gives 508, and so does one with too many hops', async () => {
    const { port, registry } = await serveLatest();
    const path = '/v2/library/app/manifests/latest';
    const many = Array.from({ length: 8 }, (_, hop) => `1.1 mirror-${hop}`).join(', ');
    for (const via of ['1.1 other, 1.1 metahub-test', many]) {
      expect((await ask(port, path, { headers: { via } })).status).toBe(508);
    }
    expect(registry.calls).toEqual([]);
    expect((await ask(port, path, { headers: { via: '1.1 other' } })).status).toBe(200);
    expect(registry.calls[0]?.options.via).toBe('1.1 other');
  });
});

describe('fault 58: the API under a name that was made to point here', () => {
  const path = '/v2/library/app/manifests/latest';
  const host = { host: 'rebound.example:5080' };

  test('is not available to web pages, because a mirror on loopback may store what only this machine may see', async () => {
    const { port, registry } = await serveLatest();
    const digest = registry.putBlob(Buffer.from('secret'));
    for (const target of ['/v2/', path, `/v2/library/app/blobs/${digest}`, '/v2/library/app/tags/list']) {
      const answer = await ask(port, target, { headers: host });
      expect([answer.status, codeOf(answer)]).toEqual([403, 'DENIED']);
    }
    expect(registry.calls).toEqual([]);
  });

  test('does not get a cached response either', async () => {
    const { port } = await serveLatest();
    expect((await ask(port, path)).status).toBe(200);
    expect((await ask(port, path, { headers: host })).status).toBe(403);
  });

  test('is available to clients that use a configured name', async () => {
    const { port } = await serveLatest({ names: ['rebound.example'] });
    expect((await ask(port, path, { headers: host })).status).toBe(200);
  });

  test('is available to the clients of a network, under any name', async () => {
    const { port, registry } = await serve({}, '0.0.0.0');
    registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
    expect((await ask(port, path, { headers: host })).status).toBe(200);
  });

  test('accepts only requests with a login', async () => {
    const { port } = await serveLatest({ hasLogins: true });
    expect((await ask(port, path, { headers: host })).status).toBe(200);
  });
});

test('comments in Via are not forwarded, because gateways may reject them', async () => {
  const { port, registry } = await serveLatest();
  const via = '1.1 other (<script>union select, 1), 1.0 fred';
  const answer = await ask(port, '/v2/library/app/manifests/latest', { headers: { via } });
  expect([answer.status, registry.calls[0]?.options.via]).toEqual([200, '1.1 other, 1.0 fred']);
});

describe('a Via header that no mirror writes', () => {
  test.each([`1.1 ${'a'.repeat(20_000)}`, '1.1 \u00e9', 'whatever', '1.1 a (open'])(
    'is refused, not forwarded',
    async (via) => {
      const { port, registry } = await serveLatest();
      const { status } = await ask(port, '/v2/library/app/manifests/latest', { headers: { via } });
      expect(status).toBe(400);
      expect(registry.calls).toEqual([]);
    },
  );
});

describe('fault 57: bodies are never read', () => {
  const INNER = `GET /v2/library/app/manifests/latest HTTP/1.1\r\n${HOST}\r\n`;

  test.each([
    ['PUT with a length', `PUT /v2/a/manifests/x HTTP/1.1\r\n${HOST}Content-Length: ${INNER.length}\r\n\r\n`],
    ['DELETE, chunked', `DELETE /v2/a/manifests/x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`],
    ['GET with a length', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: ${INNER.length}\r\n\r\n`],
    ['GET, chunked', `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`],
    [
      'both lengths (CL.TE)',
      `POST /v2/ HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ],
    ['two lengths', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: 0\r\nContent-Length: 9\r\n\r\n`],
    ['a folded header', `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding:\r\n chunked\r\n\r\n`],
    ['an odd coding', `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n`],
    ['a space before the colon', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length : 9\r\n\r\n`],
  ])('%s is refused once, and nothing in its body becomes a request', async (_, head) => {
    const { port, registry } = await serveLatest();
    const received = await exchange(port, `${head}${INNER}`);
    const statuses = statusesOf(received);
    expect(statuses).toHaveLength(1);
    expect([400, 405]).toContain(statuses[0]);
    expect(registry.calls).toEqual([]);
  });

  test('a body that is announced with Expect is refused before it is sent', async () => {
    const { port } = await serveLatest();
    const received = await exchange(
      port,
      `PUT /v2/a/manifests/x HTTP/1.1\r\n${HOST}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n`,
    );
    expect(received).not.toContain('100 Continue');
    expect(statusesOf(received)).toEqual([405]);
  });

  test('an Expect header in a GET is refused', async () => {
    const { port } = await serveLatest();
    const received = await exchange(port, `GET /v2/ HTTP/1.1\r\n${HOST}Expect: miracles\r\n\r\n`);
    expect(statusesOf(received)).toEqual([417]);
  });

  test('CONNECT opens no tunnel', async () => {
    const { port } = await serveLatest();
    const received = await exchange(port, `CONNECT evil.example:443 HTTP/1.1\r\n${HOST}\r\n`);
    expect(statusesOf(received)).toEqual([405]);
  });

  test('an Upgrade header is ignored', async () => {
    const { port } = await serveLatest();
    const upgrade = `GET /v2/ HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n`;
    expect(statusesOf(await exchange(port, upgrade))).toEqual([200]);
  });

  test.each([
    ['no HTTP at all', 'EHLO mirror\r\n\r\n'],
    ['a TLS greeting', Buffer.from('16030100f4010000f00303', 'hex')],
    ['a method nobody knows', `BREW /v2/ HTTP/1.1\r\n${HOST}\r\n`],
    ['HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['no Host', `GET /v2/ HTTP/1.1\r\n${CLOSE}\r\n`],
  ])('%s gives 400', async (_, bytes) => {
    const { port } = await serveLatest();
    const received = await exchange(port, bytes);
    expect(statusesOf(received)).toEqual([400]);
    expect(JSON.parse(bodyOf(received))).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] });
  });
});

describe('fault 59: line breaks in headers', () => {
  test('a registry’s response cannot add a header to the mirror’s', async () => {
    const { port, registry } = await serve();
    const digest = registry.putManifest({ schemaVersion: 2, manifests: [] });
    const manifest = registry.manifest;
    registry.manifest = async (...asked) => ({
      ...(await manifest(...asked)),
      mediaType: 'text/plain\r\nSet-Cookie: type=1',
      notices: { warning: '110 - "stale"\r\nSet-Cookie: notice=1', 'set-cookie': 'x=1', 'retry-after': '5' },
    });
    const { status, headers } = await ask(port, `/v2/library/app/manifests/${digest}`);
    expect(status).toBe(200);
    expect(headers['set-cookie']).toBeUndefined();
    expect(headers['warning']).toBeUndefined();
    expect(headers['content-type']).toBe('application/octet-stream');
    expect(headers['retry-after']).toBe('5');
  });

  test('a redirect that contains a line break is an error', async () => {
    const { port, registry } = await serve();
    const digest = registry.putBlob(Buffer.from('x'));
    const redirect = (location: string) => {
      registry.blob = async () => ({ kind: 'redirect', location });
      return ask(port, `/v2/library/app/blobs/${digest}`);
    };
    expect((await redirect('https://cdn.example/x\r\nSet-Cookie: x=1')).status).toBe(502);
    const { status, headers } = await redirect('https://cdn.example/x?sig=1');
    expect([status, headers['location']]).toEqual([307, 'https://cdn.example/x?sig=1']);
  });

  test('a header with a bare line feed or NUL is refused', async () => {
    const { port } = await serveLatest();
    for (const value of ['a\nX-Injected: b', 'a\u0000b', 'a\rb']) {
      const received = await exchange(port, `GET /v2/ HTTP/1.1\r\n${HOST}${CLOSE}Accept: ${value}\r\n\r\n`);
      expect(statusesOf(received)).toEqual([400]);
    }
  });
});

describe('pipelined requests', () => {
  test('are answered in order, one at a time', async () => {
    const { port, registry } = await serveLatest();
    const order: string[] = [];
    let answering = 0;
    registry.before = async ({ reference }) => {
      answering += 1;
      expect(answering).toBe(1);
      order.push(reference);
      await new Promise((resolve) => setImmediate(resolve));
      answering -= 1;
    };
    const get = (tag: string, more = '') =>
      `GET /v2/library/app/manifests/${tag} HTTP/1.1\r\n${HOST}${more}\r\n`;
    const received = await exchange(port, get('one') + get('latest') + get('two') + get('latest', CLOSE));
    expect(order).toEqual(['one', 'latest', 'two', 'latest']);
    expect(statusesOf(received)).toEqual([404, 200, 404, 200]);
  });

  test('after the one during which the client leaves are never started', async () => {
    const { port, registry } = await serveLatest();
    const begun = new Promise<void>((resolve) => {
      registry.before = ({ options }) => {
        resolve();
        return new Promise((_, reject) =>
          options.signal?.addEventListener('abort', () => reject(new Error('left'))),
        );
      };
    });
    const get = (tag: string) => `GET /v2/library/app/manifests/${tag} HTTP/1.1\r\n${HOST}\r\n`;
    const socket = dial(port);
    socket.write(get('one') + get('two'));
    await begun;
    socket.destroy();
    await expect.poll(() => registry.calls[0]?.options.signal?.aborted).toBe(true);
    expect((await ask(port, '/v2/')).status).toBe(200);
    expect(registry.calls.map(({ reference }) => reference)).toEqual(['one']);
  });
});

describe('a server under overload', () => {
  test('refuses requests above the limit with 503, and releases every one that ends', async () => {
    const { port, registry } = await serveLatest({ limits: { inFlight: 2 } });
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    registry.before = () => held;
    const path = '/v2/library/app/manifests/latest';
    const first = [ask(port, path), ask(port, path)];
    await expect.poll(() => registry.calls.length).toBe(2);
    const refused = await ask(port, path);
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    expect((await ask(port, '/healthz')).status).toBe(200);
    release();
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await ask(port, path)).status).toBe(200);
  });

  test.each([
    ['pull', 'GET', '/v2/'],
    ['push', 'POST', '/v2/team/app/blobs/uploads/'],
  ])(
    'counts no request of clients that leave while their login to %s is being checked',
    async (_, method, path) => {
      const registry = createFakeRegistry();
      const arrivals: (() => void)[] = [];
      const gate: AdmissionController = {
        admit: () =>
          new Promise((resolve) => {
            arrivals.push(() => resolve({ kind: 'admitted', registry, key: '' }));
          }),
      };
      const push: PushForwarder = { forward: async (_req, res) => void res.end() };
      const { port, server } = await serve({ gate, push, limits: { inFlight: 1 } });
      const socket = dial(port);
      socket.write(`${method} ${path} HTTP/1.1\r\n${HOST}\r\n`);
      await expect.poll(() => arrivals.length).toBe(1);
      socket.destroy();
      await expect.poll(() => server.metrics.text()).toMatch(/^metahub_connections 0$/m);
      arrivals[0]?.();
      const next = ask(port, path, { method });
      await expect.poll(() => arrivals.length).toBe(2);
      arrivals[1]?.();
      expect((await next).status).toBe(200);
    },
  );
});

test('an Accept header without an index type is forwarded to the registry unchanged', async () => {
  const { port, registry } = await serveLatest();
  const path = '/v2/library/app/manifests/latest';
  for (const [accept, expected] of [
    [MEDIA_TYPE.ociManifest, false],
    [`${MEDIA_TYPE.ociManifest}, ${MEDIA_TYPE.dockerList}`, true],
    [`${MEDIA_TYPE.ociIndex};q=0, ${MEDIA_TYPE.ociManifest}`, false],
    ['*/*', true],
    [`${MEDIA_TYPE.dockerManifest}, */*;q=0.1`, true],
    ['text/html', false],
  ] as const) {
    registry.forgetCalls();
    await ask(port, path, { headers: { accept } });
    expect([accept, registry.calls[0]?.options.acceptsIndex]).toEqual([accept, expected]);
  }
});
