import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openMachineAdmin } from '../../src/site/machine-admin.ts';
import { readGroupsFile } from '../../src/site/machine-file.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';

const GROUPS = 'hpc: {repositories: [hpc/*]}\nweb: {repositories: ["ghcr.io/web/**"]}\nnone: {}\n';

async function folderWith(groups: string) {
  const account = async (user: string, rest: string) =>
    `user: ${user}\npassword: "${await hashed(user)}"\n${rest}\n`;
  const folder = await machineFolder({
    'groups.yaml': groups,
    'anna.yaml': await account('anna', 'groups: [hpc]'),
    'bert.yaml': await account('bert', 'groups: [hpc, web]\nrepositories: [bert/*]'),
    'carl.yaml': await account('carl', 'groups: [none]'),
    'dora.yaml': await account('dora', ''),
  });
  return folder;
}

async function siteWith(groups: string) {
  const machines = await folderWith(groups);
  const site = await openTestSite({ machines });
  const mayPull = async (user: string, name: string, host?: string) =>
    (await site.admit(basic(user, user), name, {}, host)).kind === 'admitted';
  return { ...site, machines, mayPull };
}

describe('groups of accounts', () => {
  test('add their repositories to the account’s, and replace the default of all repositories', async () => {
    const { mayPull } = await siteWith(GROUPS);
    expect(await mayPull('anna', 'hpc/solver')).toBe(true);
    expect(await mayPull('anna', 'anna/app')).toBe(false);
    expect(await mayPull('bert', 'hpc/solver')).toBe(true);
    expect(await mayPull('bert', 'web/a/b', 'ghcr.io')).toBe(true);
    expect(await mayPull('bert', 'bert/app')).toBe(true);
    expect(await mayPull('bert', 'anna/app')).toBe(false);
    expect(await mayPull('carl', 'hpc/solver')).toBe(false);
    expect(await mayPull('dora', 'anna/app')).toBe(true);
  });

  test('take effect within a second when they change', async () => {
    const { mayPull, machines, clock } = await siteWith(GROUPS);
    expect(await mayPull('anna', 'hpc/solver')).toBe(true);
    await writeFile(join(machines, 'groups.yaml'), GROUPS.replace('hpc/*', 'other/*'));
    clock.ms += 1000;
    expect(await mayPull('anna', 'hpc/solver')).toBe(false);
    expect(await mayPull('anna', 'other/solver')).toBe(true);
  });

  test('share cached content only between accounts with equal rights', async () => {
    const { admit } = await siteWith(GROUPS);
    const partitionOf = async (user: string) => {
      const admission = await admit(basic(user, user), 'hpc/solver');
      return admission.kind === 'admitted' ? admission.access?.partition : 'refused';
    };
    expect(await partitionOf('anna')).toMatch(/^site-/);
    expect(await partitionOf('bert')).not.toBe(await partitionOf('anna'));
    expect(await partitionOf('dora')).toBeUndefined();
  });

  test('stop the start with the account’s file when they do not exist', async () => {
    await expect(siteWith('web: {}\nnone: {}\n')).rejects.toThrow(/anna\.yaml: there is no group hpc/);
  });

  test('are not an account, and no account can take the name of their file', async () => {
    const folder = await folderWith(GROUPS);
    const admin = openMachineAdmin(folder);
    expect((await admin.accounts()).map(({ user }) => user)).toEqual(['anna', 'bert', 'carl', 'dora']);
    await expect(admin.addAccount({ user: 'groups', password: await hashed('x') })).rejects.toThrow(
      'cannot have the name groups',
    );
    // A change of an account with groups is checked with them.
    await admin.change('anna', { kind: 'add-type', type: { name: 'node', features: ['cpu:zen4'] } });
    expect((await admin.accounts())[0]?.types).toHaveLength(1);
  });
});

test.each([
  ['hpc: [a/*]', /^groups\.yaml:1:6: hpc: a map of keys and values is expected, not a list$/],
  ['hpc: {repositories: [a/*]}\n"a b": {}', /^groups\.yaml:2:1: "a b": “a b” is not a name: it may contain/],
  ['hpc: {repositories: ["!a"]}', /^groups\.yaml:1:22: hpc\.repositories\[0\]: “!a” is not a pattern/],
  [
    'hpc: {repository: [a]}',
    /^groups\.yaml:1:7: hpc\.repository: this key does not exist; did you mean repositories\?/,
  ],
  ['- hpc', /^groups\.yaml:1:1: a map of keys and values is expected, not a list/],
])('the groups file %j is refused with its line', (source, message) => {
  expect(() => readGroupsFile(source, 'groups.yaml')).toThrow(message);
});
