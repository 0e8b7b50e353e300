import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, test } from 'vitest';
import { API_PROBLEMS } from '../../../src/site/api/api-problem.ts';
import { openApiDocument } from '../../../src/site/api/openapi.ts';
import { API_OPERATIONS } from '../../../src/site/api/operations.ts';
import { basic, hashed } from '../../support/site.ts';
import { type SiteAnswer, serveSite } from '../../support/site-server.ts';

const API = '/api/v1';

async function site() {
  return serveSite({
    'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
    'qnib.yaml': `# ours\nuser: qnib\npassword: "${await hashed('qnib')}"\nmanagesMachines: true\ntypes:
  - name: type1 # since 2019
    features: [cpu:broadwell]
  - name: gpu
    features: [cpu:zen4, nvcap:9.0]
    password: "${await hashed('own')}"\n`,
    'guest.yaml': `user: guest\npassword: "${await hashed('guest')}"\nrepositories: [guest/*]\n`,
  });
}

const TYPE = {
  account: 'qnib',
  name: 'type1',
  login: 'qnib-type1',
  features: ['cpu:broadwell'],
  hasOwnPassword: false,
};

describe('the management API', () => {
  test('shows accounts, machine types and tokens to an administrator, and no hash', async () => {
    const { ask } = await site();
    const accounts = await (await ask(`${API}/accounts`, { as: 'root' })).json();
    expect(accounts.accounts.map(({ user }) => user)).toEqual(['guest', 'qnib', 'root']);
    const one = await ask(`${API}/accounts/guest`, { as: 'root' });
    expect(await one.json()).toEqual({
      user: 'guest',
      role: null,
      hasPassword: true,
      repositories: ['guest/*'],
      push: [],
      groups: [],
      managesMachines: false,
      hasUpstreamLogins: false,
    });
    expect(one.headers.get('cache-control')).toBe('private, no-store');
    expect(one.headers.get('vary')).toBe('Authorization');
    const types = await (await ask(`${API}/types`, { as: 'root' })).text();
    expect(JSON.parse(types)).toEqual({
      types: [
        {
          account: 'qnib',
          name: 'gpu',
          login: 'qnib-gpu',
          features: ['cpu:zen4', 'nvcap:9.0'],
          hasOwnPassword: true,
        },
        TYPE,
      ],
    });
    expect(`${JSON.stringify(accounts)}${types}`).not.toContain('scrypt');
  });

  test('adds, changes and removes an account, and writes each change to the audit trail', async () => {
    const { ask, log, admit, machines } = await site();
    const added = await ask(`${API}/accounts`, {
      ...{ method: 'POST', as: 'root' },
      json: { user: 'lab', password: 'swordfish', repositories: ['lab/*'] },
    });
    expect([added.status, added.headers.get('location')]).toEqual([201, `${API}/accounts/lab`]);
    expect((await admit(basic('lab', 'swordfish'), 'lab/app')).kind).toBe('admitted');
    expect((await admit(basic('lab', 'swordfish'), 'qnib/bench')).kind).toBe('refused');
    const changed = await ask(`${API}/accounts/lab`, {
      ...{ method: 'PATCH', as: 'root', json: { repositories: null, push: ['lab/*'], password: 'herring' } },
      headers: { 'if-match': added.headers.get('etag') ?? '' },
    });
    expect(await changed.json()).toMatchObject({ repositories: ['**'], push: ['lab/*'] });
    expect((await admit(basic('lab', 'swordfish'), 'qnib/bench')).kind).toBe('refused');
    expect((await admit(basic('lab', 'herring'), 'qnib/bench')).kind).toBe('admitted');
    expect(await readFile(join(machines, 'lab.yaml'), 'utf8')).not.toMatch(/herring|swordfish/);
    const headers = { 'if-match': changed.headers.get('etag') ?? '' };
    expect((await ask(`${API}/accounts/lab`, { method: 'DELETE', as: 'root', headers })).status).toBe(204);
    expect((await ask(`${API}/accounts/lab`, { as: 'root' })).status).toBe(404);
    const trail = log.filter(({ event }) => event === 'site-changed').map(({ fields }) => fields);
    expect(trail).toMatchObject([
      { who: 'root', operation: 'addAccount', resource: `${API}/accounts/lab` },
      { who: 'root', operation: 'changeAccount', resource: `${API}/accounts/lab` },
      { who: 'root', operation: 'removeAccount', resource: `${API}/accounts/lab` },
    ]);
  });

  test('changes a machine type and keeps the comments of its file', async () => {
    const { ask, machines, admit, featuresOf } = await site();
    const path = `${API}/accounts/qnib/types/type1`;
    const etag = (await ask(path, { as: 'qnib' })).headers.get('etag') ?? '';
    const json = { features: ['cpu:zen5'], login: 'nodes', password: 'of its own' };
    const changed = await ask(path, { method: 'PUT', as: 'qnib', json, headers: { 'if-match': etag } });
    expect(await changed.json()).toEqual({
      ...TYPE,
      login: 'nodes',
      features: ['cpu:zen5'],
      hasOwnPassword: true,
    });
    expect(featuresOf(await admit(basic('nodes', 'of its own'), 'a/b'))).toContain('cpu:zen5');
    const text = await readFile(join(machines, 'qnib.yaml'), 'utf8');
    expect(text).toMatch(/^# ours\n/);
    expect(text).toContain('name: type1 # since 2019\n    features: [ cpu:zen5 ]\n');
    const back = await ask(path, {
      ...{ method: 'PUT', as: 'qnib', json: { features: ['cpu:zen5'], password: null } },
      headers: { 'if-match': changed.headers.get('etag') ?? '' },
    });
    expect(await back.json()).toEqual({ ...TYPE, features: ['cpu:zen5'] });
  });

  test('creates a token, shows it once, and revokes it', async () => {
    const { ask, admit, clock } = await site();
    const json = { name: 'ci', repositories: ['qnib/*'] };
    const made = await ask(`${API}/accounts/qnib/tokens`, { method: 'POST', as: 'root', json });
    const { token, ...shown } = await made.json();
    expect(token).toMatch(/^metahub_/);
    const expires = new Date(clock.ms + 90 * 86_400_000).toISOString().replace(/\.\d+Z/, '.000Z');
    expect(shown).toMatchObject({ account: 'qnib', name: 'ci', state: 'valid', expires, push: false });
    expect((await admit(basic('qnib', token), 'qnib/bench')).kind).toBe('admitted');
    const path = made.headers.get('location') ?? '';
    const again = await ask(path, { as: 'root' });
    expect(await again.json()).toEqual(shown);
    expect(again.headers.get('etag')).toBe(made.headers.get('etag'));
    const headers = { 'if-match': again.headers.get('etag') ?? '' };
    expect((await ask(path, { method: 'DELETE', as: 'root', headers })).status).toBe(204);
    expect((await admit(basic('qnib', token), 'qnib/bench')).kind).toBe('refused');
  });

  test('revokes no token by the ETag of a former one with the same name, rights and end', async () => {
    const { ask } = await site();
    const json = { name: 'ci', expires: '2030-01-01T00:00:00Z' };
    const add = async () => {
      const made = await ask(`${API}/accounts/qnib/tokens`, { method: 'POST', as: 'root', json });
      return made.headers.get('etag') ?? '';
    };
    const revoke = async (etag: string) => {
      const headers = { 'if-match': etag };
      return (await ask(`${API}/accounts/qnib/tokens/ci`, { method: 'DELETE', as: 'root', headers })).status;
    };
    const former = await add();
    expect(await revoke(former)).toBe(204);
    const current = await add();
    expect([await revoke(former), await revoke(current)]).toEqual([412, 204]);
  });

  test('answers 304 for an unchanged ETag, and sends another ETag after a change', async () => {
    const { ask } = await site();
    for (const path of ['/accounts', '/accounts/qnib', '/types', '/accounts/qnib/types/type1', '/tokens']) {
      const first = await ask(`${API}${path}`, { as: 'root' });
      const etag = first.headers.get('etag') ?? '';
      expect(etag).toMatch(/^"[\w-]{27}"$/);
      const again = await ask(`${API}${path}`, {
        as: 'root',
        headers: { 'if-none-match': `"x", W/${etag}` },
      });
      expect([again.status, await again.text(), again.headers.get('etag')]).toEqual([304, '', etag]);
      const head = await ask(`${API}${path}`, { as: 'root', method: 'HEAD' });
      expect([head.status, head.headers.get('etag')]).toEqual([200, etag]);
    }
  });

  test('requires If-Match for every edit, and refuses an edit of another state', async () => {
    const { ask, machines } = await site();
    const before = await readFile(join(machines, 'qnib.yaml'), 'utf8');
    const edits = [
      ['PATCH', '/accounts/qnib', { role: 'admin' }],
      ['DELETE', '/accounts/qnib', undefined],
      ['PUT', '/accounts/qnib/types/type1', { features: [] }],
      ['DELETE', '/accounts/qnib/types/type1', undefined],
    ] as const;
    for (const [method, path, json] of edits) {
      const bare = await ask(`${API}${path}`, { method, as: 'root', json });
      expect([bare.status, (await bare.json()).code]).toEqual([428, 'if-match-required']);
      const etag = (await ask(`${API}${path}`, { as: 'root' })).headers.get('etag');
      // Strong comparison: a weak tag names nothing.
      for (const other of ['"else"', `W/${etag}`]) {
        const late = await ask(`${API}${path}`, { method, as: 'root', json, headers: { 'if-match': other } });
        expect([late.status, (await late.json()).code]).toEqual([412, 'changed']);
      }
    }
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).toBe(before);
  });

  test('applies both of two simultaneous additions, and one of two simultaneous edits', async () => {
    const { ask } = await site();
    const add = (name: string) =>
      ask(`${API}/accounts/qnib/types`, {
        method: 'POST',
        as: 'root',
        json: { name, features: ['cpu:zen3'] },
      });
    const names = Array.from({ length: 8 }, (_, at) => `new${at}`);
    expect((await Promise.all(names.map(add))).map(({ status }) => status)).toEqual(names.map(() => 201));
    const { types } = await (await ask(`${API}/types?account=qnib`, { as: 'root' })).json();
    expect(types.map(({ name }) => name)).toEqual(['gpu', ...names, 'type1']);
    // A password is not shown, and an edit of it is an edit all the same.
    for (const change of [{ push: ['a/*'] }, { password: 'one' }]) {
      const etag = (await ask(`${API}/accounts/qnib`, { as: 'root' })).headers.get('etag') ?? '';
      const edit = () =>
        ask(`${API}/accounts/qnib`, {
          method: 'PATCH',
          as: 'root',
          json: change,
          headers: { 'if-match': etag },
        });
      const statuses = (await Promise.all([edit(), edit(), edit()])).map(({ status }) => status);
      expect(statuses.sort()).toEqual([200, 412, 412]);
    }
  });

  test('pages through a list by its Link header without omitting or repeating an item', async () => {
    const { ask } = await site();
    const found: string[] = [];
    let path: string | undefined = `${API}/types?limit=1&account=qnib`;
    for (let page = 0; path !== undefined && page < 5; page += 1) {
      const answer = await ask(path, { as: 'root' });
      const { types } = await answer.json();
      found.push(...types.map(({ name }) => name));
      path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    expect(found).toEqual(['gpu', 'type1']);
    for (const query of [
      'limit=0',
      'limit=501',
      'limit=x',
      'cursor=%25',
      'cursor=',
      // Of one byte, whose last bits are not zero.
      'cursor=YR',
      'what=1',
      'limit=1&limit=2',
    ]) {
      const answer = await ask(`${API}/types?${query}`, { as: 'root' });
      expect([query, answer.status, (await answer.json()).code]).toEqual([query, 400, 'invalid-query']);
    }
  });
});

describe('an account in the API', () => {
  test('sees only itself, and changes its types when it manages them', async () => {
    const { ask, machines } = await site();
    const before = await readFile(join(machines, 'qnib.yaml'), 'utf8');
    const list = async (path: string, as: string) => (await ask(`${API}${path}`, { as })).json();
    expect((await list('/accounts', 'guest')).accounts.map(({ user }) => user)).toEqual(['guest']);
    expect(await list('/types', 'guest')).toEqual({ types: [] });
    expect(await list('/types?account=qnib', 'guest')).toEqual({ types: [] });
    expect(await list('/tokens?account=qnib', 'guest')).toEqual({ tokens: [] });
    // Of another account it learns no more than of one that is not there.
    for (const [method, path, json] of [
      ['GET', '', undefined],
      ['PATCH', '', { role: 'admin' }],
      ['DELETE', '', undefined],
      ['GET', '/types/type1', undefined],
      ['PUT', '/types/type1', { features: [] }],
      ['DELETE', '/types/type1', undefined],
      ['POST', '/types', { name: 'mine', features: [] }],
      ['POST', '/tokens', { name: 'mine' }],
      ['GET', '/tokens/ci', undefined],
      ['DELETE', '/tokens/ci', undefined],
    ] as const) {
      const asked = (user: string) =>
        ask(`${API}/accounts/${user}${path}`, { method, as: 'guest', json, headers: { 'if-match': '*' } });
      const [there, absent] = [await asked('qnib'), await asked('nobody')];
      const told = async (answer: SiteAnswer, user: string) => [
        answer.status,
        (await answer.text()).replaceAll(new RegExp(`\\b${user}\\b(?!/)`, 'g'), 'X'),
      ];
      expect([method, path, ...(await told(there, 'qnib'))]).toEqual([
        method,
        path,
        ...(await told(absent, 'nobody')),
      ]);
      expect([403, 404]).toContain(there.status);
    }
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).toBe(before);
  });

  test.each([
    ['change its own rights', 'qnib', 'PATCH', '/accounts/qnib', { role: 'admin' }],
    ['make a token', 'qnib', 'POST', '/accounts/qnib/tokens', { name: 'x' }],
    ['add an account', 'qnib', 'POST', '/accounts', { user: 'x' }],
    ['change types that it does not manage', 'guest', 'POST', '/accounts/guest/types', { name: 'x' }],
    ['remove itself', 'root', 'DELETE', '/accounts/root', undefined],
    ['take its own role away', 'root', 'PATCH', '/accounts/root', { role: null }],
    ['become a publisher', 'root', 'PATCH', '/accounts/root', { role: 'publisher', push: ['**'] }],
    ['take its own password away', 'root', 'PATCH', '/accounts/root', { password: null }],
  ] as const)('may not %s', async (_, as, method, path, json) => {
    const { ask, log } = await site();
    const answer = await ask(`${API}${path}`, { method, as, json, headers: { 'if-match': '*' } });
    expect([answer.status, (await answer.json()).code]).toEqual([403, 'not-allowed']);
    expect(log.at(-1)).toMatchObject({
      event: 'access-refused',
      fields: { who: as, resource: `${API}${path}` },
    });
  });

  test('leaves an administrator when two demote each other at the same time', async () => {
    const { ask } = await site();
    const second = { user: 'second', password: 'second', role: 'admin' };
    expect((await ask(`${API}/accounts`, { method: 'POST', as: 'root', json: second })).status).toBe(201);
    const demote = (as: string, user: string) =>
      ask(`${API}/accounts/${user}`, {
        method: 'PATCH',
        as,
        json: { role: null },
        headers: { 'if-match': '*' },
      });
    const answers = await Promise.all([demote('root', 'second'), demote('second', 'root')]);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const seen = await Promise.all(
      ['root', 'second'].map(async (as) => (await ask(`${API}/accounts/${as}`, { as })).text()),
    );
    expect(seen.filter((text) => text.includes('"role":"admin"'))).toHaveLength(1);
  });

  test('an administrator keeps its role when it changes anything else of itself', async () => {
    const { ask } = await site();
    const json = { role: 'admin', repositories: ['team/*'] };
    const headers = { 'if-match': '*' };
    const answer = await ask(`${API}/accounts/root`, { method: 'PATCH', as: 'root', json, headers });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ role: 'admin', repositories: ['team/*'] });
  });

  test('sees nothing with a machine login, a wrong password or no login', async () => {
    const { ask } = await site();
    const code = async (answer: SiteAnswer) => [answer.status, (await answer.json()).code];
    expect(await code(await ask(`${API}/accounts`, { as: basic('qnib-type1', 'qnib') }))).toEqual([
      403,
      'not-allowed',
    ]);
    expect(await code(await ask(`${API}/accounts`, { as: basic('qnib', 'x') }))).toEqual([
      401,
      'login-refused',
    ]);
    const none = await ask(`${API}/accounts`);
    expect(none.headers.get('www-authenticate')).toBe('Basic realm="metahub", charset="UTF-8"');
    expect(await code(none)).toEqual([401, 'login-required']);
  });

  test('can read but not change anything with an access token', async () => {
    const { ask } = await site();
    const made = await ask(`${API}/accounts/root/tokens`, {
      method: 'POST',
      as: 'root',
      json: { name: 'ci' },
    });
    const as = basic('root', (await made.json()).token);
    expect((await ask(`${API}/accounts/root`, { as })).status).toBe(200);
    const json = { user: 'x' };
    expect((await ask(`${API}/accounts`, { as, method: 'POST', json })).status).toBe(403);
  });

  test('is refused from a web page of another site', async () => {
    const { ask } = await site();
    for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
      const answer = await ask(`${API}/accounts`, { as: 'root', headers });
      expect([answer.status, (await answer.json()).code]).toEqual([403, 'cross-site']);
    }
  });
});

