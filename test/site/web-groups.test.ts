import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readGroupsFile } from '../../src/site/machine-file.ts';
import { basic, hashed } from '../support/site.ts';
import { type ServedSiteOptions, serveSite } from '../support/site-server.ts';

async function site(more: Readonly<Record<string, string>> = {}, options: ServedSiteOptions = {}) {
  const account = async (user: string, rest: string) =>
    `user: ${user}\npassword: "${await hashed(user)}"\n${rest}`;
  const served = await serveSite(
    {
      'groups.yaml': '# Who may what.\nlab: { repositories: [lab/*], push: [lab/out] }\nweb: {}\n',
      'root.yaml': await account('root', 'role: admin\n'),
      'anna.yaml': await account('anna', 'groups: [lab]\ntypes: [{ name: gpu, features: [cpu:zen4] }]\n'),
      'bert.yaml': await account('bert', '# on leave\nrepositories: [bert/*]\n'),
      ...more,
    },
    options,
  );
  const post = (path: string, fields: Readonly<Record<string, string>>, as = 'root') =>
    served.ask(`/site/${path}`, {
      ...{ method: 'POST', body: String(new URLSearchParams(fields)), as },
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
  /** Submits a form and confirms what it shows. */
  const change = async (path: string, fields: Readonly<Record<string, string>> = {}) => {
    const asked = await post(path, fields);
    const page = await asked.text();
    const sealed = /name="change" value="([\w-]+)"/.exec(page)?.[1];
    return { asked: page, status: asked.status, confirm: () => post('confirm', { change: sealed ?? '' }) };
  };
  const see = async (path: string, as = 'root') => (await served.ask(`/site/${path}`, { as })).text();
  const file = (name: string) => readFile(join(served.machines, name), 'utf8');
  const groups = async () => readGroupsFile(await file('groups.yaml'), 'groups.yaml');
  return { ...served, change, see, file, groups };
}

/** The tag of the state that a page's form shows. */
function tagIn(page: string): string {
  return (/name="etag" value="([^"]*)"/.exec(page)?.[1] ?? '').replaceAll('&quot;', '"');
}

describe('the page of groups', () => {
  test('shows an administrator every group with its rights, members and actions', async () => {
    const { see } = await site();
    const page = await see('groups');
    for (const words of [
      '>lab</strong>',
      '>lab/*<',
      '>lab/out<',
      '>web</strong>',
      'aria-label="Remove anna from lab"',
    ])
      expect(page).toContain(words);
    expect(page).toContain('aria-label="Remove web"');
    expect(page).not.toContain('aria-label="Remove lab"');
  });

  test('shows any other account its own groups, without other members and without actions', async () => {
    const { see } = await site({
      'carl.yaml': `user: carl\npassword: "${await hashed('carl')}"\ngroups: [lab]\n`,
    });
    const page = await see('groups', 'anna');
    expect(page).toContain('>lab</strong>');
    expect(page).not.toMatch(/>web<|carl|edit\//);
    expect(await see('groups', 'bert')).toContain('This account is in no group.');
  });

  test('counts the members that it does not list', async () => {
    const password = await hashed('x');
    const members = Array.from({ length: 102 }, (_, at) => [
      `m${at}.yaml`,
      `user: m${at}\npassword: "${password}"\ngroups: [web]\n`,
    ]);
    const { see } = await site(Object.fromEntries(members));
    const page = await see('groups');
    expect(page.match(/from web"/g)).toHaveLength(100);
    expect(page).toContain('and 2 more, on the page');
  });
});

describe('a change of groups by the pages', () => {
  test('adds a group at its confirmation, and never replaces one', async () => {
    const { change, groups, log } = await site();
    const added = await change('edit/addGroup', {
      name: 'hpc',
      repositories: 'hpc/**\nghcr.io/lab/*',
      push: '',
    });
    expect(added.asked).toContain('hpc/** ghcr.io/lab/*');
    expect((await groups()).has('hpc')).toBe(false);
    const done = await added.confirm();
    expect(done.headers.get('location')).toBe('/site/groups?done=addGroup&name=hpc');
    expect((await groups()).get('hpc')).toEqual({ repositories: ['hpc/**', 'ghcr.io/lab/*'], push: [] });
    expect(log.at(-1)).toMatchObject({
      event: 'site-changed',
      fields: { who: 'root', operation: 'setGroup' },
    });
    const again = await (
      await change('edit/addGroup', { name: 'lab', repositories: '**', push: '' })
    ).confirm();
    const page = await again.text();
    expect(again.status).toBe(409);
    expect(page).toContain('Nothing was saved: there is another one of that name already.');
    expect(page).toMatch(/id="name"[^>]*value="lab"/);
    expect((await groups()).get('lab')?.repositories).toEqual(['lab/*']);
  });

  test.each([
    ['a name with a space', { name: 'a b' }, /id="name"[^>]*aria-invalid="true"/],
    ['no name', { name: '' }, /id="name"[^>]*aria-invalid="true"/],
    [
      'a pattern that is none',
      { name: 'x', repositories: '!a' },
      /id="repositories"[^>]*aria-invalid="true"/,
    ],
  ])('shows the error beside its field: %s', async (_what, fields, shown) => {
    const { change } = await site();
    const { status, asked } = await change('edit/addGroup', fields);
    expect([status, shown.test(asked)]).toEqual([422, true]);
  });

  test('edits the rights of a group, and nothing when somebody else was faster', async () => {
    const { change, see, groups, file } = await site();
    const etag = tagIn(await see('edit/changeGroup?name=lab'));
    const [one, other] = await Promise.all(
      ['a/*', 'b/*'].map((repositories) =>
        change('edit/changeGroup?name=lab', { etag, repositories, push: '' }),
      ),
    );
    expect(one?.asked).toContain('lab/*');
    expect((await one?.confirm())?.headers.get('location')).toBe('/site/groups?done=changeGroup&name=lab');
    expect((await groups()).get('lab')).toEqual({ repositories: ['a/*'], push: [] });
    expect(await file('groups.yaml')).toContain('# Who may what.');
    const late = await other?.confirm();
    expect(late?.status).toBe(412);
    expect(await late?.text()).toContain('The current values are: Its members may pull: a/*;');
    expect((await groups()).get('lab')?.repositories).toEqual(['a/*']);
  });

  test('removes a group without members, and says who is in one that it does not remove', async () => {
    const { change, groups } = await site();
    expect((await (await change('edit/removeGroup?name=web')).confirm()).status).toBe(303);
    expect([...(await groups()).keys()]).toEqual(['lab']);
    const refused = await (await change('edit/removeGroup?name=lab')).confirm();
    expect(refused.status).toBe(409);
    expect(await refused.text()).toContain('the group lab still has members: anna');
    expect((await change('edit/removeGroup?name=absent')).status).toBe(404);
  });

  test('adds and removes a member, whose file keeps everything else', async () => {
    const { change, file, admit, see, clock } = await site();
    const mayPull = async () => {
      clock.ms += 1000;
      return (await admit(basic('bert', 'bert'), 'lab/app')).kind;
    };
    expect(await mayPull()).toBe('refused');
    const added = await change('edit/addMember?name=lab', { user: 'bert' });
    expect(added.asked).toContain('Add bert to lab');
    expect((await added.confirm()).headers.get('location')).toBe(
      '/site/groups?done=addMember&user=bert&name=lab',
    );
    expect(await mayPull()).toBe('admitted');
    expect(await file('bert.yaml')).toContain('# on leave');
    expect(await see('groups?done=addMember&user=bert&name=lab')).toContain('bert is in lab.');
    const removed = await change('edit/removeMember?user=bert&name=lab');
    expect(removed.asked).toContain('Remove bert from lab');
    expect((await removed.confirm()).status).toBe(303);
    expect(await mayPull()).toBe('refused');
    expect(await file('bert.yaml')).toContain('repositories: [ bert/* ]');
  });

  test('lets an account that leaves its last group pull nothing', async () => {
    const { change, admit, clock } = await site();
    expect((await (await change('edit/removeMember?user=anna&name=lab')).confirm()).status).toBe(303);
    clock.ms += 1000;
    for (const name of ['lab/app', 'other/app'])
      expect((await admit(basic('anna', 'anna'), name)).kind).toBe('refused');
  });

  test('keeps a membership that somebody else added meanwhile', async () => {
    const { change, ask } = await site();
    const asked = await change('edit/addMember?name=lab', { user: 'bert' });
    const headers = { 'if-match': '*' };
    await ask('/api/v1/accounts/bert', { method: 'PATCH', as: 'root', json: { groups: ['web'] }, headers });
    const late = await asked.confirm();
    expect(late.status).toBe(412);
    const etag = tagIn(await late.text());
    expect((await (await change('edit/addMember?name=lab', { user: 'bert', etag })).confirm()).status).toBe(
      303,
    );
    const bert = await ask('/api/v1/accounts/bert', { as: 'root' });
    expect(await bert.json()).toMatchObject({ groups: ['web', 'lab'] });
  });

  test.each([
    ['no name', '', 422, 'the name of an account is expected'],
    ['an account that does not exist', 'nobody', 404, 'there is no account nobody'],
  ])('refuses a member that cannot be: %s', async (_what, user, status, words) => {
    const { change } = await site();
    const refused = await change('edit/addMember?name=lab', { user });
    expect(refused.status).toBe(status);
    expect(refused.asked).toContain(words);
    expect(refused.asked).toContain('action="/site/edit/addMember?name=lab"');
  });

  test('refuses a member of a group that does not exist', async () => {
    const { change, file } = await site();
    const refused = await (await change('edit/addMember?name=absent', { user: 'bert' })).confirm();
    expect(refused.status).toBe(422);
    expect(await refused.text()).toContain('there is no group absent');
    expect(await file('bert.yaml')).not.toContain('absent');
  });
});

test('a machine enrols with the secret that the page shows once', async () => {
  const { change, see, ask, log } = await site();
  expect(await see('')).toContain('aria-label="Enrol a machine as gpu"');
  const asked = await change('edit/addEnrolment?user=anna&name=gpu', { name: 'node17' });
  const page = await (await asked.confirm()).text();
  const [secret = ''] = /metahub_enrol_[\w-]+/.exec(page) ?? [];
  expect(page).toContain('metahub login HOST --enrol TOKEN');
  const enrolled = await ask('/site/enrol', { method: 'POST', json: { token: secret } });
  expect(await enrolled.json()).toMatchObject({ login: 'anna-gpu' });
  expect(log.filter(({ event }) => event === 'site-changed')).toMatchObject([
    { fields: { operation: 'addEnrolment' } },
  ]);
  expect((await change('edit/addEnrolment?user=anna&name=gpu', { name: 'a b' })).status).toBe(422);
});
