import { describe, expect, test } from 'vitest';
import type { Account } from '../../../src/site/account.ts';
import {
  type ApiCaller,
  type ChangeSubject,
  ManagedAccounts,
} from '../../../src/site/api/managed-accounts.ts';
import type { ChangeConditions, MachineAdmin } from '../../../src/site/machine-admin.ts';
import type { MachineEdit } from '../../../src/site/machine-edit.ts';
import type { GroupRights } from '../../../src/site/machine-file.ts';

/** Who may change what, and how much of it: with an editor of machine files that accepts everything. */

const account = (user: string, more: Partial<Account> = {}): Account => ({
  ...{ user, password: { text: `hash of ${user}` } as Account['password'], types: [], repositories: ['**'] },
  ...{ push: [], groups: [], tokens: [], enrolments: [], upstreamLogins: undefined, managesMachines: false },
  ...{ role: undefined, file: `${user}.yaml`, ...more },
});
const ROOT = account('root', { role: 'admin' });
const LAB = account('lab', { managesMachines: true });
const GUEST = account('guest');
const RIGHTS: GroupRights = { repositories: ['a/*'], push: [] };
const TOKEN = { name: 'ci' } as never;

const callerOf = (own: Account, more: object = {}): ApiCaller => ({
  identity: { login: own.user, account: own, features: [], password: own.password as never, ...more },
  isAdmin: own.role === 'admin',
});

function managing(accounts: readonly Account[] = [ROOT, LAB, GUEST], groups: readonly string[] = []) {
  const calls: unknown[][] = [];
  const options: ChangeConditions[] = [];
  let reads = 0;
  const noted = (call: unknown[], more: ChangeConditions) => {
    calls.push(call);
    options.push(more);
  };
  const admin = {
    ownAccounts: async () => [...accounts].reverse(),
    groups: async () => new Map(groups.map((name) => [name, RIGHTS])),
    change: async (user: string, edit: MachineEdit, more: ChangeConditions) => {
      noted([user, edit.kind], more);
      return accounts.find((one) => one.user === user);
    },
    addAccount: async (added: { user: string }, more: ChangeConditions) => {
      noted(['add', added.user], more);
      return account(added.user);
    },
    removeAccount: async (user: string, more: ChangeConditions) => noted(['remove', user], more),
    setGroup: async (
      name: string,
      _: GroupRights,
      more: { expect: (now: GroupRights | undefined) => void },
    ) => {
      more.expect(groups.includes(name) ? RIGHTS : undefined);
      noted(['set group', name], more as never);
    },
    removeGroup: async (name: string, more: ChangeConditions) => noted(['remove group', name], more),
  } as unknown as MachineAdmin;
  const managed = new ManagedAccounts({
    ...{ admin, fixed: [account('fixed')] },
    onChanged: async () => {
      reads += 1;
    },
  });
  return { managed, calls, options, reads: () => reads };
}

const EDITS: Readonly<Record<'account' | 'types' | 'tokens', MachineEdit>> = {
  account: { kind: 'change-account', change: { push: [] } },
  types: { kind: 'remove-type', name: 'x' },
  tokens: { kind: 'remove-token', name: 'x' },
};

