import { describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import {
  bearerChallenge,
  createTokenService,
  requireBasic,
  requireBearer,
} from '../support/guarded-registry.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };

/** A registry that redirects everything to another one, which gives tokens to everyone. */
async function vanity(front: (redirect: Handler) => Handler = (redirect) => redirect) {
  const content = createContent();
  const digest = content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  const blob = content.putBlob(Buffer.from('layer'));
  const tokens = createTokenService();
  const back = closing(
    await startServer((request, response) => {
      const challenge = bearerChallenge(
        `http://${request.headers.host}/token`,
        'back',
        'repository:team/app:pull,push',
      );
      const guard = requireBearer(tokens, challenge, serveContent(content));
      (request.url?.startsWith('/token') ? tokens.handler : guard)(request, response);
    }),
  );
  const redirect: Handler = (request, response) =>
    void response.writeHead(307, { location: `${back.url}${request.url}` }).end();
  const server = closing(await startServer(front(redirect)));
  const [endpoint] = upstreamAt(server.url).endpoints;
  const settings = { endpoints: [{ ...endpoint, trustedHosts: ['127.0.0.1'] }] } as const;
  return { server, back, tokens, digest, blob, settings };
}

describe('fault 68: a redirect to another registry, which challenges', () => {
  test('is followed with an anonymous read-only token of the other registry', async () => {
    const { back, digest, blob, settings } = await vanity();
    const upstream = upstreamTo(settings);
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest });
    expect((await readBlob(await upstream.blob(app, blob))).toString()).toBe('layer');
    const asked = back.requests.filter(({ target }) => target.startsWith('/token'));
    expect(asked.map(({ target }) => target)).toEqual([
      '/token?service=back&scope=repository%3Ateam%2Fapp%3Apull',
    ]);
  });

  test('does not receive the login, and the first does not receive its token', async () => {
    const { server, back, settings } = await vanity((redirect) => requireBasic('ann:secret', redirect));
    const upstream = upstreamTo(settings, {
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'secret' }) },
    });
    await upstream.manifest(app, tagged('v1'));
    const shown = (requests: typeof back.requests) =>
      new Set(requests.map(({ headers }) => headers['authorization']));
    expect(shown(back.requests)).toEqual(new Set([undefined, 'Bearer token-1']));
    expect(shown(server.requests)).toEqual(
      new Set([undefined, `Basic ${Buffer.from('ann:secret').toString('base64')}`]),
    );
  });

  test('gets a request for a new token once it refuses the first', async () => {
    const { back, tokens, blob, settings } = await vanity();
    const upstream = upstreamTo(settings);
    await readBlob(await upstream.blob(app, blob));
    tokens.good.clear();
    expect((await readBlob(await upstream.blob(app, blob))).toString()).toBe('layer');
    expect(back.requests.filter(({ target }) => target.startsWith('/token'))).toHaveLength(2);
  });
});

test('a redirect within a registry, whose target challenges, is answered with the login of the registry', async () => {
  const content = createContent();
  content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  const tokens = createTokenService();
  const server = closing(
    await startServer((request, response) => {
      const { url = '', headers } = request;
      if (url.startsWith('/token')) return tokens.handler(request, response);
      if (url.includes('/app/')) {
        return void response.writeHead(307, { location: url.replace('/app/', '/moved/') }).end();
      }
      const challenge = bearerChallenge(`http://${headers.host}/token`, 'registry');
      requireBearer(tokens, challenge, serveContent(content))(request, response);
    }),
  );
  const upstream = upstreamTo(upstreamAt(server.url), {
    credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'secret' }) },
  });
  await upstream.manifest(app, tagged('v1'));
  const asked = server.requests.filter(({ target }) => target.startsWith('/token'));
  expect(asked.map(({ headers }) => headers['authorization'])).toEqual([
    `Basic ${Buffer.from('ann:secret').toString('base64')}`,
  ]);
});

describe('a registry that is the target of a redirect', () => {
  /** Its only answer; and a token service whose tokens it never accepts. */
  async function refusing(challengeAt: (origin: string) => string) {
    const tokens = createTokenService();
    const back = closing(
      await startServer((request, response) => {
        if (request.url?.startsWith('/token')) return tokens.handler(request, response);
        const challenge = challengeAt(`http://${request.headers.host}`);
        response.writeHead(401, { 'www-authenticate': challenge }).end();
      }),
    );
    const server = closing(
      await startServer(
        (request, response) => void response.writeHead(307, { location: `${back.url}${request.url}` }).end(),
      ),
    );
    const [endpoint] = upstreamAt(server.url).endpoints;
    const upstream = upstreamTo({ endpoints: [{ ...endpoint, trustedHosts: ['127.0.0.1'] }] });
    return { upstream, back };
  }

  test.each([
    ['asks for Basic', () => 'Basic realm="back"', 1, 0],
    ['refuses its own token', (origin: string) => bearerChallenge(`${origin}/token`), 3, 1],
  ])(
    'and %s causes an error after at most the requests of one challenge',
    async (_, challengeAt, all, issued) => {
      const { upstream, back } = await refusing(challengeAt);
      await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(back.requests).toHaveLength(all);
      expect(back.requests.filter(({ target }) => target.startsWith('/token'))).toHaveLength(issued);
    },
  );
});

