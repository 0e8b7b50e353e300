import { expect, test } from 'vitest';
import type { AccessToken, Account } from '../../src/site/account.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { createPermissions, repositoryNamed } from '../../src/site/permissions.ts';
import { hashed } from '../support/site.ts';

/** An account with upstream logins of its own, as its file says, and as these changes have it. */
async function accountWith(changes: Partial<Account> = {}): Promise<Account> {
  const text = `user: one\npassword: "${await hashed('one')}"\nupstreamLogins: /a/auth.json\n`;
  return { ...readMachineFile(text, 'one.yaml'), loginsStamp: 'first', ...changes };
}

const accessOf = (account: Account) => createPermissions()({ login: account.user, account }).access;

const CHANGES: readonly [string, () => Promise<Partial<Account>>][] = [
  ['names', async () => ({ user: 'two' })],
  ['passwords', async () => ({ password: (await accountWith()).password })],
  ['passwords, of which one has none', async () => ({ password: undefined })],
  ['files of upstream logins', async () => ({ upstreamLogins: '/b/auth.json' })],
  ['states of that file', async () => ({ loginsStamp: 'second' })],
  ['patterns', async () => ({ repositories: ['lab/*'] })],
];

test.each(CHANGES)(
  'two accounts with upstream logins of their own, and different %s, share nothing',
  async (_, changes) => {
    const account = await accountWith();
    const one = accessOf(account);
    expect(one).toMatchObject({ logins: '/a/auth.json' });
    // Read again as it is: it keeps what it fetched.
    expect(accessOf({ ...account })).toEqual(one);
    const other = accessOf({ ...account, ...(await changes()) });
    expect(other?.partition).toBeDefined();
    expect(other?.partition).not.toBe(one?.partition);
  },
);

test('accounts without upstream logins of their own share content when their patterns are equal', async () => {
  const plain = { upstreamLogins: undefined, repositories: ['lab/*'] };
  const one = accessOf(await accountWith(plain));
  expect(one?.partition).toMatch(/^site-/);
  expect(one).not.toHaveProperty('logins');
  expect(accessOf(await accountWith({ ...plain, user: 'two' }))).toEqual(one);
  expect(accessOf(await accountWith({ ...plain, repositories: ['lab/app'] }))?.partition).not.toBe(
    one?.partition,
  );
  expect(accessOf(await accountWith({ upstreamLogins: undefined }))).toBeUndefined();
});

test('createPermissions() lets the login of a machine type pull, and never push', async () => {
  const account = await accountWith({ push: ['**'] });
  const rightsOf = createPermissions();
  const repository = repositoryNamed('lab/app');
  if (repository === undefined) throw new Error('no repository');
  for (const [login, pushes] of [
    ['one-gpu', false],
    ['one', true],
    ['one-gpu', false],
  ] as const) {
    const { mayPull, mayPush } = rightsOf({ login, account });
    expect([login, mayPull(repository), mayPush(repository)]).toEqual([login, true, pushes]);
  }
});

test('createPermissions() gives an access token its own rights, and its account all of them, in any order', async () => {
  const account = await accountWith({ push: ['lab/*'], repositories: ['lab/*'], upstreamLogins: undefined });
  const tokenFor = (name: string, more: Partial<AccessToken>): AccessToken => ({
    ...{ name, sha256: name, expiresMs: undefined, type: undefined, repositories: undefined, push: true },
    ...more,
  });
  const pulling = tokenFor('pulling', { push: false });
  const narrow = tokenFor('narrow', { repositories: ['lab/app'] });
  const rightsOf = createPermissions();
  const [app, other] = ['lab/app', 'lab/other'].map(repositoryNamed);
  if (app === undefined || other === undefined) throw new Error('no repository');
  for (const [token, rights] of [
    [pulling, [true, true, false, false]],
    [undefined, [true, true, true, true]],
    [narrow, [true, false, true, false]],
    [pulling, [true, true, false, false]],
    [undefined, [true, true, true, true]],
  ] as const) {
    const { mayPull, mayPush } = rightsOf({ login: account.user, account, ...(token && { token }) });
    expect([mayPull(app), mayPull(other), mayPush(app), mayPush(other)]).toEqual(rights);
  }
});