describe('an account over the network', () => {
  test.each<[string, Account, object, readonly (keyof typeof EDITS)[], readonly (keyof typeof EDITS)[]]>([
    ['an administrator', ROOT, {}, ['account', 'types', 'tokens'], ['account', 'types', 'tokens']],
    ['a manager of machines', LAB, {}, ['types'], []],
    ['a person', GUEST, { isPerson: true }, ['tokens'], []],
    ['a person who manages machines', LAB, { isPerson: true }, ['types', 'tokens'], []],
    ['a publisher', account('pub', { role: 'publisher' }), {}, [], []],
    ['any other', GUEST, {}, [], []],
    ['an administrator with a token', ROOT, { token: TOKEN }, [], []],
    ['a person with a token', LAB, { isPerson: true, token: TOKEN }, [], []],
  ])(
    'that is %s changes its own and another’s as far as it may',
    async (_, own, more, ownParts, otherParts) => {
      const { managed, calls, reads } = managing([ROOT, LAB, GUEST, account('pub'), account('other')]);
      const caller = callerOf(own, more);
      // An administrator’s own role and password are tested below.
      const allowed: string[] = [];
      for (const [part, edit] of Object.entries(EDITS)) {
        for (const user of [own.user, 'other']) {
          const isAllowed = (user === own.user ? ownParts : otherParts).includes(part as never);
          expect(managed.mayEdit(caller, user, part as ChangeSubject)).toBe(isAllowed);
          const changed = managed.change(caller, user, edit);
          if (isAllowed) {
            await changed;
            allowed.push(user);
          } else {
            await expect(changed).rejects.toMatchObject({
              // Of another account it learns no more than of one that is not there.
              code: user === own.user || own.role === 'admin' ? 'not-allowed' : 'no-resource',
            });
          }
        }
      }
      expect(calls.map(([user]) => user)).toEqual(allowed);
      expect(reads()).toBe(allowed.length);
    },
  );

  test.each<[string, Account, object]>([
    ['a manager of machines', LAB, {}],
    ['a person', LAB, { isPerson: true }],
    ['an administrator with a token', ROOT, { token: TOKEN }],
  ])('that is %s adds and removes no account and no group', async (_, own, more) => {
    const { managed, calls, reads } = managing([ROOT, LAB], ['web']);
    const caller = callerOf(own, more);
    const refused = { code: 'not-allowed', status: 403 };
    expect(managed.mayEdit(caller, '', 'groups')).toBe(false);
    await expect(managed.add(caller, { user: 'new' } as never)).rejects.toMatchObject(refused);
    await expect(managed.add(caller, { user: own.user } as never)).rejects.toMatchObject(refused);
    await expect(managed.remove(caller, own.user, () => {})).rejects.toMatchObject(refused);
    await expect(managed.setGroup(caller, 'new', RIGHTS, () => {})).rejects.toMatchObject(refused);
    await expect(managed.removeGroup(caller, 'web', () => {})).rejects.toMatchObject(refused);
    expect([calls, reads()]).toEqual([[], 0]);
  });

  test('that is an administrator adds and removes accounts and groups, and the site reads them again', async () => {
    const { managed, calls, reads } = managing([ROOT, LAB], ['web']);
    const caller = callerOf(ROOT);
    expect(managed.mayEdit(caller, '', 'groups')).toBe(true);
    await managed.add(caller, { user: 'new' } as never);
    await managed.remove(caller, 'lab', () => {});
    expect(await managed.setGroup(caller, 'new', RIGHTS, () => {})).toBe(true);
    expect(await managed.setGroup(caller, 'web', RIGHTS, () => {})).toBe(false);
    await managed.removeGroup(caller, 'web', () => {});
    expect(calls).toEqual([
      ['add', 'new'],
      ['remove', 'lab'],
      ['set group', 'new'],
      ['set group', 'web'],
      ['remove group', 'web'],
    ]);
    expect(reads()).toBe(5);
  });

  test('has its right looked at again under the lock, as what it is then', async () => {
    const { managed, options } = managing();
    await managed.change(callerOf(ROOT), 'lab', EDITS.account);
    await managed.change(callerOf(LAB), 'lab', EDITS.types);
    await managed.change(callerOf(GUEST, { isPerson: true }), 'guest', EDITS.tokens);
    await managed.setGroup(callerOf(ROOT), 'new', RIGHTS, () => {});
    const still = options.map(({ author }) => [
      author?.user,
      author?.password,
      author?.mayStill?.(account(author.user, { role: 'admin' })),
      author?.mayStill?.(account(author.user)),
      author?.mayStill?.(account(author.user, { managesMachines: true })),
    ]);
    expect(still).toEqual([
      ['root', ROOT.password, true, false, false],
      ['lab', LAB.password, true, false, true],
      ['guest', GUEST.password, true, true, true],
      ['root', ROOT.password, true, false, false],
    ]);
  });

  test.each<[string, object, boolean]>([
    ['its own role', { role: null }, false],
    ['its own role for another', { role: 'publisher' }, false],
    ['its own password', { password: null }, false],
    ['its own role for the same', { role: 'admin' }, true],
    ['its own password for another', { password: 'hash' }, true],
    ['its own patterns', { push: ['a/*'] }, true],
  ])('that is an administrator gives up %s: %j %j', async (_, change, isAllowed) => {
    const { managed } = managing();
    const edit = { kind: 'change-account', change } as MachineEdit;
    const own = managed.change(callerOf(ROOT), 'root', edit);
    if (isAllowed) expect(await own).toBe(ROOT);
    else {
      await expect(own).rejects.toMatchObject({
        code: 'not-allowed',
        nextStep: 'Ask another administrator, or run metahub machine edit on the site’s own machine.',
      });
    }
    expect(await managed.change(callerOf(ROOT), 'lab', edit)).toBe(LAB);
  });

  test('that is an administrator does not remove itself', async () => {
    const { managed } = managing();
    await expect(managed.remove(callerOf(ROOT), 'root', () => {})).rejects.toMatchObject({
      code: 'not-allowed',
      nextStep: 'Ask another administrator, or run metahub machine remove on the site’s own machine.',
    });
  });

  test('sees itself and its groups alone, an administrator all, in order', async () => {
    const own = account('lab', { groups: ['web', 'hpc'] });
    const { managed } = managing([ROOT, own, GUEST], ['web', 'lab', 'hpc']);
    const seen = async (caller: ApiCaller) => ({
      accounts: (await managed.list(caller)).map(({ user }) => user),
      groups: (await managed.groups(caller)).map(([name]) => name),
    });
    expect(await seen(callerOf(own))).toEqual({ accounts: ['lab'], groups: ['hpc', 'web'] });
    expect(await seen(callerOf(ROOT))).toEqual({
      accounts: ['fixed', 'guest', 'lab', 'root'],
      groups: ['hpc', 'lab', 'web'],
    });
    await expect(managed.find(callerOf(own), 'guest')).rejects.toMatchObject({
      ...{ code: 'no-resource', message: 'there is no account guest' },
      nextStep: 'An account sees itself only; an administrator sees all.',
    });
    await expect(managed.find(callerOf(ROOT), 'nobody')).rejects.toMatchObject({ nextStep: undefined });
  });

  test('changes nothing at a site without a folder of machine files', async () => {
    const managed = new ManagedAccounts({ admin: undefined, fixed: [LAB], onChanged: async () => {} });
    const caller = callerOf(ROOT);
    expect(await managed.list(caller)).toEqual([LAB]);
    expect(await managed.groups(caller)).toEqual([]);
    expect(managed.mayEdit(caller, 'lab', 'types')).toBe(false);
    const refused = { code: 'read-only', nextStep: 'The operator serves one with --machines DIR.' };
    await expect(managed.change(caller, 'lab', EDITS.types)).rejects.toMatchObject(refused);
    await expect(managed.add(caller, { user: 'new' } as never)).rejects.toMatchObject(refused);
    await expect(managed.setGroup(caller, 'new', RIGHTS, () => {})).rejects.toMatchObject(refused);
  });
});

