import { describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { type Credentials, mayReceiveLogin } from '../../src/upstream/auth/credentials.ts';
import { defaultUpstream, upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../support/guarded-registry.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { startInternet } from '../support/internet.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const credentials: Credentials = {
  loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'hunter2' }),
};
const app = repository('team/app');

function content(): Handler {
  const made = createContent();
  made.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  return serveContent(made);
}

describe('mayReceiveLogin()', () => {
  test.each([
    ['https://ghcr.io', 'https://ghcr.io/token', true, 'itself'],
    ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth', true, 'the domain it is in'],
    ['https://example.com', 'https://auth.example.com/token', true, 'a host of its own domain'],
    ['https://registry-1.docker.io', 'https://auth.docker.io/token', true, 'Docker Hub’s known one'],
    ['https://registry.evil.example', 'https://auth.docker.io/token', false, 'another registry’s'],
    [
      'https://registry-1.docker.io',
      'https://auth.docker.io.evil.example/',
      false,
      'a name that begins alike',
    ],
    ['https://docker.io', 'https://notdocker.io/token', false, 'a name that ends alike'],
    ['https://registry.com', 'https://com/token', false, 'a top-level domain'],
    ['https://a.example.com', 'https://b.example.com/token', false, 'a sibling'],
    ['https://ghcr.io', 'http://ghcr.io/token', false, 'itself without TLS'],
    ['https://ghcr.io:8443', 'https://ghcr.io/token', true, 'the default port of its host'],
    [
      'http://registry.test:5000',
      'http://auth.registry.test/token',
      false,
      'a plain host of a plain one’s domain',
    ],
    ['https://ghcr.io', 'https://ghcr.io:8443/token', false, 'another port of its host'],
    ['http://10.0.0.1:5000', 'http://10.0.0.1:5001/token', false, 'another port of a plain one'],
    ['http://10.0.0.1:5000', 'https://evil.example/token', false, 'another host of a plain one'],
  ])('%s, %s: %s (%s)', (registry, realm, expected) => {
    expect(mayReceiveLogin(new URL(registry), new URL(realm), () => false)).toBe(expected);
  });

  test('allows a trusted host, but never without TLS where the registry uses TLS', () => {
    const trust = () => true;
    const registry = new URL('https://ghcr.io');
    expect(mayReceiveLogin(registry, new URL('https://sso.example:8443/token'), trust)).toBe(true);
    expect(mayReceiveLogin(registry, new URL('http://sso.example/token'), trust)).toBe(false);
  });
});

describe('a registry that names another host as its token service (CVE-2020-15157, CVE-2026-33540, CVE-2026-48978)', () => {
  async function start(trusted: boolean) {
    const tokens = createTokenService();
    const elsewhere = closing(await startServer(tokens.handler));
    const guard = requireBearer(tokens, bearerChallenge(`${elsewhere.url}/token`), content());
    const server = closing(await startServer(guard));
    const warnings: string[] = [];
    const [endpoint] = upstreamAt(server.url).endpoints;
    const trustedHosts = [elsewhere.host];
    const upstream = upstreamTo(
      { endpoints: [{ ...endpoint, trustedHosts: trusted ? trustedHosts : [`127.0.0.1:${server.port}`] }] },
      { credentials, log: (_level, _event, message) => warnings.push(message) },
    );
    return { elsewhere, upstream, warnings };
  }

  test('receives nothing there: on loopback it is not even dialled', async () => {
    const { elsewhere, upstream } = await start(false);
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(elsewhere.connections().made).toBe(0);
  });

  test('receives the login there once the operator has configured that host as trusted', async () => {
    const { elsewhere, upstream } = await start(true);
    await upstream.manifest(app, tagged('v1'));
    expect(elsewhere.requests[0]?.headers['authorization']).toMatch(/^Basic /);
  });

  test('on a public host: it is asked without the login, and a warning names it', async () => {
    const tokens = createTokenService();
    const challenge = bearerChallenge('https://auth.evil.example/token');
    const internet = await startInternet({
      'registry.example': requireBearer(tokens, challenge, content()),
      'auth.evil.example': tokens.handler,
    });
    const warnings: string[] = [];
    const { host } = repository('team/app', 'registry.example');
    const upstream = upstreamTo(defaultUpstream(host), {
      ...internet.options,
      credentials,
      log: (_level, _event, message) => warnings.push(message),
    });
    await upstream.manifest(repository('team/app', 'registry.example'), tagged('v1'));
    expect(internet.asked('auth.evil.example').map(({ headers }) => headers['authorization'])).toEqual([
      undefined,
    ]);
    expect(warnings).toEqual([
      'registry.example names auth.evil.example as its token service: MetaHub does not send it the login, because it is not a trusted host',
    ]);
  });
});

