import { describe, expect, test, vi } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { UpstreamOptions } from '../../src/upstream/client.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import {
  bearerChallenge,
  createTokenService,
  requireBearer,
  type TokenAnswer,
} from '../support/guarded-registry.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const app = repository('team/app');

/** A registry whose token service answers so; `clock.now` is the client's monotonic clock, in milliseconds. */
async function guarded(
  answer?: (token: string, nth: number) => TokenAnswer,
  options: Partial<UpstreamOptions> & { readonly scope?: string; readonly service?: string } = {},
) {
  const content = createContent();
  content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  const tokens = createTokenService(answer);
  const { scope, service, ...rest } = options;
  const handler: Handler = (request, response) => {
    const challenge = bearerChallenge(`http://${request.headers.host}/token`, service, scope);
    const guard = requireBearer(tokens, challenge, serveContent(content));
    (request.url?.startsWith('/token') ? tokens.handler : guard)(request, response);
  };
  const server = closing(await startServer(handler));
  const clock = { now: 0 };
  const upstream = upstreamTo(upstreamAt(server.url), { now: () => clock.now, ...rest });
  const tokenRequests = () => server.requests.filter(({ target }) => target.startsWith('/token'));
  return { server, tokens, clock, upstream, tokenRequests };
}

const lasting = (seconds?: unknown) => (token: string) => ({ body: { token, expires_in: seconds } });

describe('what a token service answers', () => {
  test.each([
    ['token', (text: string) => ({ token: text })],
    ['access_token', (text: string) => ({ access_token: text })],
    ['both, of which token counts', (text: string) => ({ token: text, access_token: 'other' })],
    ['an empty token beside an access_token', (text: string) => ({ token: '', access_token: text })],
  ])('%s', async (_, body) => {
    const { upstream, server } = await guarded((token) => ({ body: body(token) }));
    await upstream.manifest(app, tagged('v1'));
    expect(server.requests.at(-1)?.headers['authorization']).toBe('Bearer token-1');
  });

  test.each([
    ['no JSON', { body: '<html>' }],
    ['JSON that is no object', { body: '"token"' }],
    ['null', { body: 'null' }],
    ['no token in it', { body: {} }],
    ['a token with a line break, which would be another header', { body: { token: 'a\r\nx: y' } }],
    ['more than any token is long', { body: { token: 'x'.repeat(300_000) } }],
    ['500, twice', { status: 500, body: {} }],
  ])('%s: an error that names the token service, and no request with it', async (_, answer) => {
    const { upstream, server } = await guarded(() => answer);
    const asked = upstream.manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(server.host);
    expect(server.requests.some(({ headers }) => 'authorization' in headers)).toBe(false);
  });

  test('401: nobody may pull this, and the person is told to log in', async () => {
    const { upstream } = await guarded(() => ({ status: 401, body: {} }));
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
  });

  test.each([
    ['401', { status: 401, body: {} }],
    ['no token', { body: {} }],
  ])('%s: the registry’s challenge is let go of, and its connections used again', async (_, answer) => {
    const { upstream, server } = await guarded(() => answer);
    for (let round = 0; round < 10; round += 1) {
      await expect(upstream.manifest(app, tagged('v1'))).rejects.toThrow('token');
    }
    expect(server.connections().made).toBeLessThan(6);
  });

  test('429: the client hears of the rate limit', async () => {
    const { upstream } = await guarded(() => ({ status: 429, body: {} }));
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' });
  });
});

