import { chown, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Account } from '../../src/site/account.ts';
import { withGroup } from '../../src/site/group-edit.ts';
import { type MachineAdmin, openMachineAdmin } from '../../src/site/machine-admin.ts';
import { FILE_MAX_BYTES } from '../../src/site/machine-reader.ts';
import { hashed, machineFolder } from '../support/site.ts';

/** What a change of machine files is refused for, and that nothing is written then. */

async function folderOf(more: Readonly<Record<string, string>> = {}) {
  const password = `password: "${await hashed('x')}"\n`;
  const folder = await machineFolder({
    'lab.yaml': `user: lab\n${password}groups: [web]\ntypes: [{ name: gpu, features: [] }]\n`,
    'file.yaml': `user: other\n${password}`,
    'groups.yaml': 'web: { repositories: [web/*] }\nfree: {}\n',
    ...more,
  });
  const content = async () => {
    const names = (await readdir(folder)).filter((name) => name !== '.lock').sort();
    return Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')]));
  };
  return { folder, content, password, admin: openMachineAdmin(folder) };
}

type Change = (admin: MachineAdmin) => Promise<unknown>;
const addType = (user: string, name: string): Change => {
  const type = { name, features: [] };
  return (admin) => admin.change(user, { kind: 'add-type', type });
};
const NO_RIGHTS = { repositories: [], push: [] };

test.each<[string, Change, string]>([
  ['a change of an account', addType('lab', 'new'), 'there is no account lab'],
  ['the removal of an account', (admin) => admin.removeAccount('lab'), 'there is no account lab'],
  ['the removal of a group', (admin) => admin.removeGroup('web'), 'there is no group web'],
])('%s is refused where no folder is: nothing has the name', async (_, change, why) => {
  const folder = join(await machineFolder({}), 'none');
  await expect(change(openMachineAdmin(folder))).rejects.toMatchObject({
    code: 'missing',
    why,
    file: folder,
  });
  await expect(stat(folder)).rejects.toMatchObject({ code: 'ENOENT' });
});

describe('a change of machine files is refused, and writes nothing', () => {
  const named = 'is not a name: it may contain letters, digits and . _ - @';

  test.each<[string, Change, string, string]>([
    ['of no account', addType('none', 'new'), 'missing', 'there is no account none'],
    [
      'that removes no account',
      (admin) => admin.removeAccount('none'),
      'missing',
      'there is no account none',
    ],
    ['that removes no group', (admin) => admin.removeGroup('none'), 'missing', 'there is no group none'],
    [
      'that removes a group with members',
      (admin) => admin.removeGroup('web'),
      'in-use',
      'the group web still has members: lab',
    ],
    [
      'of a group that no group can be',
      (admin) => admin.setGroup('a b', NO_RIGHTS),
      'invalid-value',
      `“a b” ${named}`,
    ],
    [
      'of a group to what no pattern is',
      (admin) => admin.setGroup('free', { ...NO_RIGHTS, repositories: ['!a'] }),
      'invalid-value',
      '“!a” is not a pattern',
    ],
    [
      'that adds an account again',
      (admin) => admin.addAccount({ user: 'lab' }),
      'exists',
      'there is an account lab already',
    ],
    [
      'that adds an account whose file another one has',
      (admin) => admin.addAccount({ user: 'file' }),
      'exists',
      'there is an account file already',
    ],
    [
      'that adds an account with the name of the file of groups',
      (admin) => admin.addAccount({ user: 'groups' }),
      'invalid-value',
      'an account cannot have the name groups: it is the name of the groups’ file',
    ],
    [
      'that adds an account outside of the folder',
      (admin) => admin.addAccount({ user: '../x' }),
      'invalid-value',
      `“../x” ${named}`,
    ],
    [
      'that adds an account to no group',
      (admin) => admin.addAccount({ user: 'new', groups: ['none'] }),
      'invalid-value',
      'there is no group none in groups.yaml',
    ],
    [
      'that adds an account with the login of another',
      async (admin) => admin.addAccount({ user: 'lab-gpu', password: await hashed('x') }),
      'exists',
      'the login lab-gpu is taken already',
    ],
    [
      'that adds a type with the login of another account',
      (admin) =>
        admin.change('lab', { kind: 'add-type', type: { name: 'new', features: [], login: 'other' } }),
      'exists',
      'the login other is taken already',
    ],
    [
      'that makes the file of an account too large',
      (admin) =>
        admin.change('lab', { kind: 'change-account', change: { push: ['a'.repeat(FILE_MAX_BYTES)] } }),
      'too-large',
      'the file is larger than 1048576 bytes',
    ],
    [
      'that makes the file of groups too large',
      (admin) => admin.setGroup('free', { ...NO_RIGHTS, push: ['a'.repeat(FILE_MAX_BYTES)] }),
      'too-large',
      'the file is larger than 1048576 bytes',
    ],
  ])('%s', async (_, change, code, why) => {
    const { admin, content } = await folderOf();
    const before = await content();
    await expect(change(admin)).rejects.toMatchObject({ code, why: expect.stringContaining(why) });
    expect(await content()).toEqual(before);
  });

  test.each<[string, Change]>([
    ['that changes an account', addType('lab', 'new')],
    ['that adds an account', (admin) => admin.addAccount({ user: 'new' })],
    ['that removes an account', (admin) => admin.removeAccount('lab')],
    ['that changes a group', (admin) => admin.setGroup('web', NO_RIGHTS)],
    ['that removes a group', (admin) => admin.removeGroup('free')],
  ])('%s, while another file is invalid, which the operator has to correct', async (_, change) => {
    const { admin, content, folder } = await folderOf({ 'bad.yaml': 'user: a\nsecret: x\n' });
    const before = await content();
    await expect(change(admin)).rejects.toMatchObject({
      ...{ code: 'unreadable', why: 'the machine files cannot be read', line: 2, column: 1 },
      file: join(folder, 'bad.yaml'),
      cause: { code: 'unknown-key' },
    });
    expect(await content()).toEqual(before);
  });

  test('while two other files define the same login, which the operator has to correct', async () => {
    const { password } = await folderOf();
    const twin = `user: twin\n${password}`;
    const { admin, content, folder } = await folderOf({ 'one.yaml': twin, 'two.yaml': twin });
    const before = await content();
    await expect(addType('lab', 'new')(admin)).rejects.toMatchObject({
      ...{ code: 'unreadable', why: 'the machine files cannot be read', file: join(folder, 'two.yaml') },
      cause: { code: 'exists', why: 'the user twin is taken already' },
    });
    expect(await content()).toEqual(before);
  });
});

