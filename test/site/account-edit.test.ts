import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  type AccountChange,
  formatNewAccount,
  type NewAccount,
  type PersonChange,
} from '../../src/site/account-edit.ts';
import { editMachineFile, type MachineEdit } from '../../src/site/machine-edit.ts';

const OIDC = { issuer: 'https://id.example', subject: '7' };
const PERSON = `oidc: { issuer: ${OIDC.issuer}, subject: "7" }\n`;
const ONLY_GROUPS = { ...OIDC, groupsOnly: true };
const ONLY_BY_GROUPS = `oidc: { issuer: ${OIDC.issuer}, subject: "7", groupsOnly: true }\n`;

const edited = (source: string, edit: MachineEdit) => editMachineFile(source, edit, 'lab.yaml');

/** The account's file after the change, without its user. */
function changed(rest: string, change: AccountChange): object {
  const { user, ...others } = parse(edited(`user: lab\n${rest}`, { kind: 'change-account', change }));
  expect(user).toBe('lab');
  return others;
}

describe('a change of an account', () => {
  test.each<[string, string, AccountChange, object]>([
    ['sets a key', 'push: [a/*]\n', { push: ['b/*'] }, { push: ['b/*'] }],
    ['adds a key', '', { managesMachines: true }, { managesMachines: true }],
    ['removes a key', 'role: admin\npush: [a/*]\n', { role: null }, { push: ['a/*'] }],
    ['keeps a key that is not named', 'role: admin\n', { role: undefined }, { role: 'admin' }],
    ['sets an empty list', 'repositories: [a/*]\n', { repositories: [] }, { repositories: [] }],
  ])('%s', (_, rest, change, after) => {
    expect(changed(rest, change)).toEqual(after);
  });

  // Without groups and repositories, an account may pull everything.
  test.each<[string, string, AccountChange, object]>([
    ['its last group', 'groups: [web]\n', { groups: null }, { repositories: [] }],
    ['its last group by an empty list', 'groups: [web]\n', { groups: [] }, { groups: [], repositories: [] }],
    [
      'its last group, which an alias names',
      'push: &g [web]\ngroups: *g\n',
      { groups: null },
      { push: ['web'], repositories: [] },
    ],
    [
      'its last group, with repositories of its own',
      'groups: [web]\nrepositories: [a/*]\n',
      { groups: null },
      { repositories: ['a/*'] },
    ],
    [
      'its last group, and gets all repositories',
      'groups: [web]\n',
      { groups: null, repositories: ['**'] },
      { repositories: ['**'] },
    ],
    [
      'its last group, and by the same change the key repositories',
      'groups: [web]\nrepositories: [a/*]\n',
      { groups: null, repositories: null },
      {},
    ],
    ['one of two groups', 'groups: [web, hpc]\n', { groups: ['hpc'] }, { groups: ['hpc'] }],
    ['an empty list of groups', 'groups: []\n', { groups: null }, {}],
    ['an alias of an empty list of groups', 'push: &g []\ngroups: *g\n', { groups: null }, { push: [] }],
    [
      'the last group of a person',
      `groups: [web]\n${PERSON}`,
      { groups: null },
      { oidc: OIDC, repositories: [] },
    ],
    [
      'the last group of a person whose rights are by groups alone',
      `groups: [web]\n${ONLY_BY_GROUPS}`,
      { groups: null },
      { oidc: ONLY_GROUPS },
    ],
  ])('is explicit about the repositories of an account that loses %s', (_, rest, change, after) => {
    expect(changed(rest, change)).toEqual(after);
  });

  // A form submits the repositories that it has shown.
  test.each<[string, string, readonly string[], object]>([
    ['all, as without the key', PERSON, ['**'], { oidc: OIDC }],
    [
      'none, as without the key for a member of groups',
      `groups: [web]\n${PERSON}`,
      [],
      { oidc: OIDC, groups: ['web'] },
    ],
    ['none, as without the key for rights by groups alone', ONLY_BY_GROUPS, [], { oidc: ONLY_GROUPS }],
    ['other ones', PERSON, ['a/*'], { oidc: OIDC, repositories: ['a/*'] }],
    ['none', PERSON, [], { oidc: OIDC, repositories: [] }],
    [
      'all, in place of the key',
      `repositories: [a/*]\n${PERSON}`,
      ['**'],
      { oidc: OIDC, repositories: ['**'] },
    ],
    [
      'none, in place of the key of a member of groups',
      `groups: [web]\nrepositories: [a/*]\n${PERSON}`,
      [],
      { oidc: OIDC, groups: ['web'], repositories: [] },
    ],
    ['all, for an account that is no person’s', '', ['**'], { repositories: ['**'] }],
  ])(
    'stores the repositories of a person only where they differ from none written: %s',
    (_, rest, repositories, after) => {
      expect(changed(rest, { repositories })).toEqual(after);
    },
  );

  test('stores the default repositories of a person who leaves the last group', () => {
    const after = changed(`groups: [web]\n${PERSON}`, { groups: null, repositories: [] });
    expect(after).toEqual({ oidc: OIDC, repositories: [] });
  });

  test('keeps the comments of what stays', () => {
    const text = edited('# Lab.\nuser: lab\npush: [a/*] # out\n', {
      kind: 'change-account',
      change: { groups: ['web'] },
    });
    expect(text).toBe('# Lab.\nuser: lab\npush: [ a/* ] # out\ngroups:\n  - web\n');
  });
});

test.each<[string, string, Omit<PersonChange, 'oidc'>, object]>([
  ['a role and groups', '', { role: 'publisher', groups: ['web'] }, { role: 'publisher', groups: ['web'] }],
  ['no role and no groups', 'role: admin\ngroups: [web]\n', { role: undefined, groups: [] }, {}],
  [
    'a role, and what an administrator has added stays',
    'role: admin\nrepositories: [a/*]\npush: [b/*]\n',
    { role: 'puller', groups: [] },
    { role: 'puller', repositories: ['a/*'], push: ['b/*'] },
  ],
])('a login writes what the claims of a person decide: %s', (_, rest, change, after) => {
  const text = edited(`user: bob\n${rest}`, { kind: 'change-person', change: { oidc: OIDC, ...change } });
  expect(parse(text)).toEqual({ user: 'bob', oidc: OIDC, ...after });
});

test.each<[NewAccount, string]>([
  [{ user: 'a' }, 'user: a\n'],
  [{ role: 'admin', password: 'x', user: 'a' }, 'user: a\npassword: x\nrole: admin\n'],
  [
    { user: 'a', role: undefined, push: null, groups: ['web'], managesMachines: false, repositories: [] },
    'user: a\ngroups:\n  - web\nmanagesMachines: false\nrepositories: []\n',
  ],
])(
  'the file of the new account %j has the keys that are set, the user and the password first',
  (account, text) => {
    expect(formatNewAccount(account)).toBe(text);
  },
);
