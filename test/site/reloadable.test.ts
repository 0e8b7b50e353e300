import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { expect, test, vi } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import { CloudEnrolment } from '../../src/site/enrolment/cloud-rules.ts';
import type { OidcOptions } from '../../src/site/oidc/login.ts';
import { OidcProviderSettings } from '../../src/site/oidc/settings.ts';
import { ReloadableParts } from '../../src/site/reloadable.ts';
import { selfSigned } from '../support/certificates.ts';
import { temporaryFolder } from '../support/folder.ts';
import { afterTest } from '../support/upstream.ts';

function providerOf(issuer: string) {
  const { output } = check(OidcProviderSettings, {
    ...{ issuer, clientId: 'metahub' },
    accounts: [{ claims: { groups: 'a' }, account: 'visitors' }],
  });
  if (!output) throw new Error('settings');
  const close = vi.fn(async () => {});
  const fetch = () => Promise.reject(new Error('not asked'));
  const oidc: OidcOptions = {
    ...{ settings: output, secret: undefined, siteUrl: 'https://hub.example.org' },
    fetch,
    close,
  };
  return { oidc, close };
}

const NOW_MS = 1_700_000_000_000;

const partsOfSite = (url?: string) =>
  new ReloadableParts({
    ...{ tokenKey: Buffer.alloc(32), shared: undefined, reader: undefined, admin: undefined, url },
    ...{ onChanged: async () => {}, clientAddress: () => '', audit: () => {}, log: () => {} },
    ...{ find: () => undefined, wallClock: () => NOW_MS },
  });

test('ReloadableParts closes the connections to a former provider once its requests have ended', async () => {
  vi.useFakeTimers();
  afterTest(() => vi.useRealTimers());
  const parts = partsOfSite();
  const [first, same, second] = ['https://a.example', 'https://a.example', 'https://b.example'].map(
    providerOf,
  );
  if (!first || !same || !second) throw new Error('three providers');
  for (const { oidc } of [first, same]) (await parts.prepare({ oidc }))();
  await vi.advanceTimersByTimeAsync(60_000);
  // Its connections are those of the login that goes on.
  expect(first.close).not.toHaveBeenCalled();
  const apply = await parts.prepare({ oidc: second.oidc });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(first.close).not.toHaveBeenCalled();
  apply();
  await vi.advanceTimersByTimeAsync(9_999);
  expect(first.close).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(first.close).toHaveBeenCalledTimes(1);
  (await parts.prepare({}))();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(second.close).toHaveBeenCalledTimes(1);
});

test('ReloadableParts adds the handlers of the current provider, and removes those of a former one', async () => {
  const parts = partsOfSite();
  const handlers = new Map([['/v2/', () => {}]]);
  const wrapped: unknown[] = [];
  const put = () => {
    parts.putLogins(handlers, (handler) => {
      wrapped.push(handler);
      return handler;
    });
    return [...handlers.keys()].sort();
  };
  expect(put()).toEqual(['/v2/']);
  let applied = 0;
  const apply = await parts.prepare({ oidc: providerOf('https://a.example').oidc }, () => {
    applied += 1;
  });
  expect([put(), applied]).toEqual([['/v2/'], 0]);
  apply();
  const paths = ['/login', '/login/callback', '/login/provider', '/login/token', '/logout', '/v2/'];
  expect([put(), applied, wrapped.length]).toEqual([paths, 1, 5]);
  (await parts.prepare({}))();
  expect(put()).toEqual(['/v2/']);
});

test('ReloadableParts gives challenges to VMs of Azure alone, and a reload does not reset their count', async () => {
  const keys = join(temporaryFolder(), 'keys.pem');
  writeFileSync(keys, (await selfSigned('authority')).cert);
  const ruleFor = (cloud: string) => {
    const types = { '*': 'node' };
    const { output } = check(CloudEnrolment, { cloud, keys, accounts: ['a'], account: 'nodes', types });
    if (output === undefined) throw new Error('no rule');
    return output;
  };
  const parts = partsOfSite();
  expect(parts.cloud()).toEqual({ checkCloud: undefined, createChallenge: undefined });
  (await parts.prepare({ enrolment: [ruleFor('aws')] }))();
  expect([parts.cloud().checkCloud, parts.cloud().createChallenge]).toEqual([
    expect.any(Function),
    undefined,
  ]);
  (await parts.prepare({ enrolment: [ruleFor('aws'), ruleFor('azure')] }))();
  const challenge = (address = '192.0.2.1') => parts.cloud().createChallenge?.('c'.repeat(43), address);
  for (let at = 0; at < 1000; at += 1) expect(challenge()).toBeDefined();
  expect(challenge()).toBeUndefined();
  (await parts.prepare({ enrolment: [ruleFor('azure')] }))();
  expect([challenge(), challenge('192.0.2.2')]).toEqual([undefined, expect.any(String)]);
  // Settings that cannot be used change nothing.
  const unreadable = { ...ruleFor('azure'), keys: `${keys}.gone` };
  await expect(parts.prepare({ enrolment: [unreadable] })).rejects.toMatchObject({ code: 'unreadable' });
  expect(challenge('192.0.2.3')).toBeDefined();
  (await parts.prepare({}))();
  expect(parts.cloud()).toEqual({ checkCloud: undefined, createChallenge: undefined });
});

test.each([
  ['known at the site that it is for', 'https://hub.example.org', 0, { kind: 'known' }],
  ['refused at another site', 'https://other.example.org', 0, { reason: 'unsigned-identity' }],
  ['refused at a site without a URL', undefined, 0, { reason: 'unsigned-identity' }],
  ['refused after it has expired', 'https://hub.example.org', 7200, { reason: 'unsigned-identity' }],
])(
  'ReloadableParts checks an instance by the site’s URL and clock: it is %s',
  async (_, url, olderS, verdict) => {
    const keys = join(temporaryFolder(), 'keys.json');
    const { publicKey, privateKey } = await generateKeyPair('RS256');
    const jwk = { ...(await exportJWK(publicKey)), kid: 'g' };
    writeFileSync(keys, JSON.stringify({ keys: [jwk] }));
    const { output: rule } = check(CloudEnrolment, {
      ...{ cloud: 'gcp', keys, accounts: ['lab'], account: 'nodes', types: { '*': 'node' } },
    });
    const instance = { instance_id: '4567', instance_name: 'c3', project_id: 'lab', zone: 'europe-west4-a' };
    const issuedS = NOW_MS / 1000 - olderS;
    const gcp = await new SignJWT({ google: { compute_engine: instance } })
      .setProtectedHeader({ alg: 'RS256', kid: 'g' })
      .setIssuer('https://accounts.google.com')
      .setAudience('https://hub.example.org')
      .setIssuedAt(issuedS)
      .setExpirationTime(issuedS + 3600)
      .sign(privateKey);
    const parts = partsOfSite(url);
    (await parts.prepare({ enrolment: rule === undefined ? [] : [rule] }))();
    expect(await parts.cloud().checkCloud?.({ gcp })).toMatchObject(verdict);
  },
);
