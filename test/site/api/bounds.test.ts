import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { check } from '../../../src/lib/schema.ts';
import { GROUP_RIGHTS } from '../../../src/site/api/resources.ts';
import { basic, hashed } from '../../support/site.ts';
import { type SiteAnswer, serveSite } from '../../support/site-server.ts';

/** The bounds of the management API: each at the bound, and one past it. */

const API = '/api/v1';
const DAY_MS = 24 * 60 * 60_000;
const items = <T>(count: number, itemAt: (at: number) => T) =>
  Array.from({ length: count }, (_, at) => itemAt(at));

async function site(
  files: Readonly<Record<string, string>> = {},
  more: Parameters<typeof serveSite>[1] = {},
) {
  const account = async (user: string, rest = '') =>
    `user: ${user}\npassword: "${await hashed(user)}"\n${rest}`;
  const opened = await serveSite(
    {
      'root.yaml': await account('root', 'role: admin\n'),
      'lab.yaml': await account('lab', 'types: [{ name: gpu, features: [cpu:zen4] }]\n'),
      ...files,
    },
    more,
  );
  const send = (method: string, path: string, json: unknown, headers = {}) =>
    opened.ask(`${API}${path}`, { as: 'root', method, json, headers });
  const get = (path: string, as = 'root') => opened.ask(`${API}${path}`, { as });
  return { ...opened, send, get };
}

const codeOf = async (answer: SiteAnswer) => [answer.status, (await answer.json()).code];
const documentOf = async (answer: SiteAnswer) => JSON.parse(await answer.text()) as Record<string, unknown>;

describe('the management API takes', () => {
  test.each([
    [
      'features of a type',
      64,
      (count: number) => ['/types', { name: 'a', features: items(count, (at) => `net:f${at}`) }],
    ],
    [
      'characters of a password',
      1024,
      (count: number) => ['/types', { name: 'a', password: 'x'.repeat(count) }],
    ],
  ] as const)('%s up to %i', async (_, max, requestOf) => {
    const { send } = await site();
    const statuses = await Promise.all(
      [max, max + 1].map(async (count) => {
        const [path, json] = requestOf(count);
        return (await send('POST', `/accounts/lab${path}`, json)).status;
      }),
    );
    expect(statuses).toEqual([201, 422]);
  });

  test.each(['repositories', 'push'])('patterns of a group up to 500: %s', (kind) => {
    // By the schema, because a file of so many is read by a thread.
    const isTaken = (count: number) =>
      check<unknown>(GROUP_RIGHTS, { [kind]: Array(count).fill('a/*') }).output !== undefined;
    expect([isTaken(500), isTaken(501)]).toEqual([true, false]);
  });

  test.each([[''], ['two\nlines'], ['two\rlines']])('no password %j', async (password) => {
    const { send, machines } = await site();
    const before = await readFile(join(machines, 'lab.yaml'), 'utf8');
    for (const answer of [
      await send('POST', '/accounts', { user: 'new', password }),
      await send('PATCH', '/accounts/lab', { password }, { 'if-match': '*' }),
      await send('POST', '/accounts/lab/types', { name: 'a', password }),
      await send('PUT', '/accounts/lab/types/gpu', { features: [], password }, { 'if-match': '*' }),
    ]) {
      expect(await documentOf(answer)).toMatchObject({ status: 422, errors: [{ pointer: '/password' }] });
    }
    expect(await readFile(join(machines, 'lab.yaml'), 'utf8')).toBe(before);
  });

  test('lists of 100 items, or of up to 500 where the query says so', async () => {
    // Several files, because a large one is read by a thread.
    const accountAt = async (at: number, count: number) => {
      const types = items(count, (nth) => `  - { name: t${nth}, features: [] }\n`).join('');
      return [`m${at}.yaml`, `user: m${at}\npassword: "${await hashed('x')}"\ntypes:\n${types}`] as const;
    };
    const files = await Promise.all([100, 100, 100, 100, 100].map((count, at) => accountAt(at, count)));
    const { get } = await site(Object.fromEntries(files));
    const part = async (query: string) => {
      const answer = await get(`/types?${query}`);
      const next = /<(.*)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
      return { count: (await answer.json()).types.length, next };
    };
    expect((await part('')).count).toBe(100);
    const { count, next } = await part('limit=500');
    expect(count).toBe(500);
    // The rest is asked for with the same query.
    const query = new URLSearchParams(next?.split('?')[1]);
    expect(query.get('limit')).toBe('500');
    expect(await part(String(query))).toEqual({ count: 1, next: undefined });
    const own = await part('account=m1&limit=99');
    expect(own.next?.startsWith('/api/v1/types?account=m1&limit=99&cursor=')).toBe(true);
    expect(await part(own.next?.split('?')[1] ?? '')).toEqual({ count: 1, next: undefined });
  });
});

