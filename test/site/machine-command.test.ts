import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { verifyPassword } from '../../src/site/password.ts';
import { runCliWith } from '../support/run-cli.ts';
import { hashed, machineFolder } from '../support/site.ts';

async function commanding(files: Readonly<Record<string, string>> = {}) {
  const folder = await machineFolder(files);
  const machine = (args: readonly string[], input?: string) =>
    runCliWith({ env: { METAHUB_MACHINES: folder }, input }, 'machine', ...args);
  const file = (name: string) => readFile(join(folder, name), 'utf8');
  return { folder, machine, file };
}

describe('metahub machine', () => {
  test('adds an account and its types with passwords from stdin', async () => {
    const { folder, machine, file } = await commanding();
    expect(await machine(['add', 'qnib', '--password-stdin'], 'swordfish\n')).toMatchObject({ status: 0 });
    const added = await machine([
      'add',
      'qnib',
      'type4',
      '--feature',
      'cpu:broadwell',
      '--feature',
      'nvcap:5.2',
    ]);
    expect(added).toEqual({
      status: 0,
      stdout: 'qnib-type4 may log in, as a machine with cpu:broadwell, nvcap:5.2\n',
      stderr: '',
    });
    const text = await file('qnib.yaml');
    expect(text).not.toContain('swordfish');
    const account = readMachineFile(text, 'qnib.yaml');
    expect(account.types[0]).toMatchObject({ login: 'qnib-type4', features: ['cpu:broadwell', 'nvcap:5.2'] });
    expect(account.password && (await verifyPassword('swordfish', account.password))).toBe(true);
    // Others of the machine have no business with hashes.
    expect((await stat(join(folder, 'qnib.yaml'))).mode & 0o007).toBe(0);
  });

  test('lists the logins as a table and as JSON', async () => {
    const { machine } = await commanding();
    await machine(['add', 'qnib', '--password-stdin'], 'a');
    await machine(['add', 'qnib', 'type1', '--feature', 'cpu:broadwell']);
    const { stdout } = await machine(['list']);
    expect(stdout).toBe(
      'LOGIN       MACHINE        MAY PULL\nqnib        puller         **\nqnib-type1  cpu:broadwell  **\n',
    );
    const json = await machine(['list', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject([{ user: 'qnib', types: [{ login: 'qnib-type1' }] }]);
    expect(json.stdout).not.toContain('scrypt');
  });

  test('lists an account that may pull nothing', async () => {
    const { machine } = await commanding({
      'qnib.yaml': `user: qnib\npassword: "${await hashed('a')}"\nrepositories: []\n`,
    });
    expect((await machine(['list'])).stdout).toBe('LOGIN  MACHINE  MAY PULL\nqnib   puller   -\n');
  });

  test('changes a password and removes a type without losing comments', async () => {
    const { machine, file } = await commanding({
      'lab.yml': `# The lab's\nuser: qnib # since 2019\npassword: "${await hashed('a')}"\ntypes:\n  - name: type1\n`,
    });
    expect((await machine(['passwd', 'qnib', '--password-stdin'], 'b')).status).toBe(0);
    const account = readMachineFile(await file('lab.yml'), 'lab.yml');
    expect(account.password && (await verifyPassword('b', account.password))).toBe(true);
    expect((await machine(['remove', 'qnib', 'type1'])).stdout).toBe(
      'machine type type1 of qnib is removed\n',
    );
    const text = await file('lab.yml');
    expect(readMachineFile(text, 'lab.yml').types).toEqual([]);
    expect(text).toMatch(/^# The lab's\nuser: qnib # since 2019\n/);
  });

  test('changes the rights of an account without losing comments', async () => {
    const { machine, file } = await commanding({
      'groups.yaml': 'lab: { repositories: [lab/*] }\nweb: {}\n',
      'anna.yml': `user: anna # since 2019\npassword: "${await hashed('a')}"\nrole: puller\ngroups: [web]\n`,
    });
    const rights = async () => {
      const { role, repositories, push, groups } = readMachineFile(await file('anna.yml'), 'anna.yml');
      return { role, repositories, push, groups };
    };
    expect(await machine(['edit', 'anna', '--group', 'web', '--group', 'lab'])).toMatchObject({
      status: 0,
      stdout: 'anna is changed\n',
    });
    expect(await rights()).toEqual({ role: 'puller', repositories: [], push: [], groups: ['web', 'lab'] });
    const more = ['--role', 'publisher', '--repository', 'a/*', '--push', 'a/b'];
    expect((await machine(['edit', 'anna', ...more])).status).toBe(0);
    expect((await machine(['edit', 'anna', '--role', '', '--push', '', '--group', ''])).status).toBe(0);
    expect(await rights()).toEqual({ role: undefined, repositories: ['a/*'], push: [], groups: [] });
    expect(await file('anna.yml')).toContain('user: anna # since 2019');
  });

  test.each([
    [['edit', 'anna'], 'the command names no change'],
    [['edit', 'anna', '--feature', 'cpu:zen4'], 'an account has no features'],
    [['edit', 'anna', 'gpu', '--group', 'lab'], 'a machine type has the rights of its account'],
    [['edit', 'anna', '--group', 'absent'], 'there is no group absent'],
    [['edit', 'anna', '--role', 'king'], 'role'],
  ])('refuses %j with status 2', async (args, why) => {
    const { machine, file } = await commanding({
      'anna.yml': `user: anna\npassword: "${await hashed('a')}"\n`,
    });
    const { status, stderr } = await machine(args);
    expect(status).toBe(2);
    expect(stderr).toContain(why);
    expect(await file('anna.yml')).not.toMatch(/group|role/);
  });

  test('names an account that does not exist', async () => {
    const { machine } = await commanding();
    const { status, stderr } = await machine(['passwd', 'nobody', '--password-stdin'], 'a');
    expect([status, stderr]).toEqual([1, expect.stringContaining('there is no account nobody')]);
  });

  test('removes a type with the enrolments and tokens of its machines, and no others', async () => {
    const sha256 = (letter: string) => letter.repeat(43);
    const entry = (letter: string, type: string) =>
      `{ name: ${letter}, type: ${type}, sha256: ${sha256(letter)}`;
    const expires = 'expires: 2999-01-01T00:00:00Z';
    const { machine, file } = await commanding({
      'qnib.yaml': `user: qnib
password: "${await hashed('a')}"
types: [{ name: gpu }, { name: cpu }]
tokens: [${entry('A', 'gpu')} }, ${entry('B', 'cpu')} }, { name: ci, sha256: ${sha256('C')} }]
enrolments: [${entry('D', 'gpu')}, ${expires} }, ${entry('E', 'cpu')}, ${expires} }]
`,
    });
    expect(await machine(['remove', 'qnib', 'gpu'])).toMatchObject({ status: 0, stderr: '' });
    const { types, tokens, enrolments } = readMachineFile(await file('qnib.yaml'), 'qnib.yaml');
    expect([types, tokens, enrolments].map((list) => list.map(({ name }) => name))).toEqual([
      ['cpu'],
      ['B', 'ci'],
      ['E'],
    ]);
  });

  test('names the place of an error in an existing file', async () => {
    const { folder, machine } = await commanding({
      'lab.yml': `user: lab\npassword: "${await hashed('a')}"\n`,
      'other.yml': 'user: other\npasword: x\n',
    });
    const { status, stderr } = await machine(['passwd', 'lab', '--password-stdin'], 'b');
    expect([status, stderr]).toEqual([2, expect.stringContaining(`${join(folder, 'other.yml')}:2:1: `)]);
  });

  test.each([
    [
      'an unknown feature',
      ['add', 'qnib', 'x', '--feature', 'cpu:foolake'],
      'there is no microarchitecture “foolake”',
      2,
    ],
    ['a type of nobody', ['add', 'nobody', 'x'], 'there is no account nobody', 1],
    [
      'a second account of the name',
      ['add', 'qnib', '--password-stdin'],
      'there is an account qnib already',
      1,
    ],
    [
      'a user name that would leave the folder',
      ['add', '../x', '--password-stdin'],
      'user: “../x” is not a name: it may contain',
      2,
    ],
    ['features without a type', ['add', 'qnib', '--feature', 'cpu:zen4'], 'an account has no features', 2],
    ['a question without a terminal', ['passwd', 'qnib'], 'there is no terminal to ask', 2],
    ['an empty password', ['passwd', 'qnib', '--password-stdin'], 'the password of qnib is empty', 2],
    ['a type that is not there', ['remove', 'qnib', 'x'], 'there is no machine type x', 1],
    [
      'a password on the command line',
      ['passwd', 'qnib', '--password', 'x'],
      "unknown option '--password'",
      2,
    ],
  ])('refuses %s', async (_, args, message, status) => {
    const { machine, file } = await commanding({
      'qnib.yaml': `user: qnib\npassword: "${await hashed('a')}"\n`,
    });
    const before = await file('qnib.yaml');
    const result = await machine(args, args[1] === 'qnib' && args[0] === 'passwd' ? '' : 'b');
    expect(result.stderr).toContain(message);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    expect(result.status).toBe(status);
    expect(await file('qnib.yaml')).toBe(before);
  });
});
