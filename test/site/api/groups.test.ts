import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createAccessToken } from '../../../src/site/account.ts';
import { readGroupsFile } from '../../../src/site/machine-file.ts';
import { basic, hashed } from '../../support/site.ts';
import { serveSite } from '../../support/site-server.ts';

const API = '/api/v1';
const GROUPS =
  '# Who may what.\nlab: { repositories: [lab/*], push: [lab/out] } # since 2019\nweb: { repositories: [web/*] }\n';
const { text: TOKEN, sha256: TOKEN_HASH } = createAccessToken();

async function site(groups: string | null = GROUPS) {
  const account = async (user: string, rest = '') =>
    `user: ${user}\npassword: "${await hashed(user)}"\n${rest}`;
  const site = await serveSite({
    ...(groups === null ? {} : { 'groups.yaml': groups }),
    'root.yaml': await account('root', `role: admin\ntokens: [{ name: t, sha256: "${TOKEN_HASH}" }]\n`),
    'anna.yaml': await account('anna', groups === null ? '' : 'groups: [lab]\nmanagesMachines: true\n'),
    'guest.yaml': await account('guest', 'repositories: [guest/*]\n'),
  });
  const tagOf = async (name: string) =>
    (await site.ask(`${API}/groups/${name}`, { as: 'root' })).headers.get('etag') ?? '';
  const put = (name: string, json: unknown, headers: Record<string, string> = {}, as = 'root') =>
    site.ask(`${API}/groups/${name}`, { method: 'PUT', as, json, headers });
  const file = () => readFile(join(site.machines, 'groups.yaml'), 'utf8');
  return { ...site, tagOf, put, file };
}

const bodyOf = async (answer: { text(): Promise<string> }) => JSON.parse(await answer.text()) as unknown;
const codeOf = async (answer: { text(): Promise<string> }) =>
  ((await bodyOf(answer)) as { code: string }).code;

