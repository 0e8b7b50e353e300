import { chmod, mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Account } from '../../src/site/account.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import {
  FILE_MAX_BYTES,
  haveLoginsChanged,
  isAccountFile,
  MachineReader,
  withGroups,
} from '../../src/site/machine-reader.ts';
import { machineFolder } from '../support/site.ts';
import { asNobody, CAN_DROP_PRIVILEGES } from '../support/unprivileged.ts';

const users = (accounts: readonly Account[]) => accounts.map(({ user }) => user);

async function reading(files: Readonly<Record<string, string>>) {
  const folder = await machineFolder(files);
  return { folder, reader: new MachineReader(folder) };
}

test.each([
  ['groups.yaml', false],
  ['groups.yml', false],
  ['groups.json', true],
  ['my-groups.yaml', true],
  ['groups.yaml.yaml', true],
  ['lab.yaml', true],
])('the file %s may define an account: %j', (name, expected) => {
  expect(isAccountFile(name)).toBe(expected);
});

describe('a folder of machine files', () => {
  test('has the files *.yaml and *.yml in the order of their names, and no others', async () => {
    const { folder, reader } = await reading({
      ...{ 'b.yaml': 'user: b\n', 'a.yml': 'user: a\n', 'c.yaml': 'user: c\n' },
      ...{ '.d.yaml': 'x', 'e.yaml.tmp': 'x', 'f.json': 'x', gyaml: 'x', '.yaml': 'x' },
      'groups.yml': 'web: { push: [w/*] }\n',
    });
    const names = ['a.yml', 'b.yaml', 'c.yaml', 'groups.yml'];
    expect((await reader.list()).map(({ path }) => path)).toEqual(names.map((name) => join(folder, name)));
    const { accounts, groups } = await reader.readAll();
    expect(users(accounts)).toEqual(['a', 'b', 'c']);
    expect(groups).toEqual(new Map([['web', { repositories: [], push: ['w/*'] }]]));
  });

  test('is empty when it does not exist', async () => {
    const { folder } = await reading({});
    const reader = new MachineReader(join(folder, 'none'));
    expect([await reader.list(), await reader.read()]).toEqual([[], []]);
  });

  test('is an error when it cannot be listed', async () => {
    const { folder } = await reading({ file: '' });
    await expect(new MachineReader(join(folder, 'file')).list()).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  test('is read without a file that is removed after the listing, as a dangling link is', async () => {
    const { folder, reader } = await reading({ 'a.yaml': 'user: a\n' });
    await symlink('gone.yaml', join(folder, 'b.yaml'));
    expect(users(await reader.read())).toEqual(['a']);
  });

  test('is an error while the state of a file cannot be read', async () => {
    const { folder, reader } = await reading({ 'a.yaml': 'user: a\n' });
    await symlink('b.yaml', join(folder, 'b.yaml'));
    await expect(reader.list()).rejects.toMatchObject({ code: 'ELOOP' });
    await rm(join(folder, 'b.yaml'));
    await mkdir(join(folder, 'b.yaml'));
    await expect(reader.read()).rejects.toMatchObject({ code: 'EISDIR' });
  });

  test('may have a file of 1 MiB, and none that is larger', async () => {
    const { folder, reader } = await reading({});
    const path = join(folder, 'a.yaml');
    await writeFile(path, `user: a\n${'#'.repeat(FILE_MAX_BYTES - 8)}`);
    expect(users(await reader.read())).toEqual(['a']);
    await writeFile(path, `user: a\n${'#'.repeat(FILE_MAX_BYTES - 7)}`);
    await expect(reader.read()).rejects.toMatchObject({
      ...{ code: 'too-large', why: 'it is larger than 1048576 bytes', file: path },
    });
  });
});

describe('an unchanged file', () => {
  /** A folder whose files have changed a second ago. */
  async function settled() {
    const { folder, reader } = await reading({ 'a.yaml': 'user: a\n', 'b.yaml': 'user: b\n' });
    const settle = async () => {
      // The time of the change itself cannot be set: the reader compares it with the clock.
      const [state] = (await reader.list()).toSorted((one, other) => other.changedMs - one.changedMs);
      await expect.poll(() => Date.now() - (state?.changedMs ?? 0)).toBeGreaterThan(100);
    };
    await settle();
    return { folder, reader, settle };
  }

  test('is not parsed again', async () => {
    const { reader, folder, settle } = await settled();
    const [a, b] = await reader.read();
    await writeFile(join(folder, 'b.yaml'), 'user: c\n');
    await settle();
    const [sameA, c] = await reader.read();
    expect(sameA).toBe(a);
    expect([b?.user, c?.user]).toEqual(['b', 'c']);
    expect((await reader.read())[1]).toBe(c);
  });

  test('is parsed again when another file has its name, size and time', async () => {
    const { reader, folder } = await settled();
    const time = new Date(1_700_000_000_000);
    await writeFile(join(folder, 'new'), 'user: x\n');
    for (const name of ['new', 'a.yaml']) await utimes(join(folder, name), time, time);
    expect(users(await reader.read())).toEqual(['a', 'b']);
    await rename(join(folder, 'new'), join(folder, 'a.yaml'));
    expect(users(await reader.read())).toEqual(['x', 'b']);
  });
});

describe('the rights of groups', () => {
  const account = (rest: string) => readMachineFile(`user: a\n${rest}\n`, 'a.yaml');
  const groups = new Map([
    ['web', { repositories: ['w/*', 'both'], push: ['w/out'] }],
    ['hpc', { repositories: ['h/*', 'both'], push: ['h/out'] }],
  ]);

  test.each<[string, string, readonly string[], readonly string[]]>([
    [
      'are added once each',
      'groups: [web, hpc]\nrepositories: [w/*]',
      ['w/*', 'both', 'h/*'],
      ['w/out', 'h/out'],
    ],
    ['push nothing for a puller', 'groups: [web]\nrole: puller', ['w/*', 'both'], []],
    ['push for a publisher', 'groups: [web]\nrole: publisher', ['w/*', 'both'], ['w/out']],
    ['are none without groups', 'push: [a/*]', ['**'], ['a/*']],
    [
      'push nothing for a person who pulls, without groups',
      'role: puller\npush: [a/*]\noidc: { issuer: i, subject: s }',
      ['**'],
      [],
    ],
  ])('%s', (_, rest, repositories, push) => {
    expect(withGroups(account(rest), groups)).toMatchObject({ repositories, push });
  });

  test('leave an account as it is that has none', () => {
    const own = account('push: [a/*]');
    expect(withGroups(own, groups)).toBe(own);
  });

  test('of an absent group are an error of the account’s file', () => {
    expect(() => withGroups(account('groups: [web, none]'), groups)).toThrow(
      expect.objectContaining({
        ...{ code: 'invalid-value', why: 'there is no group none in groups.yaml', file: 'a.yaml' },
      }),
    );
  });
});

describe('the upstream logins of an account', () => {
  async function withLogins() {
    const { folder, reader } = await reading({ 'a.yaml': 'user: a\n' });
    const logins = join(folder, 'logins.json');
    await writeFile(join(folder, 'b.yaml'), `user: b\nupstreamLogins: ${logins}\n`);
    return { reader, logins, folder };
  }

  test.each<[string, (path: string) => Promise<unknown>, (path: string) => Promise<unknown>]>([
    ['appears', async () => {}, (path) => writeFile(path, '{}')],
    ['changes', (path) => writeFile(path, '{}'), (path) => writeFile(path, '{ }')],
    ['goes away', (path) => writeFile(path, '{}'), (path) => rm(path)],
    [
      'becomes inaccessible',
      (path) => writeFile(path, '{}'),
      (path) => rm(path).then(() => symlink(path, path)),
    ],
    ['becomes inaccessible after it was absent', async () => {}, (path) => symlink(path, path)],
  ])('have changed when their file %s', async (_, before, after) => {
    const { reader, logins } = await withLogins();
    await before(logins);
    const accounts = await reader.read();
    expect(await haveLoginsChanged(accounts)).toBe(false);
    await after(logins);
    expect(await haveLoginsChanged(accounts)).toBe(true);
    expect(await haveLoginsChanged(accounts.slice(0, 1))).toBe(false);
  });

  test.runIf(CAN_DROP_PRIVILEGES)('of which this user may not know the state, are no error', async () => {
    const { reader, logins, folder } = await withLogins();
    await writeFile(logins, '{}');
    const accounts = await reader.read();
    await chmod(folder, 0o600);
    await asNobody(async () => expect(await haveLoginsChanged(accounts)).toBe(true));
  });
});
