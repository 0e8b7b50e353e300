import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, type JWTPayload, SignJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { gcpInstance } from '../../../src/site/enrolment/gcp-identity.ts';

const SITE = 'https://hub.example.org';
const NOW_S = 1_700_000_000;

let pair: Awaited<ReturnType<typeof generateKeyPair>>;
beforeAll(async () => {
  pair = await generateKeyPair('RS256', { extractable: true });
});

const INSTANCE = { instance_id: '4567', instance_name: 'c3', project_id: 'lab', zone: 'europe-west4-a' };
const CLAIMS = {
  ...{ iss: 'https://accounts.google.com', aud: SITE, iat: NOW_S, exp: NOW_S + 3600 },
  google: { compute_engine: INSTANCE },
};

/** Verifies a token with these claims that the cloud's own key signs by this algorithm. */
async function verifiedWith(alg: string, claims: JWTPayload = CLAIMS, keys?: string) {
  // The key's document leaves the algorithm open.
  const { alg: _, ...jwk } = await exportJWK(pair.publicKey);
  const privateKey = await importPKCS8(await exportPKCS8(pair.privateKey), alg);
  const token = await new SignJWT(claims).setProtectedHeader({ alg, kid: 'g' }).sign(privateKey);
  const own = JSON.stringify({ keys: [{ ...jwk, kid: 'g' }] });
  return gcpInstance(token, keys ?? own, { audience: SITE, nowMs: NOW_S * 1000 });
}
const verified = (claims: object = {}) => verifiedWith('RS256', { ...CLAIMS, ...claims });
const verifiedInstance = (change: object) =>
  verified({ google: { compute_engine: { ...INSTANCE, ...change } } });

test('the token of an instance names it, its project and its region', async () => {
  expect(await verifiedWith('RS256')).toEqual({
    ...{ cloud: 'gcp', id: '4567', owner: 'lab', region: 'europe-west4', kind: 'c3' },
    sinceMs: NOW_S * 1000,
  });
});

test.each(['RS384', 'RS512', 'PS256'])(
  'a token that the right key signs with %s is refused, because Google signs with RS256',
  async (alg) => {
    expect(await verifiedWith(alg)).toBeUndefined();
  },
);

test.each<[string, object, boolean]>([
  ['for this site among others', { aud: ['https://a.example', SITE] }, true],
  ['for other sites', { aud: ['https://a.example', `${SITE}.evil.example`] }, false],
  ['for this site’s address with a path', { aud: `${SITE}/` }, false],
  ['for this site in upper case', { aud: SITE.toUpperCase() }, false],
  ['for nobody', { aud: undefined }, false],
  ['of an issuer without a scheme', { iss: 'accounts.google.com' }, false],
  ['of an issuer with more after it', { iss: 'https://accounts.google.com.evil.example' }, false],
  ['of no issuer', { iss: undefined }, false],
  // The clocks may differ by half a minute.
  ['that expires in a second', { exp: NOW_S + 1 }, true],
  ['that has expired 29 seconds ago', { exp: NOW_S - 29 }, true],
  ['that has expired half a minute ago', { exp: NOW_S - 30 }, false],
  ['that never expires', { exp: undefined }, false],
  ['with a time of issue', { iat: NOW_S - 1 }, true],
  ['without a time of issue', { iat: undefined }, false],
  ['that is valid in half a minute', { nbf: NOW_S + 30 }, true],
  ['that is valid in 31 seconds', { nbf: NOW_S + 31 }, false],
  ['of no machine', { google: undefined }, false],
  ['of a machine that is no object', { google: 'compute_engine' }, false],
  ['of a machine outside Compute Engine', { google: {} }, false],
  ['of a machine that is nothing', { google: { compute_engine: null } }, false],
])('a token %s is valid: %j', async (_, claims, isValid) => {
  expect((await verified(claims)) !== undefined).toBe(isValid);
});

describe.each(['instance_id', 'instance_name', 'project_id', 'zone'])('the claim %s', (claim) => {
  test.each([[undefined], [null], [4567], [true], [[]], [{}], [['4567']]])('is not %j', async (value) => {
    expect(await verifiedInstance({ [claim]: value })).toBeUndefined();
  });
});

test.each<[string, boolean]>([
  ['0', true],
  ['9'.repeat(32), true],
  ['9'.repeat(33), false],
  ['', false],
  ['a4567', false],
  ['4567a', false],
  ['4567\n', false],
  ['4567/..', false],
  ['-4567', false],
  ['4.5', false],
])('an instance ID of %j is read: %j', async (instance_id, isRead) => {
  expect((await verifiedInstance({ instance_id }))?.id).toBe(isRead ? instance_id : undefined);
});

test.each([
  ['europe-west4-a', 'europe-west4'],
  ['us-central1-f', 'us-central1'],
  ['us-central1', 'us-central1'],
  ['us-central1-ab', 'us-central1-ab'],
  ['us-central1-A', 'us-central1-A'],
  ['us-a-central1', 'us-a-central1'],
])('the zone %s is in the region %s', async (zone, region) => {
  expect((await verifiedInstance({ zone }))?.region).toBe(region);
});

test('a key of another name does not verify, and a file that is no JWKS verifies nothing', async () => {
  const { alg: _, ...jwk } = await exportJWK(pair.publicKey);
  const other = JSON.stringify({ keys: [{ ...jwk, kid: 'h' }] });
  for (const keys of [other, '{"keys": []}', '{}']) {
    expect(await verifiedWith('RS256', CLAIMS, keys)).toBeUndefined();
  }
  await expect(verifiedWith('RS256', CLAIMS, '?')).rejects.toThrow(SyntaxError);
});

test.each(['', '.', 'a.b', 'a.b.c', 'a.b.c.d.e'])('the text %j is no token', async (token) => {
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'g' }] });
  expect(await gcpInstance(token, keys, { audience: SITE, nowMs: NOW_S * 1000 })).toBeUndefined();
});
