import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { basic } from '../support/site.ts';
import { changeIn, servePages as site } from '../support/site-pages.ts';

const EDIT = 'edit/changeMachineType?user=qnib&name=type1';

describe('the pages of a site', () => {
  test('redirect to the login and back to the requested page', async () => {
    const { ask, logIn, see, post } = await site();
    expect((await ask('/site')).headers.get('location')).toBe('/site/');
    const away = await ask('/site/pulls?image=a');
    expect([away.status, away.headers.get('location')]).toEqual([
      303,
      '/site/login?return=%2Fsite%2Fpulls%3Fimage%3Da',
    ]);
    const { answer, cookie } = await logIn('root');
    expect(answer.headers.get('set-cookie')).toMatch(
      /^metahub-site=[\w-]+; Max-Age=28800; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    const page = await see('', cookie);
    expect(page.status).toBe(200);
    expect(page.headers.get('cache-control')).toBe('private, no-store');
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/);
    expect(await page.text()).toContain('qnib-type1');
    for (const elsewhere of [
      'https://evil.example/',
      '//evil.example',
      '/site/../v2/',
      '/v2/',
      '/site/\\evil',
    ]) {
      const led = await post('login', { login: 'root', password: 'root', return: elsewhere });
      expect(led.headers.get('location')).toBe('/site/');
    }
  });

  test('set a Secure cookie on a site with TLS, and read none without the prefix', async () => {
    const { logIn, see } = await site({ url: 'https://hub.example.org' });
    const { answer, cookie } = await logIn('root');
    expect(answer.headers.get('set-cookie')).toMatch(/^__Host-metahub-site=[\w-]+; .*; Secure$/);
    expect((await see('', cookie)).status).toBe(200);
    // Another host of the domain, or plain HTTP, can set a cookie of that name.
    expect((await see('', cookie.replace('__Host-', ''))).status).toBe(303);
  });

  test('refuse a machine login, a wrong password and a token, and write each to the audit trail', async () => {
    const { logIn, log, ask } = await site();
    for (const [user, password] of [
      ['qnib-type1', 'qnib'],
      ['root', 'wrong'],
      ['nobody', 'x'],
    ] as const) {
      const { answer, cookie } = await logIn(user, password);
      expect([answer.status, cookie]).toEqual([403, '']);
      expect(log.at(-1)?.event).toBe('access-refused');
    }
    const made = await ask('/api/v1/accounts/root/tokens', {
      method: 'POST',
      as: 'root',
      json: { name: 'ci' },
    });
    expect((await logIn('root', (await made.json()).token)).answer.status).toBe(403);
  });

  test('count failed logins toward the limit', async () => {
    const { logIn } = await site();
    for (let guess = 0; guess < 10; guess += 1) await logIn('root', `guess ${guess}`);
    const { answer } = await logIn('root', 'another');
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  test('end a session at log-out, expiry and password change, and refuse another site’s key', async () => {
    const { logIn, see, post, clock, ask } = await site();
    const isIn = async (cookie: string) => (await see('', cookie)).status === 200;
    const first = (await logIn('root')).cookie;
    expect(await isIn(first)).toBe(true);
    const out = await post('logout', {}, { cookie: first });
    expect(out.headers.get('set-cookie')).toMatch(/^metahub-site=; Max-Age=0;/);
    expect(await isIn(first)).toBe(false);
    const second = (await logIn('root')).cookie;
    clock.ms += 8 * 60 * 60_000;
    expect(await isIn(second)).toBe(false);
    const third = (await logIn('guest')).cookie;
    const json = { password: 'another' };
    const headers = { 'if-match': '*' };
    expect((await ask('/api/v1/accounts/guest', { method: 'PATCH', as: 'root', json, headers })).status).toBe(
      200,
    );
    expect(await isIn(third)).toBe(false);
    const other = await site();
    expect(await isIn((await other.logIn('root')).cookie)).toBe(false);
    expect(await isIn('metahub-site=nonsense')).toBe(false);
  });

  test('accept HTTP Basic', async () => {
    const { ask } = await site();
    expect((await ask('/site/', { as: 'root' })).status).toBe(200);
    expect((await ask('/site/', { as: basic('qnib-type1', 'qnib') })).status).toBe(303);
  });
});

describe('a change by the pages', () => {
  test('takes effect at its confirmation, not before', async () => {
    const { logIn, see, post, machines, log } = await site();
    const { cookie } = await logIn('root');
    const etag = /name="etag" value="([^"]+)"/.exec(await (await see(EDIT, cookie)).text())?.[1] ?? '';
    const written = {
      etag: etag.replaceAll('&quot;', '"'),
      features: 'cpu:zen5\nnvcap:12.0',
      login: '',
      passwordChoice: 'keep',
    };
    const asked = await (await post(EDIT, written, { cookie })).text();
    expect(asked).toContain('cpu:broadwell');
    expect(asked).toContain('cpu:zen5 nvcap:12.0');
    const file = () => readFile(join(machines, 'qnib.yaml'), 'utf8');
    expect(await file()).toContain('cpu:broadwell');
    // Another program on this host has set a cookie of its own meanwhile.
    const done = await post('confirm', { change: changeIn(asked) }, { cookie: `other=1; ${cookie}` });
    expect(done.headers.get('location')).toBe('/site/?done=changeMachineType&user=qnib&name=type1');
    expect(await file()).toContain('features: [ cpu:zen5, nvcap:12.0 ]');
    expect(log.at(-1)).toMatchObject({
      event: 'site-changed',
      fields: { who: 'root', operation: 'changeMachineType' },
    });
    const page = await (await see('?done=changeMachineType&user=qnib&name=%3Cb%3E', cookie)).text();
    expect(page).toContain('Machine type &lt;b&gt; of qnib is changed.');
  });

  test('is refused after another change, and the form keeps the submitted values', async () => {
    const { logIn, see, post, ask, machines } = await site();
    const { cookie } = await logIn('root');
    const etag = (await ask('/api/v1/accounts/qnib/types/type1', { as: 'root' })).headers.get('etag') ?? '';
    expect(await (await see(EDIT, cookie)).text()).toContain(etag.replaceAll('"', '&quot;'));
    const written = { etag, features: 'cpu:zen5', login: 'mine', passwordChoice: 'keep' };
    const asked = await (await post(EDIT, written, { cookie })).text();
    const headers = { 'if-match': etag };
    const json = { features: ['cpu:zen3'] };
    expect(
      (await ask('/api/v1/accounts/qnib/types/type1', { method: 'PUT', as: 'qnib', json, headers })).status,
    ).toBe(200);
    const late = await post('confirm', { change: changeIn(asked) }, { cookie });
    const page = await late.text();
    expect(late.status).toBe(412);
    expect(page).toContain('The current values are: User name: qnib-type1; What the machine has: cpu:zen3.');
    expect(page).toContain('>cpu:zen5</textarea>');
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).toContain('cpu:zen3');
  });

  test('shows each error beside its field', async () => {
    const { logIn, post } = await site();
    const { cookie } = await logIn('root');
    const answer = await post(
      'edit/addMachineType?user=qnib',
      { name: 'a b', features: 'cpu:zen4 cpu:skylkae' },
      { cookie },
    );
    const page = await answer.text();
    expect(answer.status).toBe(422);
    expect(page).toContain('did you mean skylake?');
    expect(page).toMatch(
      /id="features" name="features"[^>]*aria-invalid="true"[^>]*>cpu:zen4 cpu:skylkae<\/textarea>/,
    );
    expect(page).toMatch(/id="name"[^>]*value="a b"[^>]*aria-invalid="true"/);
  });

  test('adds an account without showing its password, and shows a token once', async () => {
    const { logIn, post, admit, clock } = await site();
    const { cookie } = await logIn('root');
    const account = {
      user: 'lab',
      password: 'swordfish',
      repositories: 'lab/*',
      push: '',
      groups: '',
      role: '',
    };
    const asked = await (await post('edit/addAccount', account, { cookie })).text();
    expect(asked).not.toContain('swordfish');
    expect((await post('confirm', { change: changeIn(asked) }, { cookie })).status).toBe(303);
    clock.ms += 1000;
    expect((await admit(basic('lab', 'swordfish'), 'lab/app')).kind).toBe('admitted');
    const token = await (
      await post('edit/addToken?user=lab', { name: 'ci', expires: '', repositories: '' }, { cookie })
    ).text();
    const shown = await (await post('confirm', { change: changeIn(token) }, { cookie })).text();
    const [text = ''] = /metahub_[\w-]{43}/.exec(shown) ?? [];
    expect((await admit(basic('lab', text), 'lab/app')).kind).toBe('admitted');
  });

  test('is refused from a page of another site and from another session', async () => {
    const { logIn, post, machines, clock } = await site();
    const before = await readFile(join(machines, 'qnib.yaml'), 'utf8');
    const { cookie } = await logIn('root');
    const removal = 'edit/removeMachineType?user=qnib&name=type1';
    const sealed = changeIn(await (await post(removal, {}, { cookie })).text());
    for (const headers of [
      { origin: 'https://evil.example' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ]) {
      expect((await post('confirm', { change: sealed }, { cookie, ...headers })).status).toBe(403);
    }
    const other = (await logIn('root')).cookie;
    for (const [change, session] of [
      [sealed, other],
      ['nonsense', cookie],
      ['', cookie],
    ] as const) {
      expect((await post('confirm', { change }, { cookie: session })).status).toBe(409);
    }
    clock.ms += 60 * 60_000;
    expect((await post('confirm', { change: sealed }, { cookie })).status).toBe(409);
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).toBe(before);
  });

  test('is offered only to accounts with the right, without showing other accounts', async () => {
    const { logIn, see, post } = await site();
    const { cookie } = await logIn('guest');
    const page = await (await see('', cookie)).text();
    expect(page).toContain('guest');
    expect(page).not.toContain('qnib');
    expect(page).not.toContain('Add a machine type');
    for (const path of [
      EDIT,
      'edit/addAccount',
      'edit/changeAccount?user=guest',
      'edit/addMachineType?user=guest',
    ]) {
      expect([path, (await see(path, cookie)).status]).toEqual([path, 403]);
      expect([path, (await post(path, { features: '' }, { cookie })).status]).toEqual([path, 403]);
    }
    const manager = (await logIn('qnib')).cookie;
    expect((await see(EDIT, manager)).status).toBe(200);
    expect((await see('edit/changeMachineType?user=root&name=x', manager)).status).toBe(403);
  });

  test.each([
    ['GET', 'nothing', 404],
    ['GET', 'edit/nothing', 404],
    ['GET', 'edit/listAccounts', 404],
    ['GET', 'confirm', 404],
    ['GET', 'edit/changeMachineType?user=qnib&name=absent', 404],
    ['DELETE', '', 405],
  ])('answers %s %s with a page that describes the problem', async (method, path, status) => {
    const { ask } = await site();
    const answer = await ask(`/site/${path}`, { method, as: 'root' });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
  });
});
