import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hashPassword } from '../../src/site/password.ts';
import { createAuthority } from '../support/certificates.ts';
import { runCli, runCliWith } from '../support/run-cli.ts';
import { dataDirectory } from '../support/store.ts';

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await dataDirectory();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const LIST = 'image: team/app:v1\nmanifests: [{ image: "team/app:v1-zen4" }]\n';

describe('a variable that is most probably a misspelt setting', () => {
  test.each([
    ['METAHUB_CACH', 'METAHUB_CACHE'],
    ['METAHUB_LOGLEVEL', 'METAHUB_LOG_LEVEL'],
    ['METAHUB_UPSTREAMS', 'METAHUB_UPSTREAM'],
  ])('is reported: %s', async (name, meant) => {
    const config = join(await folderWith({ 'config.yaml': '{}\n' }), 'config.yaml');
    const env = { [name]: 'x' };
    const check = await runCliWith({ env }, 'config', 'check', '--config', config);
    expect(check.stdout).toContain(
      `METAHUB_* (variables): not valid\n  ${name}: there is no such setting; did you mean ${meant}?\n`,
    );
    expect(check.status).toBe(2);
    const show = await runCliWith({ env }, 'config', 'show', '--config', config);
    expect(show.stderr).toBe(`metahub: ${name}: there is no such setting; did you mean ${meant}?\n`);
    expect(show.status).toBe(0);
  });

  test('is none of other programs, and of MetaHub’s own that are no settings', async () => {
    const config = join(await folderWith({ 'config.yaml': '{}\n' }), 'config.yaml');
    const names = [
      'CONFIG',
      'DEBUG',
      'SITE_ACCOUNT',
      'MIRROR',
      'IMAGE',
      'E2E',
      'FUZZ_RUNS',
      'SOMETHING_ELSE',
      'CACHE_SIZE',
    ];
    const values = names.map((name) => [`METAHUB_${name}`, name === 'CACHE_SIZE' ? '1GiB' : config]);
    const { stdout, status } = await runCliWith({ env: Object.fromEntries(values) }, 'config', 'check');
    expect(stdout).not.toContain('variables');
    expect(status).toBe(0);
  });
});

describe('metahub config check FILE', () => {
  test.each([
    ['config.yaml', 'settings', 'cacheSize: 2GiB\nrepositories: { "qnib/*": { match: exact } }\n'],
    ['app.yml', 'image lists', LIST],
    ['groups.yaml', 'groups', 'lab: { repositories: ["qnib/*"] }\n'],
    ['alice.yml', 'machine types', 'user: alice\ntypes: []\n'],
  ])('recognises a valid %s as %s', async (name, kind, text) => {
    const file = join(await folderWith({ [name]: text }), name);
    expect(await runCli('config', 'check', file)).toEqual({
      stdout: `${file} (${kind}): ok\n`,
      stderr: '',
      status: 0,
    });
  });

  test.each([
    ['a setting that does not exist', 'config.yaml', 'lisen: 5080\n', 'did you mean listen?'],
    [
      'a policy that cannot be',
      'config.yaml',
      'policy: { gpu: some }\n',
      'config.yaml:1:16: policy.gpu: “some” is not one of all, any',
    ],
    ['a catalogue entry that does not exist', 'config.yaml', 'catalog: [nothing]\n', 'has no “nothing”'],
    [
      'a feature that does not exist',
      'app.yml',
      LIST.replace(' }', ', platform: { os: linux, architecture: amd64, features: ["cpu:skylkae"] } }'),
      'skylake',
    ],
    [
      'a password in clear text',
      'a.yml',
      'user: alice\npassword: secret\n',
      'a.yml:2:11: password: a scrypt hash is expected',
    ],
    ['broken YAML', 'config.yaml', 'listen: [\n', 'config.yaml'],
  ])('reports %s with status 2', async (_what, name, text, complaint) => {
    const file = join(await folderWith({ [name]: text }), name);
    const { stdout, status } = await runCli('config', 'check', file);
    expect(stdout).toContain('not valid\n');
    expect(stdout).toContain(complaint);
    expect(stdout).not.toContain('secret');
    expect(status).toBe(2);
  });

  test.each([
    ['absent', 'absent.yaml', 'there is no such file', 1],
    ['a directory', '', 'it is a directory', 1],
    ['absent, beside an invalid one', 'absent.yaml', 'there is no such file', 2],
  ])('reports why a file that is %s cannot be read', async (_what, name, complaint, expected) => {
    const folder = await folderWith({ 'wrong.yaml': 'lisen: 1\n' });
    const path = join(folder, name);
    const { stdout, status } = await runCli(
      'config',
      'check',
      path,
      ...(expected === 2 ? [join(folder, 'wrong.yaml')] : []),
    );
    expect(stdout).toContain(`${path}: ${complaint}\n`);
    expect(status).toBe(expected);
  });

  test('names every wrong setting of a file, and continues with the next file', async () => {
    const folder = await folderWith({ 'config.yaml': 'lisen: 5080\ncacheSize: much\n', 'app.yml': LIST });
    const files = ['config.yaml', 'missing.yml', 'app.yml'].map((name) => join(folder, name));
    const { stdout, status } = await runCli('config', 'check', '--json', ...files);
    const { valid, checks } = JSON.parse(stdout);
    expect(valid).toBe(false);
    expect(checks.map(({ complaints }: { complaints: unknown[] }) => complaints.length)).toEqual([2, 1, 0]);
    expect(status).toBe(2);
  });
});

