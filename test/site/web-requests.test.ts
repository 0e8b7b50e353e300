import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { createAccessToken } from '../../src/site/account.ts';
import { basic, hashed } from '../support/site.ts';
import { changeIn, servePages } from '../support/site-pages.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const { text: TOKEN, sha256: TOKEN_HASH } = createAccessToken();

async function pages(options: Parameters<typeof servePages>[0] = {}) {
  const opened = await servePages(options, {
    'lab.yaml': `user: lab\npassword: "${await hashed('lab')}"\ntokens: [{ name: ci, sha256: "${TOKEN_HASH}" }]\n`,
    'groups.yaml': 'web: {}\n',
  });
  const textOf = async (path: string, as = 'root') => (await opened.ask(`/site/${path}`, { as })).text();
  const trail = (): readonly Readonly<Record<string, unknown>>[] =>
    opened.log
      .filter(({ event }) => event.startsWith('access-') || event === 'site-changed')
      .map(({ event, fields }) => ({ event, ...fields }));
  return { ...opened, textOf, trail };
}

describe('a request for a page', () => {
  test.each([
    ['/site/pulls?image=a/b&verdict=x%20y', '/site/pulls?image=a/b&verdict=x%20y'],
    ['/site/', '/site/'],
    ['/site', '/site/'],
    ['/sitemap', '/site/'],
    ['x/site/pulls', '/site/'],
    ['/site/a b', '/site/'],
    ['/site/pulls\nx', '/site/'],
    ['/site/..', '/site/'],
    ['/site/a//evil', '/site/a//evil'],
    ['', '/site/'],
  ])('returns to %j after the login as %j', async (written, expected) => {
    const { post, ask } = await pages();
    const led = await post('login', { login: 'root', password: 'root', return: written });
    expect(led.headers.get('location')).toBe(expected);
    const form = await (await ask(`/site/login?${new URLSearchParams({ return: written })}`)).text();
    expect(form).toContain(`name="return" value="${expected.replaceAll('&', '&amp;')}"`);
  });

  test('asks for a login, and back to the page but never to a form’s answer', async () => {
    const { ask, post } = await pages();
    expect((await ask('/site/hosts')).headers.get('location')).toBe('/site/login?return=%2Fsite%2Fhosts');
    const sent = await post('edit/addGroup', { name: 'a' });
    expect([sent.status, sent.headers.get('location')]).toEqual([303, '/site/login']);
  });

  test('may be HEAD, and is refused with another method', async () => {
    const { ask } = await pages();
    const head = await ask('/site/', { method: 'HEAD', as: 'root' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      const answer = await ask('/site/', { method, as: 'root' });
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD, POST']);
      expect(await answer.text()).toContain('<h2>a page takes GET and POST</h2>');
    }
  });

  test('may come from a page of another site, which its form may not', async () => {
    const { ask, post, trail } = await pages();
    const headers = { 'sec-fetch-site': 'cross-site' };
    expect((await ask('/site/', { as: 'root', headers })).status).toBe(200);
    for (const path of ['login', 'logout', 'edit/addGroup', 'confirm']) {
      expect((await post(path, { login: 'root', password: 'root' }, headers)).status).toBe(403);
      expect(trail().at(-1)).toMatchObject({
        event: 'access-refused',
        reason: 'cross-site',
        resource: `/site/${path}`,
      });
    }
  });

  test.each([
    ['application/x-www-form-urlencoded; charset=utf-8', 303],
    ['Application/X-WWW-Form-URLencoded', 303],
    ['multipart/form-data', 415],
    ['text/plain', 415],
  ])('with a form of the type %s has the status %i', async (type, status) => {
    const { ask } = await pages();
    const body = 'login=root&password=root';
    const answer = await ask('/site/login', { method: 'POST', body, headers: { 'content-type': type } });
    expect(answer.status).toBe(status);
  });

  test('with a form of more than 64 KiB is refused', async () => {
    const { ask } = await pages();
    const statusOf = async (size: number) => {
      const start = 'login=root&password=root&return=';
      const body = start + 'x'.repeat(size - start.length);
      return (await ask('/site/login', { method: 'POST', body, headers: FORM })).status;
    };
    expect([await statusOf(64 * 1024), await statusOf(64 * 1024 + 1)]).toEqual([303, 413]);
  });

  test('that fails is logged with its reason, which the page does not have', async () => {
    const gaps = () => {
      throw new Error('the secret reason');
    };
    const { ask, log } = await pages({ gaps });
    const answer = await ask('/site/gaps', { as: 'root' });
    const page = await answer.text();
    expect(answer.status).toBe(500);
    expect(page).toContain('MetaHub failed');
    expect(page).toContain('Ask the operator: the log of the mirror contains the reason.');
    expect(page).not.toContain('secret reason');
    expect(log).toContainEqual({ event: 'page-failed', fields: { reason: 'Error: the secret reason' } });
  });

  test('that is refused is not logged as a failure', async () => {
    const { ask, log } = await pages();
    const answer = await ask('/site/nothing', { as: 'root' });
    const page = await answer.text();
    expect(page).toContain('There is no such resource');
    expect(page).toContain('<h2>there is no such page</h2>');
    expect(log.map(({ event }) => event)).not.toContain('page-failed');
  });
});

describe('the audit trail of the pages', () => {
  test('has logins, the pages that an account reads, and what it changes, once each', async () => {
    const { logIn, see, post, trail } = await pages();
    const { cookie } = await logIn('root');
    const who = { who: 'root', account: 'root' };
    expect(trail()).toMatchObject([
      { event: 'access-admitted', operation: 'login', resource: '/site/login', address: '127.0.0.1', ...who },
    ]);
    await see('hosts', cookie);
    expect(trail().at(-1)).toMatchObject({
      event: 'access-admitted',
      operation: 'listHosts',
      resource: '/site/hosts',
    });
    const asked = await (await post('edit/removeGroup?name=web', {}, { cookie })).text();
    const before = trail().length;
    await post('confirm', { change: changeIn(asked) }, { cookie });
    expect(trail().slice(before)).toMatchObject([
      {
        event: 'site-changed',
        operation: 'removeGroup',
        resource: '/site/confirm',
        address: '127.0.0.1',
        ...who,
      },
    ]);
    await post('confirm', { change: changeIn(asked) }, { cookie });
    expect(trail().slice(before + 1)).toMatchObject([
      { event: 'access-refused', reason: 'no-resource', ...who },
    ]);
  });

  test.each([
    ['no-resource', 'edit/nothing', 'root'],
    ['not-allowed', 'edit/addGroup', 'lab'],
    ['invalid-query', 'hosts?cursor=!', 'root'],
  ])('has why a page was refused, once: %s', async (reason, path, as) => {
    const { ask, trail } = await pages();
    const { status } = await ask(`/site/${path}`, { as });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(trail()).toMatchObject([
      { event: 'access-refused', reason, who: as, account: as, resource: `/site/${path.split('?')[0]}` },
    ]);
    expect(trail()).toHaveLength(1);
  });

  test.each([
    ['wrong-credentials', 'lab', 'wrong'],
    ['not-an-account', 'qnib-type1', 'qnib'],
    ['not-an-account', 'lab', TOKEN],
  ])('has why a login was refused: %s', async (reason, user, password) => {
    const { logIn, trail } = await pages();
    expect((await logIn(user, password)).answer.status).toBe(403);
    expect(trail()).toMatchObject([
      { event: 'access-refused', reason, who: user, resource: '/site/login', address: '127.0.0.1' },
    ]);
  });

  test('has why credentials in a header were refused', async () => {
    const { ask, trail } = await pages();
    for (const [user, password] of [
      ['lab', 'wrong'],
      ['qnib-type1', 'qnib'],
    ] as const) {
      expect((await ask('/site/', { as: basic(user, password) })).status).toBe(303);
    }
    expect(trail().map(({ reason }) => reason)).toEqual(['wrong-credentials', 'not-an-account']);
  });
});

describe('an access token in the header', () => {
  test('reads the pages, and opens no form', async () => {
    const { ask, trail } = await pages();
    const as = basic('lab', TOKEN);
    expect((await ask('/site/accounts', { as })).status).toBe(200);
    expect(trail()).toContainEqual(
      expect.objectContaining({ who: 'lab', token: 'ci', operation: 'listAccounts' }),
    );
    const page = await (await ask('/site/accounts', { as })).text();
    expect(page).not.toContain('/site/edit/');
    expect((await ask('/site/edit/addToken?user=lab', { as })).status).toBe(403);
  });

  test('counts before a session: a wrong header is refused although the cookie is valid', async () => {
    const { logIn, ask } = await pages();
    const { cookie } = await logIn('root');
    const headers = { cookie };
    expect((await ask('/site/', { headers })).status).toBe(200);
    expect((await ask('/site/', { as: basic('root', 'wrong'), headers })).status).toBe(303);
  });
});

test('a failed login says why, and keeps the name and the page to return to', async () => {
  const { post } = await pages();
  const answer = await post('login', { login: 'root', password: 'wrong', return: '/site/gaps' });
  const page = await answer.text();
  expect(page).toMatch(/role="alert">Refused: /);
  expect(page).toContain('name="login" value="root"');
  expect(page).toContain('name="return" value="/site/gaps"');
  expect(page).not.toContain('wrong"');
});

test('a login after too many failures says how long to wait, in the page and the header', async () => {
  const { logIn, clock } = await pages();
  const wait = async () => {
    const { answer } = await logIn('root', 'wrong');
    const seconds = answer.headers.get('retry-after');
    if (answer.status === 429)
      expect(await answer.text()).toContain(`Too many failed logins: wait ${seconds} s.`);
    return seconds === null ? undefined : Number(seconds);
  };
  let waitS: number | undefined;
  for (let guess = 0; guess < 100 && waitS === undefined; guess += 1) waitS = await wait();
  if (waitS === undefined) throw new Error('no limit');
  // A second before its end it still holds; at its end it is over.
  clock.ms += (waitS - 1) * 1000;
  expect(await wait()).toBe(1);
  clock.ms += 1000;
  expect((await logIn('root')).answer.status).toBe(303);
});

test('log-out leads to the login, and ends no session of another browser', async () => {
  const { logIn, see, post } = await pages();
  const [one, other] = [(await logIn('root')).cookie, (await logIn('root')).cookie];
  const out = await post('logout', {}, { cookie: one });
  expect([out.status, out.headers.get('location')]).toEqual([303, '/site/login']);
  expect([(await see('', one)).status, (await see('', other)).status]).toEqual([303, 200]);
  expect((await post('logout', {})).headers.get('location')).toBe('/site/login');
});

describe('a list among the pages', () => {
  test('shows what its filter names, and ignores spaces around it and empty fields', async () => {
    const { textOf } = await pages();
    const valueIn = (page: string) => /name="image" value="([^"]*)"/.exec(page)?.[1];
    expect(valueIn(await textOf('pulls?image=%20a/b%20'))).toBe('a/b');
    for (const query of ['image=&account=&login=', 'image=%20', '']) {
      expect(valueIn(await textOf(`decisions?${query}`))).toBe('');
    }
    expect(await textOf('decisions?verdict=failed')).toContain('<option selected>failed');
  });

  test('leads to its next part', async () => {
    const { textOf, machines, clock } = await pages();
    const groups = Array.from({ length: 101 }, (_, at) => `g${1000 + at}: {}\n`).join('');
    await writeFile(`${machines}/groups.yaml`, groups);
    clock.ms += 1000;
    const shown = (page: string) => [...page.matchAll(/>(g1\d{3})<\/strong>/g)].map(([, name]) => name);
    const first = await textOf('groups');
    expect(shown(first)).toHaveLength(100);
    const next = /href="\/site\/(groups\?cursor=[\w%-]+)">More/.exec(first)?.[1] ?? '';
    expect(shown(await textOf(next))).toEqual(['g1100']);
  });
});
