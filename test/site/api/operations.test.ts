import { createServer } from 'node:http';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { ConfigError, type ConfigErrorCode } from '../../../src/lib/config-error.ts';
import { createApi } from '../../../src/site/api/api.ts';
import { API_OPERATIONS } from '../../../src/site/api/operations.ts';
import { listenOnLoopback } from '../../support/loopback.ts';
import { basic, hashed } from '../../support/site.ts';
import { type SiteAnswer, serveSite } from '../../support/site-server.ts';
import { afterTest } from '../../support/upstream.ts';

/** Every operation of the management API: what it answers, and that the OpenAPI document has this answer. */

const API = '/api/v1';

async function site() {
  const account = async (user: string, rest = '') =>
    `user: ${user}\npassword: "${await hashed(user)}"\n${rest}`;
  return serveSite({
    'groups.yaml': 'used: { repositories: [lab/*] }\nfree: {}\n',
    'root.yaml': await account('root', 'role: admin\n'),
    'lab.yaml': await account('lab', 'groups: [used]\ntypes: [{ name: gpu, features: [cpu:zen4] }]\n'),
    'old.yaml': await account('old'),
  });
}

interface Call {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly json?: object;
  /** The status of its success. */
  readonly status: number;
  /** The path of the resource that it adds. */
  readonly added?: string;
}

const read = (id: string, path: string): Call => ({ id, method: 'GET', path, status: 200 });
const add = (id: string, path: string, json: object, added?: string): Call => ({
  ...{ id, method: 'POST', path, json, status: 201 },
  ...(added === undefined ? {} : { added }),
});
const edit = (id: string, method: string, path: string, json: object): Call => ({
  ...{ id, method, path, json, status: 200 },
});
const remove = (id: string, path: string): Call => ({ id, method: 'DELETE', path, status: 204 });

/** In this order all of them succeed. */
const CALLS: readonly Call[] = [
  read('getOpenApi', '/openapi.json'),
  read('listAccounts', '/accounts'),
  add('addAccount', '/accounts', { user: 'new', password: 'x' }, '/accounts/new'),
  read('getAccount', '/accounts/new'),
  edit('changeAccount', 'PATCH', '/accounts/new', { push: ['a/*'] }),
  read('listGroups', '/groups'),
  edit('setGroup', 'PUT', '/groups/free', { push: ['a/*'] }),
  read('getGroup', '/groups/free'),
  remove('removeGroup', '/groups/free'),
  read('listMachineTypes', '/types'),
  add('addMachineType', '/accounts/new/types', { name: 'cpu' }, '/accounts/new/types/cpu'),
  read('getMachineType', '/accounts/new/types/cpu'),
  edit('changeMachineType', 'PUT', '/accounts/new/types/cpu', { features: ['cpu:zen5'] }),
  read('listTokens', '/tokens'),
  add('addToken', '/accounts/new/tokens', { name: 'ci' }, '/accounts/new/tokens/ci'),
  add('addEnrolment', '/accounts/new/enrolments', { name: 'node', type: 'cpu' }),
  read('getToken', '/accounts/new/tokens/ci'),
  remove('revokeToken', '/accounts/new/tokens/ci'),
  remove('removeMachineType', '/accounts/new/types/cpu'),
  remove('removeAccount', '/accounts/new'),
  read('listImages', '/images'),
  read('listDecisions', '/decisions'),
  read('listHosts', '/hosts'),
  read('listGaps', '/gaps'),
];
const WITH_LOGIN = CALLS.filter(({ id }) => id !== 'getOpenApi');
const WITH_BODY = CALLS.filter(({ json }) => json !== undefined);
const CHANGES = CALLS.filter(({ method }) => method !== 'GET');
const EDITS = CALLS.filter(({ id, status }) => status === 204 || id.startsWith('change'));

/** What each edit changes, in the site as it is opened. */
const RESOURCES: Readonly<Record<string, string>> = {
  ...{ changeAccount: '/accounts/lab', removeAccount: '/accounts/lab', removeGroup: '/groups/free' },
  ...{ changeMachineType: '/accounts/lab/types/gpu', removeMachineType: '/accounts/lab/types/gpu' },
  revokeToken: '/accounts/lab/tokens/ci',
};

