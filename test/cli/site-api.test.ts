import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/folder.ts';
import { runCli, runCliWith } from '../support/run-cli.ts';
import { basic, hashed } from '../support/site.ts';
import { serveSite } from '../support/site-server.ts';

async function remote() {
  const site = await serveSite({
    'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
    'qnib.yaml': `user: qnib\npassword: "${await hashed('qnib')}"\ntypes:
  - { name: type1, features: [cpu:broadwell] }
  - { name: gpu, features: [cpu:zen4, nvcap:9.0], login: gpu-nodes }\n`,
  });
  const folder = temporaryFolder();
  const file = join(folder, 'password');
  await writeFile(file, 'root\n');
  const to = ['--site', site.url, '--user', 'root', '--password-file', file];
  const run = (args: readonly string[]) => runCli(...args, ...to);
  const runWith = (input: string, args: readonly string[]) => runCliWith({ input }, ...args, ...to);
  return { ...site, run, runWith, folder, to };
}

describe('metahub machine --site', () => {
  test('lists, adds, edits and removes over the network', async () => {
    const { run, runWith, url, machines, admit } = await remote();
    const host = url.replace('http://', '');
    expect((await run(['machine', 'list'])).stdout).toBe(
      [
        'LOGIN       MACHINE             MAY PULL',
        'qnib        puller              **',
        'gpu-nodes   cpu:zen4 nvcap:9.0  **',
        'qnib-type1  cpu:broadwell       **',
        'root        admin               **',
        '',
      ].join('\n'),
    );
    expect(await run(['machine', 'add', 'qnib', 'type2', '--feature', 'cpu:skylake'])).toEqual({
      status: 0,
      stdout: `qnib-type2 may log in at ${host}, as a machine with cpu:skylake\n`,
      stderr: '',
    });
    expect((await run(['machine', 'edit', 'qnib', 'type2', '--feature', 'cpu:zen3'])).stdout).toBe(
      'qnib-type2 is a machine with cpu:zen3\n',
    );
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).toContain('cpu:zen3');
    expect((await run(['machine', 'remove', 'qnib', 'type2'])).status).toBe(0);
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).not.toContain('type2');
    expect((await runWith('swordfish\n', ['machine', 'add', 'lab', '--password-stdin'])).status).toBe(0);
    expect((await admit(basic('lab', 'swordfish'), 'a/b')).kind).toBe('admitted');
    expect((await run(['machine', 'edit', 'lab', '--repository', 'lab/*', '--role', 'puller'])).stdout).toBe(
      'lab is changed\n',
    );
    expect((await admit(basic('lab', 'swordfish'), 'a/b')).kind).toBe('refused');
    expect((await run(['machine', 'edit', 'lab', '--repository', '**', '--role', ''])).status).toBe(0);
    expect((await runWith('herring\n', ['machine', 'passwd', 'lab', '--password-stdin'])).status).toBe(0);
    expect((await admit(basic('lab', 'herring'), 'a/b')).kind).toBe('admitted');
    expect((await run(['machine', 'remove', 'lab'])).stdout).toContain(
      'lab and its machine types are removed from',
    );
  });

  test('says what the site refuses, and what to do', async () => {
    const { run, url } = await remote();
    const unknown = await run(['machine', 'add', 'qnib', 'x', '--feature', 'cpu:skylkae']);
    expect(unknown.status).toBe(2);
    expect(unknown.stderr).toContain('did you mean skylake?');
    expect((await run(['machine', 'edit', 'qnib', '--group', 'absent'])).stderr).toContain('no group absent');
    expect(await run(['machine', 'remove', 'qnib', 'absent'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('there is no machine type absent of qnib'),
    });
    const other = ['machine', 'list', '--site', url, '--user', 'qnib', '--password-file', '-'];
    expect(await runCliWith({ input: 'wrong' }, ...other)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('refuses the login of qnib'),
    });
    expect((await runCli('machine', 'list', '--site', url)).status).toBe(2);
  });
});

