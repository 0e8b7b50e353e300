import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { verifyPassword } from '../../src/site/password.ts';
import { metahub } from '../support/cli.ts';
import { hashed, machineFolder } from '../support/site.ts';
import { afterTest } from '../support/upstream.ts';

async function commanding(files: Readonly<Record<string, string>> = {}) {
  const folder = await machineFolder(files);
  afterTest(() => rm(folder, { recursive: true }));
  const machine = (args: readonly string[], input?: string) =>
    metahub(['machine', ...args], { env: { METAHUB_MACHINES: folder }, input });
  const file = (name: string) => readFile(join(folder, name), 'utf8');
  return { folder, machine, file };
}

describe('metahub machine', () => {
  test('adds an account and its types, which are then served; passwords come from stdin', async () => {
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

  test('lists who may log in, for people and for programs', async () => {
    const { machine } = await commanding();
    await machine(['add', 'qnib', '--password-stdin'], 'a');
    await machine(['add', 'qnib', 'type1', '--feature', 'cpu:broadwell']);
    const { stdout } = await machine(['list']);
    expect(stdout).toBe(
      'LOGIN       MACHINE        MAY PULL\nqnib        account        **\nqnib-type1  cpu:broadwell  **\n',
    );
    const json = await machine(['list', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject([{ user: 'qnib', types: [{ login: 'qnib-type1' }] }]);
    expect(json.stdout).not.toContain('scrypt');
  });

  test('changes a password and removes a type, and keeps the comments of whoever wrote the file', async () => {
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
      'user: “../x” is no name: it may hold',
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
