import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createSealer } from '../../src/lib/seal.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { DOCKER_HUB, formatRepository, type Repository } from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { parseWriteRoute } from '../../src/server/routes.ts';
import { createPushForwarder } from '../../src/upstream/push-forwarder.ts';
import { type UpstreamSettings, upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../support/guarded-registry.ts';
import { type Handler, startRawServer, startServer } from '../support/hostile-registry.ts';
import { turns } from '../support/turns.ts';
import { afterTest, closing } from '../support/upstream.ts';

const BYTES = Buffer.from('the bytes of a layer');
const DIGEST = digestOf(BYTES);
const QUERY = `digest=${encodeURIComponent(DIGEST)}`;

interface MirrorOptions {
  readonly mayPull?: (repository: Repository) => boolean;
  /** Hours that the clock goes ahead between requests. */
  readonly hoursPerRequest?: number;
  readonly trusted?: readonly string[];
  readonly manifestMs?: number;
}

/** A mirror that takes pushes and passes them on to the registry at `url`; `x-owner` says who asks. */
async function mirrorBefore(
  url: string,
  { mayPull = () => true, hoursPerRequest = 0, trusted, manifestMs }: MirrorOptions = {},
) {
  const taken: string[] = [];
  let nowMs = 0;
  const [endpoint] = upstreamAt(url).endpoints;
  const settings: UpstreamSettings = {
    endpoints: [{ ...endpoint, ...(trusted === undefined ? {} : { trustedHosts: trusted }) }],
  };
  const forwarder = closing(
    createPushForwarder({
      allowed: { get: () => settings },
      pseudonym: 'metahub-test',
      now: () => performance.now(),
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'secret' }) },
      sealer: createSealer('uploads'),
      wallClock: () => nowMs,
      ...(manifestMs === undefined ? {} : { manifestMs }),
      onManifest: (repository, reference) => {
        taken.push(
          `${formatRepository(repository)} ${reference.kind === 'tag' ? reference.tag : reference.digest}`,
        );
      },
    }),
  );
  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    nowMs += hoursPerRequest * 3_600_000;
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    const owner = String(req.headers['x-owner'] ?? 'ann');
    try {
      const route = parseWriteRoute(req.method ?? '', req.url ?? '', DOCKER_HUB);
      const write = { route, access: undefined, owner, client: owner, mayPull };
      await forwarder.forward(req, res, { ...write, signal: gone.signal });
    } catch (error) {
      if (res.headersSent) return void res.destroy();
      const status = error instanceof RegistryError ? error.status : 500;
      res.writeHead(status).end(JSON.stringify(error instanceof RegistryError ? error : String(error)));
    }
  }
  const server = createServer((req, res) => void answer(req, res));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  afterTest(() => {
    server.closeAllConnections();
    server.close();
  });
  const ask = (method: string, path: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { method, redirect: 'manual', ...init });
  const begin = async (init: RequestInit = {}) => {
    const response = await ask('POST', '/v2/team/app/blobs/uploads/', init);
    return response.headers.get('location') ?? '';
  };
  return { port, ask, begin, taken };
}

/** A registry whose uploads go on at `location`, and that takes everything else. */
async function registryWith(
  location: string,
  odd: (...exchange: Parameters<Handler>) => boolean = () => false,
) {
  return closing(
    await startServer((req, res) => {
      if (odd(req, res)) return;
      if (req.method === 'POST') return void res.writeHead(202, { location, range: '0-0' }).end();
      if (req.method === 'PATCH')
        return void res.writeHead(202, { location: `${location}&more`, range: '0-19' }).end();
      if (req.method === 'PUT') {
        return void res.writeHead(201, { location: '/elsewhere', 'docker-content-digest': DIGEST }).end();
      }
      res.writeHead(req.method === 'GET' ? 204 : 200, { range: '0-19' }).end();
    }),
  );
}