type Documented = Readonly<Record<string, { readonly description: string }>>;

/** The answers of each operation in the document that the site serves. */
async function documentedAnswers(ask: (path: string) => Promise<SiteAnswer>) {
  const { paths } = JSON.parse(await (await ask(`${API}/openapi.json`)).text());
  return new Map(
    Object.values(paths as Record<string, Record<string, { operationId: string; responses: Documented }>>)
      .flatMap((methods) => Object.values(methods))
      .map(({ operationId, responses }) => [operationId, responses]),
  );
}

test('every operation answers with its own status and document, and has its line in the audit trail', async () => {
  const { ask, log } = await site();
  const documented = await documentedAnswers(ask);
  expect(CALLS.map(({ id }) => id).sort()).toEqual([...documented.keys()].sort());
  for (const { id, method, path, json, status, added } of CALLS) {
    const headers: Record<string, string> = method === 'POST' || method === 'GET' ? {} : { 'if-match': '*' };
    const answer = await ask(`${API}${path}`, { as: 'root', method, json, headers });
    const text = await answer.text();
    const location = added === undefined ? null : `${API}${added}`;
    expect([id, answer.status, answer.headers.get('location')]).toEqual([id, status, location]);
    expect(documented.get(id)).toHaveProperty(String(status));
    const { schema = v.literal('') } = API_OPERATIONS.find((one) => one.id === id)?.answer ?? {};
    const isBare = status === 204;
    expect(v.safeParse(schema, isBare ? text : JSON.parse(text))).toMatchObject({ success: true });
    expect(answer.headers.get('content-type')).toBe(isBare ? null : 'application/json');
    // A client of an enrolment has nothing to compare: no resource shows it alone.
    expect([id, answer.headers.has('etag')]).toEqual([id, !isBare && id !== 'addEnrolment']);
    if (id === 'getOpenApi') continue;
    expect(log.at(-1)).toEqual({
      event: method === 'GET' ? 'access-admitted' : 'site-changed',
      fields: {
        ...{ operation: id, who: 'root', account: 'root', token: undefined, address: '127.0.0.1' },
        resource: location ?? `${API}${path}`,
      },
    });
  }
});

