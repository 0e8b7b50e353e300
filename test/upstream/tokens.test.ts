import { describe, expect, test, vi } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Credential } from '../../src/upstream/auth/credentials.ts';
import { createTokenCache } from '../../src/upstream/auth/token.ts';
import type { UpstreamOptions } from '../../src/upstream/client.ts';
import { bodyOf } from '../../src/upstream/http/body.ts';
import { USER_AGENT } from '../../src/upstream/http/transport.ts';
import { DEFAULT_TIMEOUTS, upstreamAt } from '../../src/upstream/settings.ts';
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

/** A token service's answer of this size. */
function ofBytes(sizeBytes: number, token = 'token'): string {
  const [before, after] = [`{"token":"${token}","padding":"`, '"}'];
  return `${before}${'x'.repeat(sizeBytes - before.length - after.length)}${after}`;
}

describe('the response of a token service', () => {
  test.each([
    ['token', (text: string) => ({ token: text })],
    ['access_token', (text: string) => ({ access_token: text })],
    ['both, of which token counts', (text: string) => ({ token: text, access_token: 'other' })],
    ['an empty token beside an access_token', (text: string) => ({ token: '', access_token: text })],
    ['a number beside an access_token', (text: string) => ({ token: 7, access_token: text })],
    ['in 64 KiB', (text: string) => ofBytes(64 * 1024, text)],
  ])('contains a token: %s', async (_, body) => {
    const { upstream, server } = await guarded((token) => ({ body: body(token) }));
    await upstream.manifest(app, tagged('v1'));
    expect(server.requests.at(-1)?.headers['authorization']).toBe('Bearer token-1');
  });

  test.each([
    ['no JSON', { body: '<html>' }],
    ['JSON that is not an object', { body: '"token"' }],
    ['null', { body: 'null' }],
    ['no token in it', { body: {} }],
    ['a token with a line break, which would be another header', { body: { token: 'a\r\nx: y' } }],
    ['more than any token is long', { body: { token: 'x'.repeat(300_000) } }],
    ['one byte more than 64 KiB', { body: ofBytes(64 * 1024 + 1) }],
    ['500, twice', { status: 500, body: {} }],
  ])(
    'without a token (%s) is an error that names the token service, without a request to the registry',
    async (_, answer) => {
      const { upstream, server } = await guarded(() => answer);
      const asked = upstream.manifest(app, tagged('v1'));
      await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
      await expect(asked).rejects.toThrow(server.host);
      expect(server.requests.some(({ headers }) => 'authorization' in headers)).toBe(false);
    },
  );

  test.each([201, 203])(
    'contains a token with any success status, as runtimes accept it: %d',
    async (status) => {
      const { upstream, server } = await guarded((token) => ({ status, body: { token } }));
      await upstream.manifest(app, tagged('v1'));
      expect(server.requests.at(-1)?.headers['authorization']).toBe('Bearer token-1');
    },
  );

  test.each([401, 403])(
    'of %d means that an anonymous client may not pull this, and the message suggests a login',
    async (status) => {
      const { upstream } = await guarded(() => ({ status, body: {} }));
      await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    },
  );

  test.each([
    ['401', { status: 401, body: {} }],
    ['no token', { body: {} }],
  ])('%s: the registry’s challenge is drained, and its connections are reused', async (_, answer) => {
    const { upstream, server } = await guarded(() => answer);
    for (let round = 0; round < 10; round += 1) {
      await expect(upstream.manifest(app, tagged('v1'))).rejects.toThrow('token');
    }
    expect(server.connections().made).toBeLessThan(6);
  });

  test('of 429 passes the rate limit on to the client', async () => {
    const { upstream } = await guarded(() => ({ status: 429, body: {} }));
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' });
  });
});