describe('a token’s life', () => {
  test('one token serves every request for its repository while it is good', async () => {
    const { upstream, tokens, server } = await guarded(lasting(300));
    for (let round = 0; round < 3; round += 1) await upstream.manifest(app, tagged('v1'));
    expect(tokens.issued()).toBe(1);
    expect(server.requests.filter(({ target }) => !target.startsWith('/token'))).toHaveLength(4);
  });

  test('another repository gets a token of its own', async () => {
    const { upstream, tokenRequests } = await guarded(lasting(300));
    await upstream.manifest(app, tagged('v1'));
    await upstream.manifest(repository('team/other'), tagged('v1'));
    const scopes = tokenRequests().map(({ target }) => new URL(target, 'http://x').searchParams.get('scope'));
    expect(scopes).toEqual(['repository:team/app:pull', 'repository:team/other:pull']);
  });

  test.each([
    ['300 s', 300, 239, 241],
    ['60 s when no lifetime is given', undefined, 47, 49],
    ['60 s when it is nonsense', 'soon', 47, 49],
    ['60 s when it is negative', -5, 47, 49],
  ])('%s: renewed before it expires, without a 401', async (_, seconds, goodAt, renewedAt) => {
    const { upstream, tokens, clock, server } = await guarded(lasting(seconds));
    await upstream.manifest(app, tagged('v1'));
    clock.now = goodAt * 1000;
    await upstream.manifest(app, tagged('v1'));
    expect(tokens.issued()).toBe(1);
    clock.now = renewedAt * 1000;
    const before = server.requests.length;
    await upstream.manifest(app, tagged('v1'));
    await vi.waitFor(() => expect(tokens.issued()).toBe(2));
    await upstream.manifest(app, tagged('v1'));
    const shown = server.requests.slice(before).map(({ headers }) => headers['authorization']);
    expect(shown.toSorted()).toEqual(['Bearer token-1', 'Bearer token-2', undefined]);
  });

  test('an expired one is not tried: its successor is waited for', async () => {
    const { upstream, clock, server } = await guarded(lasting(300));
    await upstream.manifest(app, tagged('v1'));
    clock.now = 301_000;
    const before = server.requests.length;
    await upstream.manifest(app, tagged('v1'));
    expect(server.requests.slice(before).map(({ headers }) => headers['authorization'])).toEqual([
      undefined,
      'Bearer token-2',
    ]);
  });

  test('a renewal that fails is no failure while the token is good', async () => {
    const { upstream, clock, tokens } = await guarded((token, nth) =>
      nth > 1 ? { status: 503, body: {} } : { body: { token } },
    );
    await upstream.manifest(app, tagged('v1'));
    clock.now = 50_000;
    await upstream.manifest(app, tagged('v1'));
    await vi.waitFor(() => expect(tokens.issued()).toBeGreaterThan(1));
    await upstream.manifest(app, tagged('v1'));
  });

  test('a token service that stumbles once is asked once more', async () => {
    const { upstream, tokens } = await guarded((token, nth) =>
      nth === 1 ? { status: 503, body: {} } : { body: { token } },
    );
    await upstream.manifest(app, tagged('v1'));
    expect(tokens.issued()).toBe(2);
  });

  test('many requests at once share one token request', async () => {
    const { upstream, tokens } = await guarded(lasting(300));
    await Promise.all(Array.from({ length: 20 }, () => upstream.manifest(app, tagged('v1'))));
    expect(tokens.issued()).toBe(1);
  });

  test('a wall clock one year off, and a service whose clock is, change nothing', async () => {
    const { upstream, tokens } = await guarded((token) => ({
      body: { token, expires_in: 300, issued_at: '2001-01-01T00:00:00Z' },
    }));
    await upstream.manifest(app, tagged('v1'));
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 365 * 24 * 3600 * 1000 });
    try {
      await upstream.manifest(app, tagged('v1'));
    } finally {
      vi.useRealTimers();
    }
    expect(tokens.issued()).toBe(1);
  });

  test('the client that asked first may leave: the others get their token', async () => {
    const { upstream } = await guarded(lasting(300));
    const leaving = new AbortController();
    const first = upstream.manifest(app, tagged('v1'), { signal: leaving.signal });
    const second = upstream.manifest(app, tagged('v1'));
    leaving.abort();
    await expect(first).rejects.toMatchObject({ name: 'AbortError' });
    await second;
  });
});

describe('what is asked of a token service', () => {
  test('no service where the challenge names none', async () => {
    const { upstream, tokenRequests } = await guarded();
    await upstream.manifest(app, tagged('v1'));
    expect(tokenRequests()[0]?.target).toBe('/token?scope=repository%3Ateam%2Fapp%3Apull');
  });

  test('the challenge’s own scope when it is a pull: only the registry knows the name behind its path', async () => {
    const { upstream, tokenRequests } = await guarded(undefined, { scope: 'repository:proxy/team/app:pull' });
    await upstream.manifest(app, tagged('v1'));
    expect(tokenRequests()[0]?.target).toContain('scope=repository%3Aproxy%2Fteam%2Fapp%3Apull');
  });

  test.each(['repository:team/app:pull,push', 'repository:*:*', 'registry:catalog:*'])(
    'a pull, even where the challenge asks for %s',
    async (scope) => {
      const { upstream, tokenRequests } = await guarded(undefined, { scope });
      await upstream.manifest(app, tagged('v1'));
      expect(tokenRequests()[0]?.target).toBe('/token?scope=repository%3Ateam%2Fapp%3Apull');
    },
  );

  test('an identity token is exchanged by POST, and stands in no URL', async () => {
    const { upstream, tokenRequests } = await guarded(undefined, {
      service: 'registry.example',
      credentials: { loginFor: async () => ({ kind: 'identity', token: 'refresh-me' }) },
    });
    await upstream.manifest(app, tagged('v1'));
    const [asked] = tokenRequests();
    expect(asked?.method).toBe('POST');
    expect(asked?.target).toBe('/token');
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'refresh-me',
      client_id: 'metahub',
      service: 'registry.example',
      scope: 'repository:team/app:pull',
    });
  });
});