describe('a change of machine files', () => {
  test('is reported after it, also when it is refused', async () => {
    const { folder } = await folderOf();
    let changes = 0;
    const onChanged = () => {
      changes += 1;
    };
    const admin = openMachineAdmin(folder, { onChanged });
    await addType('lab', 'new')(admin);
    expect(changes).toBe(1);
    await expect(addType('lab', 'new')(admin)).rejects.toMatchObject({ code: 'exists' });
    expect(changes).toBe(2);
  });

  test.each<[string, Change, string]>([
    ['an account', (admin) => admin.addAccount({ user: 'lab' }), 'lab.yaml'],
    ['a group', (admin) => admin.setGroup('web', { repositories: ['a/*'], push: [] }), 'groups.yaml'],
  ])(
    'makes the folder and the file of the first %s, for the service and its group alone',
    async (_, change, name) => {
      const folder = join(await machineFolder({}), 'a', 'b');
      await change(openMachineAdmin(folder));
      const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
      // Less what the umask of this process takes away.
      const most = (mode: number) => (mode & ~process.umask()).toString(8);
      expect(await modeOf(folder)).toBe(most(0o750));
      expect(await modeOf(join(folder, name))).toBe('640');
    },
  );

  test.skipIf(process.getuid?.() !== 0)(
    'gives the file of a new account to the group of the folder',
    async () => {
      const { admin, folder } = await folderOf();
      await chown(folder, 65534, 65533);
      await admin.addAccount({ user: 'new' });
      expect(await stat(join(folder, 'new.yaml'))).toMatchObject({ uid: 0, gid: 65533 });
    },
  );

  test('starts from accounts as their files define them, and resolves to what the file then defines', async () => {
    const { admin, folder } = await folderOf();
    const rightsOf = (accounts: readonly Account[]) =>
      accounts.find(({ user }) => user === 'lab')?.repositories;
    expect(rightsOf(await admin.accounts())).toEqual(['web/*']);
    expect(rightsOf(await admin.ownAccounts())).toEqual([]);
    const changed = await admin.change('lab', { kind: 'change-account', change: { push: ['p/*'] } });
    const file = join(folder, 'lab.yaml');
    expect(changed).toMatchObject({ user: 'lab', repositories: [], push: ['p/*'], groups: ['web'], file });
    expect(await admin.addAccount({ user: 'new' })).toMatchObject({ user: 'new', repositories: ['**'] });
  });

  test('of groups keeps the others, and removes one without members', async () => {
    const { admin, folder } = await folderOf();
    await admin.setGroup('new', { repositories: ['n/*'], push: ['p/*'] });
    await admin.removeGroup('free');
    expect([...(await admin.groups())]).toEqual([
      ['web', { repositories: ['web/*'], push: [] }],
      ['new', { repositories: ['n/*'], push: ['p/*'] }],
    ]);
    await writeFile(join(folder, 'groups.yml'), 'web: {}\n');
    await expect(admin.setGroup('web', NO_RIGHTS)).rejects.toMatchObject({ code: 'exists', file: folder });
  });

  test.each<[string, number, string | undefined]>([
    ['fill', 0, undefined],
    ['overflow', 1, 'too-large'],
  ])('may fill a file to what is read again, and no further: to %s it by %i bytes', async (_, more, code) => {
    const rights = { repositories: [], push: ['p/*'] };
    const empty = '#\nweb: {}\n';
    const rest = FILE_MAX_BYTES - withGroup(empty, 'new', rights, 'groups.yaml').length + more;
    const { admin } = await folderOf({ 'groups.yaml': empty.replace('#', `#${'x'.repeat(rest)}`) });
    const failure = await admin.setGroup('new', rights).catch((error: unknown) => error);
    expect(failure).toEqual(code && expect.objectContaining({ code }));
    expect((await admin.groups()).has('new')).toBe(code === undefined);
  });
});
