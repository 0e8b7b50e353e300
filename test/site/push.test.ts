import { describe, expect, test } from 'vitest';
import { createAccessToken } from '../../src/site/account.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';
import { repository } from '../support/upstream.ts';

const PULLING = createAccessToken();
const PUSHING = createAccessToken();
const NARROW = createAccessToken();

async function site() {
  const file = `user: ci
password: "${await hashed('hush')}"
push: [team/*, "ghcr.io/team/*"]
types: [{ name: gpu, features: [cpu:zen4] }]
tokens:
  - { name: pulling, sha256: "${PULLING.sha256}" }
  - { name: pushing, sha256: "${PUSHING.sha256}", push: true }
  - { name: narrow, sha256: "${NARROW.sha256}", push: true, repositories: [team/app] }
`;
  const reader = `user: reader\npassword: "${await hashed('hush')}"\n`;
  const machines = await machineFolder({ 'ci.yaml': file, 'reader.yaml': reader });
  const opened = await openTestSite({ machines });
  const push = (authorization: string | undefined, name: string, host = 'docker.io') =>
    opened.gate.admit({
      headers: { host: 'hub.test:5080', ...(authorization === undefined ? {} : { authorization }) },
      remoteAddress: '192.0.2.1',
      repository: repository(name, host),
      action: 'push',
    });
  /** The actions that the token service grants, and a header with the token. */
  async function tokenFor(authorization: string, scope: string) {
    const { request, response, body } = exchange(`/token?service=metahub&scope=${scope}`, authorization);
    opened.handlers.get('/token')?.(request, response);
    const { token, scope: granted } = (await body) as { token: string; scope: string };
    return { granted, bearer: `Bearer ${token}` };
  }
  return { ...opened, push, tokenFor };
}

/** A GET as a handler sees it, and the JSON that it is answered with. */
function exchange(url: string, authorization: string) {
  let resolve: (document: unknown) => void = () => {};
  const body = new Promise<unknown>((settle) => {
    resolve = settle;
  });
  const request = { method: 'GET', url, headers: { authorization }, socket: { remoteAddress: '192.0.2.1' } };
  const response = {
    once: () => response,
    on: () => response,
    writeHead: () => response,
    setHeader: () => response,
    end: (text: Buffer | string) => resolve(JSON.parse(text.toString())),
  };
  return { request: request as never, response: response as never, body };
}