test('two accounts with the same user name in login files of their own share no token', async () => {
  const { upstream, server, tokenRequests } = await guarded(undefined, {
    credentials: {
      loginFor: async (_registry, _repository, _signal, access) => ({
        kind: 'basic',
        username: 'ci',
        password: access?.logins ?? 'none',
      }),
    },
  });
  for (const logins of ['/a/auth.json', '/b/auth.json', '/a/auth.json']) {
    await upstream.manifest(app, tagged('v1'), { access: { partition: logins, logins } });
  }
  const shown = tokenRequests().map(({ headers }) => headers['authorization']);
  const basic = (file: string) => `Basic ${Buffer.from(`ci:${file}`).toString('base64')}`;
  expect(shown).toEqual([basic('/a/auth.json'), basic('/b/auth.json')]);
  const used = server.requests.map(({ headers }) => headers['authorization']);
  expect(used.filter((authorization) => String(authorization).startsWith('Bearer'))).toEqual([
    'Bearer token-1',
    'Bearer token-2',
    'Bearer token-1',
  ]);
});

describe('a stale login', () => {
  test('does not cost a public image: the token is asked for without it, and a warning says so', async () => {
    const warnings: string[] = [];
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const tokens = createTokenService();
    const server = closing(
      await startServer((request, response) => {
        const challenge = bearerChallenge(`http://${request.headers.host}/token`);
        if (!request.url?.startsWith('/token')) {
          return requireBearer(tokens, challenge, serveContent(content))(request, response);
        }
        if (request.headers.authorization !== undefined) return void response.writeHead(401).end();
        tokens.handler(request, response);
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url), {
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'long-gone' }) },
      log: (level, _event, message) => level === 'warning' && warnings.push(message),
    });
    await upstream.manifest(app, tagged('v1'));
    expect(warnings).toEqual([
      `the login for ${server.host} was refused by ${server.host}: going on without it`,
    ]);
    expect(warnings.join()).not.toContain('long-gone');
  });
});

test('a challenge to a spent token that names a dead realm (NGC): the token is dropped, the registry asked again', async () => {
  const content = createContent();
  content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  const tokens = createTokenService();
  const server = closing(
    await startServer((request, response) => {
      if (request.url?.startsWith('/token')) return tokens.handler(request, response);
      const { host, authorization } = request.headers;
      // With a token: a realm on a port where nobody listens. Without: the real one.
      const realm = authorization === undefined ? `http://${host}/token` : 'http://127.0.0.1:1/token';
      requireBearer(tokens, bearerChallenge(realm), serveContent(content))(request, response);
    }),
  );
  const upstream = upstreamTo(upstreamAt(server.url));
  await upstream.manifest(app, tagged('v1'));
  tokens.good.clear();
  await upstream.manifest(app, tagged('v1'));
  expect(tokens.issued()).toBe(2);
});

describe('a login whose password is changed', () => {
  test('gets a token of its own: what the former password was given ends with it', async () => {
    let password = 'before';
    const { upstream, server, tokenRequests } = await guarded(undefined, {
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ci', password }) },
    });
    const shown = () =>
      tokenRequests().map(({ headers }) =>
        Buffer.from(String(headers['authorization']).slice(6), 'base64').toString(),
      );
    await upstream.manifest(app, tagged('v1'));
    await upstream.manifest(app, tagged('v1'));
    expect(shown()).toEqual(['ci:before']);
    password = 'after';
    await upstream.manifest(app, tagged('v1'));
    expect(shown()).toEqual(['ci:before', 'ci:after']);
    expect(server.requests.at(-1)?.headers['authorization']).toBe('Bearer token-2');
  });
});
