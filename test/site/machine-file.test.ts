import { beforeAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/lib/config-error.ts';
import type { Account } from '../../src/site/account.ts';
import { createAccountIndex } from '../../src/site/account-index.ts';
import { readGroupsFile, readMachineFile } from '../../src/site/machine-file.ts';
import { hashPassword, verifyPassword } from '../../src/site/password.ts';

let hash: string;
let other: string;

beforeAll(async () => {
  hash = (await hashPassword('secret', { ln: 4, r: 8, p: 1 })).text;
  other = (await hashPassword('own', { ln: 4, r: 8, p: 1 })).text;
});

/** What the call throws; fails when it returns. */
function failureOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return expect.fail('it returned');
}

const SITE = () => `user: qnib
password: "${hash}"
types:
  - name: type0
  - name: type1
    features: [cpu:broadwell]
  - name: type4
    login: gpu-node
    password: "${other}"
    features:
      - cpu:broadwell
      - nvcap:5.2
`;

describe('a file of machine types', () => {
  test('gives each type the login USER-NAME with the account’s password', async () => {
    const directory = createAccountIndex([readMachineFile(SITE(), 'qnib.yaml')]);
    const type1 = directory.find('qnib-type1');
    expect(type1?.features).toEqual(['cpu:broadwell']);
    expect(type1 && (await verifyPassword('secret', type1.password))).toBe(true);
    expect(directory.find('qnib-type0')?.features).toEqual([]);
  });

  test('can give a type its own login and password', async () => {
    const directory = createAccountIndex([readMachineFile(SITE(), 'qnib.yaml')]);
    expect(directory.find('qnib-type4')).toBeUndefined();
    const type4 = directory.find('gpu-node');
    expect(type4?.features).toEqual(['cpu:broadwell', 'nvcap:5.2']);
    expect(type4 && (await verifyPassword('own', type4.password))).toBe(true);
    expect(type4 && (await verifyPassword('secret', type4.password))).toBe(false);
  });

  test('accepts selectors with known features under the account’s password', () => {
    const directory = createAccountIndex([readMachineFile(SITE(), 'qnib.yaml')]);
    expect(directory.find('qnib/cpu#zen4,nvcap#9.0')?.features).toEqual(['cpu:zen4', 'nvcap:9.0']);
    expect(directory.find('qnib/cpu#zen99')).toBeUndefined();
    expect(directory.find('nobody/cpu#zen4')).toBeUndefined();
  });

  test('accepts no selectors without a password of the account', () => {
    const account = readMachineFile(`user: a\ntypes: [{name: b, password: "${hash}"}]`, 'a.yaml');
    const directory = createAccountIndex([account]);
    expect(directory.find('a-b')).toBeDefined();
    expect(directory.find('a')).toBeUndefined();
    expect(directory.find('a/cpu#zen4')).toBeUndefined();
  });

  test.each([
    ['a list', '- user: a', 'f.yaml:1:1: a map of keys and values is expected, not a list'],
    ['nothing', '', 'f.yaml:1:1: a map of keys and values is expected, not nothing'],
    ['an account without a user', 'types: []', 'f.yaml:1:1: user: this key is missing'],
    ['broken YAML', 'user: a\ntypes: [', 'f.yaml:2:9: '],
    ['a key written twice', 'user: a\nuser: b', 'f.yaml:2:1: '],
    ['an unknown key', 'user: a\n\nmachines: []', 'f.yaml:3:1: machines: this key does not exist'],
    ['a user name with a colon', 'user: "a:b"', 'f.yaml:1:7: user: “a:b” is not a name: it may contain'],
    [
      'a password in clear, which is not repeated',
      'user: a\npassword: hunter2',
      'f.yaml:2:11: password: a scrypt hash is expected',
    ],
    [
      'a type without a name',
      'user: a\ntypes:\n  - features: []',
      'f.yaml:3:5: types[0].name: this key is missing',
    ],
    [
      'an unknown key of a type',
      'user: a\ntypes:\n  - name: b\n    feature: []',
      'f.yaml:4:5: types[0].feature: this key does not exist; did you mean features?',
    ],
    [
      'a type without any password',
      'user: a\ntypes:\n  - name: b',
      'f.yaml:3:5: types[0]: a-b has no password',
    ],
    [
      'an unknown microarchitecture',
      'user: a\ntypes:\n  - name: b\n    features:\n    - cpu:foolake',
      'f.yaml:5:7: types[0].features[0]: there is no microarchitecture “foolake”',
    ],
    [
      'no feature at all',
      'user: a\ntypes:\n  - name: b\n    features: ["!!"]',
      'f.yaml:4:16: types[0].features[0]: “!!” is not a feature',
    ],
    [
      'a number for a feature',
      'user: a\ntypes:\n  - name: b\n    features: [9.0]',
      'f.yaml:4:16: types[0].features[0]: a text is expected, not a number',
    ],
    [
      'a pattern that picks everything else',
      'user: a\nrepositories: ["!docker.io/**"]',
      'f.yaml:2:16: repositories[0]: “!docker.io/**” is not a pattern',
    ],
    [
      'a role that is neither',
      'user: a\nmanagesMachines: sometimes',
      'f.yaml:2:18: managesMachines: true or false is expected, not a text',
    ],
  ])('is refused with file and line: %s', (_, source, message) => {
    const read = () => readMachineFile(source, 'f.yaml');
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(message);
    expect(read).not.toThrow('hunter2');
  });

  const SHA = 'x'.repeat(43);
  const ENTRY = `sha256: ${SHA}, expires: 2027-01-01T00:00:00Z`;
  test.each<[string, string, string]>([
    [
      'an enrolment for no type',
      `enrolments: [{ name: n, type: gpu, ${ENTRY} }]`,
      'f.yaml:2:31: enrolments[0].type: there is no type gpu in this file',
    ],
    [
      'an enrolment that never expires',
      `types: [{ name: t, password: "$HASH" }]\nenrolments: [{ name: n, type: t, sha256: ${SHA} }]`,
      'f.yaml:3:14: enrolments[0].expires: this key is missing',
    ],
    [
      'two tokens of one name',
      `tokens: [{ name: a, sha256: ${SHA} }, { name: b, sha256: ${SHA} }, { name: a, sha256: ${SHA} }]`,
      'f.yaml:2:142: tokens[2]: there is another token a in this file',
    ],
    [
      'a token in clear text, which is not repeated',
      'tokens: [{ name: a, sha256: hunter2 }]',
      'f.yaml:2:29: tokens[0].sha256: the hash of a token is expected; make one with metahub token create',
    ],
    [
      'a hash that is no scrypt hash',
      'password: $scrypt$hunter2',
      'f.yaml:2:11: password: a scrypt hash is expected; set it with metahub machine passwd',
    ],
    [
      'a path that is not from the root',
      'upstreamLogins: logins.json',
      'f.yaml:2:17: upstreamLogins: a path from the root, to a file, is expected',
    ],
    [
      'a type without a password, where the account has none',
      'types: [{ name: t, login: gpu }]',
      'f.yaml:2:9: types[0]: gpu has no password, and neither has a',
    ],
    [
      'a puller that pushes',
      'role: puller\npush: [a/*]',
      'f.yaml:3:7: push: a puller cannot push: write role: publisher, or remove push',
    ],
    [
      'a publisher that pushes nothing',
      'role: publisher\npush: []',
      'f.yaml:2:7: role: a publisher needs push, the repositories that it may push to',
    ],
    [
      'a subject that is no text',
      'oidc: { issuer: x, subject: 7 }',
      'f.yaml:2:29: oidc.subject: a text is expected, not a number',
    ],
  ])('is refused with its place and the next step: %s', (_, rest, message) => {
    const read = () => readMachineFile(`user: a\n${rest.replace('$HASH', hash)}\n`, 'f.yaml');
    expect(failureOf(read)).toMatchObject({ message });
  });

  test.each([
    ['2027-01-31T00:00:00Z', Date.UTC(2027, 0, 31)],
    ['2027-01-31T01:02:03.456Z', Date.UTC(2027, 0, 31, 1, 2, 3, 456)],
  ])('has a token that expires at %s', (expires, expiresMs) => {
    const source = `user: a\ntokens: [{ name: a, sha256: ${SHA}, expires: ${expires} }]`;
    const account = readMachineFile(source, 'f.yaml');
    expect(account.tokens).toEqual([
      { name: 'a', sha256: SHA, push: false, expiresMs, repositories: undefined, type: undefined },
    ]);
  });

  test.each([
    '2027-01-31',
    '2027-01-31T00:00:00',
    '2027-01-31T00:00:00+01:00',
    '2027-02-31T25:00:00Z',
    '12027-01-31T00:00:00Z',
    'x2027-01-31T00:00:00Z',
    '2027-01-31T00:00:00Zx',
    'tomorrow',
  ])('is refused with a token that expires at %s', (expires) => {
    const source = `user: a\ntokens: [{ name: a, sha256: ${SHA}, expires: ${expires} }]`;
    expect(() => readMachineFile(source, 'f.yaml')).toThrow(
      `f.yaml:2:83: tokens[0].expires: “${expires}” is not a time: write 2027-01-31T00:00:00Z`,
    );
  });

  test.each<[string, string, Partial<Account>]>([
    ['all, without a group', '', { repositories: ['**'], push: [], groups: [] }],
    ['all, with no group in its list', 'groups:', { repositories: ['**'], groups: [] }],
    ['none, with a group', 'groups: [web]', { repositories: [], groups: ['web'] }],
    ['none, with an empty list', 'repositories: []', { repositories: [] }],
    ['none, with an empty value', 'repositories:\npush:', { repositories: [], push: [] }],
    ['all, as a person', 'oidc: { issuer: i, subject: s }', { repositories: ['**'] }],
    [
      'none, as a person with rights by groups alone',
      'oidc: { issuer: i, subject: s, groupsOnly: true }',
      { repositories: [], oidc: { issuer: 'i', subject: 's', groupsOnly: true } },
    ],
    [
      'its own, as a person who pulls, with what an administrator has added for another role',
      'role: puller\npush: [a/*]\nrepositories: [b/*]\noidc: { issuer: i, subject: s }',
      { role: 'puller', push: ['a/*'], repositories: ['b/*'] },
    ],
    [
      'its own features once each',
      'password: "$HASH"\ntypes: [{ name: t, features: [avx2, cpu:zen4, avx2] }, { name: u, features: }]',
      {
        types: [
          { name: 't', login: 'a-t', features: ['avx2', 'cpu:zen4'], password: expect.anything() },
          { name: 'u', login: 'a-u', features: [], password: expect.anything() },
        ],
      },
    ],
    ['no key that it does not need', '', { tokens: [], enrolments: [], types: [], managesMachines: false }],
  ])('gives the account %s', (_, rest, account) => {
    expect(readMachineFile(`user: a\n${rest.replace('$HASH', hash)}\n`, 'f.yaml')).toMatchObject(account);
  });

  test('has the next step for a file of another form', () => {
    expect(failureOf(() => readMachineFile('[]', 'f.yaml'))).toMatchObject({
      nextStep: 'An account has user, and maybe password, types of {name, features}, repositories, groups.',
    });
    expect(failureOf(() => readGroupsFile('[]', 'f.yaml'))).toMatchObject({
      nextStep: 'Groups are names with repositories: lab: {repositories: ["ghcr.io/lab/**"]}',
    });
  });

  test('is refused when two of its types have the same name or login', () => {
    const types = (second: string) => `user: a\npassword: "${hash}"\ntypes:\n  - name: b\n  - ${second}\n`;
    expect(() => readMachineFile(types('name: b'), 'f.yaml')).toThrow(
      'f.yaml:5:5: types[1]: there is another type b',
    );
    expect(() => readMachineFile(types('{name: c, login: a-b}'), 'f.yaml')).toThrow(
      'f.yaml:5:5: types[1]: there is another login a-b',
    );
    expect(() => readMachineFile(types('{name: c, login: a}'), 'f.yaml')).toThrow(
      'f.yaml:5:5: types[1]: there is another login a',
    );
  });

  test('is refused when another file defines its user or one of its logins', () => {
    const read = (user: string, file: string, login: string) =>
      readMachineFile(`user: ${user}\npassword: "${hash}"\ntypes: [{name: t, login: ${login}}]`, file);
    expect(() => createAccountIndex([read('a', 'one.yaml', 'x'), read('a', 'two.yaml', 'y')])).toThrow(
      'two.yaml: the user a is taken already, in one.yaml',
    );
    expect(() => createAccountIndex([read('a', 'one.yaml', 'x'), read('b', 'two.yaml', 'x')])).toThrow(
      'two.yaml: the login x is taken already, in one.yaml',
    );
  });
});
