import { describe, expect, test } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import { OidcProviderSettings, personOf, readIssuer } from '../../src/site/oidc/settings.ts';

const written = (accounts: readonly object[], more: object = {}) => ({
  ...{ issuer: 'https://id.example.org', clientId: 'c', accounts, ...more },
});
const problemsOf = (settings: object) =>
  check(OidcProviderSettings, settings).problems?.map(({ path, code }) => [path.join('.'), code]);

test.each([
  ['https://id.example.org', true],
  ['https://id.example.org/realms/lab/', true],
  ['http://127.0.0.1:8080', true],
  ['http://localhost', true],
  ['http://127.0.0.2', true],
  ['http://[::1]:8080/realms/lab', true],
  ['http://[::2]', false],
  // Whoever is on the way could read the codes and change the keys.
  ['http://id.example.org', false],
  ['http://127.example.org', false],
  ['ftp://127.0.0.1', false],
  ['https://user@id.example.org', false],
  ['https://:secret@id.example.org', false],
  ['https://id.example.org?realm=lab', false],
  ['https://id.example.org#lab', false],
  ['id.example.org', false],
  ['', false],
])('readIssuer(%j): an issuer %j', (value, isIssuer) => {
  expect(readIssuer(value)).toBe(isIssuer ? value : undefined);
});

describe('the settings of the provider', () => {
  test('ask for the usual scopes where none are named', () => {
    const { output } = check(OidcProviderSettings, written([{ account: '{email}' }]));
    expect(output).toEqual({
      ...{ issuer: 'https://id.example.org', clientId: 'c', scopes: ['openid', 'profile', 'email'] },
      accounts: [
        {
          ...{ claims: new Map(), account: '{email}', isShared: false, role: undefined, groups: [] },
          groupsClaim: undefined,
        },
      ],
    });
  });

  test.each<[string, object, readonly unknown[] | undefined]>([
    ['a template of several claims', { account: '{a}-{b}.x@y_z' }, undefined],
    ['a template with a space', { account: 'a b' }, ['accounts.0.account', 'invalid-value']],
    ['a template that does not end', { account: '{email' }, ['accounts.0.account', 'invalid-value']],
    ['an empty template', { account: '' }, ['accounts.0.account', 'invalid-value']],
    ['a shared account', { account: 'visitors' }, undefined],
    [
      'a shared account with a role',
      { account: 'visitors', role: 'admin' },
      ['accounts.0.account', 'invalid-value'],
    ],
    [
      'a shared account with groups',
      { account: 'visitors', groups: ['hpc'] },
      ['accounts.0.account', 'invalid-value'],
    ],
    [
      'a shared account with a claim of groups',
      { account: 'visitors', groupsClaim: 'groups' },
      ['accounts.0.account', 'invalid-value'],
    ],
    [
      'a publisher of no group',
      { account: '{email}', role: 'publisher' },
      ['accounts.0.role', 'invalid-value'],
    ],
    ['a publisher of a group', { account: '{email}', role: 'publisher', groups: ['hpc'] }, undefined],
    [
      'a publisher of claimed groups',
      { account: '{email}', role: 'publisher', groupsClaim: 'groups' },
      undefined,
    ],
    ['an administrator of no group', { account: '{email}', role: 'admin' }, undefined],
    ['no account', {}, ['accounts.0.account', 'missing-key']],
  ])('judge %s', (_, rule, problem) => {
    expect(problemsOf(written([rule]))).toEqual(problem && [problem]);
  });

  test('say what a publisher and a shared account lack', () => {
    const whyOf = (rule: object) =>
      check(OidcProviderSettings, written([rule])).problems?.map(({ why }) => why);
    expect(whyOf({ account: '{email}', role: 'publisher' })).toEqual([
      'a publisher needs groups, which say where it may push',
    ]);
    expect(whyOf({ account: 'visitors', role: 'admin' })).toEqual([
      'an account without {claim} is shared: write its role and groups to its own file',
    ]);
  });

  test.each([
    ['rules', written([])],
    ['scopes', written([{ account: '{email}' }], { scopes: [] })],
  ])('need %s', (_, settings) => {
    expect(problemsOf(settings)).toHaveLength(1);
  });
});

