import { chmod, chown, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { decodeJwt, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { keyFileProblem, loadTokenKey, randomTokenKey, TokenKeyError } from '../../src/site/token.ts';
import { temporaryFolder } from '../support/folder.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';
import { afterTest, repository } from '../support/upstream.ts';

/** A site whose token service answers on a real socket. */
async function listening(options: Parameters<typeof openTestSite>[0] = { staticMachines: true }) {
  const site = await openTestSite(options);
  const server = createServer((request, response) => {
    site.handlers.get(request.url?.split('?')[0] ?? '')?.(request, response);
  });
  const port = await listenOnLoopback(server);
  afterTest(() => new Promise((resolve) => server.close(resolve)));
  const url = `http://127.0.0.1:${port}/token`;
  const get = (query: string, authorization?: string) =>
    fetch(`${url}?${query}`, { headers: authorization === undefined ? {} : { authorization } });
  const tokenFor = async (login: string, scope: string) => {
    const answer = await get(`service=metahub&scope=${scope}`, basic(login, login));
    return ((await answer.json()) as { token: string }).token;
  };
  return { ...site, url, get, tokenFor };
}

const SCOPE = 'repository:qnib/bench:pull';

describe('the token service', () => {
  test('gives a token for the requested scope, in the specified format', async () => {
    const { get } = await listening();
    const answer = await get(
      `service=metahub&scope=${SCOPE}&account=qnib-type1`,
      basic('qnib-type1', 'qnib-type1'),
    );
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const body = (await answer.json()) as Record<string, unknown>;
    expect(body).toMatchObject({ expires_in: 300, issued_at: '2023-11-14T22:13:20Z', scope: SCOPE });
    expect(body['token']).toBe(body['access_token']);
    expect(body['token']).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
  });

  test('reads the whole query, also after a second question mark', async () => {
    const { get } = await listening();
    const answer = await get(`account=a?b&scope=${SCOPE}`, basic('qnib-type1', 'qnib-type1'));
    expect(await answer.json()).toMatchObject({ scope: SCOPE });
  });

  test('gives a token without a scope, which opens the API’s root for docker login', async () => {
    const { get, admit } = await listening();
    const answer = await get('service=metahub', basic('qnib-type1', 'qnib-type1'));
    const { token } = (await answer.json()) as { token: string };
    expect((await admit(`Bearer ${token}`)).kind).toBe('admitted');
    expect((await admit(`Bearer ${token}`, 'qnib/bench')).kind).toBe('refused');
  });

  test('accepts OAuth2’s form with a password, as containerd sends it first', async () => {
    const { url, admit } = await listening();
    const body = new URLSearchParams({
      grant_type: 'password',
      service: 'metahub',
      scope: SCOPE,
      client_id: 'containerd-client',
      username: 'qnib-type1',
      password: 'qnib-type1',
    });
    const answer = await fetch(url, { method: 'POST', body });
    const { access_token: token } = (await answer.json()) as { access_token: string };
    expect((await admit(`Bearer ${token}`, 'qnib/bench')).kind).toBe('admitted');
  });

  test.each([
    ['without credentials', undefined],
    ['with a wrong password', basic('qnib-type1', 'wrong')],
    ['with a bearer token', 'Bearer x.y.z'],
  ])('refuses %s with 401', async (_, authorization) => {
    const { get } = await listening();
    const answer = await get(`scope=${SCOPE}`, authorization);
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Basic realm="metahub"');
    expect(await answer.json()).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] });
  });

  test('counts failed logins together with those of the registry', async () => {
    const { get } = await listening({ staticMachines: true, limits: { failuresMax: 1, windowMs: 5000 } });
    await get('', basic('qnib-type1', 'wrong'));
    const answer = await get('', basic('qnib-type1', 'qnib-type1'));
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '5']);
  });

  const form = (fields: Readonly<Record<string, string>>) => ({
    method: 'POST',
    body: new URLSearchParams(fields),
  });
  const NO_LOGIN = 'there is no such login, or the password is wrong';
  test.each<[string, RequestInit, number, string, string, string?]>([
    ['another method', { method: 'PUT' }, 405, 'UNSUPPORTED', 'the token service takes GET and POST'],
    [
      'another grant',
      form({ grant_type: 'refresh_token', username: 'qnib-type1', password: 'qnib-type1' }),
      400,
      'UNSUPPORTED',
      'only the grant type “password” is supported',
    ],
    [
      'no grant',
      form({ username: 'qnib-type1', password: 'qnib-type1' }),
      400,
      'UNSUPPORTED',
      'only the grant type “password” is supported',
    ],
    [
      'a form without end',
      { method: 'POST', body: 'a'.repeat(20_000) },
      413,
      'DENIED',
      'the body is too long',
    ],
    ['a form without a user', form({ grant_type: 'password', password: 'x' }), 401, 'UNAUTHORIZED', NO_LOGIN],
    [
      'a form without a password',
      form({ grant_type: 'password', username: 'qnib-type1' }),
      401,
      'UNAUTHORIZED',
      NO_LOGIN,
      'qnib-type1',
    ],
    [
      'a request without credentials',
      { method: 'GET' },
      401,
      'UNAUTHORIZED',
      'this site needs a login: send user name and password by HTTP Basic',
    ],
    [
      'credentials of another scheme',
      { headers: { authorization: 'Digest x' } },
      401,
      'UNAUTHORIZED',
      'the Authorization header is neither Basic nor Bearer',
    ],
  ])('refuses %s, and says why', async (_, init, status, code, message, who) => {
    const { url, log } = await listening();
    const answer = await fetch(url, init);
    expect([answer.status, await answer.json()]).toEqual([status, { errors: [{ code, message }] }]);
    expect(answer.headers.get('allow')).toBe(status === 405 ? 'GET, POST' : null);
    // A user name that does not exist is not logged.
    expect(log.map(({ event, fields }) => [event, fields['who']])).toEqual([['access-refused', who]]);
  });

  test('grants only pulls of repositories that the account may pull', async () => {
    const file = `user: lab\npassword: "${await hashed('lab')}"\nrepositories: [lab/*, "ghcr.io/deep/**"]\n`;
    const machines = await machineFolder({ 'lab.yaml': file });
    const { get } = await listening({ machines });
    const scopes = [
      'lab/a:pull,push',
      'other/a:pull',
      'ghcr.io/deep/b/c:pull',
      'deep/d:pull',
      'lab/e:push',
      '../x:pull',
    ];
    const query = scopes.map((scope) => `scope=repository:${scope}`).join('&');
    const answer = await get(query, basic('lab', 'lab'));
    const { scope } = (await answer.json()) as { scope: string };
    expect(scope.split(' ')).toEqual([
      'repository:lab/a:pull',
      'repository:ghcr.io/deep/b/c:pull',
      // containerd says the host beside the path (ns): a bare name may be ghcr.io's.
      'repository:deep/d:pull',
    ]);
  });
});