describe('the right to push', () => {
  test.each([
    ['an account, where its patterns match', 'ci', 'hush', 'team/app', 'docker.io', true],
    ['an account, at another registry that its patterns name', 'ci', 'hush', 'team/app', 'ghcr.io', true],
    ['an account, elsewhere', 'ci', 'hush', 'other/app', 'docker.io', false],
    ['an account, at a registry that its patterns do not name', 'ci', 'hush', 'team/app', 'quay.io', false],
    ['an account without patterns', 'reader', 'hush', 'team/app', 'docker.io', false],
    ['the login of a machine type', 'ci-gpu', 'hush', 'team/app', 'docker.io', false],
    ['a token that was made for pulling', 'ci', PULLING.text, 'team/app', 'docker.io', false],
    ['a token that was made for pushing', 'ci', PUSHING.text, 'team/app', 'docker.io', true],
    ['a token for one repository, there', 'ci', NARROW.text, 'team/app', 'docker.io', true],
    ['a token for one repository, elsewhere', 'ci', NARROW.text, 'team/other', 'docker.io', false],
    ['a pushing token of a machine type’s login', 'ci-gpu', PUSHING.text, 'team/app', 'docker.io', false],
  ])('depends on login, token and patterns: %s', async (_name, user, password, name, host, expected) => {
    const { push } = await site();
    const admission = await push(basic(user, password), name, host);
    expect(admission.kind === 'admitted').toBe(expected);
    if (admission.kind === 'refused') expect(admission.error.status).toBe(403);
  });

  test('a client without a login gets a challenge with the push scope', async () => {
    const { push } = await site();
    const admission = await push(undefined, 'team/app');
    expect(admission).toMatchObject({ kind: 'refused', error: { status: 401 } });
    const header = admission.kind === 'refused' ? admission.error.headers['www-authenticate'] : '';
    expect(header).toContain('scope="repository:team/app:pull,push"');
  });

  test.each([
    ['team/app', 'pull,push', 'pull,push'],
    ['team/app', '*', 'pull,push'],
    ['team/app', 'push', 'push'],
    ['other/app', 'pull,push', 'pull'],
  ])('the token for %s:%s grants %s', async (name, wanted, granted) => {
    const { tokenFor } = await site();
    const found = await tokenFor(basic('ci', 'hush'), `repository:${name}:${wanted}`);
    expect(found.granted).toBe(`repository:${name}:${granted}`);
  });

  test('a bearer token for pulling opens no push, even of an account that may push', async () => {
    const { push, tokenFor } = await site();
    const pulling = await tokenFor(basic('ci', 'hush'), 'repository:team/app:pull');
    expect(await push(pulling.bearer, 'team/app')).toMatchObject({ kind: 'refused', error: { status: 401 } });
    const pushing = await tokenFor(basic('ci', 'hush'), 'repository:team/app:pull,push');
    expect(await push(pushing.bearer, 'team/app')).toMatchObject({ kind: 'admitted' });
    expect(await push(pushing.bearer, 'team/other')).toMatchObject({
      kind: 'refused',
      error: { status: 401 },
    });
  });

  test.each([
    ['pull', 'push'],
    ['push', 'pull'],
  ] as const)(
    'a token that grants a %s of a repository, and was used for it, opens no %s of it',
    async (granted, other) => {
      const { gate, tokenFor } = await site();
      const { bearer } = await tokenFor(basic('ci', 'hush'), `repository:team/app:${granted}`);
      const app = repository('team/app', 'docker.io');
      const use = (action: 'pull' | 'push') =>
        gate.admit({
          headers: { host: 'hub.test:5080', authorization: bearer },
          remoteAddress: '192.0.2.1',
          repository: app,
          ...(action === 'push' ? { action } : {}),
        });
      for (let times = 0; times < 2; times += 1) {
        expect(await use(granted)).toMatchObject({ kind: 'admitted' });
        expect(await use(other)).toMatchObject({ kind: 'refused', error: { status: 401 } });
      }
    },
  );

  test('the audit trail has the address of each use of a token', async () => {
    const { gate, log, tokenFor } = await site();
    const { bearer } = await tokenFor(basic('ci', 'hush'), 'repository:team/app:pull');
    const app = repository('team/app', 'docker.io');
    const headers = { host: 'hub.test:5080', authorization: bearer };
    const addresses = ['192.0.2.1', '198.51.100.7', '192.0.2.1'];
    for (const remoteAddress of addresses) await gate.admit({ headers, remoteAddress, repository: app });
    const admitted = log.filter(({ event }) => event === 'access-admitted');
    expect(new Set(admitted.map(({ fields }) => fields['address']))).toEqual(new Set(addresses));
  });

  test('a push appears in the audit trail with its action', async () => {
    const { push, log } = await site();
    await push(basic('ci', 'hush'), 'team/app');
    await push(basic('reader', 'hush'), 'team/app');
    const lines = log.filter(({ fields }) => fields['action'] === 'push');
    expect(lines.map(({ event, fields }) => [event, fields['who']])).toEqual([
      ['access-admitted', 'ci'],
      ['access-refused', 'reader'],
    ]);
  });
});

test.each([
  ['push: ["!x"]', '“!x” is not a pattern of repositories'],
  ['push: {}', 'ci.yaml:2:7: push: a list is expected'],
])('a machine file with %s is refused', (line, message) => {
  expect(() => readMachineFile(`user: ci\n${line}\n`, 'ci.yaml')).toThrow(message);
});
