import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { openConnection } from '../../src/cli/open-upstream.ts';
import { fetchOver } from '../../src/cli/provider-fetch.ts';
import { check } from '../../src/lib/schema.ts';
import { openMachineAdmin } from '../../src/site/machine-admin.ts';
import { Sessions } from '../../src/site/oidc/session.ts';
import { OidcProviderSettings, type OidcSettings, personOf } from '../../src/site/oidc/settings.ts';
import type { SiteOptions } from '../../src/site/site.ts';
import { randomTokenKey } from '../../src/site/token.ts';
import { startServer } from '../support/hostile-registry.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { MemoryServer } from '../support/memory-store.ts';
import { Browser, DEVICE_CLIENT, SITE_CLIENT, startOpenidProvider } from '../support/oidc-provider.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';
import { afterTest } from '../support/upstream.ts';

// The time stands still: a token that ends in a moment must not end while a busy machine brings it.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
});

const nowS = () => Math.floor(Date.now() / 1000);

const RULES = [
  { claims: { groups: 'hpc-admins' }, account: '{email}', role: 'admin' },
  { claims: { groups: ['hpc', 'ml'] }, account: '{email}', groupsClaim: 'groups' },
  { claims: { groups: 'visitors' }, account: 'visitors' },
];

const PEOPLE = {
  'sub-alice': { email: 'alice@example.org', preferred_username: 'alice', groups: ['hpc-admins'] },
  'sub-bob': { email: 'bob@example.org', preferred_username: 'bob', groups: ['hpc', 'unknown-here'] },
  'sub-carol': { email: 'carol@example.org', preferred_username: 'carol', groups: ['visitors'] },
  'sub-dave': { email: 'dave@example.org', preferred_username: 'dave', groups: [] },
  // Calls themselves like an account that is there.
  'sub-eve': { email: 'root', preferred_username: 'root', groups: ['hpc'] },
};

function settingsOf(written: object): OidcSettings {
  const { output, problems } = check(OidcProviderSettings, written);
  if (output === undefined) throw new Error(JSON.stringify(problems));
  return output;
}

interface SiteAtOptions extends Pick<Partial<SiteOptions>, 'machines' | 'tokenKey' | 'shared' | 'url'> {
  readonly secret?: string | undefined;
}

/** A site on a socket, whose people log in at `issuer`. */
async function siteAt(
  issuer: string,
  { secret = SITE_CLIENT.secret as string | undefined, ...more }: SiteAtOptions = {},
) {
  const machines =
    more.machines ??
    (await machineFolder({
      'groups.yaml': 'hpc: { repositories: [hpc/*], push: [hpc/push] }\nml: { repositories: [ml/*] }\n',
      'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
      'visitors.yaml': `user: visitors\npassword: "${await hashed('visitors')}"\nrepositories: [open/*]\n`,
    }));
  let site: Awaited<ReturnType<typeof openTestSite>> | undefined;
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://site').pathname;
    const folder = [...(site?.handlers.keys() ?? [])].find(
      (one) => one.endsWith('/') && path.startsWith(one),
    );
    const handler =
      site?.handlers.get(path) ?? (folder === undefined ? undefined : site?.handlers.get(folder));
    if (handler === undefined) response.writeHead(404).end('no such page');
    else handler(request, response);
  });
  const port = await listenOnLoopback(server);
  afterTest(() => void server.closeAllConnections());
  afterTest(() => new Promise((resolve) => void server.close(resolve)));
  const url = `http://127.0.0.1:${port}`;
  const { tokenKey = randomTokenKey() } = more;
  const settings = settingsOf({
    issuer,
    clientId: SITE_CLIENT.id,
    deviceClientId: DEVICE_CLIENT,
    accounts: RULES,
  });
  const opened = await openTestSite({
    url,
    ...more,
    ...{ machines, tokenKey },
    wallClock: Date.now,
    oidc: {
      ...{ settings, secret, siteUrl: more.url ?? url, close: async () => {} },
      fetch: fetchOver(openConnection(issuer).transport),
    },
  });
  site = opened;
  const fileOf = (user: string) => readFile(join(machines, `${user}.yaml`), 'utf8');
  const reasons = () =>
    opened.log.filter(({ event }) => event === 'access-refused').map(({ fields }) => fields['reason']);
  return { ...opened, url, tokenKey, machines, fileOf, reasons };
}