describe('redirects to registries that challenge', () => {
  /** A registry that redirects to one of two others, whichever `next` says; these challenge as `next` says. */
  async function vanityOfTwo() {
    const content = createContent();
    content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const tokens = createTokenService();
    const service = closing(await startServer(tokens.handler));
    const next = { back: 0, realm: '/token', service: 'back', name: 'team/app' };
    const back: Handler = (request, response) => {
      const challenge = bearerChallenge(`${service.url}${next.realm}`, next.service);
      requireBearer(tokens, challenge, serveContent(content))(request, response);
    };
    const backs = [closing(await startServer(back)), closing(await startServer(back))];
    const server = closing(
      await startServer((request, response) => {
        const location = `${backs[next.back]?.url}/v2/${next.name}/manifests/v1`;
        response.writeHead(307, { location }).end(request.url);
      }),
    );
    const [endpoint] = upstreamAt(server.url).endpoints;
    const upstream = upstreamTo({ endpoints: [{ ...endpoint, trustedHosts: ['127.0.0.1'] }] });
    const shown = () =>
      backs.flatMap(({ requests }) => requests.map(({ headers }) => headers['authorization']));
    return { upstream, service, next, shown };
  }

  test.each([
    ['hosts', { back: 1 }],
    ['token services', { realm: '/token?other' }],
    ['services by name', { service: 'other' }],
    ['repositories', { name: 'team/other' }],
  ])('to different %s share no anonymous token', async (_, difference) => {
    const { upstream, service, next, shown } = await vanityOfTwo();
    const first = { ...next };
    for (const where of [first, { ...first, ...difference }, first]) {
      Object.assign(next, where);
      await upstream.manifest(app, tagged('v1')).catch(() => undefined);
    }
    expect(service.requests).toHaveLength(2);
    const counted = (token: string) => shown().filter((authorization) => authorization === token).length;
    expect([counted('Bearer token-1'), counted('Bearer token-2')]).toEqual([2, 1]);
  });
});

describe('fault 71: a registry that hides content from anonymous clients with 404', () => {
  const LOGIN = { kind: 'basic', username: 'ann', password: 'secret' } as const;
  async function hiding(status: number, challenge: string | undefined) {
    const content = createContent();
    const digest = content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
    const good = `Basic ${Buffer.from('ann:secret').toString('base64')}`;
    const server = closing(
      await startServer((request, response) => {
        if (request.headers.authorization === good) return serveContent(content)(request, response);
        if (request.url !== '/v2/') return void response.writeHead(status).end();
        response.writeHead(401, challenge === undefined ? {} : { 'www-authenticate': challenge }).end();
      }),
    );
    return { server, digest, settings: upstreamAt(server.url) };
  }

  test.each([401, 403, 404])('by %s, and challenges only at /v2/, gets the stored login', async (status) => {
    const { server, digest, settings } = await hiding(status, 'Basic realm="x"');
    const upstream = upstreamTo(settings, { credentials: { loginFor: async () => LOGIN } });
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest });
    expect(server.requests.map(({ method, target }) => `${method} ${target}`)).toEqual([
      'HEAD /v2/team/app/manifests/v1',
      'GET /v2/',
      'HEAD /v2/team/app/manifests/v1',
    ]);
  });

  test('is not pinged without a login, nor again within a minute when it challenges no one', async () => {
    const { server, settings } = await hiding(404, undefined);
    const now = { ms: 0 };
    const pings = () => server.requests.filter(({ target }) => target === '/v2/').length;
    const pull = (upstream: ReturnType<typeof upstreamTo>) =>
      expect(upstream.resolve(app, tagged('v1'))).rejects.toMatchObject({ status: 404 });
    await pull(upstreamTo(settings));
    expect(pings()).toBe(0);
    const upstream = upstreamTo(settings, {
      credentials: { loginFor: async () => LOGIN },
      now: () => now.ms,
    });
    await pull(upstream);
    now.ms = 59_999;
    await pull(upstream);
    expect(pings()).toBe(1);
    now.ms = 60_000;
    await pull(upstream);
    expect(pings()).toBe(2);
  });
});
