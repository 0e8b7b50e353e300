import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readWebhookSecrets } from '../../src/cli/serve/webhook-secret.ts';
import { openCatalog } from '../../src/cli/settings/catalog.ts';
import { loadImageCatalog } from '../../src/cli/settings/image-lists.ts';
import { configFilesAt } from '../../src/setup/files.ts';
import { readCloudKeys } from '../../src/site/enrolment/cloud-keys.ts';
import { MachineReader } from '../../src/site/machine-reader.ts';
import { loadTokenKey } from '../../src/site/token.ts';
import { createKeychain } from '../../src/upstream/auth/keychain.ts';
import { readAuthorities } from '../../src/upstream/net/tls.ts';
import { temporaryFolder } from '../support/folder.ts';
import { runCli } from '../support/run-cli.ts';
import { repository } from '../support/upstream.ts';

/** A FIFO that nobody writes to, below a folder of its own. */
function fifoAt(name: string) {
  const folder = temporaryFolder();
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('mkfifo', [path]);
  return { folder, path };
}

/** What a service reads at its start or for a request: to wait for a writer would stop it. */
const READERS: readonly (readonly [
  what: string,
  name: string,
  read: (folder: string, path: string) => unknown,
])[] = [
  ['a list of images', 'a.yml', (folder) => loadImageCatalog(folder, { mayBeAbsent: false })],
  ['a file of the catalogue', 'a.yml', (folder) => openCatalog(folder)],
  ['a machine file', 'a.yaml', (folder) => new MachineReader(folder).read()],
  ['the file of groups', 'groups.yaml', (folder) => new MachineReader(folder).readAll()],
  ['the keys of a cloud', 'keys', (_, keys) => readCloudKeys({ cloud: 'aws', keys })],
  ['the key of tokens', 'key', (_, path) => loadTokenKey(path)],
  ['the secrets of a webhook', 'secret', (_, path) => readWebhookSecrets(path)],
  [
    'the certificates of authorities',
    'ca.crt',
    (_, path) => readAuthorities({ system: [], extra: [path], authorities: [] }),
  ],
  [
    'the configuration of a runtime',
    'etc/docker/daemon.json',
    async (folder) => configFilesAt(folder).read('/etc/docker/daemon.json'),
  ],
];

describe('a FIFO is refused at once when it is in the place of', () => {
  test.each(READERS)('%s', async (_, name, read) => {
    const { folder, path } = fifoAt(name);
    await expect(Promise.resolve(read(folder, path))).rejects.toThrow('not a regular file');
  });

  test('stored logins, which are then not used, with a warning', async () => {
    const { path } = fifoAt('config.json');
    const warnings: string[] = [];
    const keychain = createKeychain({ files: [path], warn: (message) => warnings.push(message) });
    expect(await keychain.loginFor('quay.io', repository('team/app').name)).toBeUndefined();
    expect(warnings).toEqual([`the logins in ${path} cannot be read: ${path} is not a regular file`]);
  });

  test.each([
    ['settings', (path: string) => ['config', 'show', '--config', path]],
    ['a profile', (path: string) => ['explain', '--profile', path, '--manifest', path]],
    ['what metahub config check reads', (path: string) => ['config', 'check', path]],
    [
      'the key of a server',
      (path: string) => ['serve', '--tls-cert', path, '--tls-key', path, '--listen', '127.0.0.1:0'],
    ],
    ['a list of names', (path: string) => ['warm', '--from-file', path]],
  ])('%s', async (_, words) => {
    const { path } = fifoAt('file.yaml');
    const { status, stdout, stderr } = await runCli(...words(path));
    expect(`${stdout}${stderr}`).toContain('not a regular file');
    expect(status).not.toBe(0);
  });
});