describe('a bearer token', () => {
  test('opens only the repository in its scope, with the login’s profile', async () => {
    const { tokenFor, admit, featuresOf } = await listening();
    const token = await tokenFor('qnib-type2', SCOPE);
    expect(featuresOf(await admit(`Bearer ${token}`, 'qnib/bench'))).toEqual(['cpu:skylake']);
    const other = await admit(`Bearer ${token}`, 'qnib/other');
    if (other.kind !== 'refused') throw new Error('it was admitted');
    expect(other.error.status).toBe(401);
    expect(other.error.headers['www-authenticate']).toContain(
      'scope="repository:qnib/other:pull",error="insufficient_scope"',
    );
  });

  test('expires, and the challenge names the expiry', async () => {
    const { tokenFor, admit, clock } = await listening();
    const token = await tokenFor('qnib-type1', SCOPE);
    clock.ms += 299_000;
    expect((await admit(`Bearer ${token}`, 'qnib/bench')).kind).toBe('admitted');
    clock.ms += 7000;
    const expired = await admit(`Bearer ${token}`, 'qnib/bench');
    if (expired.kind !== 'refused') throw new Error('it was admitted');
    expect(expired.error.headers['www-authenticate']).toContain('error="invalid_token"');
  });

  test('is refused when one character differs', async () => {
    const { tokenFor, admit } = await listening();
    const token = await tokenFor('qnib-type1', SCOPE);
    const [head, payload = '', signature] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'qnib-type4' })).toString('base64url');
    expect((await admit(`Bearer ${head}.${forged}.${signature}`, 'qnib/bench')).kind).toBe('refused');
  });

  test('ends when the login’s password changes', async () => {
    const machines = await machineFolder({ 'a.yaml': `user: a\npassword: "${await hashed('a')}"\n` });
    const { tokenFor, gate, clock } = await listening({ machines });
    const authorization = `Bearer ${await tokenFor('a', SCOPE)}`;
    const connection = {};
    const admit = async () =>
      gate.admit({
        headers: { host: 'hub.test:5080', authorization },
        remoteAddress: '192.0.2.1',
        connection,
        repository: repository('qnib/bench'),
      });
    // Also on the connection that has sent it before.
    for (let round = 0; round < 3; round += 1) expect((await admit()).kind).toBe('admitted');
    await writeFile(join(machines, 'a.yaml'), `user: a\npassword: "${await hashed('b')}"\n`);
    clock.ms += 1000;
    expect((await admit()).kind).toBe('refused');
  });

  test('is accepted by replicas with the same key only', async () => {
    const folder = temporaryFolder();
    const file = { 'a.yaml': `user: a\npassword: "${await hashed('a')}"\n` };
    const machines = await machineFolder(file);
    const keyFile = join(folder, 'state', 'token.key');
    // Started together: both end up with one key.
    const [one, two] = await Promise.all(
      [keyFile, keyFile].map(async (file) => listening({ machines, tokenKey: await loadTokenKey(file) })),
    );
    if (!one || !two) throw new Error('two replicas were started');
    const stranger = await listening({ machines });
    const token = await one.tokenFor('a', SCOPE);
    expect((await two.admit(`Bearer ${token}`, 'qnib/bench')).kind).toBe('admitted');
    expect((await stranger.admit(`Bearer ${token}`, 'qnib/bench')).kind).toBe('refused');
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
  });
});