describe('an account with as much as it may have over the network', () => {
  const named = (count: number) => Array.from({ length: count }, (_, at) => ({ name: `n${at}` }));
  const edits: Readonly<Record<string, (name: string) => MachineEdit>> = {
    'add-type': (name) => ({ kind: 'add-type', type: { name } }) as MachineEdit,
    'add-token': (name) => ({ kind: 'add-token', token: { name } }) as MachineEdit,
    'add-enrolment': (name) => ({ kind: 'add-enrolment', enrolment: { name } }) as MachineEdit,
  };

  test.each<[string, string, object, object, string]>([
    ['add-type', 'machine types', { types: named(499) }, { types: named(500) }, 'new'],
    ['add-token', 'tokens and enrolments', { tokens: named(499) }, { tokens: named(500) }, 'new'],
    ['add-token', 'tokens and enrolments', { enrolments: named(499) }, { enrolments: named(500) }, 'new'],
    [
      'add-enrolment',
      'tokens and enrolments',
      // A machine that enrols again has both, which counts as one.
      { tokens: named(499), enrolments: named(499) },
      { tokens: named(499), enrolments: [{ name: 'x' }] },
      'new',
    ],
  ])('refuses another: %s, of 500 %s', async (kind, what, below, full, name) => {
    const at = async (more: object) => {
      const { managed } = managing([account('lab', more as Partial<Account>)]);
      const edit = edits[kind]?.(name);
      if (edit === undefined) throw new Error('no edit');
      return managed.change(callerOf(ROOT), 'lab', edit);
    };
    expect(await at(below)).toMatchObject({ user: 'lab' });
    await expect(at(full)).rejects.toMatchObject({
      ...{ code: 'limit', status: 409 },
      message: `lab already has 500 ${what}, the maximum over the network`,
      nextStep: 'Remove one that is no longer used.',
    });
  });

  test.each(['add-enrolment', 'add-token'])('takes what replaces one of its own: %s', async (kind) => {
    const full = account('lab', { types: named(500) as never, tokens: named(500) as never });
    const { managed } = managing([full]);
    const edit = edits[kind]?.('n7');
    expect(edit && (await managed.change(callerOf(ROOT), 'lab', edit))).toBe(full);
    // What removes something is no addition.
    expect(await managed.change(callerOf(ROOT), 'lab', EDITS.types)).toBe(full);
    expect(await managed.change(callerOf(ROOT), 'lab', EDITS.tokens)).toBe(full);
  });

  test('refuses another of 500 groups, and edits each of them', async () => {
    const names = named(500).map(({ name }) => name);
    const some = managing([ROOT], names.slice(1));
    expect(await some.managed.setGroup(callerOf(ROOT), 'new', RIGHTS, () => {})).toBe(true);
    const all = managing([ROOT], names);
    expect(await all.managed.setGroup(callerOf(ROOT), 'n0', RIGHTS, () => {})).toBe(false);
    await expect(all.managed.setGroup(callerOf(ROOT), 'new', RIGHTS, () => {})).rejects.toMatchObject({
      ...{ code: 'limit', message: 'the site already has 500 groups, the maximum over the network' },
    });
    expect(all.calls).toEqual([['set group', 'n0']]);
  });
});
