import { beforeAll, describe, expect, test } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import { type AccountChange, formatNewAccount, type NewAccount } from '../../src/site/account-edit.ts';
import type { MachineAdmin } from '../../src/site/machine-admin.ts';
import { editMachineFile, type MachineEdit } from '../../src/site/machine-edit.ts';
import { readGroupsFile, readMachineFile } from '../../src/site/machine-file.ts';
import { withGroups } from '../../src/site/machine-reader.ts';
import { PersonAccounts } from '../../src/site/oidc/person-accounts.ts';
import { OidcProviderSettings, type OidcSettings, personOf } from '../../src/site/oidc/settings.ts';
import { createPermissions, repositoryNamed } from '../../src/site/permissions.ts';
import { hashed } from '../support/site.ts';

const USER = 'bob@example.org';
const FILE = `${USER}.yaml`;
const GROUPS = readGroupsFile(
  'hpc: { repositories: [hpc/*], push: [hpc/*] }\nml: { repositories: [ml/*] }\n',
  'groups.yaml',
);

/** What the claim `is` says -> the rule. */
const RULES = {
  admin: { role: 'admin' },
  'admin of a known group': { role: 'admin', groups: ['hpc'] },
  'admin of an unknown group': { role: 'admin', groups: ['unknown'] },
  open: {},
  'open puller': { role: 'puller' },
  'known group': { groups: ['hpc'] },
  'another known group': { groups: ['ml'] },
  'unknown group': { groups: ['unknown'] },
  'puller of a known group': { role: 'puller', groups: ['hpc'] },
  'publisher of a known group': { role: 'publisher', groups: ['hpc'] },
  'publisher of an unknown group': { role: 'publisher', groups: ['unknown'] },
  'known groups of a claim': { groupsClaim: 'teams', teams: ['hpc', 'ml', 'unknown'] },
  'unknown groups of a claim': { groupsClaim: 'teams', teams: ['unknown'] },
  'no groups of a claim': { groupsClaim: 'teams' },
} as const;
type RuleName = keyof typeof RULES;
const NAMES = Object.keys(RULES) as RuleName[];

/** Where the person may pull and push of hpc/a, ml/a, own/a and other/a, by nothing but the rule. */
const EXPECTED: Readonly<Record<RuleName, string>> = {
  admin: 'admin pulls hpc ml own other',
  'admin of a known group': 'admin pulls hpc pushes hpc',
  'admin of an unknown group': 'admin',
  open: 'pulls hpc ml own other',
  'open puller': 'puller pulls hpc ml own other',
  'known group': 'pulls hpc pushes hpc',
  'another known group': 'pulls ml',
  'unknown group': '',
  'puller of a known group': 'puller pulls hpc',
  'publisher of a known group': 'publisher pulls hpc pushes hpc',
  'publisher of an unknown group': '',
  'known groups of a claim': 'pulls hpc ml pushes hpc',
  'unknown groups of a claim': '',
  'no groups of a claim': '',
};

let settings: OidcSettings;
/** The file of the person after a first login by an open rule. */
let text: string;

beforeAll(async () => {
  const accounts = NAMES.map((is) => {
    const { teams: _, ...rule } = { teams: undefined, ...RULES[is] };
    return { claims: { is }, account: '{email}', ...rule };
  });
  const { output, problems } = check(OidcProviderSettings, {
    ...{ issuer: 'https://login.example.org', clientId: 'metahub', accounts },
  });
  if (output === undefined) throw new Error(JSON.stringify(problems));
  settings = output;
  const oidc = { issuer: 'https://login.example.org', subject: 'bob' };
  text = formatNewAccount({ user: USER, password: await hashed('x'), oidc });
});