/** A file of each kind that names a feature, as YAML or JSON that is otherwise valid, and where the feature stands. */
const PROFILE = { platform: { os: 'linux', architecture: 'amd64' }, gpus: [], warnings: [] };
const CPU = { microarchitecture: 'zen4', compatible: ['zen4'], flags: [] };
const WITH_FEATURE: readonly (readonly [
  kind: string,
  name: string,
  text: (feature: string) => string,
  place: string,
])[] = [
  ['settings', 'config.yaml', (feature) => `listen: 5080\nset: [avx2, "${feature}"]\n`, '2:13: set[1]'],
  ['settings', 'pin.yaml', (feature) => `policy:\n  pin: ${feature}\n`, '2:8: policy.pin'],
  [
    'settings',
    'rules.yaml',
    (feature) => `repositories:\n  "a/*":\n    - baseline: [avx]\n    - { pin: "${feature}" }\n`,
    '4:14: repositories["a/*"][1].pin',
  ],
  [
    'image lists',
    'app.yml',
    (feature) =>
      `image: team/app:v1\nmanifests:\n  - image: team/app:v1-a\n    platform: { os: linux, architecture: amd64, features: [${feature}] }\n`,
    '4:60: manifests[0].platform.features[0]',
  ],
  [
    'machine types',
    'alice.yml',
    (feature) => `user: alice\ntypes:\n  - name: node\n    features: [${feature}]\n`,
    '4:16: types[0].features[0]',
  ],
  [
    'profile',
    'host.json',
    (feature) => JSON.stringify({ ...PROFILE, cpu: CPU, features: ['avx2', feature] }, undefined, 2),
    '17:5: features[1]',
  ],
];

describe('a feature that no host can have', () => {
  const refusals = WITH_FEATURE.flatMap((one) => [
    [...one, 'cpu:skylkae', 'there is no microarchitecture “skylkae”; did you mean skylake?'] as const,
    [...one, 'nvcap:abc', '“nvcap:abc” names no compute capability: write nvcap:9.0'] as const,
  ]);

  test.each(refusals)(
    'is refused in %s (%s), with its place',
    async (kind, name, text, place, feature, why) => {
      const file = join(await folderWith({ [name]: text(feature) }), name);
      const { stdout, status } = await runCli('config', 'check', file);
      expect(stdout).toContain(`${file} (${kind}): not valid\n`);
      expect(stdout).toContain(`\n  ${file}:${place}: `);
      expect(stdout).toContain(why);
      expect(status).toBe(2);
    },
  );

  test.each([
    ['skylkae', '; did you mean skylake?'],
    ['znver4', '; did you mean zen4?'],
    ['unlike-any-other', ''],
  ])('is refused as the microarchitecture of a profile: %s', async (microarchitecture, suggestion) => {
    const document = { ...PROFILE, cpu: { ...CPU, microarchitecture }, features: [] };
    const file = join(await folderWith({ 'host.json': JSON.stringify(document, undefined, 2) }), 'host.json');
    const { stdout, status } = await runCli('config', 'check', file);
    const why = `there is no microarchitecture “${microarchitecture}”${suggestion}\n`;
    expect(stdout).toContain(`cpu.microarchitecture: ${why}`);
    expect(status).toBe(2);
  });

  test.each([
    ['detect', '--set', 'cpu:skylkae'],
    ['explain', '--set', 'cpu:skylkae', 'alpine'],
    ['config', 'show', '--set', 'cpu:skylkae'],
    ['machine', 'add', 'alice', 'node', '--feature', 'cpu:skylkae', '--machines', 'FOLDER/machines'],
    ['push', '--dry-run', 'FOLDER/list.yml'],
    ['explain', '--profile', 'FOLDER/host.json', 'alpine'],
    ['serve', '--profile', 'FOLDER/host.json', '--data', 'FOLDER/data', '--listen', '127.0.0.1:0'],
  ])('is refused by metahub %s %s %s', async (...words) => {
    const hash = (await hashPassword('secret', { ln: 4, r: 8, p: 1 })).text;
    const texts = new Map(WITH_FEATURE.map(([, name, text]) => [name, text('cpu:skylkae')]));
    const folder = await folderWith({
      'machines/alice.yaml': `user: alice\npassword: "${hash}"\n`,
      'list.yml': texts.get('app.yml') ?? '',
      'host.json': texts.get('host.json') ?? '',
    });
    const { stderr, status } = await runCli(...words.map((word) => word.replace('FOLDER', folder)));
    expect(stderr).toContain('there is no microarchitecture “skylkae”; did you mean skylake?');
    expect(status).toBe(2);
  });
});

