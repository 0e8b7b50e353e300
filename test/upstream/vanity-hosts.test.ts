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
  test('is pulled from with an anonymous token of that one, for reading only', async () => {
    const { back, digest, blob, settings } = await vanity();
    const upstream = upstreamTo(settings);
    expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest });
    expect((await readBlob(await upstream.blob(app, blob))).toString()).toBe('layer');
    const asked = back.requests.filter(({ target }) => target.startsWith('/token'));
    expect(asked.map(({ target }) => target)).toEqual([
      '/token?service=back&scope=repository%3Ateam%2Fapp%3Apull',
    ]);
  });

  test('shows it no login, and shows the first no token of it', async () => {
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

  test('is asked for a fresh token once the first is no longer accepted', async () => {
    const { back, tokens, blob, settings } = await vanity();
    const upstream = upstreamTo(settings);
    await readBlob(await upstream.blob(app, blob));
    tokens.good.clear();
    expect((await readBlob(await upstream.blob(app, blob))).toString()).toBe('layer');
    expect(back.requests.filter(({ target }) => target.startsWith('/token'))).toHaveLength(2);
  });
});

describe('fault 71: a registry that hides with 404: what strangers may not see', () => {
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

  test.each([401, 403, 404])(
    'by %s, and challenges at /v2/ only, is shown the stored login',
    async (status) => {
      const { server, digest, settings } = await hiding(status, 'Basic realm="x"');
      const upstream = upstreamTo(settings, { credentials: { loginFor: async () => LOGIN } });
      expect(await upstream.resolve(app, tagged('v1'))).toMatchObject({ digest });
      expect(server.requests.map(({ method, target }) => `${method} ${target}`)).toEqual([
        'HEAD /v2/team/app/manifests/v1',
        'GET /v2/',
        'HEAD /v2/team/app/manifests/v1',
      ]);
    },
  );

  test('is not pinged without a login, nor again within a minute where it challenges no one', async () => {
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
    await pull(upstream);
    expect(pings()).toBe(1);
    now.ms = 61_000;
    await pull(upstream);
    expect(pings()).toBe(2);
  });
});