/** A site and the provider that its people log in at; `people` may change. */
async function siteWithProvider(people: Record<string, Record<string, unknown>> = structuredClone(PEOPLE)) {
  const redirects: string[] = [];
  const provider = await startOpenidProvider(people, () => redirects);
  afterTest(() => provider.close());
  const site = await siteAt(provider.issuer);
  redirects.push(`${site.url}/login/callback`);
  const exchange = (idToken: string, more: Readonly<Record<string, string>> = {}) =>
    fetch(`${site.url}/login/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: idToken,
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        ...more,
      }),
    });
  const idTokenOf = (subject: keyof typeof PEOPLE, more: JWTPayload = {}) => {
    const { email, groups } = PEOPLE[subject];
    const basics = { iss: provider.issuer, aud: DEVICE_CLIENT, sub: subject, iat: nowS(), exp: nowS() + 300 };
    return provider.sign({ ...basics, email, groups, jti: String(Math.random()), ...more });
  };
  return { ...site, provider, people, exchange, idTokenOf };
}

describe('a login at an OpenID provider', () => {
  test('creates an account bound to the person, and a session for the API', async () => {
    const { url, fileOf, log } = await siteWithProvider();
    const browser = new Browser();
    const ended = await browser.logIn(`${url}/login?return=/api/v1/accounts/alice@example.org`, 'sub-alice');
    expect(ended.url).toBe(`${url}/api/v1/accounts/alice@example.org`);
    expect(await ended.answer.json()).toMatchObject({ user: 'alice@example.org', role: 'admin' });
    expect(await fileOf('alice@example.org')).toContain('subject: sub-alice');
    expect(log.map(({ event, fields }) => [event, fields['operation'], fields['who']])).toContainEqual([
      'access-admitted',
      'login',
      'alice@example.org',
    ]);
    const others = await browser.request(`${url}/api/v1/accounts/root`);
    expect(others.status).toBe(200);
  });

  test('sets role and groups from the claims at each login, without unknown groups', async () => {
    const { url, fileOf, people } = await siteWithProvider();
    await new Browser().logIn(`${url}/login`, 'sub-bob');
    expect(await fileOf('bob@example.org')).toMatch(/groups:\n {2}- hpc\n(?! )/);
    expect(await fileOf('bob@example.org')).not.toContain('role');
    people['sub-bob'] = { ...people['sub-bob'], groups: ['hpc-admins'] };
    const browser = new Browser();
    await browser.logIn(`${url}/login`, 'sub-bob');
    expect(await fileOf('bob@example.org')).toContain('role: admin');
    expect(await fileOf('bob@example.org')).not.toContain('groups');
  });

  test('lets a person pull nothing while the site knows none of the groups that their rule names', async () => {
    const { url, people, machines } = await siteWithProvider();
    await writeFile(join(machines, 'groups.yaml'), 'hpc: { repositories: [hpc/*] }\n');
    const mayPull = async (groups: readonly string[], user: 'bob' | 'eva') => {
      const [subject, email] = [`sub-${user}`, `${user}@example.org`];
      people[subject] = { email, groups };
      const browser = new Browser();
      const { answer } = await browser.logIn(`${url}/login?return=/api/v1/accounts/${email}`, subject);
      const { repositories, groups: known } = (await answer.json()) as Record<string, readonly string[]>;
      return { repositories, known };
    };
    expect(await mayPull(['hpc'], 'bob')).toEqual({ repositories: [], known: ['hpc'] });
    expect(await mayPull(['ml'], 'bob')).toEqual({ repositories: [], known: [] });
    expect(await mayPull(['ml'], 'eva')).toEqual({ repositories: [], known: [] });
  });

  test.each([
    ['sub-dave', 'no-rule', 'dave@example.org'],
    ['sub-eve', 'account-of-another', 'root'],
  ] as const)('refuses the person %s with the reason %s', async (subject, reason, user) => {
    const { url, reasons, machines, fileOf } = await siteWithProvider();
    const before = await fileOf('root');
    const { answer } = await new Browser().logIn(`${url}/login`, subject);
    expect(answer.status).toBe(403);
    expect(reasons()).toEqual([reason]);
    expect(await fileOf('root')).toBe(before);
    expect(await readdir(machines)).not.toContain(`${user}@example.org.yaml`);
  });

  test.each(['qnib-type1', 'groups'])(
    'refuses a person whose account would be %s, because the name is taken',
    async (email) => {
      const { url, reasons, machines, people } = await siteWithProvider();
      const qnib = `user: qnib\npassword: "${await hashed('qnib')}"\ntypes: [{ name: type1, features: [] }]\n`;
      await writeFile(join(machines, 'qnib.yaml'), qnib);
      people['sub-bob'] = { email, groups: ['hpc'] };
      const before = await readdir(machines);
      const { answer } = await new Browser().logIn(`${url}/login`, 'sub-bob');
      expect([answer.status, reasons()]).toEqual([403, ['account-of-another']]);
      expect(await readdir(machines)).toEqual(before);
    },
  );

  test('logs a person in twice at the same time, with one account', async () => {
    const { exchange, idTokenOf, fileOf } = await siteWithProvider();
    const tokens = await Promise.all([idTokenOf('sub-bob'), idTokenOf('sub-bob'), idTokenOf('sub-bob')]);
    const answers = await Promise.all(tokens.map((token, at) => exchange(token, { name: `t${at}` })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await fileOf('bob@example.org')).match(/- name: t\d/g)).toHaveLength(3);
  });

  test('lets several people share an existing account', async () => {
    const { url } = await siteWithProvider();
    const { answer } = await new Browser().logIn(`${url}/login?return=/api/v1/accounts`, 'sub-carol');
    expect(await answer.json()).toMatchObject({ accounts: [{ user: 'visitors' }] });
  });

  test('lets a person, but not a password, create and revoke expiring tokens of their own account', async () => {
    const { url, admit } = await siteWithProvider();
    const browser = new Browser();
    await browser.logIn(`${url}/login`, 'sub-bob');
    const post = (path: string, body: object, headers: Readonly<Record<string, string>> = {}) =>
      browser.request(`${url}/api/v1${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin', ...headers },
      });
    const made = await post('/accounts/bob@example.org/tokens', { name: 'ci', expires: null });
    expect(made.status).toBe(201);
    const { token, expires } = (await made.json()) as { token: string; expires: string };
    expect(Date.parse(expires)).toBeLessThan(Date.now() + 91 * 24 * 3600_000);
    const late = await post('/accounts/bob@example.org/tokens', {
      name: 'l',
      expires: '2999-01-01T00:00:00Z',
    });
    const { expires: latest } = (await late.json()) as { expires: string };
    expect(Date.parse(latest)).toBeLessThan(Date.now() + 91 * 24 * 3600_000);
    expect(await admit(basic('bob@example.org', token), 'hpc/solver')).toMatchObject({ kind: 'admitted' });
    expect(await admit(basic('bob@example.org', token), 'ml/model')).toMatchObject({ kind: 'refused' });
    expect((await post('/accounts/root/tokens', { name: 'ci' })).status).toBe(404);
    expect((await post('/accounts/bob@example.org/types', { name: 'x', features: [] })).status).toBe(403);
    const elsewhere = await post(
      '/accounts/bob@example.org/tokens',
      { name: 'x' },
      { 'sec-fetch-site': 'cross-site' },
    );
    expect(elsewhere.status).toBe(403);
    const byPassword = await fetch(`${url}/api/v1/accounts/visitors/tokens`, {
      method: 'POST',
      body: '{"name":"ci"}',
      headers: { 'content-type': 'application/json', authorization: basic('visitors', 'visitors') },
    });
    expect(byPassword.status).toBe(403);
  });

  test('begins a session that ends at logout, with its account, and with the account’s password', async () => {
    const { url, machines, clock } = await siteWithProvider();
    const browser = new Browser();
    const mine = () => browser.request(`${url}/api/v1/accounts`).then(({ status }) => status);
    await browser.logIn(`${url}/login`, 'sub-bob');
    expect(await mine()).toBe(200);
    expect(
      (
        await browser.request(`${url}/logout`, {
          headers: { origin: 'https://evil.example' },
          method: 'POST',
        })
      ).status,
    ).toBe(403);
    const stolen = browser.cookiesFor(url).get('metahub-session') ?? '';
    expect((await browser.request(`${url}/logout`, { method: 'POST' })).status).toBe(303);
    expect(await mine()).toBe(401);
    browser.cookiesFor(url).set('metahub-session', stolen);
    expect(await mine()).toBe(401);
    await browser.logIn(`${url}/login`, 'sub-bob');
    expect(await mine()).toBe(200);
    await openMachineAdmin(machines).change('bob@example.org', {
      kind: 'change-account',
      change: { password: await hashed('another') },
    });
    clock.ms += 1000;
    expect(await mine()).toBe(401);
  });

  test('sets small cookies that scripts cannot read and nobody can forge', async () => {
    const { url } = await siteWithProvider();
    const browser = new Browser();
    const first = await browser.request(`${url}/login`);
    expect(first.headers.get('cache-control')).toBe('no-store');
    expect(first.headers.getSetCookie()[0]).toMatch(
      /^metahub-login=[\w-]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    await browser.logIn(`${url}/login`, 'sub-bob');
    const jar = browser.cookiesFor(url);
    const session = jar.get('metahub-session') ?? '';
    expect(session.length).toBeLessThan(1024);
    const changed = `${session.slice(0, 40)}${session[40] === 'A' ? 'B' : 'A'}${session.slice(41)}`;
    for (const forged of [changed, '', 'x', session.slice(1)]) {
      jar.set('metahub-session', forged);
      expect((await browser.request(`${url}/api/v1/accounts`)).status).toBe(401);
    }
  });

  test('refuses an unrequested callback and a used one', async () => {
    const { url, reasons } = await siteWithProvider();
    const victim = new Browser();
    const attacker = new Browser();
    const stopAt = `${url}/login/callback`;
    // The attacker logs in, and has the victim's browser open where that ends.
    const theirs = await attacker.logIn(`${url}/login`, 'sub-carol', stopAt);
    expect(theirs.url).toContain('code=');
    expect((await victim.request(theirs.url)).status).toBe(403);
    await victim.request(`${url}/login`);
    expect((await victim.request(theirs.url)).status).toBe(403);
    const before = new Map(attacker.cookiesFor(url));
    expect((await attacker.request(theirs.url)).status).toBe(303);
    for (const [name, value] of before) attacker.cookiesFor(url).set(name, value);
    expect((await attacker.request(theirs.url)).status).toBe(403);
    expect(reasons()).toEqual(['no-login-begun', 'other-state', 'login-used']);
  });
});