describe('every operation documents that it refuses', () => {
  const headers = { 'content-type': 'application/json', 'if-match': '*' };
  test.each<
    [string, readonly Call[], Parameters<Awaited<ReturnType<typeof site>>['ask']>[1], number, string]
  >([
    ['a request without a login', WITH_LOGIN, { as: undefined }, 401, 'login-required'],
    ['a machine’s login', WITH_LOGIN, { as: basic('lab-gpu', 'lab') }, 403, 'not-allowed'],
    ['a page of another site', WITH_LOGIN, { headers: { origin: 'https://other.test' } }, 403, 'cross-site'],
    ['a body that is not JSON', WITH_BODY, { json: undefined, body: '{', headers }, 400, 'invalid-json'],
    ['a body of another form', WITH_BODY, { json: { surplus: 1 } }, 422, 'invalid-body'],
    ['a body of another type', WITH_BODY, { json: undefined, body: 'a' }, 415, 'media-type'],
    ['a body that is too large', WITH_BODY, { json: 'x'.repeat(70_000) }, 413, 'too-large'],
    ['an edit of anything', EDITS, { headers: {} }, 428, 'if-match-required'],
  ])('%s', async (_, calls, request, status, code) => {
    const { ask } = await site();
    const documented = await documentedAnswers(ask);
    expect(calls.length).toBeGreaterThan(5);
    for (const { id, method, path, json } of calls) {
      const answer = await ask(`${API}${path}`, {
        ...{ as: 'root', method, json, headers: { 'if-match': '*' } },
        ...request,
      });
      await expectProblem(documented, id, answer, status, code);
    }
  });

  test('parameters that it does not have', async () => {
    const { ask } = await site();
    const documented = await documentedAnswers(ask);
    for (const { id, method, path } of WITH_LOGIN) {
      const answer = await ask(`${API}${path}?surplus=1`, { as: 'root', method });
      await expectProblem(documented, id, answer, 400, 'invalid-query');
    }
  });

  test.each<[ConfigErrorCode, readonly Call[], number, string]>([
    ['changed', CHANGES, 409, 'conflict'],
    ['in-use', CHANGES, 409, 'in-use'],
    ['busy', CHANGES, 503, 'busy'],
    ['read-only', CHANGES, 503, 'read-only'],
    ['unreadable', CHANGES, 503, 'unreadable'],
  ])('a folder of machine files that is %s', async (fault, calls, status, code) => {
    const ask = await failingApi(new ConfigError(fault, 'the reason'));
    const documented = await documentedAnswers(ask);
    for (const { id, method, path, json } of calls) {
      const answer = await ask(`${API}${path}`, { method, json });
      expect(answer.headers.get('retry-after')).toBe(code === 'busy' ? '1' : null);
      const { detail } = await expectProblem(documented, id, answer, status, code);
      expect(detail).toBe('the reason');
    }
  });

  test('something that is not there, is there already, or is in use', async () => {
    const { ask } = await site();
    const documented = await documentedAnswers(ask);
    const token = { name: 'ci' };
    await ask(`${API}/accounts/lab/tokens`, { as: 'root', method: 'POST', json: token });
    for (const [id, method, path, json, status, code] of [
      ['getAccount', 'GET', '/accounts/x', undefined, 404, 'no-resource'],
      ['changeAccount', 'PATCH', '/accounts/x', {}, 404, 'no-resource'],
      ['removeAccount', 'DELETE', '/accounts/x', undefined, 404, 'no-resource'],
      ['getGroup', 'GET', '/groups/x', undefined, 404, 'no-resource'],
      ['removeGroup', 'DELETE', '/groups/x', undefined, 404, 'no-resource'],
      ['addMachineType', 'POST', '/accounts/x/types', { name: 'a' }, 404, 'no-resource'],
      ['getMachineType', 'GET', '/accounts/lab/types/x', undefined, 404, 'no-resource'],
      ['changeMachineType', 'PUT', '/accounts/lab/types/x', { features: [] }, 404, 'no-resource'],
      ['removeMachineType', 'DELETE', '/accounts/lab/types/x', undefined, 404, 'no-resource'],
      ['addToken', 'POST', '/accounts/x/tokens', token, 404, 'no-resource'],
      ['addEnrolment', 'POST', '/accounts/x/enrolments', { name: 'a', type: 'gpu' }, 404, 'no-resource'],
      ['getToken', 'GET', '/accounts/lab/tokens/x', undefined, 404, 'no-resource'],
      ['revokeToken', 'DELETE', '/accounts/lab/tokens/x', undefined, 404, 'no-resource'],
      ['addAccount', 'POST', '/accounts', { user: 'lab' }, 409, 'exists'],
      ['addMachineType', 'POST', '/accounts/lab/types', { name: 'gpu' }, 409, 'exists'],
      ['changeMachineType', 'PUT', '/accounts/lab/types/gpu', { features: [], login: 'old' }, 409, 'exists'],
      ['addToken', 'POST', '/accounts/lab/tokens', token, 409, 'exists'],
      ['removeGroup', 'DELETE', '/groups/used', undefined, 409, 'in-use'],
      ['setGroup', 'PUT', '/groups/x', {}, 412, 'changed'],
    ] as const) {
      const headers: Record<string, string> =
        method === 'POST' || method === 'GET' ? {} : { 'if-match': '*' };
      const answer = await ask(`${API}${path}`, { as: 'root', method, json, headers });
      await expectProblem(documented, id, answer, status, code);
    }
  });
});

/** Expects this problem, and that the document of the operation has its status and its code. */
async function expectProblem(
  documented: ReadonlyMap<string, Documented>,
  id: string,
  answer: SiteAnswer,
  status: number,
  code: string,
): Promise<{ detail: string }> {
  const problem = JSON.parse(await answer.text());
  const found = { id, status: answer.status, problem };
  const type = expect.stringMatching(new RegExp(`#${code}$`)) as string;
  expect(found).toMatchObject({ id, status, problem: { status, code, type } });
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect([id, documented.get(id)?.[status]?.description]).toEqual([
    id,
    expect.stringContaining(`\`${code}\``) as string,
  ]);
  return problem;
}

