import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { parseRepositoryName, type RepositoryName } from '../../src/oci/reference.ts';
import { readDockerConfig } from '../../src/upstream/auth/credentials.ts';
import { createKeychain } from '../../src/upstream/auth/keychain.ts';

const NAME = parseRepositoryName('team/app') as RepositoryName;
const basic = (text: string) => Buffer.from(text).toString('base64');

let folder: string;
let path: string | undefined;
let warnings: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'metahub-logins-'));
  path = process.env['PATH'];
  process.env['PATH'] = [folder, path].join(delimiter);
  warnings = [];
});
afterEach(() => {
  process.env['PATH'] = path;
  rmSync(folder, { recursive: true, force: true });
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

function logins(...files: string[]) {
  return createKeychain({ files, warn: (message) => warnings.push(message), helperLimitMs: 2000 });
}

test('CVE-2026-59891: a login is for the host of its key, not for one that the key contains or that contains the key', async () => {
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
  ])('knows the login of %s as %s', (key, name) => {
    const { logins } = readDockerConfig({ auths: { [key]: { auth: basic('a:b:c') } } });
    expect([...logins]).toEqual([[name, { kind: 'basic', username: 'a', password: 'b:c' }]]);
  });

  test.each([
    [null],
    [[]],
    ['text'],
    [{ auths: { 'ghcr.io': { auth: 'not base64 with a colon' } } }],
    [{ auths: 7 }],
  ])('makes nothing of %j', (content) => {
    expect(readDockerConfig(content).logins.size).toBe(0);
  });

  test('a helper is a name, never a path', () => {
    const config = readDockerConfig({
      credsStore: '../../tmp/evil',
      credHelpers: { 'ghcr.io': 'a/b', 'quay.io': 'ok' },
    });
    expect(config.defaultHelper).toBeUndefined();
    expect([...config.helpers]).toEqual([['quay.io', 'ok']]);
  });
});

describe('createStoredLogins()', () => {
  test('the login scoped to the repository is stronger than the registry’s', async () => {
    const file = store({
      auths: { 'quay.io': { auth: basic('all:1') }, 'quay.io/team': { auth: basic('team:2') } },
    });
    expect(await logins(file).loginFor('quay.io', NAME)).toMatchObject({ username: 'team' });
    const other = parseRepositoryName('other/app') as RepositoryName;
    expect(await logins(file).loginFor('quay.io', other)).toMatchObject({ username: 'all' });
    expect(await logins(file).loginFor('quay.io.evil.example', NAME)).toBeUndefined();
  });

  test('asks the registry’s own helper, and the Hub’s by its old name', async () => {
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

  test('a secret of the user <token> is an identity token', async () => {
    helper('azure', `echo '{"Username":"<token>","Secret":"refresh"}'`);
    const file = store({ credsStore: 'azure' });
    expect(await logins(file).loginFor('x.azurecr.io', NAME)).toEqual({ kind: 'identity', token: 'refresh' });
  });

  test('a helper is asked anew after a minute, however often its answer was used: a cloud’s passwords expire', async () => {
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
      // It is looked at once in a millisecond.
      await delay(5);
      passwords.push(await stored.loginFor('quay.io', NAME));
    }
    const basicAs = (password: string) => ({ kind: 'basic', username: 'u', password });
    expect(passwords).toEqual(['0', '0', '0', '1', '1'].map(basicAs));
  });

  test('a helper that has nothing leaves the word to the file, without a warning', async () => {
    helper('empty', `echo 'credentials not found in native keychain'; exit 1`);
    const file = store({ credsStore: 'empty', auths: { 'ghcr.io': { auth: basic('file:1') } } });
    expect(await logins(file).loginFor('ghcr.io', NAME)).toMatchObject({ username: 'file' });
    expect(warnings).toEqual([]);
  });

  test.each([
    ['fails', `echo secret-in-output; exit 3`, /docker-credential-bad failed with status 3/],
    ['answers nonsense', `echo secret-in-output`, /did not answer in JSON/],
    ['hangs', `exec sleep 60`, /cannot be run/],
  ])(
    'a helper that %s is warned of once, without its output, and nobody is logged in',
    async (_, script, why) => {
      helper('bad', script);
      const credentials = createKeychain({
        files: [store({ credsStore: 'bad' })],
        warn: (message) => warnings.push(message),
        helperLimitMs: 300,
      });
      expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
      expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(why);
      expect(warnings[0]).not.toContain('secret-in-output');
    },
  );

  test('a helper that prints without end is killed long before its time is over', async () => {
    helper('endless', 'exec yes');
    const credentials = createKeychain({
      files: [store({ credsStore: 'endless' })],
      warn: (message) => warnings.push(message),
      helperLimitMs: 60_000,
    });
    const start = performance.now();
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
    expect(performance.now() - start).toBeLessThan(20_000);
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

  test('a helper that hangs is given up in time, whatever memory is cleared meanwhile', async () => {
    helper('stuck', 'exec sleep 60');
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const collecting = setInterval(collect, 20);
    onTestFinished(() => clearInterval(collecting));
    const files = [store({ credsStore: 'stuck' })];
    const credentials = createKeychain({ files, warn: () => {}, helperLimitMs: 300 });
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
  });

  test('a login stored later is seen; files are asked in order', async () => {
    const [first, second] = [
      join(folder, 'first.json'),
      store({ auths: { 'ghcr.io': { auth: basic('b:1') } } }),
    ];
    const credentials = logins(first, second);
    expect(await credentials.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'b' });
    store({ auths: { 'ghcr.io': { auth: basic('a:1') } } }, 'first.json');
    expect(await credentials.loginFor('ghcr.io', NAME)).toMatchObject({ username: 'a' });
  });

  test('a file that is no JSON is warned of once and passed over', async () => {
    const credentials = logins(store('{"auths": {"ghcr.io": {"auth": "c2VjcmV0"'));
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
    expect(await credentials.loginFor('ghcr.io', NAME)).toBeUndefined();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).not.toContain('c2VjcmV0');
  });
});