describe('replicas of a site at an OpenID provider', () => {
  /** Two replicas, as behind one load balancer whose URL is that of the first. */
  async function twoReplicas() {
    const server = new MemoryServer();
    const redirects: string[] = [];
    const provider = await startOpenidProvider(structuredClone(PEOPLE), () => redirects);
    afterTest(() => provider.close());
    const tokenKey = randomTokenKey();
    const open = async (more: SiteAtOptions = {}) => {
      const { state } = server.replica();
      await expect.poll(() => state.trouble).toBeUndefined();
      return { ...(await siteAt(provider.issuer, { tokenKey, shared: state, ...more })), state };
    };
    const one = await open();
    redirects.push(`${one.url}/login/callback`);
    const again = () => open({ machines: one.machines, url: one.url });
    const at = async (
      { url }: { readonly url: string },
      path: string,
      jar: ReadonlyMap<string, string>,
      method = 'GET',
    ) =>
      fetch(`${url}${path}`, {
        method,
        redirect: 'manual',
        headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
      });
    return { server, provider, one, other: await again(), again, at };
  }

  test('refuse a callback, and an ID token, that another has used', async () => {
    const { one, other, provider, at } = await twoReplicas();
    const browser = new Browser();
    const begun = await browser.logIn(`${one.url}/login`, 'sub-carol', `${one.url}/login/callback`);
    const { pathname, search } = new URL(begun.url);
    const cookies = new Map(browser.cookiesFor(one.url));
    expect((await at(one, `${pathname}${search}`, cookies)).status).toBe(303);
    expect((await at(other, `${pathname}${search}`, cookies)).status).toBe(403);
    const idToken = await provider.sign({
      ...{ iss: provider.issuer, aud: DEVICE_CLIENT, sub: 'sub-carol', iat: nowS(), exp: nowS() + 300 },
      ...PEOPLE['sub-carol'],
    });
    const exchange = ({ url }: { readonly url: string }) =>
      fetch(`${url}/login/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: idToken,
          subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        }),
      });
    const both = await Promise.all([exchange(one), exchange(other)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 403]);
    expect([...one.reasons(), ...other.reasons()]).toEqual(Array(2).fill('login-used'));
  });

  test('refuse a callback that another has used, although Redis lost the record, and one of their own while Redis is down', async () => {
    const { server, one, other, at } = await twoReplicas();
    const use = async (site: typeof one, harm: () => void) => {
      const browser = new Browser();
      const { url } = await browser.logIn(`${one.url}/login`, 'sub-carol', `${one.url}/login/callback`);
      const path = url.slice(one.url.length);
      const cookies = new Map(browser.cookiesFor(one.url));
      expect((await at(one, path, cookies)).status).toBe(303);
      harm();
      return at(site, path, cookies);
    };
    expect((await use(other, () => server.values.clear())).status).toBe(403);
    expect(other.reasons()).toEqual(['login-used']);
    server.isDown = true;
    for (const { state } of [one, other]) await expect.poll(() => state.trouble).toBeDefined();
    expect((await use(one, () => {})).status).toBe(403);
    expect(one.reasons()).toEqual(['login-used']);
  });

  test('end a session at all of them, also at one that starts later or was disconnected', async () => {
    const { server, one, other, again, at } = await twoReplicas();
    const browser = new Browser();
    const logIn = async () => {
      await browser.logIn(`${one.url}/login`, 'sub-carol');
      return new Map(browser.cookiesFor(one.url));
    };
    const statusAt = async (site: typeof one, jar: ReadonlyMap<string, string>) =>
      (await at(site, '/api/v1/accounts', jar)).status;
    const first = await logIn();
    expect([await statusAt(one, first), await statusAt(other, first)]).toEqual([200, 200]);
    expect((await at(one, '/logout', first, 'POST')).status).toBe(303);
    expect([await statusAt(one, first), await statusAt(other, first)]).toEqual([401, 401]);
    await expect.poll(() => [...server.values.keys()].filter((key) => key.includes('ended'))).toHaveLength(1);
    const late = await again();
    await expect.poll(() => statusAt(late, first)).toBe(401);
    const second = await logIn();
    server.isDown = true;
    for (const { state } of [one, other]) await expect.poll(() => state.trouble).toBeDefined();
    expect((await at(one, '/logout', second, 'POST')).status).toBe(303);
    // Each by itself.
    expect([await statusAt(one, second), await statusAt(other, second)]).toEqual([401, 200]);
    server.values.clear();
    server.isDown = false;
    await expect.poll(() => statusAt(other, second)).toBe(401);
    expect(await statusAt(late, first)).toBe(401);
  });
});

describe('the exchange of an ID token', () => {
  test('gives an access token of the site once', async () => {
    const { exchange, idTokenOf, admit, log, reasons } = await siteWithProvider();
    const idToken = await idTokenOf('sub-bob');
    const answer = await exchange(idToken, { name: 'laptop' });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { access_token: token, username } = (await answer.json()) as {
      access_token: string;
      username: string;
    };
    expect(username).toBe('bob@example.org');
    expect(await admit(basic(username, token), 'hpc/solver')).toMatchObject({ kind: 'admitted' });
    expect(log).toContainEqual({
      event: 'token-issued',
      fields: expect.objectContaining({ who: 'bob@example.org', token: 'laptop' }),
    });
    const [head, payload, signature = ''] = idToken.split('.');
    // The last character of a signature has bits that do not count.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet[alphabet.indexOf(signature.at(-1) ?? '') ^ 1];
    for (const again of [idToken, `${head}.${payload}.${signature.slice(0, -1)}${last}`]) {
      expect((await exchange(again)).status).toBe(403);
    }
    expect(reasons()).toEqual(['login-used', 'login-used']);
    expect(JSON.stringify(log)).not.toContain(signature);
  });

  test('ends the token of the previous login with the same name', async () => {
    const { exchange, idTokenOf, admit } = await siteWithProvider();
    const tokens: string[] = [];
    for (let at = 0; at < 2; at += 1) {
      const answer = await exchange(await idTokenOf('sub-bob'), { name: 'laptop' });
      tokens.push(((await answer.json()) as { access_token: string }).access_token);
    }
    expect(await admit(basic('bob@example.org', tokens[0] ?? ''), 'hpc/a')).toMatchObject({
      kind: 'refused',
    });
    expect(await admit(basic('bob@example.org', tokens[1] ?? ''), 'hpc/a')).toMatchObject({
      kind: 'admitted',
    });
  });

  test.each<[string, () => JWTPayload]>([
    ['of another issuer', () => ({ iss: 'https://evil.example' })],
    ['for another audience', () => ({ aud: 'another-client' })],
    ['that has expired', () => ({ exp: nowS() - 60 })],
    ['that was issued long ago', () => ({ iat: nowS() - 3600 })],
    ['from the future', () => ({ iat: nowS() + 3600 })],
    ['not valid yet', () => ({ nbf: nowS() + 3600 })],
    ['without a subject', () => ({ sub: undefined as never })],
    ['without an end', () => ({ exp: undefined as never })],
  ])('refuses an ID token %s', async (_, claims) => {
    const { exchange, idTokenOf, reasons } = await siteWithProvider();
    expect((await exchange(await idTokenOf('sub-alice', claims()))).status).toBe(403);
    expect(reasons()).toEqual(['no-valid-login']);
  });

  test('accepts a clock difference of some seconds', async () => {
    const { exchange, idTokenOf } = await siteWithProvider();
    for (const claims of [
      { iat: nowS() + 20, nbf: nowS() + 20 },
      { exp: nowS() - 20, iat: nowS() - 300 },
    ]) {
      expect((await exchange(await idTokenOf('sub-alice', claims))).status).toBe(200);
    }
  });

  test('refuses an ID token without a signature, or signed with another key or the client secret', async () => {
    const { exchange, idTokenOf, provider } = await siteWithProvider();
    const [head = '', payload = ''] = (await idTokenOf('sub-alice')).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const { privateKey } = await generateKeyPair('RS256');
    const forged = [
      new UnsecuredJWT(claims).encode(),
      `${head}.${payload}.`,
      await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'test' }).sign(privateKey),
      await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(SITE_CLIENT.secret)),
      'no token',
      '',
    ];
    for (const token of forged) expect((await exchange(token)).status, token).toBe(403);
    expect(provider.issuer).toBe(claims.iss);
  });

  test('refuses another grant type, an invalid name, GET and an overlong token', async () => {
    const { exchange, idTokenOf, url } = await siteWithProvider();
    const idToken = await idTokenOf('sub-bob');
    expect((await exchange(idToken, { grant_type: 'password' })).status).toBe(400);
    expect((await exchange(idToken, { name: 'a/b' })).status).toBe(400);
    expect((await fetch(`${url}/login/token`)).status).toBe(405);
    expect((await exchange('x'.repeat(20_000))).status).toBe(413);
  });
});

const forgingKey = generateKeyPair('RS256', { extractable: true });

/** A provider that gives whatever ID token a test wants for any code. */
async function forgingProvider() {
  const { privateKey } = await forgingKey;
  const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...jwk } = await exportJWK(privateKey);
  let idToken = (_nonce: string): Promise<string> | string => '';
  let lastNonce = '';
  const server = await startServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://provider');
    const json = async (document: object | Promise<object>) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(await document));
    };
    if (pathname === '/.well-known/openid-configuration') {
      const { url } = server;
      void json({
        issuer: url,
        authorization_endpoint: `${url}/auth`,
        token_endpoint: `${url}/token`,
        jwks_uri: `${url}/jwks`,
        response_types_supported: ['code'],
        id_token_signing_alg_values_supported: ['RS256', 'none', 'HS256'],
      });
    } else if (pathname === '/jwks') void json({ keys: [{ ...jwk, kid: 'k', alg: 'RS256', use: 'sig' }] });
    else if (pathname === '/token') {
      void json(
        Promise.resolve(idToken(lastNonce)).then((id_token) => ({
          access_token: 'a',
          token_type: 'Bearer',
          id_token,
        })),
      );
    } else response.writeHead(404).end();
  });
  afterTest(() => server.close());
  return {
    issuer: server.url,
    sign: (claims: JWTPayload) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'k' }).sign(privateKey),
    give: (token: typeof idToken) => {
      idToken = token;
    },
    /** The code that the provider gives for a login, as a URL of the site. */
    answer: (authorization: string, more = '') => {
      const query = new URL(authorization).searchParams;
      lastNonce = query.get('nonce') ?? '';
      return `${query.get('redirect_uri')}?code=c&state=${query.get('state')}${more}`;
    },
  };
}

describe('an ID token from the authorization code', () => {
  async function loginWith(
    claims: (issuer: string, nonce: string) => JWTPayload,
    encode?: (claims: JWTPayload) => Promise<string>,
    more = '',
  ) {
    const provider = await forgingProvider();
    const { url, reasons } = await siteAt(provider.issuer);
    provider.give((nonce) => (encode ?? provider.sign)(claims(provider.issuer, nonce)));
    const browser = new Browser();
    const begun = await browser.request(`${url}/login`);
    const { status } = await browser.request(provider.answer(begun.headers.get('location') ?? '', more));
    return { status, reasons: reasons() };
  }

  const good = (issuer: string, nonce: string): JWTPayload => ({
    ...{ iss: issuer, aud: SITE_CLIENT.id, sub: 's', iat: nowS(), exp: nowS() + 300, nonce },
    ...{ email: 'mallory@example.org', groups: ['hpc-admins'] },
  });
  const refused = { status: 403, reasons: ['no-valid-login'] };

  test('is accepted when it is valid', async () => {
    expect(await loginWith(good)).toEqual({ status: 303, reasons: [] });
  });

  test.each<[string, () => JWTPayload]>([
    ['another issuer', () => ({ iss: 'https://evil.example' })],
    ['another audience', () => ({ aud: 'another-client' })],
    ['another nonce', () => ({ nonce: 'of another login' })],
    ['an end in the past', () => ({ exp: nowS() - 60 })],
    ['a beginning in the future', () => ({ nbf: nowS() + 600 })],
  ])('is refused with %s', async (_, claims) => {
    expect(await loginWith((issuer, nonce) => ({ ...good(issuer, nonce), ...claims() }))).toEqual(refused);
  });

  test.each<[string, () => JWTPayload]>([
    ['ended 20 seconds ago', () => ({ exp: nowS() - 20, iat: nowS() - 300 })],
    ['begins in 20 seconds', () => ({ nbf: nowS() + 20, iat: nowS() + 20 })],
  ])('is accepted when it %s, because clocks differ', async (_, claims) => {
    const { status } = await loginWith((issuer, nonce) => ({ ...good(issuer, nonce), ...claims() }));
    expect(status).toBe(303);
  });

  test('is refused without a signature', async () => {
    expect(await loginWith(good, async (claims) => new UnsecuredJWT(claims).encode())).toEqual(refused);
  });

  test('is refused when it is signed with the client secret', async () => {
    const encode = (claims: JWTPayload) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(SITE_CLIENT.secret));
    expect(await loginWith(good, encode)).toEqual(refused);
  });

  test('is refused when the answer names another issuer (RFC 9207)', async () => {
    expect(await loginWith(good, undefined, '&iss=https%3A%2F%2Fevil.example')).toEqual(refused);
  });

  test('is refused from another provider than the one that the login was begun at', async () => {
    const [former, current] = [await forgingProvider(), await forgingProvider()];
    const before = await siteAt(former.issuer);
    // The same site after a reload, which reads its cookies.
    const { tokenKey, machines, url } = before;
    const after = await siteAt(current.issuer, { tokenKey, machines, url });
    current.give((nonce) => current.sign(good(current.issuer, nonce)));
    const finish = async (begun: Response) => {
      const { search } = new URL(current.answer(begun.headers.get('location') ?? ''));
      const cookie = begun.headers.getSetCookie()[0]?.split(';')[0] ?? '';
      return fetch(`${after.url}/login/callback${search}`, { headers: { cookie }, redirect: 'manual' });
    };
    const beginAt = (site: string) => fetch(`${site}/login`, { redirect: 'manual' });
    expect((await finish(await beginAt(after.url))).status).toBe(303);
    expect((await finish(await beginAt(before.url))).status).toBe(403);
    expect(after.reasons()).toEqual(['other-state']);
  });
});

test('a login fails at once while the provider is down, and the next one asks it again', async () => {
  const { url, log } = await siteAt('http://127.0.0.1:1');
  expect((await fetch(`${url}/login`, { redirect: 'manual' })).status).toBe(502);
  expect(log.map(({ event }) => event)).toContain('oidc-provider-fails');
});

test('a site with TLS sets cookies with the prefix __Host-', async () => {
  const find = () => undefined;
  const sessions = new Sessions({ tokenKey: randomTokenKey(), secure: true, find, wallClock: Date.now });
  const begun = { state: 's', nonce: 'n', verifier: 'v', issuer: 'i', returnTo: '/' };
  const written = sessions.storeLogin(begun);
  expect(written).toMatch(
    /^__Host-metahub-login=[\w-]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
  );
  const [cookie = ''] = written.split(';');
  expect(sessions.readLogin(`a=b; ${cookie}`)).toMatchObject(begun);
  expect(sessions.readLogin(cookie.replace('__Host-', ''))).toBeUndefined();
  expect(await sessions.end(undefined)).toMatch(/^__Host-metahub-session=; Max-Age=0; .*Secure$/);
});

describe('personOf()', () => {
  const rules = settingsOf({ issuer: 'https://id.example.org', clientId: 'c', accounts: RULES }).accounts;
  const claims = (more: object) => ({ iss: 'https://id.example.org', sub: 's', ...more });

  test.each([
    [
      'the first rule that fits decides',
      { email: 'a@b.c', groups: ['hpc', 'hpc-admins'] },
      { user: 'a@b.c', role: 'admin', groups: [] },
    ],
    [
      'one of the values of a claim is enough',
      { email: 'a@b.c', groups: ['ml'] },
      { user: 'a@b.c', role: undefined, groups: ['ml'] },
    ],
    [
      'a claim that is one text counts as a list of it',
      { email: 'a@b.c', groups: 'ml' },
      { user: 'a@b.c', groups: ['ml'] },
    ],
    ['a shared account', { groups: ['visitors'] }, { user: 'visitors', isShared: true }],
    ['no rule fits', { email: 'a@b.c', groups: ['other'] }, undefined],
    ['the claim of the name is missing', { groups: ['ml'] }, undefined],
    ['the name is a path', { email: '../a', groups: ['ml'] }, undefined],
    [
      'the name has a slash, as user names of machines have',
      { email: 'root/zen4', groups: ['ml'] },
      undefined,
    ],
    ['the name is not text', { email: ['a@b.c'], groups: ['ml'] }, undefined],
  ])('maps claims: %s', (_, more, expected) => {
    const person = personOf(claims(more), rules);
    if (expected === undefined) expect(person).toBeUndefined();
    else expect(person).toMatchObject({ issuer: 'https://id.example.org', subject: 's', ...expected });
  });
});