describe('an upload', () => {
  test('continues at the registry’s location, byte for byte, through a URL of the mirror', async () => {
    const server = await registryWith("/up/1?_state=a%2bb~c'd|e");
    const { ask, begin } = await mirrorBefore(server.url);
    const first = await begin();
    expect(first).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[A-Za-z0-9_-]+$/);
    const patch = await ask('PATCH', first, {
      body: BYTES,
      headers: { 'content-type': 'application/octet-stream' },
    });
    expect([patch.status, patch.headers.get('range')]).toEqual([202, '0-19']);
    const put = await ask('PUT', `${patch.headers.get('location')}?${QUERY}`);
    expect([put.status, put.headers.get('location')]).toEqual([201, `/v2/team/app/blobs/${DIGEST}`]);
    const writes = server.requests.filter(({ method }) => method !== 'GET');
    expect(writes.map(({ method, target, body }) => [method, target, body])).toEqual([
      ['POST', '/v2/team/app/blobs/uploads/', ''],
      ['PATCH', "/up/1?_state=a%2bb~c'd|e", BYTES.toString()],
      ['PUT', `/up/1?_state=a%2bb~c'd|e&more&${QUERY}`, ''],
    ]);
  });

  test('in one request streams, and returns the blob’s location', async () => {
    const server = await registryWith('/up/1', (req, res) => {
      if (req.method === 'POST') res.writeHead(201, { location: '/somewhere' }).end();
      return req.method === 'POST';
    });
    const { ask } = await mirrorBefore(server.url);
    const response = await ask('POST', `/v2/team/app/blobs/uploads/?${QUERY}`, { body: BYTES });
    expect([response.status, response.headers.get('location')]).toEqual([
      201,
      `/v2/team/app/blobs/${DIGEST}`,
    ]);
    expect(server.requests.at(-1)).toMatchObject({
      target: `/v2/team/app/blobs/uploads/?${QUERY}`,
      body: BYTES.toString(),
    });
  });

  test('streams: the registry gets the first bytes before the client sends the last', async () => {
    const heads: string[] = [];
    const server = closing(
      await startRawServer((socket, head) => {
        heads.push(head);
        if (head.startsWith('GET'))
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
        else if (head.startsWith('POST'))
          socket.end(
            'HTTP/1.1 202 Accepted\r\nLocation: /up/1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
          );
        // Only now may the client go on.
        else if (head.includes('first')) outgoing.end('last');
      }),
    );
    const { port, begin } = await mirrorBefore(server.url);
    const path = await begin();
    const outgoing = request({ port, method: 'PATCH', path, headers: { 'content-length': '9' } });
    outgoing.on('error', () => {});
    outgoing.write('first');
    await expect.poll(() => heads.some((head) => head.startsWith('PATCH /up/1'))).toBe(true);
    outgoing.destroy();
  });

  test('can be queried and cancelled', async () => {
    const server = await registryWith('/up/1');
    const { ask, begin } = await mirrorBefore(server.url);
    const path = await begin();
    const state = await ask('GET', path);
    expect([state.status, state.headers.get('range')]).toEqual([204, '0-19']);
    expect((await ask('DELETE', path)).status).toBe(200);
    expect(server.requests.map(({ method, target }) => `${method} ${target}`)).toContain('DELETE /up/1');
  });

  test.each([
    ['413', 413, {}],
    ['429 with its Retry-After', 429, { 'retry-after': '7' }],
    ['416 with its Range', 416, { range: '0-4' }],
    ['503', 503, {}],
  ])('relays the registry’s %s', async (_name, status, headers) => {
    const server = await registryWith('/up/1', (req, res) => {
      if (req.method === 'PATCH') res.writeHead(status, headers).end('{"errors":[]}');
      return req.method === 'PATCH';
    });
    const { ask, begin } = await mirrorBefore(server.url);
    const response = await ask('PATCH', await begin(), { body: BYTES });
    expect(response.status).toBe(status);
    expect(await response.text()).toBe('{"errors":[]}');
    for (const [name, value] of Object.entries(headers)) expect(response.headers.get(name)).toBe(value);
  });

  test('fails with 502 when the registry closes the connection', async () => {
    const server = await registryWith('/up/1', (req) => {
      if (req.method === 'PATCH') req.socket.destroy();
      return req.method === 'PATCH';
    });
    const { ask, begin } = await mirrorBefore(server.url);
    expect((await ask('PATCH', await begin(), { body: BYTES })).status).toBe(502);
  });

  test('ends the registry’s request when the client disconnects', async () => {
    const ended: boolean[] = [];
    const server = closing(
      await startRawServer((socket, head) => {
        if (head.startsWith('GET'))
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
        else if (head.startsWith('POST'))
          socket.end(
            'HTTP/1.1 202 Accepted\r\nLocation: /up/1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
          );
        else {
          socket.once('close', () => ended.push(true));
          outgoing.destroy();
        }
      }),
    );
    const { port, begin } = await mirrorBefore(server.url);
    const outgoing = request({
      port,
      method: 'PATCH',
      path: await begin(),
      headers: { 'content-length': '9' },
    });
    outgoing.on('error', () => {});
    outgoing.write('first');
    await expect.poll(() => ended).toEqual([true]);
  });
});

