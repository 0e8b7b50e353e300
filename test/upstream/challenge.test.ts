import { describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type Access, ClientCredential } from '../../src/oci/registry.ts';
import type { Credential, Credentials } from '../../src/upstream/auth/credentials.ts';
import { defaultUpstream, upstreamAt } from '../../src/upstream/settings.ts';
import {
  bearerChallenge,
  createTokenService,
  requireBasic,
  requireBearer,
} from '../support/guarded-registry.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { startInternet } from '../support/internet.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const BASIC: Credential = { kind: 'basic', username: 'ann', password: 's:cret' };
const SHOWN = `Basic ${Buffer.from('ann:s:cret').toString('base64')}`;

function content() {
  const made = createContent();
  made.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  return made;
}

const only = (registry: string, login: Credential): Credentials => ({
  loginFor: async (asked) => (asked === registry ? login : undefined),
});

/** Registry by registry: the host that image names have, its API, and the challenge that it answers with. */
const REGISTRIES = [
  {
    title: 'Docker Hub',
    host: 'docker.io',
    api: 'registry-1.docker.io',
    realm: 'https://auth.docker.io/token',
    service: 'registry.docker.io',
  },
  { title: 'GHCR', host: 'ghcr.io', api: 'ghcr.io', realm: 'https://ghcr.io/token', service: 'ghcr.io' },
  { title: 'Quay', host: 'quay.io', api: 'quay.io', realm: 'https://quay.io/v2/auth', service: 'quay.io' },
  {
    title: 'Google Artifact Registry',
    host: 'europe-docker.pkg.dev',
    api: 'europe-docker.pkg.dev',
    realm: 'https://europe-docker.pkg.dev/v2/token',
    service: 'europe-docker.pkg.dev',
  },
  {
    title: 'GitLab',
    host: 'registry.gitlab.com',
    api: 'registry.gitlab.com',
    realm: 'https://gitlab.com/jwt/auth',
    service: 'container_registry',
  },
  { title: 'NGC', host: 'nvcr.io', api: 'nvcr.io', realm: 'https://nvcr.io/proxy_auth', service: undefined },
] as const;

describe.each(REGISTRIES)('$title', ({ host, api, realm, service }) => {
  const scope = 'repository:team/app:pull';

  async function start() {
    const tokens = createTokenService();
    const challenge = bearerChallenge(realm, service, scope);
    const { host: realmHost, pathname } = new URL(realm);
    const registry = requireBearer(tokens, challenge, serveContent(content()));
    const both: Handler = (request, response) =>
      (request.url?.startsWith(`${pathname}?`) ? tokens.handler : registry)(request, response);
    const internet = await startInternet({ [api]: registry, [realmHost]: both });
    const tokenRequests = () =>
      internet.asked(realmHost).filter(({ target }) => target.startsWith(`${pathname}?`));
    return { internet, tokenRequests };
  }

  test('gives an anonymous client a token for this repository', async () => {
    const { internet, tokenRequests } = await start();
    const upstream = upstreamTo(defaultUpstream(repository('team/app', host).host), internet.options);
    await upstream.manifest(repository('team/app', host), tagged('v1'));
    const [asked] = tokenRequests();
    const query = new URL(asked?.target ?? '', realm).searchParams;
    expect(query.get('scope')).toBe(scope);
    expect(query.get('service') ?? undefined).toBe(service);
    expect(asked?.headers).not.toHaveProperty('authorization');
    expect(internet.asked(api).at(-1)?.headers['authorization']).toBe('Bearer token-1');
  });

  test('sends the login to the token service, and only its token to the registry', async () => {
    const { internet, tokenRequests } = await start();
    const upstream = upstreamTo(defaultUpstream(repository('team/app', host).host), {
      ...internet.options,
      credentials: only(host, BASIC),
    });
    await upstream.manifest(repository('team/app', host), tagged('v1'));
    expect(tokenRequests().map(({ headers }) => headers['authorization'])).toEqual([SHOWN]);
    const atRegistry = internet.asked(api).filter((asked) => !tokenRequests().includes(asked));
    expect(atRegistry.map(({ headers }) => headers['authorization'])).toEqual([undefined, 'Bearer token-1']);
  });
});

