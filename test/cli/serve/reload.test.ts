import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServeSettings } from '../../../src/cli/serve/compose.ts';
import { needRestart } from '../../../src/cli/serve/reload.ts';
import { selfSigned } from '../../support/certificates.ts';
import { startServer, type TestServer } from '../../support/hostile-registry.ts';
import { freePort } from '../../support/loopback.ts';
import { type Metahub, startMetahub } from '../../support/metahub.ts';
import {
  Browser,
  type OpenidProvider,
  SITE_CLIENT,
  startOpenidProvider,
} from '../../support/oidc-provider.ts';
import { hashed } from '../../support/site.ts';
import { openWorkplace, type Workplace } from '../../support/workplace.ts';

const PEOPLE = { 'sub-alice': { email: 'alice@example.org', preferred_username: 'alice', groups: ['hpc'] } };

describe('a reload of a site', () => {
  let workplace: Workplace;
  let provider: OpenidProvider;
  let other: OpenidProvider;
  let site: Metahub;
  let hook: TestServer;
  let base: string;
  const file = (name: string, text: string) => {
    const path = join(workplace.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };

  /** Writes the settings, reloads, and waits until the mirror has done so. */
  async function reload(settings: string): Promise<string> {
    const before = site.log().length;
    file('config.yaml', `${base}${settings}`);
    site.reload();
    const since = () => site.log().slice(before);
    await expect.poll(since).toMatch(/"event":"(reloaded|reload-refused)"/);
    return since();
  }
  const oidcAt = ({ issuer }: OpenidProvider, secretFile: string) => `oidc:
  issuer: ${issuer}
  clientId: ${SITE_CLIENT.id}
  clientSecretFile: ${secretFile}
  accounts:
    - { claims: { groups: hpc }, account: "{email}", role: admin }
`;
  const statusOf = async (path: string, init: RequestInit = {}) =>
    (await fetch(`${site.url}${path}`, { redirect: 'manual', ...init })).status;

  beforeAll(async () => {
    workplace = openWorkplace();
    hook = await startServer((_request, response) => void response.writeHead(204).end());
    workplace.onClose(hook.close);
    const host = `127.0.0.1:${await freePort()}`;
    [provider, other] = await Promise.all([
      startOpenidProvider(PEOPLE, () => [`http://${host}/login/callback`]),
      startOpenidProvider(PEOPLE, () => [`http://${host}/login/callback`]),
    ]);
    workplace.onClose(provider.close);
    workplace.onClose(other.close);
    const machines = join(workplace.directory, 'machines.d');
    mkdirSync(machines);
    writeFileSync(
      join(machines, 'nodes.yaml'),
      `user: nodes\npassword: "${await hashed('nodes')}"\ntypes: [{ name: epyc, features: [cpu:zen4] }]\n`,
    );
    base = `siteUrl: http://${host}\nmachines: ${machines}\n`;
    const config = file('config.yaml', base);
    site = await startMetahub(workplace, {
      upstream: 'http://127.0.0.1:9',
      args: ['--config', config, '--listen', host],
    });
  });
  afterAll(() => workplace?.close());

  test('adds a provider, keeps its sessions and used logins over the next reload, and takes it away', async () => {
    expect(await statusOf('/login')).toBe(404);
    const secret = file('oidc.secret', SITE_CLIENT.secret);
    await reload(oidcAt(provider, secret));
    const browser = new Browser();
    const callback = `${site.url}/login/callback`;
    const { url } = await browser.logIn(`${site.url}/login`, 'sub-alice', callback);
    const begun = new Map(browser.cookiesFor(site.url));
    expect((await browser.request(url)).status).toBe(303);
    const accounts = () => browser.request(`${site.url}/api/v1/accounts`).then(({ status }) => status);
    expect(await accounts()).toBe(200);
    const ended = new Browser();
    await ended.logIn(`${site.url}/login`, 'sub-alice');
    const stolen = new Map(ended.cookiesFor(site.url));
    expect((await ended.request(`${site.url}/logout`, { method: 'POST' })).status).toBe(303);
    // The same provider, with another rule.
    await reload(`${oidcAt(provider, secret)}    - { claims: { groups: web }, account: web }\n`);
    expect(await accounts()).toBe(200);
    const cookieOf = (jar: ReadonlyMap<string, string>) =>
      [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    expect(await statusOf(url.slice(site.url.length), { headers: { cookie: cookieOf(begun) } })).toBe(403);
    expect(site.log()).toContain('"reason":"login-used"');
    expect(await statusOf('/api/v1/accounts', { headers: { cookie: cookieOf(stolen) } })).toBe(401);
    await reload('');
    expect(await statusOf('/login')).toBe(404);
    expect(await accounts()).toBe(401);
  });

  test('refuses a login that was begun at the provider before', async () => {
    const secret = file('oidc.secret', SITE_CLIENT.secret);
    await reload(oidcAt(provider, secret));
    const browser = new Browser();
    const { url } = await browser.logIn(`${site.url}/login`, 'sub-alice', `${site.url}/login/callback`);
    await reload(oidcAt(other, secret));
    expect((await browser.request(url)).status).toBe(403);
    expect(site.log()).toContain('"reason":"other-state"');
    const anew = new Browser();
    await anew.logIn(`${site.url}/login`, 'sub-alice');
    // The account belongs to the person of the former provider: see docs/site.md.
    expect(anew.cookiesFor(site.url).has('metahub-session')).toBe(false);
    await reload('');
  });

  test('adds and removes the rules by which instances of a cloud enrol', async () => {
    const challenge = () => statusOf(`/site/enrol?commitment=${'A'.repeat(43)}`);
    expect(await challenge()).toBe(405);
    const keys = file('keys.pem', (await selfSigned('azure')).cert);
    const rules = (type: string) => `enrolment:
  - { cloud: azure, accounts: ["00000000-0000-4000-8000-000000000000"], account: nodes, types: { "*": ${type} }, keys: ${keys} }
`;
    const added = await reload(rules('epyc'));
    expect(added).toContain('"event":"reloaded"');
    expect(await challenge()).toBe(200);
    await reload('');
    expect(await challenge()).toBe(405);
    const absent = join(workplace.directory, 'absent.pem');
    const refused = await reload(rules('epyc').replace(keys, absent));
    expect(refused).toContain('"event":"reload-refused"');
    expect(refused).toContain(`${absent}: cannot read the keys of azure`);
    expect(await challenge()).toBe(405);
    await reload('');
  });

  test('changes nothing at all when one of its parts is unusable', async () => {
    const secret = file('oidc.secret', SITE_CLIENT.secret);
    const webhook = `gapWebhook: ${hook.url}/hook\ngapWebhookSecret: ${file('short', 'whsec_c2hvcnQ=')}\n`;
    const refused = await reload(`${oidcAt(provider, secret)}${webhook}`);
    expect(refused).toContain('"event":"reload-refused"');
    expect(refused).toContain('holds no secret');
    expect(await statusOf('/login')).toBe(404);
    const absent = await reload(oidcAt(provider, join(workplace.directory, 'absent')));
    expect(absent).toContain('cannot read the client secret of oidc');
    expect(await statusOf('/login')).toBe(404);
    await reload('');
  });

  test('says which changed settings need a restart, and only those', async () => {
    const said = await reload(`drainTimeout: 5s\ncacheSize: 1GB\nmatch: exact\n`);
    expect(said).toMatch(/"event":"restart-needed".*"settings":"cacheSize drainTimeout"/);
    expect(await reload('match: exact\n')).not.toContain('restart-needed');
  });
});

describe('a reload of a mirror of one host', () => {
  test('gives it another receiver of gap events, which gets what the former one refused', async () => {
    const workplace = openWorkplace();
    try {
      const refusing = await startServer((_request, response) => void response.writeHead(500).end());
      const accepting = await startServer((_request, response) => void response.writeHead(204).end());
      const { startWholeMirror } = await import('../../support/whole-mirror.ts');
      workplace.onClose(refusing.close);
      workplace.onClose(accepting.close);
      const secret = join(workplace.directory, 'webhook.secret');
      writeFileSync(secret, `whsec_${randomBytes(32).toString('base64')}`, { mode: 0o600 });
      const config = join(workplace.directory, 'config.yaml');
      const written = (hook?: TestServer) =>
        writeFileSync(
          config,
          hook === undefined ? '{}\n' : `gapWebhook: ${hook.url}/hook\ngapWebhookSecret: ${secret}\n`,
        );
      written(refusing);
      const mirror = await startWholeMirror(workplace, { host: 'cpu:zen4', args: ['--config', config] });
      const { manifest } = mirror.push(100);
      const size = mirror.content.manifests.get(manifest)?.bytes.length;
      const entry = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: manifest, size };
      const platform = { os: 'linux', architecture: 'amd64' };
      const index = 'application/vnd.oci.image.index.v1+json';
      const manifests = [
        { ...entry, platform },
        { ...entry, platform: { ...platform, features: ['cpu:haswell'] } },
      ];
      mirror.content.putManifest({ schemaVersion: 2, mediaType: index, manifests }, index, 'latest');
      const pulled = await fetch(`${mirror.metahub.url}/v2/qnib/bench/manifests/latest`, {
        headers: { accept: index },
      });
      expect(pulled.status).toBe(200);
      await expect.poll(() => refusing.requests.length).toBeGreaterThan(0);
      written(accepting);
      mirror.metahub.reload();
      await expect.poll(() => accepting.requests.length).toBe(1);
      const waiting = async () =>
        /metahub_gap_events_waiting (\d+)/.exec(
          await (await fetch(`${mirror.metahub.url}/metrics`)).text(),
        )?.[1];
      await expect.poll(waiting).toBe('0');
      const sent = refusing.requests.length;
      // Without a receiver, and with one again: a delivered event is not repeated.
      for (const hook of [undefined, accepting]) {
        const before = mirror.metahub.log().split('"event":"reloaded"').length;
        written(hook);
        mirror.metahub.reload();
        await expect
          .poll(() => mirror.metahub.log().split('"event":"reloaded"').length)
          .toBeGreaterThan(before);
      }
      expect(await waiting()).toBe('0');
      expect([refusing.requests.length, accepting.requests.length]).toEqual([sent, 1]);
    } finally {
      await workplace.close();
    }
  });
});

test('needRestart() names oidc and enrolment for a mirror that has no site', () => {
  const values = (more: object) =>
    ({ oidc: undefined, listen: { host: 'a', port: 1 }, ...more }) as unknown as ServeSettings['values'];
  const changed = values({ oidc: { issuer: 'https://a' }, listen: { host: 'a', port: 2 } });
  expect(needRestart(values({}), changed, { isSite: false })).toEqual(['oidc', 'listen']);
  expect(needRestart(values({}), changed, { isSite: true })).toEqual(['listen']);
  expect(needRestart(values({}), values({}), { isSite: true })).toEqual([]);
});