describe('a token signed with the site’s key', () => {
  // Long enough for HS512, too.
  const key = Buffer.concat([randomTokenKey(), randomTokenKey()]);
  const claims = { access: [{ type: 'repository', name: 'qnib/bench', actions: ['pull'] }] };
  const sign = async (change: (jwt: SignJWT) => SignJWT, extra: object = {}, alg = 'HS256') => {
    const site = await listening({ staticMachines: true, tokenKey: key });
    const own = decodeJwt(await site.tokenFor('qnib-type1', SCOPE));
    const jwt = new SignJWT({ ...claims, stamp: own['stamp'], ...extra })
      .setProtectedHeader({ alg, typ: 'JWT' })
      .setIssuer('metahub')
      .setAudience('metahub')
      .setSubject('qnib-type1')
      .setIssuedAt(own.iat)
      .setExpirationTime(own.exp ?? 0);
    const admission = await site.admit(`Bearer ${await change(jwt).sign(key)}`, 'qnib/bench');
    return admission.kind;
  };

  test('is accepted in the form in which this site writes it', async () => {
    expect(await sign((jwt) => jwt)).toBe('admitted');
  });

  test.each([
    ['for another audience', (jwt: SignJWT) => jwt.setAudience('another-service')],
    ['by another issuer', (jwt: SignJWT) => jwt.setIssuer('another-service')],
    ['for another login', (jwt: SignJWT) => jwt.setSubject('qnib-type2')],
    ['for a login that does not exist', (jwt: SignJWT) => jwt.setSubject('nobody')],
    ['that has expired', (jwt: SignJWT) => jwt.setExpirationTime(1_600_000_000)],
    ['that is not valid yet', (jwt: SignJWT) => jwt.setNotBefore(1_800_000_000)],
  ])('is refused %s', async (_, change) => {
    expect(await sign(change)).toBe('refused');
  });

  test('is refused with another algorithm', async () => {
    expect(await sign((jwt) => jwt, {}, 'HS512')).toBe('refused');
  });

  test('is refused without the stamp of the login’s password', async () => {
    expect(await sign((jwt) => jwt, { stamp: undefined })).toBe('refused');
    expect(await sign((jwt) => jwt, { stamp: 'AAAAAAAAAAAAAAAA' })).toBe('refused');
  });

  test.each([
    ['for another repository', [{ type: 'repository', name: 'qnib/other', actions: ['pull'] }]],
    ['for pushing only', [{ type: 'repository', name: 'qnib/bench', actions: ['push'] }]],
    ['of another type', [{ type: 'registry', name: 'qnib/bench', actions: ['pull'] }]],
    ['that is not a list', 'repository:qnib/bench:pull'],
  ])('does not open the repository with a grant %s', async (_, access) => {
    expect(await sign((jwt) => jwt, { access })).toBe('refused');
  });
});