test.each([
  ['without https', 'http://registry.example/token', 'without https'],
  ['that is not a URL', 'nowhere', 'is not a URL'],
  ['that is a file', 'file:///etc/passwd', 'is not a URL'],
  ['of a scheme that ends alike', 'xhttps://registry.example/token', 'is not a URL'],
  ['of a scheme that begins alike', 'httpsx://registry.example/token', 'is not a URL'],
  ['that holds a login', 'https://ann:pw@registry.example/token', 'is not a URL'],
])('a token service %s is refused without a request', async (_, realm, why) => {
  const tokens = createTokenService();
  const internet = await startInternet({
    'registry.example': requireBearer(tokens, bearerChallenge(realm), content()),
  });
  const { host } = repository('app', 'registry.example');
  const upstream = upstreamTo(defaultUpstream(host), { ...internet.options, credentials });
  const asked = upstream.manifest(repository('app', 'registry.example'), tagged('v1'));
  await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining(why) });
  expect(internet.proxy.targets).toEqual(['registry.example:443']);
  expect(tokens.issued()).toBe(0);
});

test('a 401 of a host that was redirected to does not use the login', async () => {
  const tokens = createTokenService();
  const asking: Handler = (_, response) =>
    void response.writeHead(401, { 'www-authenticate': 'Basic realm="give it to me"' }).end();
  const internet = await startInternet({
    'registry.example': (_, response) =>
      void response.writeHead(307, { location: 'https://cdn.evil.example/blob' }).end(),
    'cdn.evil.example': asking,
  });
  const { host } = repository('app', 'registry.example');
  const upstream = upstreamTo(defaultUpstream(host), { ...internet.options, credentials });
  const asked = upstream.manifest(repository('app', 'registry.example'), tagged('v1'));
  await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect(asked).rejects.toThrow(/cdn\.evil\.example, where registry\.example redirects, answered 401/);
  expect(internet.asked('cdn.evil.example').map(({ headers }) => headers['authorization'])).toEqual([
    undefined,
  ]);
  expect(tokens.issued()).toBe(0);
});

describe.each([401, 403, 404])('a %d of a host that was redirected to', (status) => {
  /** A registry that keeps v1 itself, behind tokens or not, and redirects whoever asks for another tag. */
  async function redirecting(isGuarded: boolean) {
    const tokens = createTokenService();
    const challenge = bearerChallenge('https://registry.example/token');
    const held = isGuarded ? requireBearer(tokens, challenge, content()) : content();
    const internet = await startInternet({
      'registry.example': (request, response) => {
        if (request.url?.startsWith('/token')) return tokens.handler(request, response);
        if (request.url?.endsWith('/v1')) return held(request, response);
        response.writeHead(307, { location: 'https://cdn.example/elsewhere' }).end();
      },
      'cdn.example': (_, response) => void response.writeHead(status).end(),
    });
    const where = repository('team/app', 'registry.example');
    const upstream = upstreamTo(defaultUpstream(where.host), { ...internet.options, credentials });
    return { internet, tokens, pull: (tag: string) => upstream.manifest(where, tagged(tag)) };
  }

  test('does not invalidate the registry’s token, and is not retried', async () => {
    const { internet, tokens, pull } = await redirecting(true);
    await pull('v1');
    await expect(pull('v2')).rejects.toBeInstanceOf(RegistryError);
    await pull('v1');
    expect(tokens.issued()).toBe(1);
    const registry = internet.asked('registry.example').filter(({ target }) => !target.startsWith('/token'));
    const token = 'Bearer token-1';
    expect(registry.map(({ headers }) => headers['authorization'])).toEqual([undefined, token, token, token]);
    expect(internet.asked('cdn.example').map(({ headers }) => headers['authorization'])).toEqual([undefined]);
  });

  test('does not request a challenge from the API’s root', async () => {
    const { internet, pull } = await redirecting(false);
    await expect(pull('v2')).rejects.toBeInstanceOf(RegistryError);
    expect(internet.asked('registry.example').map(({ target }) => target)).toEqual([
      '/v2/team/app/manifests/v2',
    ]);
  });
});

test('two source hosts share nothing (CVE-2026-103868): the token of one is never sent to the other', async () => {
  const tokens = createTokenService();
  const guard = (name: string) => requireBearer(tokens, bearerChallenge(`https://${name}/token`), content());
  const site =
    (name: string): Handler =>
    (request, response) =>
      (request.url?.startsWith('/token') ? tokens.handler : guard(name))(request, response);
  const internet = await startInternet({
    'one.example': site('one.example'),
    'two.example': site('two.example'),
  });
  const upstream = upstreamTo(upstreamAt('https://unused.invalid'), {
    ...internet.options,
    allowed: { get: defaultUpstream },
  });
  for (const host of ['one.example', 'two.example']) {
    await upstream.manifest(repository('team/app', host), tagged('v1'));
  }
  const shown = (host: string) => internet.asked(host).map(({ headers }) => headers['authorization']);
  expect(shown('one.example')).toEqual([undefined, undefined, 'Bearer token-1']);
  expect(shown('two.example')).toEqual([undefined, undefined, 'Bearer token-2']);
});
