import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Account } from '../../src/site/account.ts';
import { type Author, type MachineAdmin, openMachineAdmin } from '../../src/site/machine-admin.ts';
import { parsePasswordHash } from '../../src/site/password.ts';
import { hashed, machineFolder } from '../support/site.ts';

/** What is asked over the network has an author, whose right is checked under the lock once more. */

type Conditions = { readonly author?: Author; readonly expect?: (state: unknown) => void };

const CHANGES: readonly [string, (admin: MachineAdmin, conditions: Conditions) => Promise<unknown>][] = [
  ['change of an account', (admin, more) => admin.change('lab', { kind: 'remove-type', name: 'gpu' }, more)],
  [
    'addition of an account',
    (admin, { author }) => admin.addAccount({ user: 'new' }, { ...(author && { author }) }),
  ],
  ['removal of an account', (admin, more) => admin.removeAccount('lab', more)],
  ['change of a group', (admin, more) => admin.setGroup('web', { repositories: ['new/*'], push: [] }, more)],
  [
    'addition of a group',
    (admin, more) => admin.setGroup('hpc', { repositories: ['hpc/*'], push: [] }, more),
  ],
  ['removal of a group', (admin, more) => admin.removeGroup('web', more)],
];

async function folderOf() {
  const password = await hashed('root');
  const folder = await machineFolder({
    'root.yaml': `user: root\npassword: "${password}"\nrole: admin\n`,
    'lab.yaml': `user: lab\npassword: "${await hashed('lab')}"\ntypes: [{ name: gpu, features: [] }]\n`,
    'groups.yaml': 'web: { repositories: [web/*] }\n',
  });
  const files = async () => {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));
    return Object.fromEntries(
      await Promise.all(
        names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as const),
      ),
    );
  };
  const author: Author = { user: 'root', password: parsePasswordHash(password) ?? expect.fail('a hash') };
  return { admin: openMachineAdmin(folder), files, author };
}

describe.each(CHANGES)('the %s', (_, change) => {
  test('is made for its author, and for the operator, who is none', async () => {
    for (const isOperator of [false, true]) {
      const { admin, files, author } = await folderOf();
      const before = await files();
      const seen: Account[] = [];
      const mayStill = (account: Account) => {
        seen.push(account);
        return true;
      };
      await change(admin, isOperator ? {} : { author: { ...author, mayStill } });
      expect(await files()).not.toEqual(before);
      expect(seen).toMatchObject(isOperator ? [] : [{ user: 'root', role: 'admin' }]);
    }
  });

  test.each<[string, (author: Author) => Promise<Author>, string, string]>([
    [
      'whose password has changed',
      async (author) => ({ ...author, password: parsePasswordHash(await hashed('root')) ?? author.password }),
      'changed',
      'the password of root has changed',
    ],
    [
      'whose rights have changed',
      async (author) => ({ ...author, mayStill: () => false }),
      'changed',
      'the rights of root have changed',
    ],
    [
      'whose account is gone',
      async (author) => ({ ...author, user: 'gone' }),
      'missing',
      'there is no account gone',
    ],
  ])('is refused to an author %s', async (__, changed, code, why) => {
    const { admin, files, author } = await folderOf();
    const before = await files();
    await expect(change(admin, { author: await changed(author) })).rejects.toMatchObject({ code, why });
    expect(await files()).toEqual(before);
  });
});

test.each(CHANGES.filter(([name]) => name !== 'addition of an account'))(
  'the %s is refused when its subject is not what was expected',
  async (name, change) => {
    const { admin, files } = await folderOf();
    const before = await files();
    const seen: unknown[] = [];
    const expectation = (state: unknown) => {
      seen.push(state);
      throw new Error('another state');
    };
    await expect(change(admin, { expect: expectation })).rejects.toThrow('another state');
    expect(await files()).toEqual(before);
    const state = name.includes('account') ? { user: 'lab' } : { repositories: ['web/*'] };
    expect(seen).toEqual([name.startsWith('addition') ? undefined : expect.objectContaining(state)]);
  },
);