describe('a problem of the API', () => {
  test('names every invalid part of the body', async () => {
    const { ask } = await site();
    const json = { name: 'a b', features: ['cpu:zen4', 'cpu:foolake'], lgoin: 'x' };
    const answer = await ask(`${API}/accounts/qnib/types`, { method: 'POST', as: 'root', json });
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    const problem = await answer.json();
    expect(problem).toMatchObject({
      type: 'https://github.com/qnib/metahub/blob/main/docs/api.md#invalid-body',
      title: 'The body is JSON of another form',
      status: 422,
      code: 'invalid-body',
    });
    expect(problem.errors.map(({ pointer, code }) => [pointer, code])).toEqual([
      ['/lgoin', 'unknown-key'],
      ['/name', 'invalid-value'],
      ['/features/1', 'invalid-value'],
    ]);
  });

  test.each([
    [
      'a body of another type',
      { body: 'name=x', headers: { 'content-type': 'text/plain' } },
      415,
      'media-type',
    ],
    [
      'a body that is not JSON',
      { body: '{', headers: { 'content-type': 'application/json' } },
      400,
      'invalid-json',
    ],
    [
      'a body of any depth',
      { body: '['.repeat(999), headers: { 'content-type': 'application/json' } },
      400,
      'invalid-json',
    ],
    [
      'a body with a name twice',
      {
        body: '{"name":"x","login":"x","l\\u006fgin":"y"}',
        headers: { 'content-type': 'application/json' },
      },
      400,
      'invalid-json',
    ],
    [
      'a compressed body',
      { body: '{"name":"x"}', headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' } },
      415,
      'media-type',
    ],
    ['a body that is too long', { json: { name: 'x'.repeat(70_000) } }, 413, 'too-large'],
    ['a name that is there', { json: { name: 'type1' } }, 409, 'exists'],
    ['the login of another account', { json: { name: 'x', login: 'guest' } }, 409, 'exists'],
    [
      'two microarchitectures',
      { json: { name: 'x', features: ['cpu:zen4', 'cpu:skylake'] } },
      422,
      'invalid-body',
    ],
  ])('answers %s with its own code', async (_, request, status, code) => {
    const { ask } = await site();
    const answer = await ask(`${API}/accounts/qnib/types`, { method: 'POST', as: 'root', ...request });
    const text = await answer.text();
    expect([answer.status, JSON.parse(text).code]).toEqual([status, code]);
    expect(text).not.toContain('.yaml');
  });

  test.each([
    ['PUT', '/accounts', 405, 'GET, HEAD, POST'],
    ['POST', '/accounts/qnib', 405, 'GET, HEAD, PATCH, DELETE'],
    ['GET', '/nothing', 404, null],
    ['GET', '/accounts/a%2Fb', 404, null],
    ['GET', '/accounts/%zz', 404, null],
    ['GET', '/accounts/', 404, null],
  ])('answers %s %s with its own status', async (method, path, status, allow) => {
    const { ask } = await site();
    const answer = await ask(`${API}${path}`, { method, as: 'root' });
    expect([answer.status, answer.headers.get('allow')]).toEqual([status, allow]);
  });

  test.each([
    ['is not YAML', 'user: [secret'],
    ['has an unknown key', 'user: lab\nsecret: 1\n'],
    ['takes the name of another account', 'user: guest\n'],
  ])('answers changes with unreadable and no text of the file when a machine file %s', async (_, written) => {
    const { ask, machines } = await site();
    await writeFile(join(machines, 'lab.yaml'), written);
    const json = { name: 'new', features: [] };
    const answer = await ask(`${API}/accounts/qnib/types`, { method: 'POST', as: 'root', json });
    const text = await answer.text();
    expect([answer.status, JSON.parse(text).code]).toEqual([503, 'unreadable']);
    expect(text).not.toMatch(/secret|lab|\.yaml/);
  });

  test('answers reads with unreadable while a machine file is invalid', async () => {
    const { ask, machines } = await site();
    await writeFile(join(machines, 'lab.yaml'), 'user: [');
    const answer = await ask(`${API}/accounts`, { as: 'root' });
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      code: 'unreadable',
      title: 'The machine files cannot be read',
      nextStep: expect.stringContaining('log of the mirror'),
    });
  });

  test('refuses the logins of the demonstration, which have no account password', async () => {
    const { ask } = await serveSite({}, { machines: undefined, staticMachines: true });
    // The demonstration’s account has no password: nobody logs in as it.
    expect((await ask(`${API}/accounts`, { as: 'qnib' })).status).toBe(401);
    expect((await ask(`${API}/accounts`, { as: 'qnib-type1' })).status).toBe(403);
  });
});

describe('the OpenAPI document', () => {
  test('is valid OpenAPI 3.1 and needs no login', async () => {
    const { ask } = await site();
    const answer = await ask(`${API}/openapi.json`);
    const document = await answer.json();
    expect(document).toEqual(JSON.parse(JSON.stringify(openApiDocument(API_OPERATIONS))));
    const { valid, errors } = await new Validator().validate({ ...document });
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
  });

  test('equals schema/openapi.json, which `npm run schemas` writes', async () => {
    const text = await readFile(new URL('../../../schema/openapi.json', import.meta.url), 'utf8');
    expect(text).toBe(`${JSON.stringify(openApiDocument(API_OPERATIONS), undefined, 2)}\n`);
  });

  test('has every problem with its status in docs/api.md', async () => {
    const page = await readFile(new URL('../../../docs/api.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| <a id="([\w-]+)"><\/a>`[\w-]+` +\| (\d+) +\| (.*?) +\|$/gm)];
    const expected = Object.entries(API_PROBLEMS).map(([code, [status, title]]) => [
      code,
      String(status),
      title,
    ]);
    expect(rows.map(([, ...cells]) => cells)).toEqual(expected);
  });
});