describe('personOf()', () => {
  const rulesOf = (...accounts: readonly object[]) => {
    const { output } = check(OidcProviderSettings, written(accounts));
    if (output === undefined) throw new Error('no settings');
    return output.accounts;
  };
  const WHO = { iss: 'https://id.example.org', sub: 's', email: 'a@b.c' };

  test.each<[string, Record<string, unknown>, boolean]>([
    ['text', { team: 'hpc' }, true],
    ['text in a list', { team: ['x', 'hpc'] }, true],
    ['a truth value', { team: true }, true],
    ['a number', { team: 7 }, true],
    ['another text', { team: 'hpc2' }, false],
    ['another number', { team: 77 }, false],
    ['false', { team: false }, false],
    ['a map', { team: { hpc: true } }, false],
    ['null', { team: null }, false],
    ['nothing', {}, false],
  ])('finds a claim that is %s: %j', (_, claims, isFound) => {
    const rules = rulesOf({
      account: '{email}',
      claims: { team: ['hpc', 'true', '7', 'null', 'undefined'] },
    });
    expect(personOf({ ...WHO, ...claims }, rules) !== undefined).toBe(isFound);
  });

  test('wants every claim of a rule', () => {
    const rules = rulesOf({ account: '{email}', claims: { team: 'hpc', country: 'DE' } });
    expect(personOf({ ...WHO, team: 'hpc', country: 'DE' }, rules)?.user).toBe('a@b.c');
    expect(personOf({ ...WHO, team: 'hpc' }, rules)).toBeUndefined();
    expect(personOf({ ...WHO, country: 'DE' }, rules)).toBeUndefined();
  });

  test.each([
    ['{email}', 'a@b.c'],
    ['x-{team}.{email}', 'x-hpc.a@b.c'],
    ['{team}{team}', 'hpchpc'],
    ['{absent}', undefined],
    ['{email}{absent}', undefined],
    ['{number}', undefined],
    // Every object has it.
    ['{constructor}', undefined],
    ['{empty}', undefined],
    ['{path}', undefined],
  ])('fills in %s as %j', (account, user) => {
    const claims = { ...WHO, team: 'hpc', number: 7, empty: '', path: '../x' };
    expect(personOf(claims, rulesOf({ account }))?.user).toBe(user);
  });

  test.each([
    ['an issuer', { iss: undefined }],
    ['an issuer that is text', { iss: 7 }],
    ['a subject', { sub: undefined }],
    ['a subject that is text', { sub: 7 }],
  ])('needs %s', (_, claims) => {
    expect(personOf({ ...WHO, ...claims }, rulesOf({ account: '{email}' }))).toBeUndefined();
  });

  test.each<[string, object, unknown, object]>([
    ['none', {}, ['x'], { groups: [], isGrouped: false }],
    ['those of the rule', { groups: ['a', 'b'] }, ['x'], { groups: ['a', 'b'], isGrouped: true }],
    ['those of the claim', { groupsClaim: 'g' }, ['x', 7, {}], { groups: ['x', '7'], isGrouped: true }],
    ['no claimed ones', { groupsClaim: 'g' }, undefined, { groups: [], isGrouped: true }],
    [
      'both, each once',
      { groups: ['a', 'x'], groupsClaim: 'g' },
      ['x', 'y'],
      { groups: ['a', 'x', 'y'], isGrouped: true },
    ],
  ])('gives the groups: %s', (_, rule, g, expected) => {
    expect(personOf({ ...WHO, g }, rulesOf({ account: '{email}', ...rule }))).toEqual({
      ...{ issuer: WHO.iss, subject: 's', user: 'a@b.c', isShared: false, role: undefined, ...expected },
    });
  });

  test('does not go on to the next rule when the name of the first is not there', () => {
    const rules = rulesOf({ account: '{absent}' }, { account: '{email}' });
    expect(personOf(WHO, rules)).toBeUndefined();
  });
});