describe('an upload session', () => {
  const asked = (server: { readonly requests: readonly { readonly method: string }[] }) =>
    server.requests.filter(({ method }) => method === 'PATCH').length;

  test.each([
    ['of another owner', (path: string) => path, { 'x-owner': 'bert' }],
    ['of another repository', (path: string) => path.replace('team/app', 'team/other'), {}],
    ['of another registry', (path: string) => `${path}?ns=ghcr.io`, {}],
    [
      'with one character changed',
      (path: string) => `${path.slice(0, -1)}${path.endsWith('A') ? 'B' : 'A'}`,
      {},
    ],
    ['that the mirror did not seal', () => '/v2/team/app/blobs/uploads/aHR0cDovLzE2OS4yNTQuMTY5LjI1NC8', {}],
  ])('%s is unknown, without a request to a registry', async (_name, change, headers) => {
    const server = await registryWith('/up/1');
    const { ask, begin } = await mirrorBefore(server.url);
    const response = await ask('PATCH', change(await begin()), { body: BYTES, headers });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ errors: [{ code: 'BLOB_UPLOAD_UNKNOWN' }] });
    expect(asked(server)).toBe(0);
  });

  test('expires after a day', async () => {
    const server = await registryWith('/up/1');
    const fresh = await mirrorBefore(server.url, { hoursPerRequest: 23 });
    expect((await fresh.ask('PATCH', await fresh.begin(), { body: BYTES })).status).toBe(202);
    const old = await mirrorBefore(server.url, { hoursPerRequest: 24 });
    expect((await old.ask('PATCH', await old.begin(), { body: BYTES })).status).toBe(404);
  });
});

describe('a login for a push', () => {
  test('is the mirror’s own: the registry sees neither the client’s login nor its route', async () => {
    const service = createTokenService();
    const realm = closing(await startServer(service.handler));
    const challenge = bearerChallenge(`${realm.url}/token`, 'registry');
    const server = closing(
      await startServer(
        requireBearer(service, challenge, (req, res) => {
          if (req.method === 'POST') return void res.writeHead(202, { location: '/up/1' }).end();
          res.writeHead(req.method === 'PATCH' ? 202 : 201, { location: '/up/1' }).end();
        }),
      ),
    );
    const { ask, begin } = await mirrorBefore(server.url, { trusted: [realm.host] });
    const headers = {
      authorization: 'Bearer the-clients-own',
      cookie: 'secret=1',
      'x-forwarded-for': '10.0.0.1',
      forwarded: 'for=10.0.0.1',
      via: '1.1 somebody',
      'x-anything': 'else',
    };
    const path = await begin({ headers });
    await ask('PATCH', path, { body: BYTES, headers });
    const scope = new URL(realm.requests[0]?.target ?? '', realm.url).searchParams.get('scope');
    expect(scope).toBe('repository:team/app:pull,push');
    const patch = server.requests.find(({ method }) => method === 'PATCH');
    expect(patch?.headers['authorization']).toMatch(/^Bearer token-/);
    const sent = server.requests.flatMap((one) => Object.keys(one.headers));
    for (const name of ['cookie', 'x-forwarded-for', 'forwarded', 'via', 'x-anything'])
      expect(sent).not.toContain(name);
    expect(JSON.stringify(server.requests)).not.toContain('the-clients-own');
  });

  test('does not reach another host where an upload continues', async () => {
    const storage = closing(await startServer((_, res) => void res.writeHead(201).end()));
    const service = createTokenService();
    const realm = closing(await startServer(service.handler));
    const server = closing(
      await startServer(
        requireBearer(service, bearerChallenge(`${realm.url}/token`), (_, res) => {
          res.writeHead(202, { location: `${storage.url}/bucket?signature=1` }).end();
        }),
      ),
    );
    const { ask, begin } = await mirrorBefore(server.url, { trusted: [storage.host, realm.host] });
    const response = await ask('PUT', `${await begin()}?${QUERY}`, { body: BYTES });
    expect(response.status).toBe(201);
    expect(storage.requests.map(({ target }) => target)).toEqual([`/bucket?signature=1&${QUERY}`]);
    expect(storage.requests[0]?.headers['authorization']).toBeUndefined();
  });

  test('becomes 403 without the registry’s challenge when it may not push', async () => {
    const server = await registryWith('/up/1', (req, res) => {
      if (req.method !== 'PATCH') return false;
      res.writeHead(401, { 'www-authenticate': 'Basic realm="registry"', 'set-cookie': 'a=1' }).end();
      return true;
    });
    const { ask, begin } = await mirrorBefore(server.url);
    const response = await ask('PATCH', await begin(), { body: BYTES });
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toBeNull();
    expect(response.headers.get('set-cookie')).toBeNull();
  });
});

