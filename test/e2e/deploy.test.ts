import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { variableOf } from '../../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../../src/cli/settings/table.ts';
import { readYaml } from '../../src/cli/settings/yaml.ts';
import { attempt, run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DEPLOY = join(ROOT, 'deploy');

describe('Slurm', () => {
  let workplace: Workplace;
  let path: string;
  beforeAll(() => {
    workplace = openWorkplace();
    const bin = workplace.folder('bin');
    symlinkSync(join(ROOT, 'bin/metahub.js'), join(bin, 'metahub'));
    path = `${bin}:${process.env['PATH']}`;
  });
  afterAll(() => workplace.close());

  test('the node’s line names its microarchitecture, without a colon', async () => {
    const line = await run('sh', [join(DEPLOY, 'slurm/metahub-features.sh')], { env: { PATH: path } });
    expect(line).toMatch(/^NodeName=\S+ Feature=cpu\.[a-z0-9_]+(,[\w.+-]+)*\n$/);
  });

  test('a program that fails gives no line', async () => {
    const broken = workplace.folder('broken');
    symlinkSync('/bin/false', join(broken, 'metahub'));
    const { status, stdout } = await attempt('sh', [join(DEPLOY, 'slurm/metahub-features.sh')], {
      env: { PATH: `${broken}:${path}` },
    });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  });

  test('a task prolog without a mirror prints nothing and lets the job run', async () => {
    const { status, stdout } = await attempt('sh', [join(DEPLOY, 'slurm/task-prolog.sh')]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  });
});

test('compose.yaml runs the mirror on loopback only, with a read-only root and no capabilities', async () => {
  const { content } = await readYaml(join(DEPLOY, 'compose/compose.yaml'));
  const { services } = content as { services: Record<string, Record<string, unknown>> };
  expect(services['metahub']).toMatchObject({
    ports: ['127.0.0.1:5080:5080'],
    read_only: true,
    cap_drop: ['ALL'],
  });
  expect(services['detect']).toMatchObject({ network_mode: 'none', read_only: true });
});

test('site.yaml lets only nginx reach the replicas, and contains no secret', async () => {
  const { content } = await readYaml(join(DEPLOY, 'compose/site.yaml'));
  const { services } = content as { services: Record<string, Record<string, unknown>> };
  expect(services['metahub']).toMatchObject({ read_only: true, cap_drop: ['ALL'], deploy: { replicas: 3 } });
  expect(services['metahub']).not.toHaveProperty('ports');
  expect(services['redis']).not.toHaveProperty('ports');
  expect(services['nginx']).toMatchObject({ ports: ['127.0.0.1:5080:80'] });
  // What the containers are started with is what serve takes.
  const variables = Object.keys(services['metahub']?.['environment'] as object);
  expect(variables.filter((name) => !Object.keys(SERVE_SETTINGS).map(variableOf).includes(name))).toEqual([]);
});

describeWith(['ansible-playbook', 'yamllint'], 'Ansible', () => {
  let workplace: Workplace;
  const folder = join(DEPLOY, 'ansible');
  const settings = () => ({
    HOME: workplace.directory,
    ANSIBLE_ROLES_PATH: join(folder, 'roles'),
    LC_ALL: 'C.UTF-8',
  });
  beforeAll(() => {
    workplace = openWorkplace();
    mkdirSync(join(workplace.directory, '.ansible'));
  });
  afterAll(() => workplace.close());

  test('the playbook’s syntax is right', async () => {
    const words = ['--syntax-check', '--inventory', 'node1,', join(folder, 'site.yml')];
    expect(await attempt('ansible-playbook', words, { env: settings() })).toMatchObject({ status: 0 });
  });

  test('a run without a package says what to set, before it changes anything', async () => {
    const words = [
      '--inventory',
      'metahub,',
      '--connection',
      'local',
      '--extra-vars',
      'ansible_become=false',
    ];
    const { status, stdout } = await attempt('ansible-playbook', [...words, join(folder, 'site.yml')], {
      env: settings(),
    });
    expect(status).not.toBe(0);
    expect(stdout).toContain('Set metahub_package to the path of metahub_VERSION_ARCH.deb');
  });

  test('the first run changes the runtimes, and the second run changes nothing', async () => {
    const machine = workplace.folder('machine');
    for (const program of ['dockerd', 'containerd', 'podman']) {
      mkdirSync(join(machine, 'usr/bin'), { recursive: true });
      writeFileSync(join(machine, 'usr/bin', program), '');
    }
    const bin = workplace.folder('ansible-bin');
    // Below another root there is no daemon that could read its configuration again.
    const withoutReload = 'for word; do shift; [ "$word" = --reload ] || set -- "$@" "$word"; done';
    const program = `exec '${process.execPath}' '${join(ROOT, 'bin/metahub.js')}' "$@" --root '${machine}'`;
    writeFileSync(join(bin, 'metahub'), `#!/bin/sh\n${withoutReload}\n${program}\n`, { mode: 0o755 });
    const words = [
      ...['--inventory', 'metahub,', '--connection', 'local', '--extra-vars', 'ansible_become=false'],
      ...['--start-at-task', 'metahub : Configure the container runtimes', join(folder, 'site.yml')],
    ];
    const env = { ...settings(), PATH: `${bin}:${process.env['PATH']}` };
    const changed = async () =>
      /changed=(\d+) .*failed=0/.exec(await run('ansible-playbook', words, { env }))?.[1];
    expect(await changed()).toBe('1');
    expect(readFileSync(join(machine, 'etc/docker/daemon.json'), 'utf8')).toContain('127.0.0.1:5080');
    expect(await changed()).toBe('0');
  });

  test('yamllint reports nothing', async () => {
    const relaxed = '{extends: default, rules: {line-length: {max: 140}, comments-indentation: disable}}';
    expect(await attempt('yamllint', ['--strict', '--config-data', relaxed, folder])).toMatchObject({
      status: 0,
      stdout: '',
    });
  });
});