describe('metahub config check without a file', () => {
  const check = (folder: string) => runCli('config', 'check', '--config', join(folder, 'config.yaml'));

  test('checks the configuration file and the folders that it names', async () => {
    const folder = await folderWith({ 'images/app.yml': LIST, 'machines/alice.yml': 'user: alice\n' });
    const [images, machines] = [join(folder, 'images'), join(folder, 'machines')];
    writeFileSync(join(folder, 'config.yaml'), `images: ${images}\nmachines: ${machines}\n`);
    expect((await check(folder)).stdout).toBe(
      `${join(folder, 'config.yaml')} (settings): ok\n${images} (image lists): ok\n${machines} (machine types): ok\n`,
    );
    writeFileSync(join(machines, 'bob.yml'), 'user: alice\n');
    const { stdout, status } = await check(folder);
    expect(stdout).toContain(`${machines} (machine types): not valid\n`);
    expect(stdout).toContain('the user alice is taken already');
    expect(status).toBe(2);
  });

  test('names what is wrong in every file of the folder of image lists', async () => {
    const folder = await folderWith({
      'images/a.yml': 'image: team/app:v1\n',
      'images/b.yml': LIST,
      'images/c.yml': 'image: [\n',
    });
    const images = join(folder, 'images');
    writeFileSync(join(folder, 'config.yaml'), `images: ${images}\n`);
    const { stdout, status } = await check(folder);
    expect(stdout).toContain(`${images} (image lists): not valid\n`);
    expect(stdout).toContain('a.yml:1:1: manifests: this key is missing');
    expect(stdout).toContain('c.yml:2:1');
    expect(status).toBe(2);
  });

  test('names every wrong setting of the configuration file', async () => {
    const { stdout, status } = await check(
      await folderWith({ 'config.yaml': 'lisen: 1\ncacheSize: much\n' }),
    );
    expect(stdout).toContain('did you mean listen?');
    expect(stdout).toContain('config.yaml:2:12: cacheSize: “much” is not a size');
    expect(stdout).not.toContain('image lists');
    expect(status).toBe(2);
  });

  test('exits with status 1 when the configuration file is missing', async () => {
    expect((await check('/nowhere')).status).toBe(1);
  });
});

describe('metahub config check', () => {
  test('also reads the profile and the certificate that the settings name', async () => {
    const authority = await createAuthority();
    onTestFinished(() => authority.remove());
    const { certFile, keyFile } = await authority.issue('hub.example');
    const check = async (files: Readonly<Record<string, string>>, tlsKey: string) => {
      const folder = await folderWith({ ...files, 'images.d/.keep': '' });
      const config = join(folder, 'config.yaml');
      const settings = {
        profile: join(folder, 'host.json'),
        images: join(folder, 'images.d'),
        tlsCert: certFile,
        tlsKey,
      };
      writeFileSync(config, JSON.stringify(settings));
      const { stdout, status } = await runCli('config', 'check', '--config', config, '--json');
      const { checks } = JSON.parse(stdout) as {
        checks: readonly { readonly kind: string; readonly complaints: readonly unknown[] }[];
      };
      return {
        status,
        invalid: checks.filter(({ complaints }) => complaints.length > 0).map(({ kind }) => kind),
      };
    };
    const { stdout: host } = await runCli('detect', '--json');
    expect(await check({ 'host.json': host }, keyFile)).toEqual({ status: 0, invalid: [] });
    expect(await check({ 'host.json': '{}' }, certFile)).toEqual({
      status: 2,
      invalid: ['profile', 'certificate'],
    });
  });
});

test('metahub config check reads the keys of clouds, and says where they are wrong', async () => {
  const rule = (cloud: string, keys: string) =>
    `  - { cloud: ${cloud}, keys: ${keys}, accounts: [a], account: nodes, types: { "*": spr } }\n`;
  const folder = await folderWith({
    'jwks.json': '{"keys": [\n  { "kty": "RSA" }]}',
    'aws.pem': '\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
  });
  const at = (name: string) => join(folder, name);
  const rules = `${rule('gcp', at('jwks.json'))}${rule('aws', at('aws.pem'))}${rule('azure', at('absent.pem'))}`;
  const config = at('config.yaml');
  writeFileSync(config, `images: ${folder}/images\nsiteUrl: https://hub.example.org\nenrolment:\n${rules}`);
  mkdirSync(at('images'));
  const { stdout, status } = await runCli('config', 'check', '--config', config, '--json');
  expect(status).not.toBe(0);
  const { checks } = JSON.parse(stdout) as { checks: readonly { complaints: readonly object[] }[] };
  const complaints = checks.flatMap((one) => one.complaints);
  expect(complaints).toEqual([
    expect.objectContaining({ code: 'invalid-value', file: at('jwks.json'), line: 2, column: 3 }),
    expect.objectContaining({ code: 'invalid-value', file: at('aws.pem'), line: 2, column: 1 }),
    expect.objectContaining({ code: 'unreadable', file: at('absent.pem') }),
  ]);
});