test('an upload does not continue at an unconfigured private address: the registry itself gets the request', async () => {
  const inner = closing(await startServer((_, res) => void res.writeHead(201).end()));
  const server = await registryWith(`${inner.url}/up/1`);
  const { ask, begin } = await mirrorBefore(server.url);
  expect((await ask('PATCH', await begin(), { body: BYTES })).status).toBe(202);
  expect(inner.requests).toEqual([]);
  expect(server.requests.map(({ method, target }) => `${method} ${target}`)).toContain('PATCH /up/1');
});

describe('a mount', () => {
  const mounting = (from: string) => `/v2/team/app/blobs/uploads/?mount=${DIGEST}&from=${from}`;

  test('comes from a repository that the login may pull', async () => {
    const server = await registryWith('/up/1', (req, res) => {
      if (req.method === 'POST') res.writeHead(201, { location: '/x' }).end();
      return req.method === 'POST';
    });
    const { ask } = await mirrorBefore(server.url);
    const response = await ask('POST', mounting('team/base'));
    expect([response.status, response.headers.get('location')]).toEqual([
      201,
      `/v2/team/app/blobs/${DIGEST}`,
    ]);
    const { searchParams } = new URL(server.requests.at(-1)?.target ?? '', server.url);
    expect(Object.fromEntries(searchParams)).toEqual({ mount: DIGEST, from: 'team/base' });
  });

  test.each([
    ['that the login may not pull', 'team/base', { mayPull: () => false }],
    ['of another registry', 'ghcr.io/team/base', {}],
  ])('becomes an upload from a repository %s', async (_name, from, options) => {
    const server = await registryWith('/up/1');
    const { ask } = await mirrorBefore(server.url, options);
    expect((await ask('POST', mounting(from))).status).toBe(202);
    expect(server.requests.at(-1)?.target).toBe('/v2/team/app/blobs/uploads/');
  });
});