describe('metahub machine enrol and metahub token --site', () => {
  test('create a one-time secret that a machine enrols with, and end what it was given', async () => {
    const { run, admit, ask } = await remote();
    const made = await run([
      'machine',
      'enrol',
      'qnib',
      'gpu',
      '--name',
      'node17',
      '--expires',
      '2h',
      '--json',
    ]);
    expect(made.status).toBe(0);
    const { token: secret, name } = JSON.parse(made.stdout) as { token: string; name: string };
    expect([secret.startsWith('metahub_enrol_'), name]).toEqual([true, 'node17']);
    expect((await run(['token', 'list'])).stdout).toMatch(/^qnib +node17 \(not enrolled yet\) +gpu/m);
    const answer = await ask('/site/enrol', { method: 'POST', json: { token: secret } });
    const { login, token } = await answer.json();
    expect((await admit(basic(login, token), 'a/b')).kind).toBe('admitted');
    expect((await run(['token', 'revoke', 'qnib', 'node17'])).stdout).toContain('is revoked');
    expect((await admit(basic(login, token), 'a/b')).kind).toBe('refused');
    // An enrolment that nobody has used ends as well.
    const text = (await run(['machine', 'enrol', 'qnib', 'gpu', '--name', 'node18'])).stdout.trim();
    expect((await run(['token', 'revoke', 'qnib', 'node18'])).status).toBe(0);
    const late = await ask('/site/enrol', { method: 'POST', json: { token: text } });
    expect(late.status).toBe(403);
  });

  test('create, list and revoke a token with the rights that were asked for', async () => {
    const { run, admit, machines } = await remote();
    const words = ['token', 'create', 'qnib', 'ci', '--repository', 'lab/*', '--expires', 'never'];
    const { stdout, stderr, status } = await run(words);
    expect([status, stderr]).toEqual([
      0,
      'metahub: token ci of qnib is valid until it is revoked; it is not shown again\n',
    ]);
    const token = stdout.trim();
    expect((await admit(basic('qnib', token), 'lab/app')).kind).toBe('admitted');
    expect((await admit(basic('qnib', token), 'other/app')).kind).toBe('refused');
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).not.toContain(token);
    expect(JSON.parse((await run(['token', 'list', '--json'])).stdout)).toEqual([
      {
        user: 'qnib',
        name: 'ci',
        state: 'valid',
        expires: null,
        repositories: ['lab/*'],
        push: false,
        type: null,
      },
    ]);
    expect((await run(words)).stderr).toContain('there is a token ci already');
    expect((await run(['token', 'revoke', 'qnib', 'ci'])).status).toBe(0);
    expect((await admit(basic('qnib', token), 'lab/app')).kind).toBe('refused');
    expect((await run(['token', 'list'])).stdout).toMatch(/^no tokens in http/);
  });

  test.each([
    ['--user', ['token', 'list', '--user', 'root']],
    ['--user', ['machine', 'list', '--user', 'root', '--password-file', '/x']],
    ['--password-file', ['group', 'list', '--password-file', '/x']],
    ['--user', ['explain', 'alpine', '--user', 'root']],
    ['--user', ['gaps', '--user', 'root']],
  ])('refuse %s without --site: %j', async (option, words) => {
    const { stdout, stderr, status } = await runCli(...words);
    expect(stderr).toBe(`metahub: ${option} works only with --site\n  Add --site URL, or leave it out.\n`);
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
  });

  test('says which password file cannot be read', async () => {
    const { url } = await remote();
    const words = ['--site', url, '--user', 'root', '--password-file', '/nowhere'];
    const { stderr, status } = await runCli('token', 'list', ...words);
    expect(stderr).toContain('--password-file /nowhere: there is no such file');
    expect(status).toBe(1);
  });

  test('are for administrators: an account that manages its own machines makes neither', async () => {
    const { url, machines, folder } = await remote();
    const file = join(folder, 'own');
    await writeFile(file, 'qnib');
    const before = await readFile(join(machines, 'qnib.yaml'), 'utf8');
    const as = ['--site', url, '--user', 'qnib', '--password-file', file];
    for (const words of [
      ['machine', 'enrol', 'qnib', 'gpu'],
      ['token', 'create', 'qnib', 'ci'],
      ['group', 'set', 'mine', '--push', '**'],
    ]) {
      expect(await runCli(...words, ...as)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('qnib may not change this'),
      });
    }
    expect(await readFile(join(machines, 'qnib.yaml'), 'utf8')).toBe(before);
  });
});