describe('a registry that uses Basic authentication', () => {
  test('receives the login (ECR: AWS and a password) after one challenge, and later without another', async () => {
    const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
    const challenge = `Basic realm="https://${host}/",service="ecr.amazonaws.com"`;
    const internet = await startInternet({
      [host]: requireBasic('AWS:eyJwYXlsb2Fk', serveContent(content()), challenge),
    });
    const upstream = upstreamTo(defaultUpstream(repository('app', host).host), {
      ...internet.options,
      credentials: only(host, { kind: 'basic', username: 'AWS', password: 'eyJwYXlsb2Fk' }),
    });
    await upstream.manifest(repository('app', host), tagged('v1'));
    await upstream.manifest(repository('app', host), tagged('v1'));
    expect(internet.asked(host).map(({ headers }) => headers['authorization'] !== undefined)).toEqual([
      false,
      true,
      true,
    ]);
  });

  test('without a stored login: UNAUTHORIZED, with a hint', async () => {
    const server = closing(await startServer(requireBasic('ann:s:cret', serveContent(content()))));
    const asked = upstreamTo(upstreamAt(server.url)).manifest(repository('app'), tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAUTHORIZED', status: 401 });
    await expect(asked).rejects.toThrow(/log in to this registry \(docker login\)/);
    expect(server.requests).toHaveLength(1);
  });

  test('receives the new password once it refuses the old one', async () => {
    const server = closing(await startServer(requireBasic('ann:new', serveContent(content()))));
    let password = 'old';
    const credentials: Credentials = { loginFor: async () => ({ kind: 'basic', username: 'ann', password }) };
    const upstream = upstreamTo(upstreamAt(server.url), { credentials });
    await expect(upstream.resolve(repository('app'), tagged('v1'))).rejects.toMatchObject({ status: 401 });
    password = 'new';
    await upstream.resolve(repository('app'), tagged('v1'));
  });
});

describe('a registry below a path (Harbor’s proxy of another registry)', () => {
  test.each([
    ['/v2/hub-proxy', 'hub-proxy/team/app'],
    ['/v2', 'team/app'],
    ['/docker', 'team/app'],
  ])('%s: the login is looked up under the name %s', async (path, name) => {
    const server = closing(await startServer(requireBasic('ann:s:cret', serveContent(content()))));
    const asked: string[] = [];
    const credentials: Credentials = {
      loginFor: async (_, repositoryName) => {
        asked.push(repositoryName);
        return BASIC;
      },
    };
    const upstream = upstreamTo(upstreamAt(`${server.url}${path}`), { credentials });
    await upstream.manifest(repository('team/app'), tagged('v1'));
    expect(asked).toEqual([name]);
  });
});

describe('a password that is valid for some hours only (ECR)', () => {
  const good = (password: string) => `Basic ${Buffer.from(`AWS:${password}`).toString('base64')}`;

  /** Challenges whoever shows nothing, and answers 403 to a password of yesterday. */
  async function start() {
    const today = { password: 'first' };
    const serve = serveContent(content());
    const server = closing(
      await startServer((request, response) => {
        const { authorization } = request.headers;
        if (authorization === good(today.password)) return serve(request, response);
        const challenge = { 'www-authenticate': 'Basic realm="ecr"' };
        response.writeHead(authorization === undefined ? 401 : 403, challenge).end();
      }),
    );
    return { today, server };
  }

  test('is not sent again once another is stored', async () => {
    const { today, server } = await start();
    const credentials: Credentials = {
      loginFor: async () => ({ kind: 'basic', username: 'AWS', password: today.password }),
    };
    const upstream = upstreamTo(upstreamAt(server.url), { credentials });
    await upstream.resolve(repository('app'), tagged('v1'));
    today.password = 'second';
    await upstream.resolve(repository('app'), tagged('v1'));
    expect(server.requests.map(({ headers }) => headers['authorization'])).toEqual([
      ...[undefined, good('first')],
      ...[undefined, good('second')],
    ]);
  });

  test('is DENIED, after at most the requests of one challenge, while no other is stored', async () => {
    const { today, server } = await start();
    const upstream = upstreamTo(upstreamAt(server.url), {
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'AWS', password: 'first' }) },
    });
    await upstream.resolve(repository('app'), tagged('v1'));
    today.password = 'second';
    await expect(upstream.resolve(repository('app'), tagged('v1'))).rejects.toMatchObject({ code: 'DENIED' });
    expect(server.requests).toHaveLength(2 + 3);
  });
});