describe('an access token that the API creates', () => {
  test.each([
    ['its own time', '2023-11-15T00:00:00Z', '2023-11-15T00:00:00.000Z'],
    ['no end', null, null],
  ])('has %s', async (_, expires, expected) => {
    const { send } = await site();
    const made = await documentOf(await send('POST', '/accounts/lab/tokens', { name: 't', expires }));
    expect(made).toMatchObject({ expires: expected, repositories: null, push: false, type: null });
  });

  test('and an enrolment may end a millisecond from now, but not now', async () => {
    const { send, clock } = await site();
    for (const [kind, more] of [
      ['tokens', {}],
      ['enrolments', { type: 'gpu' }],
    ] as const) {
      const statusAfter = async (ms: number) => {
        const expires = new Date(clock.ms + ms).toISOString();
        return (await send('POST', `/accounts/lab/${kind}`, { name: 't', expires, ...more })).status;
      };
      expect([await statusAfter(0), await statusAfter(1)]).toEqual([422, 201]);
    }
  });

  test('is listed with its state, before the enrolment of its name, which ends in an hour', async () => {
    const { send, get, clock } = await site();
    const startMs = clock.ms;
    const inMs = (ms: number) => new Date(startMs + ms).toISOString();
    await send('POST', '/accounts/lab/tokens', { name: 'b', expires: inMs(1000), push: true });
    await send('POST', '/accounts/lab/tokens', { name: 'a', repositories: ['lab/*'] });
    const enrolment = await send('POST', '/accounts/lab/enrolments', { name: 'b', type: 'gpu' });
    expect(await documentOf(enrolment)).toMatchObject({
      ...{ account: 'lab', name: 'b', type: 'gpu', expires: inMs(60 * 60_000) },
      token: expect.stringMatching(/^metahub_enrol_/),
    });
    const statesAt = async (ms: number) => {
      clock.ms = startMs + ms;
      const { tokens } = await documentOf(await get('/tokens'));
      return (tokens as readonly Record<string, unknown>[]).map(({ name, state }) => `${name} ${state}`);
    };
    expect(await statesAt(999)).toEqual(['a valid', 'b valid', 'b enrolment']);
    expect(await statesAt(1000)).toEqual(['a valid', 'b expired', 'b enrolment']);
    expect(await statesAt(60 * 60_000)).toEqual(['a valid', 'b expired', 'b expired']);
    // The newer one of that name is the enrolment.
    expect(await documentOf(await get('/accounts/lab/tokens/b'))).toMatchObject({ type: 'gpu', push: false });
    expect(await documentOf(await get('/accounts/lab/tokens/a'))).toMatchObject({
      ...{ expires: inMs(90 * DAY_MS), repositories: ['lab/*'], push: false, type: null, state: 'valid' },
    });
    expect(await codeOf(await get('/accounts/lab/tokens/c'))).toEqual([404, 'no-resource']);
  });
});

