import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createAccessToken } from '../../src/site/account.ts';
import { basic } from '../support/site.ts';
import { changeIn, servePages } from '../support/site-pages.ts';

const NEW_ACCOUNT = { user: 'lab', password: 'swordfish', repositories: '', push: '', groups: '', role: '' };

/** An administrator's browser, and how it fills in a form and confirms the change. */
async function administrator() {
  const pages = await servePages();
  const { cookie } = await pages.logIn('root');
  const review = async (form: string, fields: Readonly<Record<string, string>>, more = '') => {
    const answer = await pages.post(`edit/${form}`, fields, { cookie: `${cookie}${more}` });
    return await answer.text();
  };
  const confirm = (page: string, more = '') =>
    pages.post('confirm', { change: changeIn(page) }, { cookie: `${cookie}${more}` });
  return { ...pages, cookie, review, confirm };
}

describe('a form of the site’s pages', () => {
  test('adds an account that may pull nothing of its own when its field is empty', async () => {
    const { review, confirm, admit, clock, ask } = await administrator();
    const page = await review('addAccount', NEW_ACCOUNT);
    expect(page).toMatch(/May pull<\/th><td data-label="">none</);
    expect((await confirm(page)).status).toBe(303);
    clock.ms += 1000;
    expect((await admit(basic('lab', 'swordfish'), 'lab/app')).kind).toBe('refused');
    const shown = await ask('/api/v1/accounts/lab', { as: 'root' });
    expect(await shown.json()).toMatchObject({ user: 'lab', repositories: [] });
  });

  test.each([
    ['addAccount', { ...NEW_ACCOUNT, repositories: 'lab/*', password: ' two words ' }, 'lab'],
    [
      'addMachineType?user=qnib',
      { name: 'lab', features: 'cpu:zen4', login: '', password: ' two words ' },
      'qnib-lab',
    ],
    [
      'changeMachineType?user=qnib&name=type1',
      { features: 'cpu:zen4', login: '', passwordChoice: 'new', password: ' two words ' },
      'qnib-type1',
    ],
  ])('takes the password of %s as it was typed', async (form, fields, login) => {
    const { review, confirm, admit, clock } = await administrator();
    expect((await confirm(await review(form, fields))).status).toBe(303);
    clock.ms += 1000;
    expect((await admit(basic(login, ' two words '), 'lab/app')).kind).toBe('admitted');
  });

  test('is confirmed although another program of the host has changed its cookie', async () => {
    const { review, confirm } = await administrator();
    const page = await review('addAccount', NEW_ACCOUNT, '; visits=1');
    expect((await confirm(page, '; visits=2; theme=dark')).status).toBe(303);
  });

  test('shows date and choices again when the change is refused', async () => {
    const { review, confirm, ask, machines } = await administrator();
    const expires = '2999-12-31';
    const token = await review('addToken?user=qnib', { name: 'ci', expires, repositories: '' });
    const made = await ask('/api/v1/accounts/qnib/tokens', {
      method: 'POST',
      as: 'root',
      json: { name: 'ci' },
    });
    expect(made.status).toBe(201);
    const refused = await confirm(token);
    expect(refused.status).toBe(409);
    expect(await refused.text()).toContain(`name="expires" value="${expires}"`);
    const form = 'changeMachineType?user=qnib&name=type1';
    const tag = (await ask('/api/v1/accounts/qnib/types/type1', { as: 'root' })).headers.get('etag') ?? '';
    const typed = {
      etag: tag,
      features: 'cpu:zen4',
      login: '',
      passwordChoice: 'new',
      password: 'swordfish',
    };
    const asked = await review(form, typed);
    const before = await readFile(join(machines, 'qnib.yaml'), 'utf8');
    const headers = { 'if-match': '*' };
    const json = { features: ['cpu:zen3'] };
    await ask('/api/v1/accounts/qnib/types/type1', { method: 'PUT', as: 'root', json, headers });
    const late = await confirm(asked);
    expect(late.status).toBe(412);
    expect(await late.text()).toContain('name="passwordChoice" value="new" checked');
    expect(before).toContain('cpu:broadwell');
  });
});

describe('the page of accounts', () => {
  test('leads to every token', async () => {
    const names = Array.from({ length: 101 }, (_, at) => `t${String(at).padStart(3, '0')}`);
    const token = (name = '') => `  - { name: ${name}, sha256: ${createAccessToken().sha256} }\n`;
    // Several files, because a large one is read by a thread.
    const files = [0, 34, 68].map((from, at) => {
      const tokens = names.slice(from, from + 34).map(token);
      return [`many${at}.yaml`, `user: many${at}\ntokens:\n${tokens.join('')}`];
    });
    const { logIn, see } = await servePages({}, Object.fromEntries(files));
    const { cookie } = await logIn('root');
    const page = async (path: string) => await (await see(path, cookie)).text();
    const shown = (text: string) => [...text.matchAll(/aria-label="Revoke (t\d+)"/g)].map(([, name]) => name);
    const first = await page('accounts');
    expect(shown(first)).toEqual(names.slice(0, 100));
    const [, next = ''] = /href="\/site\/(accounts\?tokens=[\w%-]+)">More/.exec(first) ?? [];
    const second = await page(next);
    expect(shown(second)).toEqual(names.slice(100));
    expect(second).not.toContain('>More<');
  });
});
