import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createSealer } from '../../src/lib/seal.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { DOCKER_HUB, formatRepository, type Repository, type SourceHost } from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { parseWriteRoute } from '../../src/server/write-routes.ts';
import { createPushForwarder } from '../../src/upstream/push-forwarder.ts';
import { type UpstreamSettings, upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../support/guarded-registry.ts';
import { type Handler, startRawServer, startServer } from '../support/hostile-registry.ts';
import { afterTest, closing } from '../support/upstream.ts';

const BYTES = Buffer.from('the bytes of a layer');
const DIGEST = digestOf(BYTES);
const QUERY = `digest=${encodeURIComponent(DIGEST)}`;
const RULES = { defaultHost: DOCKER_HUB, isAllowedHost: (_: SourceHost) => true };

interface MirrorOptions {
  readonly mayPull?: (repository: Repository) => boolean;
  /** Hours that the clock goes ahead between requests. */
  readonly hoursPerRequest?: number;
  readonly trusted?: readonly string[];
}

/** A mirror that takes pushes and passes them on to the registry at `url`; `x-owner` says who asks. */
async function mirrorBefore(
  url: string,
  { mayPull = () => true, hoursPerRequest = 0, trusted }: MirrorOptions = {},
) {
  const taken: string[] = [];
  let nowMs = 0;
  const [endpoint] = upstreamAt(url).endpoints;
  const settings: UpstreamSettings = {
    endpoints: [{ ...endpoint, ...(trusted === undefined ? {} : { trustedHosts: trusted }) }],
  };
  const forwarder = closing(
    createPushForwarder({
      registryFor: () => settings,
      pseudonym: 'metahub-test',
      now: () => performance.now(),
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'secret' }) },
      sealer: createSealer('uploads'),
      wallClock: () => nowMs,
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
      const route = parseWriteRoute(req.method ?? '', req.url ?? '', RULES);
      await forwarder.forward(req, res, { route, access: undefined, owner, mayPull, signal: gone.signal });
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
  test('goes on at the location that the registry said, byte for byte, by a URL of the mirror', async () => {
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

  test('in one request streams, and answers with the blob’s own place', async () => {
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

  test('is passed on while it arrives: the registry has the first bytes before the client sends the last', async () => {
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

  test('tells its state, and is cancelled', async () => {
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
  ])('the registry’s %s is passed on', async (_name, status, headers) => {
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

  test('a registry that ends in the middle of it is a 502', async () => {
    const server = await registryWith('/up/1', (req) => {
      if (req.method === 'PATCH') req.socket.destroy();
      return req.method === 'PATCH';
    });
    const { ask, begin } = await mirrorBefore(server.url);
    expect((await ask('PATCH', await begin(), { body: BYTES })).status).toBe(502);
  });

  test('a client that leaves ends the registry’s request', async () => {
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

describe('a session', () => {
  const asked = (server: { readonly requests: readonly { readonly method: string }[] }) =>
    server.requests.filter(({ method }) => method === 'PATCH').length;

  test.each([
    ['of another owner', (path: string) => path, { 'x-owner': 'bert' }],
    ['of another repository', (path: string) => path.replace('team/app', 'team/other'), {}],
    [
      'with one character changed',
      (path: string) => `${path.slice(0, -1)}${path.endsWith('A') ? 'B' : 'A'}`,
      {},
    ],
    ['that nobody was given', () => '/v2/team/app/blobs/uploads/aHR0cDovLzE2OS4yNTQuMTY5LjI1NC8', {}],
  ])('%s is unknown, and no registry is asked', async (_name, change, headers) => {
    const server = await registryWith('/up/1');
    const { ask, begin } = await mirrorBefore(server.url);
    const response = await ask('PATCH', change(await begin()), { body: BYTES, headers });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ errors: [{ code: 'BLOB_UPLOAD_UNKNOWN' }] });
    expect(asked(server)).toBe(0);
  });

  test('ends after a day', async () => {
    const server = await registryWith('/up/1');
    const fresh = await mirrorBefore(server.url, { hoursPerRequest: 23 });
    expect((await fresh.ask('PATCH', await fresh.begin(), { body: BYTES })).status).toBe(202);
    const old = await mirrorBefore(server.url, { hoursPerRequest: 24 });
    expect((await old.ask('PATCH', await old.begin(), { body: BYTES })).status).toBe(404);
  });
});

describe('a login', () => {
  test('of the client, and how it came here, stay here; the mirror’s own goes to the registry', async () => {
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

  test('goes to no other host that an upload goes on at', async () => {
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

  test('that may not push is a 403 to the client, without the registry’s challenge', async () => {
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

test('an upload does not go on at a private address that nobody named: the registry itself is asked', async () => {
  const inner = closing(await startServer((_, res) => void res.writeHead(201).end()));
  const server = await registryWith(`${inner.url}/up/1`);
  const { ask, begin } = await mirrorBefore(server.url);
  expect((await ask('PATCH', await begin(), { body: BYTES })).status).toBe(202);
  expect(inner.requests).toEqual([]);
  expect(server.requests.map(({ method, target }) => `${method} ${target}`)).toContain('PATCH /up/1');
});

describe('a mount', () => {
  const mounting = (from: string) => `/v2/team/app/blobs/uploads/?mount=${DIGEST}&from=${from}`;

  test('from a repository that the login may pull is asked for', async () => {
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
  ])('from a repository %s is an upload', async (_name, from, options) => {
    const server = await registryWith('/up/1');
    const { ask } = await mirrorBefore(server.url, options);
    expect((await ask('POST', mounting(from))).status).toBe(202);
    expect(server.requests.at(-1)?.target).toBe('/v2/team/app/blobs/uploads/');
  });
});

describe('a manifest', () => {
  const TEXT = '{"schemaVersion":2}';

  test('is passed on byte for byte with its media type, and its tag is told', async () => {
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

  test('that the registry refuses is told to nobody, and the registry’s words are passed on', async () => {
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

  test('is sent again when the registry challenges it alone', async () => {
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

  test('beyond sixteen that are on their way is a 503 to try again, and room comes back', async () => {
    const server = await registryWith('/up/1');
    const { ask, port } = await mirrorBefore(server.url);
    const path = '/v2/team/app/manifests/v1';
    const slow = Array.from({ length: 16 }, () => {
      const one = request({ port, method: 'PUT', path, headers: { 'content-length': '2' } });
      one.on('error', () => {}).write('{');
      return one;
    });
    await expect.poll(async () => (await ask('PUT', path, { body: TEXT })).status).toBe(503);
    for (const one of slow) one.destroy();
    await expect.poll(async () => (await ask('PUT', path, { body: TEXT })).status).toBe(201);
  });

  test('for a registry that cannot be reached is a 502, as an upload to it is', async () => {
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
  ])('of %d bytes is answered %d', async (sizeBytes, status) => {
    const server = await registryWith('/up/1');
    const { ask } = await mirrorBefore(server.url);
    const body = Buffer.alloc(sizeBytes, 0x20);
    expect((await ask('PUT', '/v2/team/app/manifests/v1', { body })).status).toBe(status);
  });
});