describe('a login that is itself a token', () => {
  test('is sent to the registry itself', async () => {
    const tokens = createTokenService();
    tokens.good.add('ready-made');
    const guard = requireBearer(
      tokens,
      bearerChallenge('https://auth.invalid/token'),
      serveContent(content()),
    );
    const server = closing(await startServer(guard));
    const credentials = only(server.host, { kind: 'bearer', token: 'ready-made' });
    const upstream = upstreamTo(upstreamAt(server.url), { credentials });
    await upstream.manifest(repository('app'), tagged('v1'));
    await upstream.manifest(repository('app'), tagged('v1'));
    expect(server.requests.map(({ headers }) => headers['authorization'])).toEqual([
      undefined,
      'Bearer ready-made',
      'Bearer ready-made',
    ]);
  });
});

describe('a client’s own token', () => {
  const credential = new ClientCredential(repository('app').host, 'Bearer of-the-client');
  const access: Access = { partition: 'client', credential };
  const CHALLENGE = bearerChallenge('https://auth.invalid/token', 'registry.invalid');

  async function start(passThrough: boolean) {
    const tokens = createTokenService();
    tokens.good.add('of-the-client');
    const server = closing(await startServer(requireBearer(tokens, CHALLENGE, serveContent(content()))));
    const [endpoint] = upstreamAt(server.url).endpoints;
    return { server, tokens, upstream: upstreamTo({ endpoints: [{ ...endpoint, passThrough }] }) };
  }

  test('is passed to the registry where that is configured', async () => {
    const { server, upstream } = await start(true);
    await upstream.manifest(repository('app'), tagged('v1'), { access });
    expect(server.requests.map(({ headers }) => headers['authorization'])).toEqual(['Bearer of-the-client']);
  });

  test('is not passed to another registry than the one that the client sent it for', async () => {
    const { server, upstream } = await start(true);
    const other = repository('app', 'other.test');
    await expect(upstream.manifest(other, tagged('v1'), { access })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(server.requests.map(({ headers }) => headers['authorization'])).toEqual([undefined]);
  });

  test('is never sent anywhere unless configured', async () => {
    const { server, upstream } = await start(false);
    await expect(upstream.manifest(repository('app'), tagged('v1'), { access })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(server.requests.map(({ headers }) => headers['authorization'])).toEqual([undefined]);
  });

  test('is requested with the registry’s own challenge, even when it gives out no anonymous token', async () => {
    const server = closing(
      await startServer((request, response) => {
        const challenge = bearerChallenge(`http://${request.headers.host}/token`);
        if (request.url?.startsWith('/token')) return void response.writeHead(401).end();
        response.writeHead(401, { 'www-authenticate': challenge }).end();
      }),
    );
    const [endpoint] = upstreamAt(server.url).endpoints;
    const ask = (passThrough: boolean) =>
      upstreamTo({ endpoints: [{ ...endpoint, passThrough }] }).resolve(repository('app'), tagged('v1'));
    await expect(ask(true)).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      headers: { 'www-authenticate': bearerChallenge(`${server.url}/token`) },
    });
    // Else it would be the client's login that goes to the token service of a registry it does not ask.
    await expect(ask(false)).rejects.toMatchObject({ code: 'UNAUTHORIZED', headers: {} });
  });

  test('that is invalid comes back to the client with the registry’s own challenge', async () => {
    const { tokens, upstream } = await start(true);
    tokens.good.clear();
    await expect(upstream.manifest(repository('app'), tagged('v1'), { access })).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      headers: { 'www-authenticate': CHALLENGE },
    });
  });
});