describe('groups over the API', () => {
  test('are all shown to an administrator, and to other accounts those that they are in', async () => {
    const { ask } = await site();
    const lab = { name: 'lab', repositories: ['lab/*'], push: ['lab/out'] };
    const web = { name: 'web', repositories: ['web/*'], push: [] };
    expect(await bodyOf(await ask(`${API}/groups`, { as: 'root' }))).toEqual({ groups: [lab, web] });
    expect(await bodyOf(await ask(`${API}/groups`, { as: 'anna' }))).toEqual({ groups: [lab] });
    expect(await bodyOf(await ask(`${API}/groups`, { as: 'guest' }))).toEqual({ groups: [] });
    expect(await bodyOf(await ask(`${API}/groups/lab`, { as: 'anna' }))).toEqual(lab);
    expect((await ask(`${API}/groups/web`, { as: 'anna' })).status).toBe(404);
    const part = await ask(`${API}/groups?limit=1`, { as: 'root' });
    expect(await bodyOf(part)).toEqual({ groups: [lab] });
    const next = /<(.*)>; rel="next"/.exec(part.headers.get('link') ?? '')?.[1] ?? '';
    expect(await bodyOf(await ask(next, { as: 'root' }))).toEqual({ groups: [web] });
  });

  test('are added and edited with their comments kept, take effect at once, and leave audit lines', async () => {
    const { put, tagOf, file, admit, log } = await site();
    const added = await put('hpc', { repositories: ['hpc/*'] });
    expect([added.status, added.headers.get('location')]).toEqual([201, `${API}/groups/hpc`]);
    expect(added.headers.get('etag')).toBe(await tagOf('hpc'));
    expect((await admit(basic('anna', 'anna'), 'extra/a')).kind).toBe('refused');
    const changed = await put(
      'lab',
      { repositories: ['lab/*', 'extra/*'] },
      { 'if-match': await tagOf('lab') },
    );
    expect(changed.status).toBe(200);
    expect(await bodyOf(changed)).toEqual({ name: 'lab', repositories: ['lab/*', 'extra/*'], push: [] });
    expect((await admit(basic('anna', 'anna'), 'extra/a')).kind).toBe('admitted');
    expect(await file()).toContain('# Who may what.');
    expect(await file()).toContain('web: { repositories: [ web/* ] }');
    const trail = log.filter(({ event }) => event === 'site-changed').map(({ fields }) => fields);
    expect(trail).toMatchObject([
      { who: 'root', operation: 'setGroup', resource: `${API}/groups/hpc` },
      { who: 'root', operation: 'setGroup', resource: `${API}/groups/lab` },
    ]);
  });

  test('are added to a folder that has no file of groups', async () => {
    const { put, machines } = await site(null);
    expect((await put('hpc', { push: ['hpc/*'] })).status).toBe(201);
    expect(await readFile(join(machines, 'groups.yaml'), 'utf8')).toBe('hpc:\n  push:\n    - hpc/*\n');
  });

  test('are edited in the file that defines them, whichever name that has', async () => {
    const { put, machines, tagOf, file } = await site();
    await writeFile(join(machines, 'groups.yml'), 'other: { repositories: [other/*] }\n');
    const edited = await put('other', { repositories: ['new/*'] }, { 'if-match': await tagOf('other') });
    expect(edited.status).toBe(200);
    expect(await readFile(join(machines, 'groups.yml'), 'utf8')).toContain('new/*');
    expect(await file()).toBe(GROUPS);
    // Two definitions: which one counts is for the operator to say.
    await writeFile(join(machines, 'groups.yml'), 'lab: { repositories: [other/*] }\n');
    expect((await put('lab', {}, { 'if-match': '*' })).status).toBe(409);
  });

  test('are not overwritten by an edit of a former state', async () => {
    const { put, tagOf, ask, file } = await site();
    expect(await codeOf(await put('lab', {}))).toBe('if-match-required');
    expect(await codeOf(await put('lab', {}, { 'if-none-match': '*' }))).toBe('changed');
    expect(await codeOf(await put('lab', {}, { 'if-match': '"old"' }))).toBe('changed');
    expect(await codeOf(await put('gone', {}, { 'if-match': await tagOf('lab') }))).toBe('changed');
    expect(await codeOf(await put('gone', {}, { 'if-match': '*' }))).toBe('changed');
    const remove = (headers: Record<string, string>) =>
      ask(`${API}/groups/web`, { method: 'DELETE', as: 'root', headers });
    expect(await codeOf(await remove({}))).toBe('if-match-required');
    expect(await codeOf(await remove({ 'if-match': await tagOf('lab') }))).toBe('changed');
    expect(await file()).toBe(GROUPS);
    // Of simultaneous edits of the same state one wins, of additions too.
    const tag = { 'if-match': await tagOf('lab') };
    const edits = await Promise.all(
      ['a', 'b', 'c'].map((name) => put('lab', { repositories: [`${name}/*`] }, tag)),
    );
    expect(edits.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
    const adds = await Promise.all(
      ['a', 'b', 'c'].map((name) => put('new', { repositories: [`${name}/*`] })),
    );
    expect(adds.map(({ status }) => status).sort()).toEqual([201, 428, 428]);
  });

  test.each([
    ['an empty list', { groups: [] }, 'refused'],
    ['null', { groups: null }, 'refused'],
    ['null, and all repositories', { groups: null, repositories: null }, 'admitted'],
  ])(
    'leave no right to pull everything to an account that loses the last one by %s',
    async (_how, json, kind) => {
      const { ask, admit, machines } = await site();
      expect((await admit(basic('anna', 'anna'), 'other/a')).kind).toBe('refused');
      const headers = { 'if-match': '*' };
      expect((await ask(`${API}/accounts/anna`, { method: 'PATCH', as: 'root', json, headers })).status).toBe(
        200,
      );
      expect((await admit(basic('anna', 'anna'), 'other/a')).kind).toBe(kind);
      // What a file says itself stays.
      await ask(`${API}/accounts/guest`, { method: 'PATCH', as: 'root', json: { groups: ['lab'] }, headers });
      await ask(`${API}/accounts/guest`, { method: 'PATCH', as: 'root', json: { groups: [] }, headers });
      expect(await readFile(join(machines, 'guest.yaml'), 'utf8')).toContain('repositories: [ guest/* ]');
    },
  );

  test('are removed without members only', async () => {
    const { ask, tagOf, file } = await site();
    const remove = async (name: string) =>
      ask(`${API}/groups/${name}`, {
        method: 'DELETE',
        as: 'root',
        headers: { 'if-match': await tagOf(name) },
      });
    const used = await remove('lab');
    expect(used.status).toBe(409);
    expect(await bodyOf(used)).toMatchObject({
      code: 'in-use',
      detail: 'the group lab still has members: anna',
    });
    expect((await remove('web')).status).toBe(204);
    expect((await ask(`${API}/groups/web`, { as: 'root' })).status).toBe(404);
    expect(
      (await ask(`${API}/groups/web`, { method: 'DELETE', as: 'root', headers: { 'if-match': '*' } })).status,
    ).toBe(404);
    expect(await file()).not.toContain('web');
  });

  test.each([
    ['a number', '7: { repositories: [old/*] }\nweb: {}\n', '7'],
    ['a number and a text', '7: { repositories: [old/*] }\n"7": { repositories: [late/*] }\nweb: {}\n', '7'],
    ['a truth value', 'true: { repositories: [old/*] }\nweb: {}\n', 'true'],
  ])('are edited and removed when the key of the file is %s', async (_kind, groups, name) => {
    const { put, ask, tagOf, file } = await site(`lab: {}\n${groups}`);
    const edited = await put(name, { repositories: ['new/*'] }, { 'if-match': await tagOf(name) });
    expect(edited.status).toBe(200);
    expect(readGroupsFile(await file(), 'groups.yaml').get(name)?.repositories).toEqual(['new/*']);
    const headers = { 'if-match': await tagOf(name) };
    expect((await ask(`${API}/groups/${name}`, { method: 'DELETE', as: 'root', headers })).status).toBe(204);
    expect((await ask(`${API}/groups/${name}`, { as: 'root' })).status).toBe(404);
    expect(await file()).toBe('lab: {}\nweb: {}\n');
  });

  test.each([
    ['an alias', 'lab: {}\nbase: &r { repositories: [base/*] }\nweb: *r\n'],
    ['an alias of a part', 'lab: {}\nbase: { repositories: &r [base/*] }\nweb: { repositories: *r }\n'],
    // Without the second anchor the alias would stand for the first.
    [
      'an alias whose name has two meanings',
      'lab: &r { push: [lab/*] }\nbase: &r { repositories: [base/*] }\nweb: *r\n',
    ],
    ['a merge key', '%YAML 1.1\n---\nlab: {}\nbase: &r { repositories: [base/*] }\nweb: { <<: *r }\n'],
  ])('are not changed while another group uses them by %s', async (_kind, groups) => {
    const { put, ask, tagOf, file } = await site(groups);
    const headers = { 'if-match': await tagOf('base') };
    for (const answer of [
      await put('base', { repositories: ['new/*'] }, headers),
      await ask(`${API}/groups/base`, { method: 'DELETE', as: 'root', headers }),
    ]) {
      expect([answer.status, await bodyOf(answer)]).toMatchObject([
        409,
        { code: 'in-use', nextStep: expect.stringMatching(/^Write out what the alias stands for/) as string },
      ]);
    }
    expect(await file()).toBe(groups);
    const own = { 'if-match': await tagOf('web') };
    expect((await put('web', { repositories: ['own/*'] }, own)).status).toBe(200);
    expect((await ask(`${API}/groups/base`, { method: 'DELETE', as: 'root', headers })).status).toBe(204);
  });

  test('are changed by administrators alone, and not with a token', async () => {
    const { put, ask, tagOf, file, log } = await site();
    const tag = await tagOf('lab');
    const token = basic('root', TOKEN);
    for (const as of ['anna', 'guest', token]) {
      for (const [name, headers] of [
        ['lab', { 'if-match': tag }],
        ['mine', {}],
      ] as const) {
        expect(
          await codeOf(await put(name, { repositories: ['**'], push: ['**'] }, { ...headers }, as)),
        ).toBe('not-allowed');
      }
      const removing = { method: 'DELETE', as, headers: { 'if-match': tag } };
      expect(await codeOf(await ask(`${API}/groups/lab`, removing))).toBe('not-allowed');
    }
    expect(await file()).toBe(GROUPS);
    expect(log.filter(({ event }) => event === 'site-changed')).toEqual([]);
    expect(log.filter(({ fields }) => fields['operation'] === 'setGroup')).toHaveLength(6);
  });

  test.each<[string, string, unknown]>([
    ['a name that is a path', '..%2Froot', {}],
    ['a name with a space', 'a%20b', {}],
    ['a pattern that is none', 'x', { repositories: ['!a'] }],
    ['a key that does not exist', 'x', { members: ['guest'] }],
    ['too many patterns', 'x', { push: Array(501).fill('a/*') }],
    ['what is no map', 'x', [['a/*']]],
  ])('refuses %s', async (_name, name, json) => {
    const { put, file } = await site();
    const answer = await put(name, json);
    expect([404, 422]).toContain(answer.status);
    expect(await file()).toBe(GROUPS);
  });

  test('refuses the name __proto__, and treats constructor like any other name', async () => {
    const { put, file, ask } = await site();
    expect((await put('__proto__', { repositories: ['**'] })).status).toBe(422);
    expect((await put('constructor', { repositories: ['**'] })).status).toBe(201);
    expect(await bodyOf(await ask(`${API}/groups/constructor`, { as: 'root' }))).toMatchObject({ push: [] });
    expect(await file()).toContain('constructor:');
  });
});
