import { renameSync, utimesSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { parseRepositoryName, type RepositoryName } from '../../src/oci/reference.ts';
import { readDockerConfig } from '../../src/upstream/auth/credentials.ts';
import { createKeychain } from '../../src/upstream/auth/keychain.ts';
import { temporaryFolder } from '../support/folder.ts';

const NAME = parseRepositoryName('team/app') as RepositoryName;
const basic = (text: string) => Buffer.from(text).toString('base64');

let folder: string;
let warnings: string[];

beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv('PATH', [folder, process.env['PATH']].join(delimiter));
  onTestFinished(() => void vi.unstubAllEnvs());
  warnings = [];
});

function store(config: unknown, name = 'config.json'): string {
  const file = join(folder, name);
  writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  return file;
}

/** A real credential helper: a program that docker could ask as well. */
function helper(name: string, script: string): void {
  writeFileSync(join(folder, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

function logins(...files: string[]) {
  return createKeychain({ files, warn: (message) => warnings.push(message), helperLimitMs: 60_000 });
}

test('CVE-2026-59891: a login is used for exactly the host of its key, not for a host that contains it or is contained in it', async () => {
  const auth = basic('one:secret');
  const keychain = logins(
    store({ auths: { 'https://registry.example.com/v1/': { auth }, 'quay.io/team': { auth } } }),
  );
  for (const host of [
    'example.com',
    'registry.example',
    'try.example.com',
    'evil-registry.example.com',
    'registry.example.com.evil.test',
    'registry.example.com:5000',
    'io',
    'team',
    'quay.io.evil.test',
  ]) {
    expect(await keychain.loginFor(host, NAME), host).toBeUndefined();
  }
  const other = parseRepositoryName('team-of-others/app') as RepositoryName;
  expect(await keychain.loginFor('quay.io', other)).toBeUndefined();
  expect(await keychain.loginFor('quay.io', NAME)).toMatchObject({ username: 'one' });
  expect(await keychain.loginFor('registry.example.com', NAME)).toMatchObject({ username: 'one' });
});

describe('readDockerConfig()', () => {
  test.each([
    ['https://index.docker.io/v1/', 'docker.io'],
    ['index.docker.io', 'docker.io'],
    ['https://ghcr.io', 'ghcr.io'],
    ['https://registry.example:5000/v2/', 'registry.example:5000'],
    ['quay.io/team/app', 'quay.io/team/app'],
  ])('reads the login of %s as %s', (key, name) => {
    const { logins } = readDockerConfig({ auths: { [key]: { auth: basic('a:b:c') } } });
    expect([...logins]).toEqual([[name, { kind: 'basic', username: 'a', password: 'b:c' }]]);
  });

  test.each([
    [null],
    [[]],
    ['text'],
    [{ auths: { 'ghcr.io': { auth: 'not base64 with a colon' } } }],
    [{ auths: 7 }],
  ])('finds no login in %j', (content) => {
    expect(readDockerConfig(content).logins.size).toBe(0);
  });

  test.each([
    ['a password', { auth: basic('a:b') }, { kind: 'basic', username: 'a', password: 'b' }],
    ['an empty password', { auth: basic('a:') }, { kind: 'basic', username: 'a', password: '' }],
    [
      'a password with zeros behind it, as Docker pads it',
      { auth: basic('a:b\0\0') },
      { kind: 'basic', username: 'a', password: 'b' },
    ],
    [
      'a password with a zero in it',
      { auth: basic('a:b\0c') },
      { kind: 'basic', username: 'a', password: 'b\0c' },
    ],
    [
      'user name and password',
      { username: 'a', password: 'b' },
      { kind: 'basic', username: 'a', password: 'b' },
    ],
    ['an identity token', { identitytoken: 'i' }, { kind: 'identity', token: 'i' }],
    ['a registry token', { registrytoken: 'r' }, { kind: 'bearer', token: 'r' }],
    [
      'an identity token beside a password',
      { identitytoken: 'i', auth: basic('a:b') },
      { kind: 'identity', token: 'i' },
    ],
    [
      'a registry token beside an identity token',
      { registrytoken: 'r', identitytoken: 'i' },
      { kind: 'bearer', token: 'r' },
    ],
    [
      'empty tokens beside a password',
      { registrytoken: '', identitytoken: '', auth: basic('a:b') },
      { kind: 'basic', username: 'a', password: 'b' },
    ],
    ['a user name without a password', { username: 'a' }, undefined],
    ['a password without a user name', { password: 'b' }, undefined],
    ['an empty user name', { username: '', password: 'b' }, undefined],
    ['a password alone in base64', { auth: basic(':b') }, undefined],
    ['a number', { auth: 7 }, undefined],
    ['nothing', { auth: '' }, undefined],
  ])('of an entry with %s reads: %j', (_, entry, login) => {
    expect(readDockerConfig({ auths: { 'ghcr.io': entry } }).logins.get('ghcr.io')).toEqual(login);
  });

  test.each([
    ['https://', undefined],
    ['user@ghcr.io', undefined],
    ['ghcr.io///', 'ghcr.io'],
    ['ghcr.io/v2', 'ghcr.io'],
    ['ghcr.io/v10', 'ghcr.io'],
    ['ghcr.io/v2/app', 'ghcr.io/v2/app'],
    ['ghcr.io/v2x', 'ghcr.io/v2x'],
    ['ghcr.io/ov2', 'ghcr.io/ov2'],
    ['ghcr.io/https://x', 'ghcr.io/https://x'],
  ])('reads the key %s as %s', (key, name) => {
    const { logins, helpers } = readDockerConfig({
      auths: { [key]: { auth: basic('a:b') } },
      credHelpers: { [key]: 'helper' },
    });
    const names = name === undefined ? [] : [name];
    expect([[...logins.keys()], [...helpers.keys()]]).toEqual([names, names]);
  });

  test('accepts the name of a helper, never a path', () => {
    const config = readDockerConfig({
      credsStore: '../../tmp/evil',
      credHelpers: { 'ghcr.io': 'a/b', 'quay.io': 'ok', 'gcr.io': '', 'docker.io': 7 },
    });
    expect(config.defaultHelper).toBeUndefined();
    expect([...config.helpers]).toEqual([['quay.io', 'ok']]);
  });
});

describe('createStoredLogins()', () => {
  test('prefers the login of the repository over the registry’s', async () => {
    const file = store({
      auths: { 'quay.io': { auth: basic('all:1') }, 'quay.io/team': { auth: basic('team:2') } },
    });
    expect(await logins(file).loginFor('quay.io', NAME)).toMatchObject({ username: 'team' });
    const other = parseRepositoryName('other/app') as RepositoryName;
    expect(await logins(file).loginFor('quay.io', other)).toMatchObject({ username: 'all' });
    expect(await logins(file).loginFor('quay.io.evil.example', NAME)).toBeUndefined();
  });

  test('asks the registry’s own helper, and Docker Hub’s by its old name', async () => {
    helper('cloud', `read server; printf '{"Username":"%s","Secret":"s"}' "$server"`);
    const file = store({ credHelpers: { 'ghcr.io': 'cloud' }, credsStore: 'cloud' });
    expect(await logins(file).loginFor('ghcr.io', NAME)).toMatchObject({
      username: 'ghcr.io',
      password: 's',
    });
    expect(await logins(file).loginFor('docker.io', NAME)).toMatchObject({
      username: 'https://index.docker.io/v1/',
    });
  });

  test('uses a secret of the user <token> as an identity token', async () => {
    helper('azure', `echo '{"Username":"<token>","Secret":"refresh"}'`);
    const file = store({ credsStore: 'azure' });
    expect(await logins(file).loginFor('x.azurecr.io', NAME)).toEqual({ kind: 'identity', token: 'refresh' });
  });

  test('asks a helper again after a minute, however often its answer was used, because cloud passwords expire', async () => {
    helper(
      'renewing',
      `n=$(cat "$0.n" || echo 0); echo $((n + 1)) >"$0.n"; echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$n\\"}"`,
    );
    const stored = logins(store({ credHelpers: { 'quay.io': 'renewing' } }));
    const startedMs = performance.now();
    const clock = vi.spyOn(performance, 'now');
    onTestFinished(() => clock.mockRestore());
    const passwords: unknown[] = [];
    for (let asked = 0; asked < 5; asked += 1) {
      clock.mockReturnValue(startedMs + asked * 25_000);
      passwords.push(await stored.loginFor('quay.io', NAME));
    }
    const basicAs = (password: string) => ({ kind: 'basic', username: 'u', password });
    expect(passwords).toEqual(['0', '0', '0', '1', '1'].map(basicAs));
  });

  test('uses the file when the helper has no login, without a warning', async () => {
    helper('empty', `echo 'credentials not found in native keychain'; exit 1`);
    const file = store({ credsStore: 'empty', auths: { 'ghcr.io': { auth: basic('file:1') } } });
    expect(await logins(file).loginFor('ghcr.io', NAME)).toMatchObject({ username: 'file' });
    expect(warnings).toEqual([]);
  });

  test.each([
    ['fails', `echo secret-in-output; exit 3`, /docker-credential-bad failed with status 3/, 60_000],
    ['answers nonsense', `echo secret-in-output`, /did not answer in JSON/, 60_000],
    ['hangs', `exec sleep 60`, /cannot be run/, 300],
  ])(
    'warns once about a helper that %s, without its output, and uses no login',
    async (_, script, why, helperLimitMs) => {
      helper('bad', script);
      const credentials = createKeychain({
        files: [store({ credsStore: 'bad' })],
        warn: (message) => warnings.push(message),
        helperLimitMs,
      });
      expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
      expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(why);
      expect(warnings[0]).not.toContain('secret-in-output');
    },
  );

  test('accepts the answer of a helper that writes much to stderr', async () => {
    helper('chatty', `head -c 1000000 /dev/zero >&2; echo '{"Username":"u","Secret":"s"}'`);
    const credentials = createKeychain({
      files: [store({ credsStore: 'chatty' })],
      warn: () => {},
      helperLimitMs: 60_000,
    });
    expect(await credentials.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'u' });
  });

  test('kills a helper that prints without end long before its time limit', async () => {
    helper('endless', 'exec yes');
    const credentials = createKeychain({
      files: [store({ credsStore: 'endless' })],
      warn: (message) => warnings.push(message),
      // Longer than a test may take.
      helperLimitMs: 600_000,
    });
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
    expect(warnings).toEqual(['docker-credential-endless failed with status none']);
  });

  test.each([
    ['HOST:443', 'registry.test', true],
    ['HOST:80', 'registry.test', true],
    ['https://HOST:443/v2/', 'registry.test', true],
    ['http://HOST:80/v2/', 'registry.test', true],
    ['HTTPS://HOST', 'registry.test', true],
    ['HOST:5000', 'registry.test', false],
    ['HOST', 'registry.test:5000', false],
    ['HOST:4430', 'registry.test', false],
    ['HOST.evil', 'registry.test', false],
  ])(
    'fault 70: a login stored with a default port: a login stored as %s is one for %s: %s',
    async (key, host, isFor) => {
      const stored = key.replace('HOST', 'registry.test');
      const file = store({ auths: { [stored]: { auth: basic('ann:1') } } });
      expect((await logins(file).loginFor(host, NAME)) !== undefined).toBe(isFor);
    },
  );

  test('stops a helper that hangs within the time limit, even when memory is collected meanwhile', async () => {
    helper('stuck', 'exec sleep 60');
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const collecting = setInterval(collect, 20);
    onTestFinished(() => clearInterval(collecting));
    const files = [store({ credsStore: 'stuck' })];
    const credentials = createKeychain({ files, warn: () => {}, helperLimitMs: 300 });
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
  });

  test('reads a login that is stored later, and uses files in their order', async () => {
    const [first, second] = [
      join(folder, 'first.json'),
      store({ auths: { 'ghcr.io': { auth: basic('b:1') } } }),
    ];
    const credentials = logins(first, second);
    expect(await credentials.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'b' });
    store({ auths: { 'ghcr.io': { auth: basic('a:1') } } }, 'first.json');
    expect(await credentials.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'a' });
  });

  test.each([
    [
      'registries, of one helper',
      { credHelpers: { 'ghcr.io': 'a', 'quay.io': 'a' } },
      {},
      ['ghcr.io', 'quay.io'],
    ],
    ['helpers, for one registry', { credHelpers: { 'ghcr.io': 'none' } }, { credsStore: 'a' }, ['ghcr.io']],
  ])('each of two %s, gives its own answer', async (_, first, second, registries) => {
    helper('a', `read server; printf '{"Username":"a at %s","Secret":"s"}' "$server"`);
    helper('none', `echo 'credentials not found in native keychain'; exit 1`);
    const stored = logins(store(first, 'first.json'), store(second, 'second.json'));
    for (const registry of [...registries, ...registries]) {
      expect(await stored.loginFor(registry, NAME)).toMatchObject({ username: `a at ${registry}` });
    }
  });

  test('prefers a helper’s answer over the registry’s own login in the file', async () => {
    helper('fresh', `echo '{"Username":"fresh","Secret":"s"}'`);
    const stored = logins(store({ auths: { 'ghcr.io': { auth: basic('old:1') } }, credsStore: 'fresh' }));
    expect(await stored.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'fresh' });
  });

  test.each([
    ['null', undefined],
    ['{}', undefined],
    ['{"Username":"u"}', undefined],
    ['{"Secret":"s"}', undefined],
    ['{"Username":"u","Secret":""}', undefined],
    ['{"Username":7,"Secret":"s"}', undefined],
    ['{"Username":"","Secret":"s"}', { kind: 'basic', username: '', password: 's' }],
    ['{"Username":"ü","Secret":"s"}', { kind: 'basic', username: 'ü', password: 's' }],
  ])('of a helper that answers %s: %j', async (answer, login) => {
    helper('any', `[ "$*" = get ] && echo '${answer}'`);
    expect(await logins(store({ credsStore: 'any' })).loginFor('ghcr.io', NAME)).toEqual(login);
    expect(warnings).toEqual([]);
  });

  test.each([
    [64 * 1024, 's'],
    [64 * 1024 + 1, undefined],
  ])('accepts a helper’s answer of %s bytes', async (bytes, password) => {
    helper('long', `printf '%-${bytes}s' '{"Username":"u","Secret":"s"}'`);
    const login = await logins(store({ credsStore: 'long' })).loginFor('ghcr.io', NAME);
    expect(login && 'password' in login ? login.password : undefined).toBe(password);
  });

  test('ignores a missing file, and names one that cannot be read with the reason', async () => {
    const [missing, folderNamedSo, broken] = [join(folder, 'none.json'), folder, store('{', 'broken.json')];
    const large = store(' '.repeat(1024 * 1024 + 1), 'large.json');
    await logins(missing, folderNamedSo, broken, large).loginFor('ghcr.io', NAME);
    expect(warnings).toEqual([
      expect.stringMatching(`the logins in ${folder} cannot be read: EISDIR`),
      `the logins in ${broken} cannot be read: it is not JSON`,
      `the logins in ${large} cannot be read: it is too large`,
    ]);
  });

  test('asks a helper that failed again', async () => {
    helper(
      'later',
      `[ -e "$0.ready" ] || { touch "$0.ready"; exit 3; }; echo '{"Username":"u","Secret":"s"}'`,
    );
    const stored = logins(store({ credsStore: 'later' }));
    expect(await stored.loginFor('ghcr.io', NAME)).toBeUndefined();
    expect(await stored.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'u' });
  });

  test.each([
    [1024 * 1024, 'ann', 0],
    [1024 * 1024 + 1, undefined, 1],
  ])('of a file of %s bytes: read the login of %s, with %s warnings', async (bytes, username, warned) => {
    const text = JSON.stringify({ auths: { 'ghcr.io': { auth: basic('ann:1') } } });
    const stored = logins(store(text.padEnd(bytes)));
    const login = await stored.loginFor('ghcr.io', NAME);
    expect(login && 'username' in login ? login.username : undefined).toBe(username);
    expect(warnings).toHaveLength(warned);
  });

  test.each([
    ['size', 1, (file: string, text: string) => writeFileSync(file, `${text} `)],
    ['inode', 1, replaceFile],
    ['time', 2, (file: string, text: string) => writeFileSync(file, text)],
  ])('reads a file again when only its %s has changed', async (_, modifiedS, write) => {
    const text = (name: string) => JSON.stringify({ auths: { 'ghcr.io': { auth: basic(`${name}:1`) } } });
    const file = store(text('one'));
    utimesSync(file, 1, 1);
    const stored = logins(file);
    expect(await stored.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'one' });
    write(file, text('two'));
    utimesSync(file, modifiedS, modifiedS);
    expect(await stored.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'two' });
  });

  test('warns once about a file that is not JSON and ignores it', async () => {
    const credentials = logins(store('{"auths": {"ghcr.io": {"auth": "c2VjcmV0"'));
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).not.toContain('c2VjcmV0');
  });
});