describe('a problem of the management API', () => {
  test('says how long to wait after too many failed logins', async () => {
    const { ask } = await site();
    const fail = () => ask(`${API}/accounts`, { as: basic('lab', 'wrong') });
    let answer = await fail();
    for (let at = 0; at < 100 && answer.status === 401; at += 1) answer = await fail();
    expect(await codeOf(answer)).toEqual([429, 'too-many-failures']);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  test('of MetaHub itself is logged, and its answer has no part of the reason', async () => {
    const gaps = () => {
      throw new Error('the secret reason');
    };
    const { get, log } = await site({}, { gaps });
    const answer = await get('/gaps');
    const text = await answer.text();
    expect([answer.status, JSON.parse(text)]).toMatchObject([500, { code: 'internal' }]);
    expect(text).not.toContain('secret');
    expect(log).toContainEqual({ event: 'api-failed', fields: { reason: 'Error: the secret reason' } });
    expect(log).toContainEqual({
      event: 'access-refused',
      fields: expect.objectContaining({ who: 'root', operation: 'listGaps', reason: 'internal' }),
    });
  });

  test('has the reason of the login in the audit trail', async () => {
    const { ask, log } = await site();
    await ask(`${API}/accounts`);
    await ask(`${API}/accounts`, { as: basic('lab', 'wrong') });
    await ask(`${API}/nothing`, { as: 'lab' });
    await ask(`${API}/accounts`, { as: basic('lab-gpu', 'lab') });
    const refused = log.filter(({ event }) => event === 'access-refused').map(({ fields }) => fields);
    expect(refused.map(({ reason, who }) => [reason, who])).toEqual([
      ['no-credentials', undefined],
      ['wrong-credentials', 'lab'],
      ['no-resource', undefined],
      ['not-an-account', 'lab-gpu'],
    ]);
  });

  test('points at the wrong part of a body, with ~ and / escaped (RFC 6901)', async () => {
    const { send } = await site();
    const answer = await send('POST', '/accounts', { user: 'a', 'b/c~d': 1 });
    expect((await answer.json()).errors.map(({ pointer }) => pointer)).toEqual(['/b~1c~0d']);
  });

  test('forbids caches and pages of other sites to use the answer, as every answer does', async () => {
    const { get } = await site();
    for (const path of ['/accounts', '/nothing', '/openapi.json']) {
      const { headers } = await get(path);
      expect(
        ['cache-control', 'vary', 'x-content-type-options', 'cross-origin-resource-policy'].map((name) =>
          headers.get(name),
        ),
      ).toEqual(['private, no-store', 'Authorization', 'nosniff', 'same-origin']);
    }
  });
});

test.each([
  ['application/json; charset=utf-8', 201],
  ['Application/JSON', 201],
  ['application/merge-patch+json', 201],
  ['application/jsonp', 415],
  ['', 415],
])('a body of the media type %j has the status %i', async (type, status) => {
  const { ask } = await site();
  const body = '{"name":"a"}';
  const headers = { 'content-type': type };
  const answer = await ask(`${API}/accounts/lab/types`, { as: 'root', method: 'POST', body, headers });
  expect(answer.status).toBe(status);
});

test.each([
  ['levels', 8, (count: number) => '['.repeat(count) + ']'.repeat(count)],
  ['values', 8192, (count: number) => `[${items(count, () => 1).join()}]`],
])('a JSON body has %s up to %i; with one more it is not parsed', async (_, max, bodyOf) => {
  const { ask } = await site();
  const answerTo = async (count: number) => {
    const headers = { 'content-type': 'application/json' };
    return codeOf(await ask(`${API}/accounts`, { as: 'root', method: 'POST', body: bodyOf(count), headers }));
  };
  expect(await answerTo(max)).toEqual([422, 'invalid-body']);
  expect(await answerTo(max + 1)).toEqual([400, 'invalid-json']);
});