/** One machine file in memory: hundreds of changes on a disk take minutes. */
function site(given?: string) {
  let text = given;
  const own = () => (text === undefined ? [] : [readMachineFile(text, FILE)]);
  const written = (next: string) => {
    text = next;
    return readMachineFile(next, FILE);
  };
  const admin = {
    ownAccounts: async () => own(),
    addAccount: async (account: NewAccount) => written(formatNewAccount(account)),
    change: async (_user: string, edit: MachineEdit) => written(editMachineFile(text ?? '', edit, FILE)),
  } as unknown as MachineAdmin;
  const people = new PersonAccounts({
    admin,
    groups: async () => [...GROUPS.keys()],
    onChanged: async () => {},
  });
  const logIn = async (is: RuleName) => {
    const { teams } = { teams: [], ...RULES[is] };
    const claims = { iss: 'https://login.example.org', sub: 'bob', email: USER, is, teams };
    const person = personOf(claims, settings.accounts);
    if (person === undefined) throw new Error(`no rule for ${is}`);
    return people.open(person);
  };
  const rights = () => {
    const account = withGroups(readMachineFile(text ?? '', FILE), GROUPS);
    const { mayPull, mayPush } = createPermissions()({ login: account.user, account });
    const those = (may: typeof mayPull) =>
      ['hpc', 'ml', 'own', 'other'].filter((name) => {
        const repository = repositoryNamed(`${name}/a`);
        return repository !== undefined && may(repository);
      });
    const [pulled, pushed] = [those(mayPull), those(mayPush)];
    return [
      account.role,
      ...(pulled.length > 0 ? ['pulls', ...pulled] : []),
      ...(pushed.length > 0 ? ['pushes', ...pushed] : []),
    ]
      .filter(Boolean)
      .join(' ');
  };
  const change = (change: AccountChange) => admin.change(USER, { kind: 'change-account', change });
  return { own, logIn, rights, change };
}

describe('the rights of a person', () => {
  test.each(NAMES)('follow from the rule at the first login: %s', async (is) => {
    const { logIn, rights } = site();
    await logIn(is);
    expect(rights()).toBe(EXPECTED[is]);
  });

  test.each(NAMES)('follow from the current rule, whichever rule applied before: %s', async (today) => {
    const { logIn, rights } = site(text);
    for (const yesterday of NAMES) {
      await logIn(yesterday);
      await logIn(today);
      expect([yesterday, rights()]).toEqual([yesterday, EXPECTED[today]]);
    }
  });

  test.each([
    ['repositories', { repositories: ['own/*'] }],
    ['no repositories', { repositories: [] }],
    ['pushes', { push: ['own/*'] }],
    ['both', { repositories: ['own/*'], push: ['own/*'] }],
  ])('keep what an administrator has granted: %s', async (_what, granted) => {
    const changing = site(text);
    await changing.logIn('open');
    await changing.change(granted);
    for (const today of NAMES) {
      for (const yesterday of NAMES) {
        await changing.logIn(yesterday);
        await changing.logIn(today);
      }
      const fresh = site(text);
      await fresh.logIn(today);
      await fresh.change(granted);
      expect([today, changing.rights()]).toEqual([today, fresh.rights()]);
    }
    await changing.logIn('unknown group');
    const own = 'repositories' in granted && granted.repositories.length > 0 ? ['pulls own'] : [];
    expect(changing.rights()).toBe([...own, ...('push' in granted ? ['pushes own'] : [])].join(' '));
  });

  test.each([
    ['open', ['**']],
    ['unknown group', []],
    ['known group', []],
  ] as const)(
    'are not stored as a grant when an edit repeats those of the rule: %s',
    async (is, repositories) => {
      const { logIn, rights, change } = site(text);
      await logIn(is);
      // As the form of an account sends them all.
      await change({ repositories, managesMachines: true });
      expect(rights()).toBe(EXPECTED[is]);
      for (const today of NAMES) {
        await logIn(today);
        expect([today, rights()]).toEqual([today, EXPECTED[today]]);
      }
    },
  );

  test('are those of the rule again after an edit of groups', async () => {
    const { logIn, rights, change } = site(text);
    await logIn('known group');
    await change({ groups: [] });
    expect(rights()).toBe('');
    await logIn('admin');
    expect(rights()).toBe(EXPECTED.admin);
  });

  test('are an empty list of repositories and groupsOnly for a person in no known group', async () => {
    const { own, logIn } = site(text);
    await logIn('unknown group');
    expect(own()[0]).toMatchObject({
      repositories: [],
      oidc: { issuer: 'https://login.example.org', subject: 'bob', groupsOnly: true },
    });
  });
});
