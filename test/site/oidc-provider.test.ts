import { createHash, generateKeyPairSync } from 'node:crypto';
import { exportJWK, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { OidcProvider, type OidcProviderOptions } from '../../src/site/oidc/provider.ts';

const ISSUER = 'https://id.example.org';
const HOUR_MS = 60 * 60_000;
const nowS = () => Math.floor(Date.now() / 1000);

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000, toFake: ['Date', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
});

/** Every algorithm of RSA signs with the same key. */
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
function keyOf(alg: string) {
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519');
  const namedCurve = CURVES[alg];
  return namedCurve === undefined ? rsa : generateKeyPairSync('ec', { namedCurve });
}

/** A provider with this key, and what was asked of it. */
async function provider(
  alg = 'ES256',
  options: Partial<OidcProviderOptions['settings']> = {},
  more: object = {},
  client: Pick<OidcProviderOptions, 'secret'> = { secret: 'secret' },
) {
  const { privateKey, publicKey } = keyOf(alg);
  const { kty, n, e, crv, x, y } = await exportJWK(publicKey);
  const asked: string[] = [];
  const redeemed: RequestInit[] = [];
  const state = { isDown: false };
  const opened = new OidcProvider({
    settings: {
      issuer: ISSUER,
      clientId: 'site',
      deviceClientId: 'cli',
      scopes: ['openid', 'email'],
      ...options,
    },
    ...client,
    redirectUri: 'https://hub.example.org/login/callback',
    fetch: async (url, request) => {
      asked.push(url);
      if (url.endsWith('/token')) {
        redeemed.push(request);
        return Response.json({ error: 'invalid_grant' }, { status: 400 });
      }
      if (state.isDown) throw new Error('connection refused');
      return Response.json(
        url.endsWith('/jwks')
          ? { keys: [{ kty, n, e, crv, x, y, kid: 'k' }] }
          : {
              ...{
                issuer: ISSUER,
                authorization_endpoint: `${ISSUER}/auth?a=b`,
                token_endpoint: `${ISSUER}/token`,
              },
              ...{ jwks_uri: `${ISSUER}/jwks`, response_types_supported: ['code'], ...more },
            },
      );
    },
  });
  const claims = (): JWTPayload => ({ iss: ISSUER, aud: 'cli', sub: 's', iat: nowS(), exp: nowS() + 300 });
  const tokenWith = (changed: JWTPayload = {}) =>
    new SignJWT({ ...claims(), ...changed }).setProtectedHeader({ alg, kid: 'k' }).sign(privateKey);
  return { provider: opened, asked, redeemed, state, tokenWith, claims };
}

describe('verify()', () => {
  test.each(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'])(
    'accepts an ID token that is signed with %s',
    async (alg) => {
      const { provider: oidc, tokenWith, claims } = await provider(alg);
      expect(await oidc.verify(await tokenWith())).toEqual(claims());
    },
  );

  test('accepts no other algorithm', async () => {
    const { provider: oidc, claims } = await provider();
    const symmetric = new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: 'k' });
    const unsigned = new UnsecuredJWT(claims()).encode();
    for (const token of [await symmetric.sign(Buffer.alloc(32)), unsigned]) {
      await expect(oidc.verify(token)).rejects.toMatchObject({ code: 'ERR_JOSE_ALG_NOT_ALLOWED' });
    }
  });

  // Clocks may differ by 30 seconds; a token is exchanged within ten minutes.
  test.each<[string, number, (s: number) => JWTPayload]>([
    ['begins', 30, (s) => ({ nbf: nowS() + s })],
    ['was issued in the future', 30, (s) => ({ iat: nowS() + s })],
    ['has ended', 29, (s) => ({ exp: nowS() - s })],
    ['was issued', 630, (s) => ({ iat: nowS() - s })],
  ])('accepts a token that %s up to %i seconds away', async (_, maxS, claims) => {
    const { provider: oidc, tokenWith } = await provider();
    expect(await oidc.verify(await tokenWith(claims(maxS)))).toMatchObject({ sub: 's' });
    await expect(oidc.verify(await tokenWith(claims(maxS + 1)))).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_JWT_(?:EXPIRED|CLAIM_VALIDATION_FAILED)$/),
    });
  });

  test.each([
    ['the site', 'site', {}, true],
    ['the command line', 'cli', {}, true],
    ['both', ['cli', 'other'], {}, true],
    ['another client', 'other', {}, false],
    ['nobody', undefined, {}, false],
    ['the command line, which the site does not name', 'cli', { deviceClientId: undefined }, false],
    ['the site, which names no other client', 'site', { deviceClientId: undefined }, true],
  ])('judges a token for %s', async (_, aud, settings, isAccepted) => {
    const { provider: oidc, tokenWith } = await provider('ES256', settings);
    const verified = oidc.verify(await tokenWith({ aud } as JWTPayload));
    if (isAccepted) expect(await verified).toMatchObject({ sub: 's' });
    else await expect(verified).rejects.toMatchObject({ claim: 'aud' });
  });

  test.each(['sub', 'exp', 'iat', 'iss'])('refuses a token without %s', async (claim) => {
    const { provider: oidc, tokenWith } = await provider();
    await expect(oidc.verify(await tokenWith({ [claim]: undefined }))).rejects.toMatchObject({ claim });
  });
});