describe('the lifetime of a token', () => {
  test('one token serves every request for its repository while it is valid', async () => {
    const { upstream, tokens, server } = await guarded(lasting(300));
    for (let round = 0; round < 3; round += 1) await upstream.manifest(app, tagged('v1'));
    expect(tokens.issued()).toBe(1);
    expect(server.requests.filter(({ target }) => !target.startsWith('/token'))).toHaveLength(4);
  });

  test('another repository gets its own token', async () => {
    const { upstream, tokenRequests } = await guarded(lasting(300));
    await upstream.manifest(app, tagged('v1'));
    await upstream.manifest(repository('team/other'), tagged('v1'));
    const scopes = tokenRequests().map(({ target }) => new URL(target, 'http://x').searchParams.get('scope'));
    expect(scopes).toEqual(['repository:team/app:pull', 'repository:team/other:pull']);
  });

  test.each([
    ['300 s', 300, 240_000],
    ['300 s, written as a string', '300', 240_000],
    ['60 s when no lifetime is given', undefined, 48_000],
    ['60 s when it is nonsense', 'soon', 48_000],
    ['60 s when it is a list', [300], 48_000],
    ['60 s when it is zero', 0, 48_000],
    ['60 s when it is negative', -5, 48_000],
  ])('%s: renewed before it expires, without a 401', async (_, seconds, renewedAtMs) => {
    const { upstream, tokens, clock, server } = await guarded(lasting(seconds));
    await upstream.manifest(app, tagged('v1'));
    clock.now = renewedAtMs - 1;
    await upstream.manifest(app, tagged('v1'));
    expect(tokens.issued()).toBe(1);
    clock.now = renewedAtMs;
    const before = server.requests.length;
    await upstream.manifest(app, tagged('v1'));
    const shown = () => server.requests.slice(before).map(({ headers }) => headers['authorization']);
    // The client has the new token some time after the service has issued it.
    await expect
      .poll(async () => {
        await upstream.manifest(app, tagged('v1'));
        return shown().at(-1);
      })
      .toBe('Bearer token-2');
    expect(new Set(shown())).toEqual(new Set(['Bearer token-1', undefined, 'Bearer token-2']));
    expect(shown().filter((token) => token === undefined)).toHaveLength(1);
    expect(tokens.issued()).toBe(2);
  });

  test('an expired token is not sent: its successor is waited for', async () => {
    const { upstream, clock, server } = await guarded(lasting(300));
    await upstream.manifest(app, tagged('v1'));
    clock.now = 300_000;
    const before = server.requests.length;
    await upstream.manifest(app, tagged('v1'));
    expect(server.requests.slice(before).map(({ headers }) => headers['authorization'])).toEqual([
      undefined,
      'Bearer token-2',
    ]);
  });

  test('a failed renewal causes no error while the token is valid', async () => {
    const { upstream, clock, tokens } = await guarded((token, nth) =>
      nth > 1 ? { status: 503, body: {} } : { body: { token } },
    );
    await upstream.manifest(app, tagged('v1'));
    clock.now = 50_000;
    await upstream.manifest(app, tagged('v1'));
    await expect.poll(() => tokens.issued()).toBeGreaterThan(1);
    await upstream.manifest(app, tagged('v1'));
  });

  test('a token service that fails once gets a second request', async () => {
    const { upstream, tokens } = await guarded((token, nth) =>
      nth === 1 ? { status: 503, body: {} } : { body: { token } },
    );
    await upstream.manifest(app, tagged('v1'));
    expect(tokens.issued()).toBe(2);
  });

  test('many concurrent requests share one token request', async () => {
    const { upstream, tokens } = await guarded(lasting(300));
    await Promise.all(Array.from({ length: 20 }, () => upstream.manifest(app, tagged('v1'))));
    expect(tokens.issued()).toBe(1);
  });

  test.each([
    ['for the same scope uses the token that another one got meanwhile', 'repository:team/app:pull', 1],
    // As the challenge to a mount from another repository.
    ['for another scope gets a token of its own', 'repository:team/base:pull', 2],
  ])('a request whose challenge arrives late %s', async (_, lateScope, issued) => {
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const tokens = createTokenService(lasting(300));
    let isServed = () => {};
    const served = new Promise<void>((resolve) => {
      isServed = resolve;
    });
    let challenges = 0;
    const server = closing(
      await startServer((request, response) => {
        if (request.url?.startsWith('/token')) return tokens.handler(request, response);
        const isLate = request.headers.authorization === undefined && ++challenges === 2;
        const scope = isLate ? lateScope : 'repository:team/app:pull';
        const challenge = bearerChallenge(`http://${request.headers.host}/token`, undefined, scope);
        const guard = requireBearer(tokens, challenge, serveContent(content));
        if (request.headers.authorization !== undefined) response.once('close', isServed);
        return isLate ? served.then(() => guard(request, response)) : guard(request, response);
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url));
    await Promise.all([upstream.manifest(app, tagged('v1')), upstream.manifest(app, tagged('v1'))]);
    expect([challenges, tokens.issued()]).toEqual([2, issued]);
  });

  test('a wall clock that is one year off, here or at the service, changes nothing', async () => {
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

  test('the client that requested the token may leave: the others get their token', async () => {
    const { upstream } = await guarded(lasting(300));
    const leaving = new AbortController();
    const first = upstream.manifest(app, tagged('v1'), { signal: leaving.signal });
    const second = upstream.manifest(app, tagged('v1'));
    leaving.abort();
    await expect(first).rejects.toMatchObject({ name: 'AbortError' });
    await second;
  });
});

describe('the request to a token service', () => {
  test('has no service when the challenge has none', async () => {
    const { upstream, tokenRequests } = await guarded();
    await upstream.manifest(app, tagged('v1'));
    expect(tokenRequests()[0]?.target).toBe('/token?scope=repository%3Ateam%2Fapp%3Apull');
    expect(tokenRequests()[0]?.headers).toMatchObject({
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': USER_AGENT,
    });
  });

  test('has the challenge’s own scope when it is a pull, because only the registry knows the name after its path', async () => {
    const { upstream, tokenRequests } = await guarded(undefined, { scope: 'repository:proxy/team/app:pull' });
    await upstream.manifest(app, tagged('v1'));
    expect(tokenRequests()[0]?.target).toContain('scope=repository%3Aproxy%2Fteam%2Fapp%3Apull');
  });

  test.each(['repository:team/app:pull,push', 'repository:*:*', 'registry:catalog:*'])(
    'is for a pull, even when the challenge is for %s',
    async (scope) => {
      const { upstream, tokenRequests } = await guarded(undefined, { scope });
      await upstream.manifest(app, tagged('v1'));
      expect(tokenRequests()[0]?.target).toBe('/token?scope=repository%3Ateam%2Fapp%3Apull');
    },
  );

  test('sends an identity token by POST, and never in a URL', async () => {
    const { upstream, tokenRequests } = await guarded(undefined, {
      service: 'registry.example',
      credentials: { loginFor: async () => ({ kind: 'identity', token: 'refresh-me' }) },
    });
    await upstream.manifest(app, tagged('v1'));
    const [asked] = tokenRequests();
    expect(asked?.method).toBe('POST');
    expect(asked?.target).toBe('/token');
    expect(asked?.headers).toMatchObject({
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      'user-agent': USER_AGENT,
    });
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'refresh-me',
      client_id: 'metahub',
      service: 'registry.example',
      scope: 'repository:team/app:pull',
    });
  });
});

describe('a token service that redirects', () => {
  async function redirecting(login: Credential | undefined) {
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const tokens = createTokenService();
    const server = closing(
      await startServer((request, response) => {
        if (request.url?.startsWith('/moved')) return tokens.handler(request, response);
        if (request.url?.startsWith('/token')) {
          return void response.writeHead(307, { location: '/moved' }).end();
        }
        const challenge = bearerChallenge(`http://${request.headers.host}/token`);
        requireBearer(tokens, challenge, serveContent(content))(request, response);
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url), { credentials: { loginFor: async () => login } });
    const asked = (path: string) => server.requests.filter(({ target }) => target.startsWith(path));
    return { upstream, asked };
  }

  test('is followed with a request that has only a URL', async () => {
    const { upstream, asked } = await redirecting(undefined);
    await upstream.manifest(app, tagged('v1'));
    expect(asked('/moved')).toHaveLength(1);
  });

  test('is not followed with an identity token', async () => {
    const { upstream, asked } = await redirecting({ kind: 'identity', token: 'refresh-me' });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(asked('/token')).toHaveLength(1);
    expect(asked('/moved')).toEqual([]);
  });
});

describe('two requests', () => {
  const CI: Credential = { kind: 'basic', username: 'ci', password: 'one' };
  const FIRST = { name: 'team/app', login: CI, file: '/a/auth.json' };

  test.each<[string, Partial<{ name: string; login: Credential | undefined; file: string | undefined }>]>([
    ['repositories', { name: 'team/other' }],
    ['user names', { login: { ...CI, username: 'cd' } }],
    ['passwords', { login: { ...CI, password: 'two' } }],
    ['kinds of login', { login: { kind: 'identity', token: 'one' } }],
    ['rights: a login and none', { login: undefined }],
    ['files of logins, though both hold the same login', { file: '/b/auth.json' }],
    ['files of logins, of which one is the mirror’s own', { file: undefined }],
  ])('with different %s share no token', async (_, difference) => {
    let asking: { name: string; login: Credential | undefined; file: string | undefined } = FIRST;
    const { upstream, server, tokenRequests } = await guarded(lasting(300), {
      credentials: { loginFor: async () => asking.login },
    });
    for (asking of [FIRST, { ...FIRST, ...difference }, FIRST]) {
      const access = { partition: 'one', ...(asking.file === undefined ? {} : { logins: asking.file }) };
      await upstream.manifest(repository(asking.name), tagged('v1'), { access }).catch(() => undefined);
    }
    expect(tokenRequests()).toHaveLength(2);
    const used = server.requests.map(({ headers }) => String(headers['authorization']));
    expect(used.filter((authorization) => authorization.startsWith('Bearer'))).toEqual([
      'Bearer token-1',
      'Bearer token-2',
      'Bearer token-1',
    ]);
  });

  test.each<[string, Partial<{ name: string; login: Credential | undefined; file: string }>]>([
    ['repositories', { name: 'team/other' }],
    ['logins', { login: { ...CI, username: 'cd' } }],
    ['files of logins', { file: '/b/auth.json' }],
  ])('with different %s share no token request, though they arrive together', async (_, difference) => {
    const asking = new Map(Object.entries({ one: FIRST, two: { ...FIRST, ...difference } }));
    const { upstream, tokenRequests } = await guarded(lasting(300), {
      credentials: {
        loginFor: async (_registry, _repository, _signal, access) =>
          asking.get(access?.partition ?? '')?.login,
      },
    });
    const pulls = [...asking].map(([partition, { name, file }]) =>
      upstream
        .manifest(repository(name), tagged('v1'), { access: { partition, logins: file } })
        .catch(() => undefined),
    );
    await Promise.all(pulls);
    expect(tokenRequests()).toHaveLength(2);
  });

  test('of two accounts whose login is in one file share a token', async () => {
    const { upstream, tokenRequests } = await guarded(lasting(300), {
      credentials: { loginFor: async () => CI },
    });
    for (const partition of ['one', 'two']) {
      await upstream.manifest(app, tagged('v1'), { access: { partition, logins: '/a/auth.json' } });
    }
    expect(tokenRequests()).toHaveLength(1);
  });

  test('use the login of the file of their account', async () => {
    const { upstream, tokenRequests } = await guarded(lasting(300), {
      credentials: {
        loginFor: async (_registry, _repository, _signal, access) => ({
          ...CI,
          password: access?.logins ?? 'none',
        }),
      },
    });
    for (const logins of ['/a/auth.json', '/b/auth.json']) {
      await upstream.manifest(app, tagged('v1'), { access: { partition: 'one', logins } });
    }
    const basic = (file: string) => `Basic ${Buffer.from(`ci:${file}`).toString('base64')}`;
    expect(tokenRequests().map(({ headers }) => headers['authorization'])).toEqual([
      basic('/a/auth.json'),
      basic('/b/auth.json'),
    ]);
  });
});

describe('an outdated login', () => {
  test.each([
    ['fails', { status: 503, body: {} }, 'UNAVAILABLE'],
    ['sends no token', { body: {} }, 'UNAVAILABLE'],
    ['limits the rate', { status: 429, body: {} }, 'TOOMANYREQUESTS'],
  ])('is still used when the token service %s: no request is sent without it', async (_, answer, code) => {
    const { upstream, tokenRequests } = await guarded(() => answer, {
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'good' }) },
    });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code });
    const shown = new Set(tokenRequests().map(({ headers }) => headers['authorization']));
    expect([...shown]).toEqual([`Basic ${Buffer.from('ann:good').toString('base64')}`]);
  });

  test('does not prevent the pull of a public image: the token is requested without it, and a warning says so', async () => {
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
      `${server.host} refused the login for ${server.host}: MetaHub continues without it`,
    ]);
    expect(warnings.join()).not.toContain('long-gone');
  });
});