/** An API whose machine files fail in this way, and which takes every login for an administrator’s. */
async function failingApi(error: ConfigError) {
  const account = { user: 'root', role: 'admin' };
  const fail = () => Promise.reject(error);
  const handler = createApi({
    operations: API_OPERATIONS,
    service: {
      accounts: new Proxy({}, { get: (_, name) => (name === 'requireAdmin' ? () => {} : fail) }) as never,
      hash: async () => 'hash',
      wallClock: () => 0,
    } as never,
    authenticate: { byBasic: async () => ({ kind: 'known', identity: { login: 'root', account } }) } as never,
    clientAddress: () => '192.0.2.1',
    audit: () => {},
    log: () => {},
  });
  const server = createServer(handler);
  const port = await listenOnLoopback(server);
  afterTest(() => void server.closeAllConnections());
  afterTest(() => new Promise((resolve) => void server.close(resolve)));
  return (path: string, { method = 'GET', json }: { method?: string; json?: object | undefined } = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'if-match': '*' },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    }) as Promise<SiteAnswer>;
}

describe('a precondition (RFC 9110, section 13)', () => {
  test.each([
    ['If-None-Match: * adds what is not there', '/groups/new', () => ({ 'if-none-match': '*' }), 201],
    ['If-None-Match: * keeps what is there', '/groups/free', () => ({ 'if-none-match': '*' }), 412],
    ['If-None-Match of its state keeps it', '/groups/free', (tag: string) => ({ 'if-none-match': tag }), 412],
    [
      'If-None-Match of its state, weak, keeps it',
      '/groups/free',
      (tag: string) => ({ 'if-none-match': `W/${tag}` }),
      412,
    ],
    [
      'If-None-Match of another state lets If-Match decide',
      '/groups/free',
      (tag: string) => ({ 'if-none-match': '"x"', 'if-match': tag }),
      200,
    ],
    [
      'If-Match of one of several states edits it',
      '/groups/free',
      (tag: string) => ({ 'if-match': `"x", ${tag}` }),
      200,
    ],
    ['If-Match, weak, keeps it', '/groups/free', (tag: string) => ({ 'if-match': `W/${tag}` }), 412],
    ['If-Match adds nothing', '/groups/new', () => ({ 'if-match': '*' }), 412],
  ])('%s', async (_, path, headersOf, status) => {
    const { ask } = await site();
    const state = async () => (await ask(`${API}${path}`, { as: 'root' })).text();
    const before = await state();
    const tag = (await ask(`${API}${path}`, { as: 'root' })).headers.get('etag') ?? '';
    const headers: Record<string, string> = headersOf(tag);
    const json = { push: ['a/*'] };
    const answer = await ask(`${API}${path}`, { as: 'root', method: 'PUT', json, headers });
    expect(answer.status).toBe(status);
    const text = await answer.text();
    expect(await state()).toBe(status === 412 ? before : text);
  });

  test.each(EDITS)('If-None-Match of its state keeps it: $id', async ({ method, json, id }) => {
    const { ask } = await site();
    const token = { name: 'ci' };
    await ask(`${API}/accounts/lab/tokens`, { as: 'root', method: 'POST', json: token });
    const path = RESOURCES[id];
    const before = await ask(`${API}${path}`, { as: 'root' });
    const tag = before.headers.get('etag') ?? '';
    const headers = { 'if-match': tag, 'if-none-match': tag };
    expect((await ask(`${API}${path}`, { as: 'root', method, json, headers })).status).toBe(412);
    expect(await (await ask(`${API}${path}`, { as: 'root' })).text()).toBe(await before.text());
  });

  test('never makes 304 the answer to a change, whose state the client may know already', async () => {
    const { ask } = await site();
    const json = { push: ['a/*'] };
    const put = (headers: Record<string, string>) =>
      ask(`${API}/groups/free`, { as: 'root', method: 'PUT', json, headers });
    const after = (await put({ 'if-match': '*' })).headers.get('etag') ?? '';
    await ask(`${API}/groups/free`, { as: 'root', method: 'PUT', json: {}, headers: { 'if-match': '*' } });
    const again = await put({ 'if-match': '*', 'if-none-match': after });
    expect([again.status, again.headers.get('etag')]).toEqual([200, after]);
    expect(JSON.parse(await again.text())).toMatchObject(json);
  });
});