describe('a pushed manifest', () => {
  const TEXT = '{"schemaVersion":2}';

  test('is forwarded byte for byte with its media type, and its tag is reported', async () => {
    const server = await registryWith('/up/1');
    const { ask, taken } = await mirrorBefore(server.url);
    const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };
    const response = await ask('PUT', '/v2/team/app/manifests/v1', { body: TEXT, headers });
    expect([response.status, response.headers.get('location')]).toEqual([
      201,
      `/v2/team/app/manifests/${DIGEST}`,
    ]);
    expect(server.requests.at(-1)).toMatchObject({
      target: '/v2/team/app/manifests/v1',
      body: TEXT,
      headers,
    });
    expect(taken).toEqual(['docker.io/team/app v1']);
  });

  test('is not reported when the registry refuses it, and the client gets the registry’s message', async () => {
    const server = await registryWith('/up/1', (req, res) => {
      if (req.method === 'PUT')
        res.writeHead(400, { 'content-type': 'application/json' }).end('{"errors":[1]}');
      return req.method === 'PUT';
    });
    const { ask, taken } = await mirrorBefore(server.url);
    const response = await ask('PUT', '/v2/team/app/manifests/v1', { body: TEXT });
    expect([response.status, await response.text()]).toEqual([400, '{"errors":[1]}']);
    expect(taken).toEqual([]);
  });

  test('is sent again when the registry challenges only the manifest', async () => {
    const login = `Basic ${Buffer.from('ann:secret').toString('base64')}`;
    const server = await registryWith('/up/1', (req, res) => {
      if (req.method !== 'PUT' || req.headers.authorization === login) return false;
      res.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end();
      return true;
    });
    const { ask } = await mirrorBefore(server.url);
    expect((await ask('PUT', '/v2/team/app/manifests/v1', { body: TEXT })).status).toBe(201);
    expect(server.requests.filter(({ method }) => method === 'PUT').map(({ body }) => body)).toEqual([
      TEXT,
      TEXT,
    ]);
  });

  test('takes only its client’s share of the memory when many arrive slowly', async () => {
    const server = await registryWith('/up/1');
    const { ask, port } = await mirrorBefore(server.url);
    const path = '/v2/team/app/manifests/v1';
    const size = { 'content-length': String(4 * 1024 * 1024) };
    const refused: number[] = [];
    const slow = Array.from({ length: 40 }, () => {
      const one = request({ port, method: 'PUT', path, headers: { ...size, 'x-owner': 'mallory' } });
      one.on('response', ({ statusCode = 0 }) => refused.push(statusCode));
      one.on('error', () => {}).write('{');
      return one;
    });
    // Its share is full: nothing of it comes back before they leave.
    await expect.poll(() => refused.length).toBeGreaterThan(20);
    const large = Buffer.alloc(4 * 1024 * 1024, 0x20);
    const put = async (body: string | Buffer, owner: string) =>
      (await ask('PUT', path, { body, headers: { 'x-owner': owner } })).status;
    expect(new Set(refused)).toEqual(new Set([503]));
    expect(await put(large, 'mallory')).toBe(503);
    expect([await put(large, 'ann'), await put(TEXT, 'mallory')]).toEqual([201, 201]);
    for (const one of slow) one.destroy();
    await expect.poll(() => put(large, 'mallory')).toBe(201);
  });

  test('gets 408 when it does not arrive in time', async () => {
    const server = await registryWith('/up/1');
    const { port } = await mirrorBefore(server.url, { manifestMs: 100 });
    const one = request({ port, method: 'PUT', path: '/v2/team/app/manifests/v1' });
    one.write('{');
    const [response] = (await once(one, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(408);
    one.on('error', () => {}).destroy();
  });

  test('gets 502 when the registry is unreachable, like an upload', async () => {
    const server = await registryWith('/up/1');
    const { ask, begin } = await mirrorBefore(server.url);
    const location = await begin();
    await server.close();
    expect((await ask('PUT', '/v2/team/app/manifests/v1', { body: TEXT })).status).toBe(502);
    expect((await ask('PATCH', location, { body: BYTES })).status).toBe(502);
  });

  test.each([
    [4 * 1024 * 1024, 201],
    [4 * 1024 * 1024 + 1, 413],
  ])('of %d bytes gets %d', async (sizeBytes, status) => {
    const server = await registryWith('/up/1');
    const { ask } = await mirrorBefore(server.url);
    const body = Buffer.alloc(sizeBytes, 0x20);
    expect((await ask('PUT', '/v2/team/app/manifests/v1', { body })).status).toBe(status);
  });

  test.each([
    [64 * 1024, 400],
    [64 * 1024 + 1, 502],
  ])('that the registry refuses with %d bytes gets %d', async (sizeBytes, status) => {
    const server = await registryWith('/up/1', (req, res) => {
      if (req.method === 'PUT') res.writeHead(400).end(Buffer.alloc(sizeBytes, 0x20));
      return req.method === 'PUT';
    });
    const { ask } = await mirrorBefore(server.url);
    expect((await ask('PUT', '/v2/team/app/manifests/v1', { body: TEXT })).status).toBe(status);
  });

  test.each([
    ['30 minutes to answer', 30 * 60_000, ''],
    ['ten seconds to end its answer', 10_000, 'HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{'],
  ])('gets 504 when the registry takes longer than %s', async (_, limitMs, answer) => {
    const server = closing(
      await startRawServer((socket, head) => {
        socket.write(head.startsWith('PUT') ? answer : 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      }),
    );
    const { port } = await mirrorBefore(server.url);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const limitsMs: unknown[] = [];
    const setFakeTimeout = globalThis.setTimeout;
    onTestFinished(() => {
      Object.assign(globalThis, { setTimeout: setFakeTimeout });
      vi.useRealTimers();
    });
    Object.assign(globalThis, {
      setTimeout: (...asked: Parameters<typeof setTimeout>) => {
        limitsMs.push(asked[1]);
        return setFakeTimeout(...asked);
      },
    });
    const put = request({ port, method: 'PUT', path: '/v2/team/app/manifests/v1', agent: false });
    let status: number | undefined;
    const answered = once(put, 'response').then(([response]) => {
      status = (response as IncomingMessage).statusCode;
    });
    put.end(TEXT);
    // expect.poll() would advance the clock.
    while (server.requests.length === 0 || limitsMs.at(-1) !== limitMs) await turns(1);
    vi.advanceTimersByTime(limitMs - 1);
    await turns(20);
    expect(status).toBeUndefined();
    vi.advanceTimersByTime(1);
    await answered;
    expect(status).toBe(504);
    put.destroy();
  });
});

describe('the push forwarder with a hostile registry', () => {
  /** Answers one kind of request with these bytes, and begins uploads. */
  async function mirrorBeforeBytes(method: string, bytes: string) {
    const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
    const begun = 'HTTP/1.1 202 Accepted\r\nlocation: /up/1\r\ncontent-length: 0\r\n\r\n';
    const server = closing(
      await startRawServer((socket, head) => {
        const usual = head.startsWith('POST ') ? begun : ok;
        const isPing = head.startsWith('GET /v2/ ');
        socket.write(Buffer.from(!isPing && head.startsWith(`${method} `) ? bytes : usual, 'latin1'));
      }),
    );
    return mirrorBefore(server.url);
  }

  test.each([
    ['a control character in its reason', 'HTTP/1.1 201 Cre\x01ated\r\ncontent-length: 0\r\n\r\n', 201],
    ['a status below all statuses', 'HTTP/1.1 099 No\r\ncontent-length: 0\r\n\r\n', 502],
    ['a status beyond all statuses', 'HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n', 502],
    ['a change of protocol', 'HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: tls\r\n\r\nraw', 502],
    ['two lengths', 'HTTP/1.1 201 X\r\ncontent-length: 0\r\ncontent-length: 3\r\n\r\nabc', 502],
    [
      'length and coding',
      'HTTP/1.1 201 X\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      502,
    ],
  ])('keeps running after %s', async (_, bytes, status) => {
    const { ask, begin } = await mirrorBeforeBytes('PATCH', bytes);
    expect((await ask('PATCH', await begin(), { body: BYTES })).status).toBe(status);
    const { ask: put } = await mirrorBeforeBytes('PUT', bytes);
    expect((await put('PUT', '/v2/team/app/manifests/v1', { body: '{}' })).status).toBe(status);
  });

  test.each([
    ['gzip', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\nconnection: close\r\n\r\nabc'],
    ['identity', 'HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\nconnection: close\r\n\r\nabc'],
  ])('frames the body itself, despite the transfer coding %s', async (_, bytes) => {
    const server = closing(
      await startRawServer((socket, head) => {
        if (head.startsWith('GET /up')) socket.end(bytes);
        else socket.write('HTTP/1.1 202 Accepted\r\nlocation: /up/1\r\ncontent-length: 0\r\n\r\n');
      }),
    );
    const { ask, begin } = await mirrorBefore(server.url);
    const answer = await ask('GET', await begin());
    expect([answer.headers.get('transfer-encoding'), await answer.text()]).toEqual(['chunked', 'abc']);
  });

  test('omits the length of an answer without a body', async () => {
    const { ask, begin } = await mirrorBeforeBytes(
      'GET',
      'HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n',
    );
    const { status, headers } = await ask('GET', await begin());
    expect([status, headers.get('content-length')]).toEqual([204, null]);
  });

  test('relays no media type that a browser shows as a page', async () => {
    const page = 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 8\r\n\r\n<script>';
    const { ask, begin } = await mirrorBeforeBytes('GET', page);
    const { headers } = await ask('GET', await begin());
    expect([headers.get('content-type'), headers.get('x-content-type-options')]).toEqual([
      'application/octet-stream',
      'nosniff',
    ]);
  });

  test('ignores an invalid digest for the location of a manifest', async () => {
    const odd =
      'HTTP/1.1 201 Created\r\ndocker-content-digest: sha256:%0d%0a/../..\r\ncontent-length: 0\r\n\r\n';
    const { ask } = await mirrorBeforeBytes('PUT', odd);
    const { headers } = await ask('PUT', '/v2/team/app/manifests/v1', { body: '{}' });
    expect([headers.get('location'), headers.get('docker-content-digest')]).toEqual([
      '/v2/team/app/manifests/v1',
      null,
    ]);
  });

  test('closes the connection after an answer that came before the end of the body', async () => {
    const early = 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n';
    const { port, begin } = await mirrorBeforeBytes('PATCH', early);
    const upload = request({
      port,
      method: 'PATCH',
      path: await begin(),
      headers: { 'content-length': '1000' },
    });
    upload.on('error', () => {}).write('x');
    const [response] = (await once(upload, 'response')) as [IncomingMessage];
    expect([response.statusCode, response.headers.connection]).toEqual([404, 'close']);
    response.resume();
    await once(response, 'close');
  });
});