describe('begin()', () => {
  test('leads to the provider with what the callback must match, in which nothing repeats', async () => {
    const { provider: oidc } = await provider();
    const [{ url, pending }, other] = [await oidc.begin(), await oidc.begin()];
    expect(`${url.origin}${url.pathname}`).toBe(`${ISSUER}/auth`);
    expect(Object.fromEntries(url.searchParams)).toEqual({
      ...{ a: 'b', client_id: 'site', response_type: 'code', scope: 'openid email' },
      redirect_uri: 'https://hub.example.org/login/callback',
      ...{ state: pending.state, nonce: pending.nonce, code_challenge_method: 'S256' },
      // RFC 7636, 4.2
      code_challenge: createHash('sha256').update(pending.verifier).digest('base64url'),
    });
    const secrets = [pending, other.pending].flatMap(({ state, nonce, verifier }) => [
      state,
      nonce,
      verifier,
    ]);
    expect(new Set(secrets).size).toBe(6);
    for (const secret of secrets) expect(secret).toMatch(/^[\w-]{43}$/);
  });
});

// RFC 6749, sections 2.3.1 and 4.1.3, and RFC 7636, section 4.5
test.each([
  ['a client with a secret', 'secret', `Basic ${btoa('site:secret')}`, null],
  ['a public client', undefined, null, 'site'],
])('finish() redeems the code as %s', async (_, secret, authorization, id) => {
  const { provider: oidc, redeemed } = await provider('ES256', {}, {}, { secret });
  const { pending } = await oidc.begin();
  const finished = oidc.finish(`code=c&state=${pending.state}`, pending);
  await expect(finished).rejects.toMatchObject({ error: 'invalid_grant' });
  expect(redeemed).toHaveLength(1);
  expect(new Headers(redeemed[0]?.headers).get('authorization')).toBe(authorization);
  const form = new URLSearchParams(String(redeemed[0]?.body));
  expect(form.get('client_id')).toBe(id);
  expect([form.get('grant_type'), form.get('code'), form.get('code_verifier')]).toEqual([
    ...['authorization_code', 'c', pending.verifier],
  ]);
});

test('finish() redeems no code at a plain HTTP endpoint of a provider with TLS', async () => {
  const more = { token_endpoint: 'http://id.example.org/token' };
  const { provider: oidc, redeemed } = await provider('ES256', {}, more);
  const { pending } = await oidc.begin();
  const finished = oidc.finish(`code=c&state=${pending.state}`, pending);
  await expect(finished).rejects.toMatchObject({ code: 'OAUTH_HTTP_REQUEST_FORBIDDEN' });
  expect(redeemed).toEqual([]);
});

describe('the discovery of a provider', () => {
  const discoveries = (asked: readonly string[]) =>
    asked.filter((url) => url.includes('/.well-known/')).length;

  test('is shared by concurrent logins, and used for an hour', async () => {
    const { provider: oidc, asked } = await provider();
    await Promise.all([oidc.begin(), oidc.begin(), oidc.begin()]);
    expect(asked).toEqual([`${ISSUER}/.well-known/openid-configuration`]);
    vi.advanceTimersByTime(HOUR_MS - 1);
    await oidc.begin();
    expect(discoveries(asked)).toBe(1);
    vi.advanceTimersByTime(1);
    await Promise.all([oidc.begin(), oidc.begin()]);
    expect(discoveries(asked)).toBe(2);
  });

  test('is tried again after a failure, and once for concurrent logins', async () => {
    const { provider: oidc, asked, state } = await provider();
    state.isDown = true;
    const failed = await Promise.allSettled([oidc.begin(), oidc.begin()]);
    expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const before = discoveries(asked);
    state.isDown = false;
    await Promise.all([oidc.begin(), oidc.begin()]);
    expect(discoveries(asked)).toBe(before + 1);
  });

  test.each([
    ['names another issuer', { issuer: 'https://evil.example' }, /issuer|discovery|response/i],
    ['names no keys', { jwks_uri: undefined }, 'the provider names no keys (jwks_uri)'],
  ])('fails when the document %s', async (_, more, why) => {
    const { provider: oidc, tokenWith } = await provider('ES256', {}, more);
    const token = await tokenWith();
    for (const login of [() => oidc.begin(), () => oidc.verify(token)]) {
      await expect(login()).rejects.toThrow(why);
    }
  });
});
