import { expect, test, vi } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import type { OidcOptions } from '../../src/site/oidc/login.ts';
import { OidcProviderSettings } from '../../src/site/oidc/settings.ts';
import { ReloadableParts } from '../../src/site/reloadable.ts';
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

test('ReloadableParts closes the connections to a former provider once its requests have ended', async () => {
  vi.useFakeTimers();
  afterTest(() => vi.useRealTimers());
  const parts = new ReloadableParts({
    ...{ tokenKey: Buffer.alloc(32), shared: undefined, reader: undefined, admin: undefined, url: undefined },
    ...{ onChanged: async () => {}, clientAddress: () => '', audit: () => {}, log: () => {} },
    ...{ find: () => undefined, wallClock: Date.now },
  });
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
