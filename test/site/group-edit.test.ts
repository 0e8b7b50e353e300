import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Account } from '../../src/site/account.ts';
import {
  checkGroupName,
  groupsFileFor,
  missingGroup,
  refuseMembers,
  withGroup,
  withoutGroup,
} from '../../src/site/group-edit.ts';
import { machineFolder } from '../support/site.ts';
import { asNobody, CAN_DROP_PRIVILEGES } from '../support/unprivileged.ts';

const FILE = 'groups.yaml';
const ALIAS_STEP = 'Write out what the alias stands for in the file, then repeat the change.';
const rights = (repositories: readonly string[], push: readonly string[] = []) => ({ repositories, push });

/** What the call throws; fails when it returns. */
function failureOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return expect.fail('it returned');
}

test.each(['lab', 'a.b_c-d@e', '7'])('%j is the name of a group', (name) => {
  expect(() => checkGroupName(name)).not.toThrow();
});

test.each(['', 'a b', '../x', 'a/b', 'a:b', '#a'])('%j is not the name of a group', (name) => {
  expect(failureOf(() => checkGroupName(name))).toMatchObject({
    code: 'invalid-value',
    why: `“${name}” is not a name: it may contain letters, digits and . _ - @`,
  });
});

test('the error for an absent group names it and its file', () => {
  const error = missingGroup('lab', FILE);
  expect(error).toMatchObject({ code: 'missing', why: 'there is no group lab', file: FILE });
});

test.each<[string, number, string]>([
  ['its only member', 1, 'm0'],
  ['five members', 5, 'm0, m1, m2, m3, m4'],
  ['five of six members', 6, 'm0, m1, m2, m3, m4 and others'],
])('a group with members is not removed: the refusal names %s', (_, count, named) => {
  const members = Array.from({ length: count }, (__, at) => ({ user: `m${at}`, groups: ['web', 'lab'] }));
  const accounts = [{ user: 'other', groups: ['web'] }, ...members] as unknown as Account[];
  expect(failureOf(() => refuseMembers('lab', accounts, FILE))).toMatchObject({
    ...{ code: 'in-use', why: `the group lab still has members: ${named}`, file: FILE },
  });
  expect(() => refuseMembers('none', accounts, FILE)).not.toThrow();
});

describe('the file that a group is written to', () => {
  const [YAML, YML] = ['lab: { repositories: [a/*] }\n', 'web: { repositories: [b/*] }\n'];
  const empty = '# no group yet\n';

  test.each<[string, Readonly<Record<string, string>>, string, string, string | undefined]>([
    ['is groups.yaml, when there is none', {}, 'lab', 'groups.yaml', undefined],
    ['is the only one', { 'groups.yml': YML }, 'lab', 'groups.yml', YML],
    ['is the one that has it', { 'groups.yaml': YAML, 'groups.yml': YML }, 'lab', 'groups.yaml', YAML],
    ['is the second, which has it', { 'groups.yaml': YAML, 'groups.yml': YML }, 'web', 'groups.yml', YML],
    [
      'is the first, when neither has it',
      { 'groups.yaml': YAML, 'groups.yml': YML },
      'x',
      'groups.yaml',
      YAML,
    ],
    ['may have no group', { 'groups.yaml': empty, 'groups.yml': YML }, 'x', 'groups.yaml', empty],
    ['may be empty', { 'groups.yaml': '' }, 'x', 'groups.yaml', ''],
  ])('%s', async (_, files, name, base, source) => {
    const folder = await machineFolder(files);
    expect(await groupsFileFor(name, folder)).toEqual({ file: join(folder, base), source });
  });

  test('is unknown while both files define the group', async () => {
    const folder = await machineFolder({ 'groups.yaml': YAML, 'groups.yml': YAML });
    await expect(groupsFileFor('lab', folder)).rejects.toMatchObject({
      code: 'exists',
      why: 'groups.yaml and groups.yml both define the group lab: remove it from one of them',
      file: folder,
    });
    expect(await groupsFileFor('other', folder)).toMatchObject({ source: YAML });
  });

  test('is not taken for absent when it cannot be read', async () => {
    const folder = await machineFolder({});
    await mkdir(join(folder, 'groups.yml'));
    await expect(groupsFileFor('lab', folder)).rejects.toMatchObject({ code: 'EISDIR' });
    const looped = await machineFolder({});
    await symlink('groups.yaml', join(looped, 'groups.yaml'));
    await expect(groupsFileFor('lab', looped)).rejects.toMatchObject({ code: 'ELOOP' });
  });

  test.runIf(CAN_DROP_PRIVILEGES)('is not taken for absent when this user may not read it', async () => {
    const folder = await machineFolder({ 'groups.yaml': YAML });
    await chmod(folder, 0o755);
    await chmod(join(folder, 'groups.yaml'), 0o600);
    await asNobody(() => expect(groupsFileFor('lab', folder)).rejects.toMatchObject({ code: 'EACCES' }));
  });

  test('is not written while it is invalid', async () => {
    const folder = await machineFolder({});
    await writeFile(join(folder, 'groups.yml'), 'lab: [a/*]\n');
    await expect(groupsFileFor('lab', folder)).rejects.toMatchObject({ code: 'wrong-type' });
  });
});

