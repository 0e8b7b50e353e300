import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { closeOf } from '../support/loopback.ts';
import { ask, codeOf, dial, exchange, serve } from '../support/served.ts';

// RFC 9110, 9111 and 9112, as far as a mirror meets them on raw connections.

const HOST = 'Host: 127.0.0.1\r\n';
const CLOSE = 'Connection: close\r\n';
const TAG = '/v2/library/app/manifests/latest';

interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** The answers in what a connection brought, each with as much body as its Content-Length says. */
function answersIn(received: string, isHead = false): readonly RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = received; rest !== ''; ) {
    const end = rest.indexOf('\r\n\r\n');
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
    expect(status).toBeGreaterThan(0);
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const length = isHead ? 0 : Number(headers.get('content-length') ?? 0);
    answers.push({ status, headers, body: rest.slice(end + 4, end + 4 + length) });
    rest = rest.slice(end + 4 + length);
  }
  return answers;
}

const statusesOf = (received: string) => answersIn(received).map(({ status }) => status);

async function serveLatest(options: Parameters<typeof serve>[0] = {}) {
  const served = await serve(options);
  const digest = served.registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
  return { ...served, digest };
}

const LOGIN_REQUIRED = {
  kind: 'refused',
  error: new RegistryError('UNAUTHORIZED', 'log in', { headers: { 'www-authenticate': 'Basic realm="x"' } }),
} as const;

describe('fault 77: answers for a login in a shared cache: Cache-Control', () => {
  const paths = (served: Awaited<ReturnType<typeof serveLatest>>) => {
    const blob = served.registry.putBlob(Buffer.from('a layer'));
    return {
      tag: TAG,
      list: '/v2/library/app/tags/list',
      referrers: `/v2/library/app/referrers/${served.digest}`,
      manifest: `/v2/library/app/manifests/${served.digest}`,
      blob: `/v2/library/app/blobs/${blob}`,
    };
  };

  test('of a node lets caches keep digests for ever, and tags and lists only with revalidation', async () => {
    const served = await serveLatest();
    const of = async (path: string, headers = {}) =>
      (await ask(served.port, path, { headers })).headers['cache-control'];
    const { tag, list, referrers, manifest, blob } = paths(served);
    for (const path of [tag, list, referrers, '/v2/']) expect(await of(path)).toBe('no-cache');
    for (const path of [manifest, blob]) {
      expect(await of(path)).toBe('public, max-age=31536000, immutable');
      const { status, headers } = await ask(served.port, path, { headers: { 'if-none-match': '*' } });
      expect([status, headers['cache-control']]).toEqual([304, 'public, max-age=31536000, immutable']);
    }
    expect(await of(blob, { range: 'bytes=0-1' })).toBe('public, max-age=31536000, immutable');
  });

  test.each([
    ['where requests show a login', true, undefined],
    ['where a client’s own login is passed on', false, { partition: 'anna' }],
  ])('%s keeps every response out of shared caches', async (_, hasLogins, access) => {
    const registries: Awaited<ReturnType<typeof serveLatest>>[] = [];
    const served = await serveLatest({
      hasLogins,
      gate: {
        admit: () => ({
          kind: 'admitted',
          registry: (registries[0] as Awaited<ReturnType<typeof serveLatest>>).registry,
          key: 'anna',
          login: 'anna',
          ...(access === undefined ? {} : { access }),
        }),
      },
    });
    registries.push(served);
    for (const path of [...Object.values(paths(served)), '/v2/']) {
      for (const round of [1, 2]) {
        const { status, headers } = await ask(served.port, path);
        expect([path, round, status, headers['cache-control']]).toEqual([
          path,
          round,
          200,
          'private, no-store',
        ]);
        expect(headers['vary']).toContain('Authorization');
      }
    }
  });

  test('of an error, a challenge and a redirect is no-store', async () => {
    const served = await serveLatest();
    served.registry.blob = async () => ({ kind: 'redirect', location: 'https://cdn.example/x?sig=1' });
    const { blob } = paths(served);
    for (const [path, status] of [
      ['/v2/library/app/manifests/absent', 404],
      ['/v2/LIBRARY/app/manifests/absent', 400],
      [blob, 307],
    ] as const) {
      const answer = await ask(served.port, path);
      expect([answer.status, answer.headers['cache-control']]).toEqual([status, 'no-store']);
    }
    const site = await serve({ gate: { admit: () => LOGIN_REQUIRED }, hasLogins: true });
    const answer = await ask(site.port, TAG);
    expect([answer.status, answer.headers['cache-control']]).toEqual([401, 'no-store']);
  });

  test('comes with an Age when the content has been in the cache', async () => {
    const { port, registry, digest } = await serveLatest();
    const { manifest } = registry;
    registry.manifest = async (...asked) => ({ ...(await manifest(...asked)), ageMs: 90_500 });
    expect((await ask(port, `/v2/library/app/manifests/${digest}`)).headers['age']).toBe('90');
    const blob = registry.putBlob(Buffer.from('held'));
    const { statBlob } = registry;
    registry.statBlob = async (...asked) => ({ ...(await statBlob(...asked)), ageMs: 5000 });
    expect((await ask(port, `/v2/library/app/blobs/${blob}`, { method: 'HEAD' })).headers['age']).toBe('5');
    expect((await ask(port, `/v2/library/app/blobs/${blob}`)).headers['age']).toBeUndefined();
  });

  test('comes with an Age when the response is repeated from memory', async () => {
    const { port, digest } = await serveLatest();
    const path = `/v2/library/app/manifests/${digest}`;
    expect((await ask(port, path)).headers['age']).toBeUndefined();
    expect((await ask(port, path)).headers['age']).toMatch(/^\d+$/);
  });
});