test('a challenge with a nonexistent realm for a used token (NGC): the token is discarded, and the request is retried', async () => {
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

describe('a login whose password has changed', () => {
  test('gets its own token, and the former password’s token ends', async () => {
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

/** A cache of authorizations that needs no token service. */
function cacheAlone() {
  const send = () => Promise.reject(new Error('no request is needed'));
  return createTokenCache({ send, timeouts: DEFAULT_TIMEOUTS, now: () => 0 });
}

test('requests at once share a token for the same scope, and none for another', async () => {
  const asked: string[] = [];
  const tokens = createTokenCache({
    send: async ({ url, target = '' }) => {
      asked.push(target);
      const token = new URL(target, url).searchParams.get('scope');
      const body = bodyOf(Buffer.from(JSON.stringify({ token })));
      return { status: 200, headers: {}, url, target, body };
    },
    timeouts: DEFAULT_TIMEOUTS,
    now: () => 0,
  });
  const realm = { url: new URL('https://auth.test/token'), target: '/token' };
  const obtain = (scope: string) =>
    tokens.obtain('key', { realm, service: undefined, scope, login: undefined });
  const obtained = await Promise.all(['one', 'one', 'other'].map(obtain));
  expect(obtained).toEqual(['Bearer one', 'Bearer one', 'Bearer other']);
  expect(asked).toHaveLength(2);
});

test('a refusal of an authorization drops no other that has replaced it meanwhile', async () => {
  const tokens = cacheAlone();
  tokens.keep('key', 'Basic former');
  tokens.keep('key', 'Basic current');
  tokens.drop('key', 'Basic former');
  expect(await tokens.current('key')).toBe('Basic current');
  tokens.drop('key', 'Basic current');
  expect(await tokens.current('key')).toBeUndefined();
});

test('2000 authorizations are kept, those used last', async () => {
  const tokens = cacheAlone();
  for (let at = 0; at < 2000; at += 1) tokens.keep(`${at}`, `Basic ${at}`);
  expect(await tokens.current('0')).toBe('Basic 0');
  tokens.keep('2000', 'Basic 2000');
  const kept = await Promise.all(['0', '1', '2', '2000'].map((key) => tokens.current(key)));
  expect(kept).toEqual(['Basic 0', undefined, 'Basic 2', 'Basic 2000']);
});
