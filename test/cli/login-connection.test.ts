import { expect, test, vi } from 'vitest';
import { fetchMachineTypes, readSiteAddress } from '../../src/cli/site-client.ts';
import { createAuthority } from '../support/certificates.ts';
import { startServer } from '../support/hostile-registry.ts';
import { startInternet } from '../support/internet.ts';
import { afterTest, closing } from '../support/upstream.ts';

const LIST = { user: 'ann', types: [{ name: 'big', login: 'ann-big', features: ['cpu:zen4'] }] };
const SHOWN = `Basic ${Buffer.from('ann:secret').toString('base64')}`;

test('metahub login trusts the authorities of NODE_EXTRA_CA_CERTS, as serve does', async () => {
  const authority = await createAuthority();
  afterTest(authority.remove);
  vi.stubEnv('NODE_EXTRA_CA_CERTS', authority.certFile);
  afterTest(() => vi.unstubAllEnvs());
  const site = closing(
    await startServer(
      (_, response) => void response.end(JSON.stringify(LIST)),
      await authority.issue('127.0.0.1'),
    ),
  );
  const address = readSiteAddress(`https://127.0.0.1:${site.port}`);
  expect(await fetchMachineTypes(address, 'ann', 'secret')).toEqual(LIST);
  expect(site.requests.map(({ headers }) => headers['authorization'])).toEqual([SHOWN]);
});

test.each([
  ['hub.example.org', 'https://hub.example.org/', 'hub.example.org'],
  ['hub.example.org:5000', 'https://hub.example.org:5000/', 'hub.example.org:5000'],
  ['http://hub.example.org', 'http://hub.example.org/', 'hub.example.org'],
  ['localhost:5080', 'http://localhost:5080/', 'localhost:5080'],
  ['127.0.0.2', 'http://127.0.0.2/', '127.0.0.2'],
  ['[::1]:5080', 'http://[::1]:5080/', '[::1]:5080'],
  ['[0:0:0:0:0:0:0:1]:5080', 'http://[::1]:5080/', '[::1]:5080'],
  ['127.example.org', 'https://127.example.org/', '127.example.org'],
  ['localhost.example.org', 'https://localhost.example.org/', 'localhost.example.org'],
])('the site %s is at %s, and runtimes know it as %s', (text, url, registry) => {
  expect(readSiteAddress(text)).toEqual({ url: new URL(url), registry });
});

test.each([
  '',
  'hub/path',
  'localhost/path',
  'localhost?x',
  'ann@localhost',
  'localhost@evil.example',
  '[::1',
])('“%s” is not a site', (text) => {
  expect(() => readSiteAddress(text)).toThrow(`“${text}” is not a site`);
});

test('metahub login reaches a site by the proxy of the environment', async () => {
  const internet = await startInternet({
    'hub.test': (_, response) => void response.end(JSON.stringify(LIST)),
  });
  vi.stubEnv('https_proxy', internet.proxy.url);
  vi.stubEnv('NODE_EXTRA_CA_CERTS', internet.options.extraAuthorities?.[0] ?? '');
  afterTest(() => vi.unstubAllEnvs());
  expect(await fetchMachineTypes(readSiteAddress('hub.test'), 'ann', 'secret')).toEqual(LIST);
  expect(internet.proxy.targets).toEqual(['hub.test:443']);
});

test('metahub login follows no redirect, so that no other host gets the password', async () => {
  const other = closing(await startServer((_, response) => void response.end(JSON.stringify(LIST))));
  const site = closing(
    await startServer((_, response) => void response.writeHead(307, { location: other.url }).end()),
  );
  const asked = fetchMachineTypes(readSiteAddress(`127.0.0.1:${site.port}`), 'ann', 'secret');
  await expect(asked).rejects.toThrow('answers 307');
  expect(other.requests).toEqual([]);
});