describe('fault 78: pipelined and unusual requests: pipelined requests', () => {
  const slow = async (options: Parameters<typeof serve>[0] = {}) => {
    const served = await serveLatest(options);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    served.registry.before = () => held;
    return { ...served, release: () => release() };
  };
  const get = (more = '') => `GET ${TAG} HTTP/1.1\r\n${HOST}${more}\r\n`;

  test('after one with Connection: close do not prevent its response', async () => {
    const { port, registry, release } = await slow();
    const received = exchange(port, get(CLOSE) + get());
    await expect.poll(() => registry.count()).toBe(1);
    release();
    expect(statusesOf(await received)).toEqual([200]);
    expect(registry.count()).toBe(1);
  });

  test.each([
    ['a malformed request', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n', 400],
    ['no HTTP at all', '\u0016\u0003\u0001\u0000\r\n\r\n', 400],
    ['headers that are too large', `GET /v2/ HTTP/1.1\r\n${HOST}X: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    ['CONNECT', `CONNECT evil.example:443 HTTP/1.1\r\n${HOST}\r\n`, 405],
    ['a request with a body', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`, 400],
    ['another version', `GET /v2/ HTTP/2.0\r\n${HOST}\r\n`, 505],
  ])('two valid ones before %s are answered before the connection ends', async (_, bad, status) => {
    const { port, registry, release } = await slow();
    const received = exchange(port, get() + get() + bad);
    await expect.poll(() => registry.count()).toBe(1);
    release();
    expect(statusesOf(await received)).toEqual([200, 200, status]);
    expect(registry.calls.map(({ reference }) => reference)).toEqual(['latest', 'latest']);
  });

  test('of several packets, each malformed, get one error response', async () => {
    const { port, registry, release } = await slow();
    const socket = dial(port);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.write(`${get()}BAD\r\n\r\n`);
    await expect.poll(() => registry.count()).toBe(1);
    for (let packet = 0; packet < 5; packet += 1) {
      socket.write('BAD\r\n\r\n');
      await new Promise((resolve) => setImmediate(resolve));
    }
    release();
    await closeOf(socket);
    expect(statusesOf(received)).toEqual([200, 400]);
  });
});

describe('absolute-form targets', () => {
  test.each([
    `http://127.0.0.1${TAG}`,
    `HTTP://localhost:5080${TAG}`,
    `https://127.0.0.1${TAG}`,
    `http://[::1]:80${TAG}?ns=docker.io`,
  ])('GET %s gets the same response as the origin form', async (target) => {
    const { port, registry } = await serveLatest();
    const received = await exchange(port, `GET ${target} HTTP/1.1\r\nHost: other.example\r\n${CLOSE}\r\n`);
    expect(statusesOf(received)).toEqual([200]);
    expect(registry.calls[0]).toMatchObject({ repository: 'docker.io/library/app', reference: 'latest' });
  });

  test('without a path get the status page', async () => {
    const { port } = await serveLatest();
    const received = await exchange(port, `GET http://127.0.0.1 HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
    expect(statusesOf(received)).toEqual([200]);
    expect(received).toContain('text/html');
  });

  test('replace the Host: another site’s name in them is refused whatever the Host header says', async () => {
    const { port, registry } = await serveLatest();
    const received = await exchange(port, `GET http://evil.example${TAG} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
    expect(statusesOf(received)).toEqual([403]);
    expect(registry.calls).toEqual([]);
  });

  test.each(['http://', 'http://u@127.0.0.1', 'http://[::1', 'http://127.0.0.1:99999', 'http://a b'])(
    'with the authority of %s give 400',
    async (start) => {
      const { port, registry } = await serveLatest();
      const received = await exchange(port, `GET ${start}${TAG} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
      expect(statusesOf(received)).toEqual([400]);
      expect(registry.calls).toEqual([]);
    },
  );

  test.each(['ftp://127.0.0.1', 'file://', 'urn:x:'])(
    'with the scheme of %s give an error',
    async (start) => {
      const { port, registry } = await serveLatest();
      const [status] = statusesOf(await exchange(port, `GET ${start}${TAG} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`));
      expect([400, 404]).toContain(status);
      expect(registry.calls).toEqual([]);
    },
  );
});

describe('the Host header', () => {
  test.each([
    ['twice', 'Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n'],
    ['twice, in other letters', 'HOST: 127.0.0.1\r\nhost: evil.example\r\n'],
    ['missing', ''],
    ['empty', 'Host:\r\n'],
    ['with user information', 'Host: u@127.0.0.1\r\n'],
    ['with an open bracket', 'Host: [::1\r\n'],
    ['with brackets around a name', 'Host: [localhost]\r\n'],
    ['with a path', 'Host: 127.0.0.1/v2\r\n'],
    ['with two ports', 'Host: 127.0.0.1:80:80\r\n'],
    ['with a port beyond all', 'Host: 127.0.0.1:65536\r\n'],
    ['with a port that is not a number', 'Host: 127.0.0.1:http\r\n'],
    ['with two names', 'Host: 127.0.0.1, evil.example\r\n'],
    ['with a space', 'Host: 127.0.0.1 evil.example\r\n'],
    ['with bad escapes', 'Host: %zz\r\n'],
  ])('%s gives 400, on the API, on pages and on handlers of a site', async (_, lines) => {
    const { port, registry } = await serveLatest({
      handlers: new Map([['/token', (_req, res) => res.end('token')]]),
    });
    expect((await ask(port, TAG)).status).toBe(200);
    registry.forgetCalls();
    for (const path of [TAG, '/', '/healthz', '/token']) {
      const received = await exchange(port, `GET ${path} HTTP/1.1\r\n${lines}${CLOSE}\r\n`);
      expect([path, statusesOf(received)]).toEqual([path, [400]]);
    }
    expect(registry.calls).toEqual([]);
  });

  test.each(['evillocalhost', 'localhost.evil.example', '127.0.0.1.evil.example', 'localhost@evil.example'])(
    '%s is not a name of this mirror',
    async (host) => {
      const { port, registry } = await serveLatest();
      for (const path of [TAG, '/'])
        expect([400, 403]).toContain((await ask(port, path, { headers: { host } })).status);
      expect(registry.calls).toEqual([]);
    },
  );

  test('may be missing in HTTP/1.0', async () => {
    const { port } = await serveLatest();
    expect(statusesOf(await exchange(port, `GET ${TAG} HTTP/1.0\r\n\r\n`))).toEqual([200]);
  });

  test('with two Authorization headers gives 400, because two parsers could use different ones', async () => {
    const { port } = await serveLatest();
    const lines = 'Authorization: Basic YTpi\r\nAuthorization: Basic Yzpk\r\n';
    const received = await exchange(port, `GET ${TAG} HTTP/1.1\r\n${HOST}${lines}${CLOSE}\r\n`);
    expect(statusesOf(received)).toEqual([400]);
  });
});

describe('Expect', () => {
  const expectLine = (expectation: string) => `Expect: ${expectation}\r\n`;
  test.each([
    ['1.0', '100-continue', 200],
    ['1.0', 'miracles', 200],
    ['1.1', '100-continue', 200],
    ['1.1', '100-Continue', 200],
    ['1.1', 'miracles', 417],
  ])('in HTTP/%s of %s without a body gives %i', async (version, expectation, status) => {
    const { port } = await serveLatest();
    const received = await exchange(
      port,
      `GET ${TAG} HTTP/${version}\r\n${HOST}${expectLine(expectation)}${CLOSE}\r\n`,
    );
    expect(statusesOf(received)).toEqual([status]);
  });
});

describe('HTTP versions', () => {
  test.each(['HTTP/2.0', 'HTTP/0.9', 'HTTP/1.2', 'HTTP/3.0', 'HTTP/11', 'http/1.1'])(
    '%s gives 505, or 400 when it is not a version',
    async (version) => {
      const { port, registry } = await serveLatest();
      const received = await exchange(port, `GET ${TAG} ${version}\r\n${HOST}${CLOSE}\r\n`);
      expect(statusesOf(received)).toEqual([/^HTTP\/[\d.]+$/.test(version) ? 505 : 400]);
      expect(registry.calls).toEqual([]);
    },
  );

  test('a request without a version is refused', async () => {
    const { port, registry } = await serveLatest();
    const [status] = statusesOf(await exchange(port, `GET ${TAG}\r\n${HOST}\r\n`));
    expect([400, 505]).toContain(status);
    expect(registry.calls).toEqual([]);
  });
});

describe('error responses before a request is complete', () => {
  const big = `X: ${'x'.repeat(40_000)}\r\n`;
  test.each([
    ['431', 'GET', `${HOST}${big}`],
    ['431', 'HEAD', `${HOST}${big}`],
    ['400', 'GET', `${HOST}Bad Header\r\n`],
    ['400', 'HEAD', `${HOST}Bad Header\r\n`],
    ['400', 'HEAD', `${HOST}Content-Length: x\r\n`],
  ])('%s of a %s has a Date, and a body only where the method has one', async (status, method, lines) => {
    const { port } = await serveLatest();
    const received = await exchange(port, `${method} /v2/ HTTP/1.1\r\n${lines}\r\n`);
    const [answer] = answersIn(received, method === 'HEAD');
    expect(answer?.status).toBe(Number(status));
    expect(Date.parse(answer?.headers.get('date') ?? '')).toBeGreaterThan(Date.now() - 60_000);
    expect(answer?.headers.get('connection')).toBe('close');
    const body = received.slice(received.indexOf('\r\n\r\n') + 4);
    if (method === 'HEAD') expect(body).toBe('');
    else expect(JSON.parse(body)).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] });
  });

  test('431 for a HEAD whose first line came in its own packet has no body', async () => {
    const { port } = await serveLatest();
    const socket = dial(port);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.write(`HEAD /v2/ HTTP/1.1\r\n${HOST}`);
    // The server reads what came first before it answers what came later.
    await ask(port, '/v2/');
    socket.write(`${big}\r\n`);
    await closeOf(socket);
    expect(answersIn(received, true)).toMatchObject([{ status: 431 }]);
    expect(received.slice(received.indexOf('\r\n\r\n') + 4)).toBe('');
  });

  test('408 has a Date and no body that a HEAD could not have', async () => {
    const { port } = await serveLatest({ limits: { headersTimeoutMs: 2000 } });
    const received = await exchange(port, `HEAD /v2/ HTTP/1.1\r\n${HOST}X-Slow: `);
    const [answer] = answersIn(received, true);
    expect(answer?.status).toBe(408);
    expect(answer?.headers.has('date')).toBe(true);
    expect(received.slice(received.indexOf('\r\n\r\n') + 4)).toBe('');
  });
});

describe('Range', () => {
  const WHOLE = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 7 + (at >> 3)) & 0xff));

  test.each([
    ['Bytes=2-5', 206, [2, 6]],
    ['BYTES=2-5', 206, [2, 6]],
    ['bytes= 2-5', 206, [2, 6]],
    ['bytes=2-5, ', 206, [2, 6]],
    ['bytes=-3', 206, [997, 1000]],
    ['bytes=999-', 206, [999, 1000]],
    ['bytes=0-0', 206, [0, 1]],
    ['b ytes=2-5', 200, [0, 1000]],
    ['bytes=2 - 5', 200, [0, 1000]],
    ['bytes =2-5', 200, [0, 1000]],
    ['bytes=0x1-5', 200, [0, 1000]],
    ['bytes=1-2,4-5', 200, [0, 1000]],
    ['octets=2-5', 200, [0, 1000]],
  ])('%s gives %i with exactly those bytes', async (range, status, [start, end]) => {
    const { port, registry } = await serve();
    const digest = registry.putBlob(WHOLE);
    const answer = await ask(port, `/v2/a/b/blobs/${digest}`, { headers: { range } });
    expect(answer.status).toBe(status);
    expect(answer.body.equals(WHOLE.subarray(start, end))).toBe(true);
  });
});

describe('writes to a server that requires a login', () => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('%s without a login gets the challenge', async (method) => {
    const { port } = await serve({ gate: { admit: () => LOGIN_REQUIRED }, hasLogins: true });
    for (const path of ['/v2/a/b/blobs/uploads/', `/v2/a/b/manifests/${digestOf(Buffer.from('x'))}`]) {
      const answer = await ask(port, path, { method });
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Basic realm="x"']);
    }
  });

  test('with a login get 405, and the body is not read', async () => {
    const served = await serveLatest({ hasLogins: true });
    const inner = `GET ${TAG} HTTP/1.1\r\n${HOST}\r\n`;
    const received = await exchange(
      served.port,
      `PUT /v2/a/b/manifests/x HTTP/1.1\r\n${HOST}Content-Length: ${inner.length}\r\n\r\n${inner}`,
    );
    expect(statusesOf(received)).toEqual([405]);
    expect(served.registry.calls).toEqual([]);
  });

  test('without a login get 401, and the body is not read as a request', async () => {
    const { port, registry } = await serve({ gate: { admit: () => LOGIN_REQUIRED }, hasLogins: true });
    const inner = `GET ${TAG} HTTP/1.1\r\n${HOST}\r\n`;
    const received = await exchange(
      port,
      `PUT /v2/a/b/manifests/x HTTP/1.1\r\n${HOST}Content-Length: ${inner.length}\r\n\r\n${inner}`,
    );
    expect(statusesOf(received)).toEqual([401]);
    expect(registry.calls).toEqual([]);
  });
});

describe('a web page of another site', () => {
  test.each([
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
  ])('cannot make this mirror fetch anything: %o', async (headers) => {
    const { port, registry } = await serveLatest();
    const blob = registry.putBlob(Buffer.from('a layer'));
    expect((await ask(port, TAG)).status).toBe(200);
    registry.forgetCalls();
    for (const path of [TAG, `/v2/library/app/blobs/${blob}`, '/v2/library/app/tags/list', '/v2/']) {
      const answer = await ask(port, path, { headers });
      expect([answer.status, codeOf(answer)]).toEqual([403, 'DENIED']);
    }
    expect(registry.calls).toEqual([]);
  });

  test.each(['none', 'same-origin'])('is not assumed with Sec-Fetch-Site: %s', async (site) => {
    const { port } = await serveLatest();
    expect((await ask(port, TAG, { headers: { 'sec-fetch-site': site } })).status).toBe(200);
  });
});

describe('the memory for large documents that are being sent', () => {
  const large = (name: string) =>
    Buffer.from(JSON.stringify({ schemaVersion: 2, name, pad: 'x'.repeat(2 ** 20) }));

  test('is limited: above the limit a client gets 503 with Retry-After, and small documents are served', async () => {
    const { port, registry, server } = await serve({ limits: { answerBytes: 3 * 2 ** 20 } });
    for (const tag of ['a', 'b', 'c']) registry.putManifest(large(tag), { tag });
    registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'small' });
    const readers = ['a', 'b'].map((tag) => {
      const socket = dial(port);
      socket.pause();
      socket.write(`GET /v2/library/app/manifests/${tag} HTTP/1.1\r\n${HOST}\r\n`.repeat(20));
      return socket;
    });
    const used = () => Number(/^metahub_answer_memory_bytes (\d+)$/m.exec(server.metrics.text())?.[1]);
    await expect.poll(used).toBeGreaterThan(2 * 2 ** 20);
    const refused = await ask(port, '/v2/library/app/manifests/c');
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    expect((await ask(port, '/v2/library/app/manifests/small')).status).toBe(200);
    for (const socket of readers) socket.destroy();
    await expect.poll(used).toBe(0);
    expect((await ask(port, '/v2/library/app/manifests/c')).status).toBe(200);
  });

  test('counts a document once, however many clients read it', async () => {
    const { port, registry } = await serve({ limits: { answerBytes: 1.5 * 2 ** 20 } });
    const digest = registry.putManifest(large('a'), { tag: 'a' });
    const path = `/v2/library/app/manifests/${digest}`;
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(port, path)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
  });
});

describe('the memory for large documents', () => {
  const sized = (bytes: number) => {
    const frame = JSON.stringify({ schemaVersion: 2, pad: '' }).length;
    return Buffer.from(JSON.stringify({ schemaVersion: 2, pad: 'x'.repeat(bytes - frame) }));
  };

  test('counts a document of more than 64 KiB', async () => {
    const { port, registry } = await serve({ limits: { answerBytes: 0 } });
    registry.putManifest(sized(64 * 1024), { tag: 'small' });
    registry.putManifest(sized(64 * 1024 + 1), { tag: 'large' });
    expect((await ask(port, '/v2/library/app/manifests/small')).status).toBe(200);
    expect((await ask(port, '/v2/library/app/manifests/large')).status).toBe(503);
  });

  test('does not count a document whose client left before it arrived', async () => {
    const { port, registry, server } = await serve({ limits: { answerBytes: 100_000 } });
    registry.putManifest(sized(90_000), { tag: 'large' });
    let release = () => {};
    registry.before = () => new Promise((resolve) => (release = resolve));
    const socket = dial(port);
    socket.write(`GET /v2/library/app/manifests/large HTTP/1.1\r\n${HOST}\r\n`);
    await expect.poll(() => registry.calls.length).toBe(1);
    socket.destroy();
    await expect.poll(() => server.metrics.text()).toMatch(/^metahub_connections 0$/m);
    release();
    registry.before = () => {};
    // The abandoned document was answered before this one was asked for.
    expect((await ask(port, '/v2/library/app/manifests/large')).status).toBe(200);
    await expect.poll(() => server.metrics.text()).toMatch(/^metahub_answer_memory_bytes 0$/m);
  });
});

describe('OCI-Namespace', () => {
  test.each(['manifest', 'blob', 'list', 'referrers'] as const)(
    'is sent in the response to a %s with ns, and to no other',
    async (kind) => {
      const served = await serveLatest();
      const blob = served.registry.putBlob(Buffer.from('a layer'));
      const path = {
        manifest: TAG,
        blob: `/v2/library/app/blobs/${blob}`,
        list: '/v2/library/app/tags/list',
        referrers: `/v2/library/app/referrers/${served.digest}`,
      }[kind];
      // Twice: the second manifest comes from the response cache.
      for (const _ of [1, 2]) {
        expect((await ask(served.port, `${path}?ns=docker.io`)).headers['oci-namespace']).toBe('docker.io');
        expect((await ask(served.port, path)).headers['oci-namespace']).toBeUndefined();
      }
    },
  );
});
