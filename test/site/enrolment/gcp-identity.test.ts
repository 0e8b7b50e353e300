import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, SignJWT } from 'jose';
import { beforeAll, expect, test } from 'vitest';
import { gcpInstance } from '../../../src/site/enrolment/gcp-identity.ts';

const SITE = 'https://hub.example.org';
const NOW_S = 1_700_000_000;

let pair: Awaited<ReturnType<typeof generateKeyPair>>;
beforeAll(async () => {
  pair = await generateKeyPair('RS256', { extractable: true });
});

/** Verifies a token that the cloud's own key signs by this algorithm. */
async function verifiedWith(alg: string, change: object = {}) {
  const usual = { instance_id: '4567', instance_name: 'c3', project_id: 'lab', zone: 'europe-west4-a' };
  const instance = { ...usual, ...change };
  // The key's document leaves the algorithm open.
  const { alg: _, ...jwk } = await exportJWK(pair.publicKey);
  const privateKey = await importPKCS8(await exportPKCS8(pair.privateKey), alg);
  const token = await new SignJWT({ google: { compute_engine: instance } })
    .setProtectedHeader({ alg, kid: 'g' })
    .setIssuer('https://accounts.google.com')
    .setAudience(SITE)
    .setIssuedAt(NOW_S)
    .setExpirationTime(NOW_S + 3600)
    .sign(privateKey);
  const keys = JSON.stringify({ keys: [{ ...jwk, kid: 'g' }] });
  return gcpInstance(token, keys, { audience: SITE, nowMs: NOW_S * 1000 });
}

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

test.each([
  ['0', true],
  ['1'.repeat(32), true],
  ['1'.repeat(33), false],
  ['', false],
  ['4567/', false],
  ['/4567', false],
])('an instance ID has 1 to 32 digits: %j', async (id, isRead) => {
  expect((await verifiedWith('RS256', { instance_id: id }))?.id).toBe(isRead ? id : undefined);
});
