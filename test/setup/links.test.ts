import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { RuntimeSetupName } from '../../src/setup/runtime.ts';
import { RUNTIME_SETUPS } from '../../src/setup/runtimes.ts';
import { configureRuntimes, removeFromRuntimes } from '../../src/setup/setup.ts';
import { temporaryFolder } from '../support/folder.ts';
import { runCli } from '../support/run-cli.ts';

/** A folder that stands for a machine. */
function machine() {
  const root = temporaryFolder();
  const prepared = (path: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    return join(root, path);
  };
  const options = {
    ...{ root, dryRun: false },
    target: { url: 'http://127.0.0.1:5080', registries: ['docker.io'], strict: false },
  };
  const named = (name: RuntimeSetupName) => RUNTIME_SETUPS.filter((runtime) => runtime.name === name);
  return {
    root,
    write: (path: string, text: string) => writeFileSync(prepared(path), text),
    link: (path: string, target: string) => symlinkSync(target, prepared(path)),
    configure: (name: RuntimeSetupName) => configureRuntimes(named(name), options),
    remove: (name: RuntimeSetupName) => removeFromRuntimes(named(name), options),
    /** Every file with its text, every link with its target. */
    tree: () =>
      readdirSync(root, { recursive: true, encoding: 'utf8' })
        .filter((path) => !/^var(?:\/lib)?$/.test(path))
        .sort()
        .map((path) => {
          const stats = lstatSync(join(root, path));
          if (stats.isSymbolicLink()) return `${path} -> ${readlinkSync(join(root, path))}`;
          return stats.isFile() ? `${path}: ${readFileSync(join(root, path), 'utf8')}` : path;
        }),
  };
}

/** The file that setup writes for a runtime, with a text that it may have; a drop-in named metahub.conf is setup's own. */
const FILES: readonly (readonly [RuntimeSetupName, path: string, text: string])[] = [
  ['docker', '/etc/docker/daemon.json', '{ "debug": true }\n'],
  ['containerd', '/etc/containerd/certs.d/docker.io/hosts.toml', 'server = "https://registry-1.docker.io"\n'],
  ['podman', '/etc/containers/registries.conf.d/metahub.conf', ''],
  ['cri-o', '/etc/containers/registries.conf.d/metahub.conf', ''],
  ['apptainer', '/etc/containers/registries.conf.d/metahub.conf', ''],
  ['k3s', '/etc/rancher/k3s/registries.yaml', 'configs: {}\n'],
];

describe.each(FILES)('%s with a link at %s', (name, path, text) => {
  const up = '../'.repeat(path.split('/').length - 2);

  test.each([
    ['link that is absolute', '/srv/managed/file'],
    ['link that is relative', `${up}srv/managed/file`],
    ['link that leaves the folder of the machine', `${up}../../../../srv/managed/file`],
  ])('setup keeps a %s, and writes and restores its target', async (_, target) => {
    const host = machine();
    if (text !== '') host.write('/srv/managed/file', text);
    else host.write('/srv/managed/kept', '');
    host.link(path, target);
    const before = host.tree();
    const [outcome] = await host.configure(name);
    expect(outcome?.error).toBeUndefined();
    expect(readlinkSync(join(host.root, path))).toBe(target);
    expect(readFileSync(join(host.root, 'srv/managed/file'), 'utf8')).toContain('127.0.0.1:5080');
    await host.remove(name);
    expect(host.tree()).toEqual(before);
  });

  test.each(['/srv/managed/file', `${up}srv/managed/file`])(
    'setup keeps a link to %s, which does not exist, and creates and removes the file there',
    async (target) => {
      const host = machine();
      host.link(path, target);
      const before = host.tree();
      const [outcome] = await host.configure(name);
      expect(outcome?.error).toBeUndefined();
      expect(readlinkSync(join(host.root, path))).toBe(target);
      expect(readFileSync(join(host.root, 'srv/managed/file'), 'utf8')).toContain('127.0.0.1:5080');
      expect((await host.configure(name))[0]?.changes).toEqual([]);
      await host.remove(name);
      expect(host.tree()).toEqual(before);
    },
  );

  test('setup keeps a link in place of the folder', async () => {
    const host = machine();
    host.write('/srv/managed/kept', '');
    host.link(dirname(path), '/srv/managed');
    const before = host.tree();
    await host.configure(name);
    expect(lstatSync(join(host.root, dirname(path))).isSymbolicLink()).toBe(true);
    await host.remove(name);
    expect(host.tree()).toEqual(before);
  });

  test('setup refuses a cycle of links, and keeps it', async () => {
    const host = machine();
    host.link(path, path);
    const before = host.tree();
    expect((await host.configure(name))[0]?.error).toContain('circle of links');
    expect(host.tree()).toEqual(before);
  });

  test('setup refuses a link to a FIFO, and keeps it', async () => {
    const host = machine();
    host.write('/srv/managed/kept', '');
    execFileSync('mkfifo', [join(host.root, 'srv/managed/file')]);
    host.link(path, '/srv/managed/file');
    const before = host.tree();
    expect((await host.configure(name))[0]?.error).toContain('not a regular file');
    expect(host.tree()).toEqual(before);
  });
});

test('setup ignores a masked drop-in of dockerd’s unit, a link to /dev/null', async () => {
  const host = machine();
  host.link('/etc/systemd/system/docker.service.d/old.conf', '/dev/null');
  const [outcome] = await host.configure('docker');
  expect(outcome?.error).toBeUndefined();
  expect(existsSync(join(host.root, 'etc/docker/daemon.json'))).toBe(true);
});

test.each([
  ['that does not exist', 'none'],
  ['that is a file', 'file'],
])('metahub setup --root of a folder %s fails with status 1 and writes nothing', async (_, name) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'file'), '');
  const root = join(folder, name);
  for (const words of [[], ['--dry-run'], ['--remove']]) {
    const { status, stdout, stderr } = await runCli('setup', 'docker', '--root', root, ...words);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(`--root ${root}: there is no such directory`);
  }
  expect(readdirSync(folder)).toEqual(['file']);
});

test.each([
  ['--reload reaches no daemon of another machine', ['--reload']],
  ['--strict says nothing of a removal', ['--remove', '--strict']],
])('metahub setup --root: %s', async (_, words) => {
  const root = temporaryFolder();
  const { status, stderr } = await runCli('setup', 'docker', '--root', root, ...words);
  expect(stderr).toContain('cannot be used with option');
  expect(status).toBe(2);
  expect(readdirSync(root)).toEqual([]);
});