describe('metahub group', () => {
  test.each(['of a folder', 'of a remote site'])('sets, lists and removes groups %s', async (place) => {
    const { run, machines, admit, clock } = await remote();
    const group = (...words: readonly string[]) =>
      place === 'of a folder' ? runCli('group', ...words, '--machines', machines) : run(['group', ...words]);
    expect((await group('list')).stdout).toMatch(/^no groups in /);
    expect((await group('set', 'lab', '--repository', 'lab/*')).stdout).toBe(
      'members of lab may pull lab/*\n',
    );
    expect((await group('set', 'lab', '--repository', 'lab/*', '--push', 'lab/out')).stdout).toBe(
      'members of lab may pull lab/*, and push to lab/out\n',
    );
    expect((await group('list')).stdout).toBe('GROUP  MAY PULL  MAY PUSH\nlab    lab/*     lab/out\n');
    expect(JSON.parse((await group('list', '--json')).stdout)).toEqual([
      { name: 'lab', repositories: ['lab/*'], push: ['lab/out'] },
    ]);
    await writeFile(
      join(machines, 'anna.yaml'),
      `user: anna\npassword: "${await hashed('anna')}"\ngroups: [lab]\n`,
    );
    clock.ms += 1000;
    expect((await admit(basic('anna', 'anna'), 'lab/app')).kind).toBe('admitted');
    expect((await admit(basic('anna', 'anna'), 'other/app')).kind).toBe('refused');
    const used = await group('remove', 'lab');
    expect([used.status, used.stderr]).toEqual([
      1,
      expect.stringContaining('the group lab still has members: anna'),
    ]);
    await writeFile(join(machines, 'anna.yaml'), `user: anna\npassword: "${await hashed('anna')}"\n`);
    expect(await group('remove', 'lab')).toMatchObject({ status: 0, stdout: 'group lab is removed\n' });
    expect((await group('remove', 'lab')).status).toBe(1);
    expect((await group('set', '../root', '--push', '**')).status).toBeGreaterThan(0);
    expect((await group('set', 'lab', '--push', '!x')).status).toBeGreaterThan(0);
  });

  test('machine add --group makes a member, of the folder and of the site', async () => {
    const { run, runWith, admit, machines } = await remote();
    await run(['group', 'set', 'lab', '--repository', 'lab/*']);
    const added = await runWith('swordfish\n', [
      'machine',
      'add',
      'anna',
      '--group',
      'lab',
      '--password-stdin',
    ]);
    expect(added.status).toBe(0);
    expect(await readFile(join(machines, 'anna.yaml'), 'utf8')).toContain('groups:\n  - lab\n');
    expect((await admit(basic('anna', 'swordfish'), 'lab/app')).kind).toBe('admitted');
    const absent = await runWith('x\n', ['machine', 'add', 'bert', '--group', 'absent', '--password-stdin']);
    expect(absent.stderr).toContain('there is no group absent');
    const local = ['machine', 'add', 'carl', '--group', 'lab', '--password-stdin', '--machines', machines];
    expect((await runCliWith({ input: 'x\n' }, ...local)).status).toBe(0);
    expect(await readFile(join(machines, 'carl.yaml'), 'utf8')).toContain('groups:\n  - lab\n');
  });

  test('machine list shows the rights of groups and the same roles, of the folder and of the site', async () => {
    const { run, runWith, machines } = await remote();
    await run(['group', 'set', 'lab', '--repository', 'lab/*', '--push', 'lab/out']);
    await runWith('x\n', ['machine', 'add', 'anna', '--group', 'lab', '--password-stdin']);
    const add = ['machine', 'add', 'bert', '--group', 'lab', '--repository', 'x/*', '--role', 'puller'];
    await runWith('x\n', [...add, '--password-stdin']);
    const { stdout } = await run(['machine', 'list']);
    expect(stdout).toMatch(/^anna +publisher +lab\/\*$/m);
    expect(stdout).toMatch(/^bert +puller +x\/\* lab\/\*$/m);
    const ofFolder = (await runCli('machine', 'list', '--machines', machines)).stdout;
    const lines = (text: string) => text.split('\n').sort();
    expect(lines(stdout)).toEqual(lines(ofFolder));
    const rights = (text: string) =>
      (JSON.parse(text) as Record<string, unknown>[]).map(({ user, role, repositories, push, groups }) => [
        ...[user, role, repositories, push, groups],
      ]);
    expect(rights((await run(['machine', 'list', '--json'])).stdout).sort()).toEqual(
      rights((await runCli('machine', 'list', '--json', '--machines', machines)).stdout).sort(),
    );
  });
});

describe('metahub explain --fleet', () => {
  test('says which machine types of a site, and which machines that pulled, run which entry', async () => {
    const { run, folder, admit, to } = await remote();
    await admit(basic('gpu-nodes', 'qnib'), 'a/b');
    await admit(basic('qnib/cpu#skylake', 'qnib'), 'a/b');
    const manifests = [[], ['cpu:broadwell'], ['cpu:zen4', 'nvcap:9.0']].map((features, at) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${String(at).repeat(64)}`,
      size: 100,
      platform: { os: 'linux', architecture: 'amd64', features },
    }));
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests };
    const file = join(folder, 'index.json');
    await writeFile(file, JSON.stringify(index));
    const { stdout, status } = await run(['explain', '--fleet', '--manifest', file, '--json']);
    expect(status).toBe(0);
    const { hosts } = JSON.parse(stdout) as {
      hosts: { host: string; machines: number; winner: number | null }[];
    };
    expect(hosts.map(({ host, machines, winner }) => [host, machines, winner])).toEqual([
      ['gpu-nodes', 1, 2],
      ['qnib-type1', 0, 1],
      ['qnib/cpu#skylake', 1, 1],
    ]);
    expect((await run(['explain', '--fleet', '--manifest', file])).stdout).toMatch(
      /gpu-nodes\s+runs\s+-\s+WINS/,
    );
    expect((await runCli('explain', '--manifest', file, ...to)).status).toBe(2);
  });

  test('reads the machine files of this machine when no site is named', async () => {
    const { folder, machines } = await remote();
    const file = join(folder, 'index.json');
    const entry = {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${'1'.repeat(64)}`,
      size: 1,
    };
    const platform = { os: 'linux', architecture: 'amd64', features: ['cpu:zen4'] };
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    await writeFile(
      file,
      JSON.stringify({ schemaVersion: 2, mediaType, manifests: [{ ...entry, platform }] }),
    );
    const { stdout } = await runCli('explain', '--fleet', '--manifest', file, '--machines', machines);
    expect(stdout).toMatch(/gpu-nodes\s+WINS/);
    expect(stdout).toMatch(/qnib-type1\s+-/);
  });
});