describe('an edit of the groups', () => {
  const SOURCE = '# Who.\nlab: { repositories: [lab/*], push: [lab/out] } # since 2019\nweb: {}\n';

  test.each<[string, string, string, ReturnType<typeof rights>, string]>([
    ['adds the first group', '', 'lab', rights(['a/*']), 'lab:\n  repositories:\n    - a/*\n'],
    ['adds a group that grants nothing', '', 'lab', rights([]), 'lab: {}\n'],
    ['adds a group that only pushes', '', 'lab', rights([], ['b/*']), 'lab:\n  push:\n    - b/*\n'],
    [
      'replaces the rights of a group, and keeps the comments of others',
      SOURCE,
      'web',
      rights(['w/*'], ['p/*']),
      '# Who.\nlab: { repositories: [ lab/* ], push: [ lab/out ] } # since 2019\nweb:\n  repositories:\n    - w/*\n  push:\n    - p/*\n',
    ],
    ['replaces a group whose name is a number', '7: {}\n', '7', rights([], ['a']), '7:\n  push:\n    - a\n'],
  ])('%s', (_, source, name, granted, after) => {
    expect(withGroup(source, name, granted, FILE)).toBe(after);
  });

  test('removes a group, and no other', () => {
    expect(withoutGroup(SOURCE, 'web', FILE)).toBe(
      '# Who.\nlab: { repositories: [ lab/* ], push: [ lab/out ] } # since 2019\n',
    );
    for (const source of [SOURCE, '']) {
      expect(failureOf(() => withoutGroup(source, 'none', FILE))).toMatchObject({
        ...{ code: 'missing', why: 'there is no group none', file: FILE },
      });
    }
  });

  const MERGED = 'lab: &l { repositories: [a/*] }\nweb: { <<: *l, push: [b/*] }\n';
  test.each<[string, string, () => unknown, string]>([
    [
      'removes what an alias needs',
      'the alias *l still needs the part to change',
      () => withoutGroup(MERGED, 'lab', FILE),
      FILE,
    ],
    [
      'replaces what an alias needs',
      'the alias *r still needs the part to change',
      () =>
        withGroup('lab: { repositories: &r [a/*] }\nweb: { repositories: *r }\n', 'lab', rights([]), FILE),
      FILE,
    ],
    [
      'changes another group',
      'an alias or merge key connects the part to change with other parts',
      // The alias would then stand for the first list.
      () => withoutGroup('a: { push: &r [a] }\nb: { push: &r [b] }\nlab: { push: *r }\n', 'b', FILE),
      FILE,
    ],
  ])('fails where it %s', (_, why, edit, file) => {
    expect(failureOf(edit)).toMatchObject({ code: 'in-use', why, file, nextStep: ALIAS_STEP });
  });
});