describe('an endpoint for passwords', () => {
  test('refuses a valid bearer token, which could renew itself', async () => {
    const { get, tokenFor, handlers } = await listening();
    const bearer = `Bearer ${await tokenFor('qnib-type1', SCOPE)}`;
    expect((await get(`scope=${SCOPE}`, bearer)).status).toBe(401);
    const server = createServer((request, response) => handlers.get('/site/machines')?.(request, response));
    const port = await listenOnLoopback(server);
    afterTest(() => new Promise((resolve) => server.close(resolve)));
    const machines = await fetch(`http://127.0.0.1:${port}/site/machines`, {
      headers: { authorization: bearer },
    });
    expect(machines.status).toBe(401);
  });
});

describe('the key file', () => {
  async function keyFile(): Promise<string> {
    const folder = temporaryFolder();
    const path = join(folder, 'token.key');
    await loadTokenKey(path);
    return path;
  }

  test.each([0o644, 0o640, 0o660, 0o602, 0o666])('is refused with mode %o', async (mode) => {
    const path = await keyFile();
    await chmod(path, mode);
    await expect(loadTokenKey(path)).rejects.toThrow(TokenKeyError);
    await expect(loadTokenKey(path)).rejects.toThrow(mode.toString(8));
  });

  test.skipIf(process.getuid?.() !== 0)('is refused when another user owns it', async () => {
    const path = await keyFile();
    await chown(path, 65534, 65534);
    await expect(loadTokenKey(path)).rejects.toThrow('belongs to another user (uid 65534)');
  });

  test.each([
    ['own, for no one else', { uid: 1000, mode: 0o600 }, undefined],
    ['root’s, readable for a group: a mounted secret', { uid: 0, mode: 0o440 }, undefined],
    ['root’s, writable for a group', { uid: 0, mode: 0o460 }, '0460'],
    ['root’s, readable for all', { uid: 0, mode: 0o444 }, '0444'],
    ['another user’s', { uid: 1001, mode: 0o600 }, 'another user'],
  ])('has its ownership checked: %s', (_, ownership, problem) => {
    const found = keyFileProblem(ownership, 1000);
    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(problem);
  });

  test('is refused without a key', async () => {
    const path = await keyFile();
    await writeFile(path, 'short\n');
    await expect(loadTokenKey(path)).rejects.toThrow('holds no key of 32 bytes');
  });
});
