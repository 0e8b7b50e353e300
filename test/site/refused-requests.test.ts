import { describe, expect, test } from 'vitest';
import { API_PROBLEMS } from '../../src/site/api/api-problem.ts';
import { AUDIT_REASONS } from '../../src/site/audit.ts';
import { basic, hashed } from '../support/site.ts';
import { type SiteAsk, serveSite } from '../support/site-server.ts';

const API = '/api/v1';
const TYPES = `${API}/accounts/qnib/types`;
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

async function site() {
  return serveSite({
    'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
    'qnib.yaml': `user: qnib\npassword: "${await hashed('qnib')}"\nmanagesMachines: true\ntypes:
  - { name: type1, features: [cpu:broadwell] }\n`,
    'guest.yaml': `user: guest\npassword: "${await hashed('guest')}"\n`,
  });
}

const CROSS_SITE = { 'sec-fetch-site': 'cross-site' };
const root = (more: SiteAsk = {}): SiteAsk => ({ as: 'root', ...more });

describe('a request without a login', () => {
  test.each([
    ['the API', `${API}/accounts`],
    ['machine types', '/site/machines'],
  ])('to %s is refused with the next step of its client', async (_what, path) => {
    const { ask } = await site();
    const answer = await ask(path);
    expect(answer.status).toBe(401);
    const text = await answer.text();
    expect(text).toMatch(/by HTTP Basic/);
    expect(text).not.toContain('docker');
  });
});

describe('a refused request is one line of the audit trail', () => {
  test.each<[string, string, SiteAsk, number]>([
    // The API.
    ['no-resource', `${API}/nothing`, {}, 404],
    ['no-resource', `${API}/accounts/nobody`, root(), 404],
    ['method-not-allowed', `${API}/accounts`, { method: 'DELETE' }, 405],
    ['invalid-query', `${API}/accounts?limit=0`, {}, 400],
    ['cross-site', `${API}/accounts`, root({ headers: CROSS_SITE }), 403],
    ['no-credentials', `${API}/accounts`, {}, 401],
    ['wrong-credentials', `${API}/accounts`, { as: basic('root', 'x') }, 401],
    ['not-an-account', `${API}/accounts`, { as: basic('qnib-type1', 'qnib') }, 403],
    ['not-allowed', `${API}/accounts`, { as: 'guest', method: 'POST', json: { user: 'x' } }, 403],
    ['if-match-required', `${TYPES}/type1`, root({ method: 'DELETE' }), 428],
    ['changed', `${TYPES}/type1`, root({ method: 'DELETE', headers: { 'if-match': '"x"' } }), 412],
    ['media-type', TYPES, root({ method: 'POST', body: '{}' }), 415],
    [
      'invalid-json',
      TYPES,
      root({ method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }),
      400,
    ],
    ['invalid-body', TYPES, root({ method: 'POST', json: { name: 1 } }), 422],
    ['exists', TYPES, root({ method: 'POST', json: { name: 'type1', features: [] } }), 409],
    ['too-large', TYPES, root({ method: 'POST', json: { name: 'x'.repeat(70_000) } }), 413],
    // The pages.
    ['no-resource', '/site/nothing', root(), 404],
    ['method-not-allowed', '/site/accounts', root({ method: 'PUT' }), 405],
    ['cross-site', '/site/login', { method: 'POST', headers: { ...FORM, ...CROSS_SITE } }, 403],
    ['media-type', '/site/login', { method: 'POST', json: {} }, 415],
    ['wrong-credentials', '/site/login', { method: 'POST', body: 'login=root', headers: FORM }, 403],
    // The other endpoints.
    ['method-not-allowed', '/token', { method: 'DELETE' }, 405],
    ['invalid-body', '/token', { method: 'POST', body: 'grant_type=x', headers: FORM }, 400],
    ['wrong-credentials', '/token', { as: basic('root', 'x') }, 401],
    ['method-not-allowed', '/site/enrol', {}, 405],
    ['invalid-body', '/site/enrol', { method: 'POST', json: {} }, 400],
    ['too-large', '/site/enrol', { method: 'POST', json: { token: 'x'.repeat(20_000) } }, 413],
    ['unknown-enrolment', '/site/enrol', { method: 'POST', json: { token: 'x' } }, 403],
    ['method-not-allowed', '/site/machines', { as: 'qnib', method: 'PUT' }, 405],
    ['not-allowed', '/site/machines', { as: 'guest', method: 'POST', json: { name: 'x' } }, 403],
    ['invalid-body', '/site/machines', { as: 'qnib', method: 'POST', json: {} }, 400],
    ['exists', '/site/machines', { as: 'qnib', method: 'POST', json: { name: 'type1' } }, 400],
    [
      'cross-site',
      '/site/machines',
      { as: 'qnib', method: 'POST', json: { name: 'x' }, headers: CROSS_SITE },
      403,
    ],
  ])('with the reason %s: %s %j', async (reason, path, asked, status) => {
    const { ask, log } = await site();
    const answer = await ask(path, asked);
    expect(answer.status).toBe(status);
    const refused = log.filter(({ event }) => event === 'access-refused');
    expect(refused.map(({ fields }) => [fields['reason'], fields['resource']])).toEqual([
      [reason, path.split('?')[0]],
    ]);
    expect(log.filter(({ event }) => ['access-admitted', 'site-changed'].includes(event))).toEqual([]);
  });

  test('an edit on a page that fails is one line', async () => {
    const { ask, log } = await site();
    const answer = await ask('/site/edit/changeMachineType?user=qnib&name=none', { as: 'root' });
    expect(answer.status).toBe(404);
    const refused = log.filter(({ event }) => event === 'access-refused');
    expect(refused.map(({ fields }) => [fields['reason'], fields['who']])).toEqual([['no-resource', 'root']]);
  });

  test('a refused operation has its id and its caller', async () => {
    const { ask, log } = await site();
    await ask(`${TYPES}/type1`, root({ method: 'DELETE', headers: { 'if-match': '"x"' } }));
    expect(log.at(-1)).toMatchObject({
      event: 'access-refused',
      fields: { operation: 'removeMachineType', who: 'root', account: 'root', reason: 'changed' },
    });
  });

  test('each problem of the API has a reason', () => {
    const logins = ['login-required', 'login-refused'];
    const codes = Object.keys(API_PROBLEMS).filter((code) => !logins.includes(code));
    expect(codes.filter((code) => !(code in AUDIT_REASONS))).toEqual([]);
  });
});
