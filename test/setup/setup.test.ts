import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { configFilesAt } from '../../src/setup/files.ts';
import type { RuntimeSetupName } from '../../src/setup/runtime.ts';
import { RUNTIME_SETUPS } from '../../src/setup/runtimes.ts';
import { configureRuntimes, removeFromRuntimes } from '../../src/setup/setup.ts';
import { temporaryFolder } from '../support/folder.ts';

const URL = 'http://127.0.0.1:5080';

/** A machine with these files, and what setup does there. */
function machine(files: Readonly<Record<string, string>> = {}) {
  const root = temporaryFolder();
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (const [path, text] of Object.entries(files)) write(path, text);
  const options = (strict = false, url = URL, registries = ['docker.io', 'ghcr.io']) => ({
    root,
    dryRun: false,
    target: { url, registries, strict },
  });
  const named = (name: RuntimeSetupName) => RUNTIME_SETUPS.filter((runtime) => runtime.name === name);
  return {
    root,
    write,
    read: (path: string) => readFileSync(join(root, path), 'utf8'),
    configure: async (name: RuntimeSetupName, strict = false) => {
      const [outcome] = await configureRuntimes(named(name), options(strict));
      if (outcome === undefined) throw new Error('no outcome');
      return outcome;
    },
    configureFor: (url: string, name: RuntimeSetupName) =>
      configureRuntimes(named(name), options(false, url)),
    configureOnly: (registries: readonly string[], name: RuntimeSetupName) =>
      configureRuntimes(named(name), options(true, URL, [...registries])),
    /** The paths of all files. */
    files: () =>
      readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) =>
        statSync(join(root, path)).isFile(),
      ),
    remove: async (name: RuntimeSetupName) => {
      const [outcome] = await removeFromRuntimes(named(name), options());
      if (outcome === undefined) throw new Error('no outcome');
      return outcome;
    },
    /** Every file and folder, with mode and content. */
    tree: () =>
      readdirSync(root, { recursive: true, encoding: 'utf8' })
        .filter((path) => !/^var(?:\/lib)?$/.test(path))
        .sort()
        .map((path) => {
          const stats = statSync(join(root, path));
          const content = stats.isFile()
            ? createHash('sha256')
                .update(readFileSync(join(root, path)))
                .digest('hex')
            : '';
          return `${path} ${stats.mode.toString(8)} ${content}`;
        }),
  };
}

const DAEMON_JSON = '/etc/docker/daemon.json';
const HOSTS = '/etc/containerd/certs.d/docker.io/hosts.toml';
const CONFIG = '/etc/containerd/config.toml';
const DROP_IN = '/etc/containers/registries.conf.d/metahub.conf';
const K3S = '/etc/rancher/k3s/registries.yaml';

/** Files as operators have them, some with what setup has to keep. */
const EXISTING: readonly (readonly [RuntimeSetupName, Readonly<Record<string, string>>])[] = [
  ['docker', {}],
  ['docker', { [DAEMON_JSON]: '' }],
  ['docker', { [DAEMON_JSON]: '{}' }],
  ['docker', { [DAEMON_JSON]: '{\n\t"log-driver": "journald",\n\t"features": {"buildkit": true}\n}\n' }],
  ['docker', { [DAEMON_JSON]: '{"registry-mirrors": ["https://mirror.gcr.io"], "debug": true}' }],
  ['docker', { [DAEMON_JSON]: '{"registry-mirrors": []}\n' }],
  ['containerd', {}],
  [
    'containerd',
    { [CONFIG]: 'version = 2\n\n[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "/usr/lib/cni"\n' },
  ],
  [
    'containerd',
    { [CONFIG]: "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = ''\n" },
  ],
  [
    'containerd',
    {
      [CONFIG]:
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  [plugins."io.containerd.grpc.v1.cri".registry.headers]\n    X-A = ["b"]',
    },
  ],
  [
    'containerd',
    {
      [HOSTS]:
        'server = "https://registry-1.docker.io"\n\n# ours\n[host."https://harbor.example"]\n  capabilities = ["pull"]\n',
    },
  ],
  ['podman', {}],
  ['podman', { '/etc/containers/registries.conf': 'unqualified-search-registries = ["docker.io"]\n' }],
  ['cri-o', {}],
  ['apptainer', {}],
  ['k3s', {}],
  [
    'k3s',
    {
      [K3S]:
        '# ours\nmirrors:\n  docker.io:\n    endpoint:\n      - https://harbor.example # first\nconfigs: {}\n',
    },
  ],
];

describe.each(EXISTING)('setup of %s with %j', (name, files) => {
  test('changes nothing when it runs again', async () => {
    const host = machine(files);
    expect((await host.configure(name)).changes.length).toBeGreaterThan(0);
    const after = host.tree();
    const again = await host.configure(name);
    expect(again.changes).toEqual([]);
    expect(host.tree()).toEqual(after);
  });

  test('--remove restores every file and folder', async () => {
    const host = machine(files);
    const before = host.tree();
    await host.configure(name);
    await host.remove(name);
    expect(host.tree()).toEqual(before);
  });

  test('--strict can be switched off again without a trace', async () => {
    const host = machine(files);
    const before = host.tree();
    await host.configure(name, true);
    await host.configure(name, false);
    await host.remove(name);
    expect(host.tree()).toEqual(before);
  });

  test('a dry run writes nothing and shows the changes', async () => {
    const host = machine(files);
    const before = host.tree();
    const runtimes = RUNTIME_SETUPS.filter((runtime) => runtime.name === name);
    const target = { url: URL, registries: ['docker.io', 'ghcr.io'], strict: false };
    const [outcome] = await configureRuntimes(runtimes, { root: host.root, dryRun: true, target });
    expect(outcome?.changes.some(({ after }) => after?.includes('127.0.0.1:5080'))).toBe(true);
    expect(host.tree()).toEqual(before);
  });
});

describe('docker', () => {
  test('puts the mirror first and keeps every other key, mirror and byte', async () => {
    const text =
      '{\n    "data-root": "/srv",\n    "registry-mirrors": [\n        "https://mirror.gcr.io"\n    ]\n}\n';
    const host = machine({ [DAEMON_JSON]: text });
    const { warnings } = await host.configure('docker');
    expect(JSON.parse(host.read(DAEMON_JSON))).toEqual({
      'data-root': '/srv',
      'registry-mirrors': [URL, 'https://mirror.gcr.io'],
    });
    expect(host.read(DAEMON_JSON).replace(`"${URL}", `, '')).toBe(text);
    expect(warnings.join()).toContain('https://mirror.gcr.io after MetaHub');
  });

  test('--remove removes only the mirror from a file that was edited since', async () => {
    const host = machine({ [DAEMON_JSON]: '{"debug": true}' });
    await host.configure('docker');
    const edited = { ...JSON.parse(host.read(DAEMON_JSON)), 'log-level': 'warn' };
    host.write(DAEMON_JSON, JSON.stringify(edited));
    await host.remove('docker');
    expect(JSON.parse(host.read(DAEMON_JSON))).toEqual({ debug: true, 'log-level': 'warn' });
  });

  test('keeps mode and owner of the file', async () => {
    const host = machine({ [DAEMON_JSON]: '{}' });
    chmodSync(join(host.root, DAEMON_JSON), 0o640);
    await host.configure('docker');
    expect(statSync(join(host.root, DAEMON_JSON)).mode & 0o777).toBe(0o640);
  });

  test('refuses a file that is not JSON, names the line, and changes nothing', async () => {
    const host = machine({ [DAEMON_JSON]: '{\n  "debug": true,\n  oops\n}\n' });
    const { error } = await host.configure('docker');
    expect(error).toMatch(/daemon\.json: line 3 is not JSON/);
    expect(host.read(DAEMON_JSON)).toContain('oops');
  });

  test('refuses a file that has registry-mirrors twice, and changes nothing', async () => {
    const text = '{"registry-mirrors": ["https://a.example"], "registry-mirrors": ["https://b.example"]}';
    const host = machine({ [DAEMON_JSON]: text });
    expect((await host.configure('docker')).error).toMatch(
      /daemon\.json: has registry-mirrors more than once/,
    );
    expect(host.read(DAEMON_JSON)).toBe(text);
  });

  test('refuses while a unit starts dockerd with --registry-mirror, because dockerd accepts only one of the two', async () => {
    const host = machine({
      '/etc/systemd/system/docker.service.d/mirror.conf':
        '[Service]\nExecStart=/usr/bin/dockerd --registry-mirror https://a.example\n',
    });
    expect((await host.configure('docker')).error).toMatch(
      /docker\.service\.d\/mirror\.conf: starts dockerd with --registry-mirror/,
    );
  });

  test('reloads dockerd by its unit, or on a machine without /bin/kill by the same signal', async () => {
    const reloadOf = async (files: Readonly<Record<string, string>>) =>
      (await machine(files).configure('docker')).reload;
    expect(await reloadOf({ '/usr/bin/kill': '' })).toEqual(['systemctl', 'reload', 'docker']);
    expect(await reloadOf({})).toEqual(['systemctl', 'kill', '--kill-who=main', '--signal=HUP', 'docker']);
  });
});

describe('mirrors that a runtime uses before this one', () => {
  const inFront = (name: RuntimeSetupName, files: Readonly<Record<string, string>>) => {
    const runtime = RUNTIME_SETUPS.find((one) => one.name === name);
    const target = { url: URL, registries: ['docker.io'], strict: false };
    return runtime?.mirrorsInFront?.(configFilesAt(machine(files).root), target);
  };
  const daemon = (...mirrors: readonly string[]) => ({
    [DAEMON_JSON]: JSON.stringify({ 'registry-mirrors': mirrors }),
  });
  const hosts = (...urls: readonly string[]) => ({
    [HOSTS]: urls.map((url) => `[host."${url}"]\n`).join(''),
  });

  test.each([
    ['docker', {}, []],
    ['docker', daemon(URL, 'http://spegel:30020'), []],
    ['docker', daemon('http://spegel:30020', `${URL}/`), ['http://spegel:30020']],
    ['docker', daemon('http://spegel:30020'), ['http://spegel:30020']],
    ['containerd', {}, []],
    ['containerd', hosts(URL, 'http://spegel:30020'), []],
    ['containerd', hosts('http://spegel:30020', URL), ['http://spegel:30020']],
  ] as const)('are found in %s with %j: %j', (name, files, expected) => {
    expect(inFront(name, files)).toEqual(expected);
  });
});

describe('a registry that the mirror no longer serves', () => {
  const MIRRORS = /127\.0\.0\.1:5080/;
  const GHCR = '/etc/containerd/certs.d/ghcr.io/hosts.toml';
  const OTHER = 'server = "https://ghcr.io"\n\n[host."https://harbor.example"]\n  capabilities = ["pull"]\n';

  test.each<[RuntimeSetupName, string]>([
    ['containerd', GHCR],
    ['k3s', K3S],
    ['podman', DROP_IN],
  ])('is no longer sent to the mirror by %s, and --remove restores all files', async (name, path) => {
    const host = machine();
    const before = host.tree();
    await host.configureOnly(['docker.io', 'ghcr.io'], name);
    const sending = () =>
      host
        .files()
        .filter((file) => !file.endsWith('state.json'))
        .filter((file) => MIRRORS.test(host.read(file)) && /ghcr\.io/.test(`${file} ${host.read(file)}`));
    expect(sending()).toEqual([path.slice(1)]);
    const [outcome] = await host.configureOnly(['docker.io'], name);
    expect(outcome?.changes.map((change) => change.path)).toEqual([path]);
    expect(sending()).toEqual([]);
    const [again] = await host.configureOnly(['docker.io'], name);
    expect(again?.changes).toEqual([]);
    await host.remove(name);
    expect(host.tree()).toEqual(before);
  });

  test('keeps its other hosts, and its file byte for byte when nobody has edited it', async () => {
    const host = machine({ [GHCR]: OTHER });
    await host.configureOnly(['docker.io', 'ghcr.io'], 'containerd');
    expect(host.read(GHCR)).toMatch(MIRRORS);
    await host.configureOnly(['docker.io'], 'containerd');
    expect(host.read(GHCR)).toBe(OTHER);
    await host.remove('containerd');
    expect(host.read(GHCR)).toBe(OTHER);
  });

  test('keeps its other endpoints', async () => {
    const host = machine({ [K3S]: 'mirrors:\n  ghcr.io:\n    endpoint:\n      - https://harbor.example\n' });
    await host.configureOnly(['docker.io', 'ghcr.io'], 'k3s');
    await host.configureOnly(['docker.io'], 'k3s');
    expect(parseYaml(host.read(K3S))).toEqual({
      mirrors: { 'ghcr.io': { endpoint: ['https://harbor.example'] }, 'docker.io': { endpoint: [URL] } },
    });
  });
});

describe('containerd', () => {
  test('writes a hosts.toml for each registry with both capabilities, and sets config_path', async () => {
    const host = machine({ [CONFIG]: 'version = 2\n' });
    const { reload } = await host.configure('containerd');
    expect(parseToml(host.read(HOSTS))).toEqual({
      server: 'https://registry-1.docker.io',
      host: { [URL]: { capabilities: ['pull', 'resolve'] } },
    });
    expect(parseToml(host.read('/etc/containerd/certs.d/ghcr.io/hosts.toml'))).toMatchObject({
      server: 'https://ghcr.io',
    });
    expect(parseToml(host.read(CONFIG))).toEqual({
      version: 2,
      plugins: { 'io.containerd.grpc.v1.cri': { registry: { config_path: '/etc/containerd/certs.d' } } },
    });
    expect(reload).toEqual(['systemctl', 'restart', 'containerd']);
  });

  test('sets config_path for CRI and for the transfer service in a configuration of version 3', async () => {
    const host = machine({ [CONFIG]: 'version = 3\n' });
    await host.configure('containerd');
    expect(parseToml(host.read(CONFIG))).toEqual({
      version: 3,
      plugins: {
        'io.containerd.cri.v1.images': { registry: { config_path: '/etc/containerd/certs.d' } },
        'io.containerd.transfer.v1.local': { config_path: '/etc/containerd/certs.d' },
      },
    });
  });

  test('keeps other hosts, after the mirror', async () => {
    const host = machine({ [HOSTS]: '[host."https://harbor.example"]\n  capabilities = ["pull"]\n' });
    await host.configure('containerd');
    const hosts = parseToml(host.read(HOSTS))['host'] as object;
    expect(Object.keys(hosts)).toEqual([URL, 'https://harbor.example']);
  });

  test('--strict makes the mirror the server as well, and --remove restores the one that was there', async () => {
    const text = 'server = "https://registry-1.docker.io"\n';
    const host = machine({ [HOSTS]: text });
    await host.configure('containerd', true);
    expect(parseToml(host.read(HOSTS))).toMatchObject({ server: URL });
    host.write(HOSTS, `${host.read(HOSTS)}# edited since\n`);
    await host.remove('containerd');
    expect(host.read(HOSTS)).toBe(`${text}# edited since\n`);
  });

  test('uses the folder that config_path names', async () => {
    const host = machine({
      [CONFIG]: 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/srv/certs"\n',
    });
    await host.configure('containerd');
    expect(parseToml(host.read('/srv/certs/docker.io/hosts.toml'))).toHaveProperty('host');
  });

  test('warns when registry.mirrors excludes config_path, and keeps config.toml as it is', async () => {
    const text =
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\n  endpoint = ["https://a.example"]\n';
    const host = machine({ [CONFIG]: text });
    const { warnings } = await host.configure('containerd');
    expect(warnings.join()).toContain('registry.mirrors');
    expect(host.read(CONFIG)).toBe(text);
  });
});

describe('podman', () => {
  test('the drop-in repeats a registry’s existing configuration, which it replaces', async () => {
    const host = machine({
      '/etc/containers/registries.conf.d/site.conf':
        '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\nblocked = false\n[[registry.mirror]]\nlocation = "harbor.example/hub"\n',
    });
    const { warnings } = await host.configure('podman');
    const entries = parseToml(host.read(DROP_IN))['registry'] as object[];
    expect(entries[0]).toEqual({
      prefix: 'docker.io',
      location: 'docker.io',
      blocked: false,
      mirror: [{ location: '127.0.0.1:5080/docker.io', insecure: true }, { location: 'harbor.example/hub' }],
    });
    expect(warnings.join()).toContain('site.conf is read after');
  });

  test('warns when the configuration sends no tag to a mirror', async () => {
    const host = machine({
      '/etc/containers/registries.conf': '[[registry]]\nlocation = "ghcr.io"\nmirror-by-digest-only = true\n',
    });
    expect((await host.configure('podman')).warnings.join()).toContain('mirror-by-digest-only for ghcr.io');
  });

  test('--strict sends every pull to the mirror only', async () => {
    const host = machine();
    await host.configure('podman', true);
    const entries = parseToml(host.read(DROP_IN))['registry'] as object[];
    expect(entries[0]).toEqual({ prefix: 'docker.io', location: '127.0.0.1:5080/docker.io', insecure: true });
  });
});

describe('k3s', () => {
  test.each([
    ['aliases that multiply', `a: &a [x]\nmirrors: {docker.io: {endpoint: [${'*a,'.repeat(600)}]}}\n`, 2],
    ['levels that exhaust the stack', '['.repeat(20_000), 1],
    ['no YAML', 'mirrors:\n  a: [', 2],
  ])('refuses a file with %s, names the place, and changes nothing', async (_, text, line) => {
    const host = machine({ [K3S]: text });
    const outcome = await host.configure('k3s');
    expect(JSON.stringify(outcome)).toContain(`registries.yaml: line ${line}: `);
    expect(host.read(K3S)).toBe(text);
  });

  const SHARED =
    'mirrors:\n  docker.io: {endpoint: &e [https://a.example]}\n  ghcr.io: {endpoint: *e}\n  quay.io: {endpoint: *e}\n';
  test('refuses a file in which an alias needs what it would replace, and changes nothing', async () => {
    const host = machine({ [K3S]: SHARED });
    expect(JSON.stringify(await host.configure('k3s'))).toContain(
      'registries.yaml: the alias *e still needs the part to change. Write out what the alias stands for',
    );
    expect(host.read(K3S)).toBe(SHARED);
  });

  test('replaces an alias by what it stands for, after the mirror, and --remove restores the file', async () => {
    const host = machine({ [K3S]: SHARED });
    await host.configureOnly(['ghcr.io'], 'k3s');
    expect(parseYaml(host.read(K3S)).mirrors).toEqual({
      'docker.io': { endpoint: ['https://a.example'] },
      'ghcr.io': { endpoint: [URL, 'https://a.example'] },
      'quay.io': { endpoint: ['https://a.example'] },
    });
    await host.remove('k3s');
    expect(host.read(K3S)).toBe(SHARED);
  });

  // As k3s's manual has it for its embedded registry mirror: https://docs.k3s.io/installation/registry-mirror
  test('adds the mirror to registries without endpoints', async () => {
    const host = machine({ [K3S]: 'mirrors:\n  docker.io:\n  "*":\n' });
    await host.configure('k3s');
    expect(parseYaml(host.read(K3S))).toEqual({
      mirrors: { 'docker.io': { endpoint: [URL] }, '*': null, 'ghcr.io': { endpoint: [URL] } },
    });
  });

  test.each([
    ['- a', 'holds no mapping'],
    ['mirrors: [a]', 'mirrors holds no mapping'],
    ['mirrors: {docker.io: here}', 'mirrors.docker.io holds no mapping'],
    ['mirrors: {docker.io: {endpoint: 7}}', 'mirrors.docker.io.endpoint is not a list of URLs'],
  ])('refuses a file that k3s cannot read: %s', async (text, why) => {
    const host = machine({ [K3S]: text });
    expect(JSON.stringify(await host.configure('k3s'))).toContain(`registries.yaml: ${why}`);
    expect(host.read(K3S)).toBe(text);
  });

  test('puts the mirror before other endpoints and keeps comments', async () => {
    const host = machine({
      [K3S]: 'mirrors:\n  docker.io:\n    endpoint:\n      - https://a.example # ours\n',
    });
    await host.configure('k3s');
    expect(parseYaml(host.read(K3S))).toEqual({
      mirrors: { 'docker.io': { endpoint: [URL, 'https://a.example'] }, 'ghcr.io': { endpoint: [URL] } },
    });
  });
});

test('setup lets only root read its copies of files that only root may read', async () => {
  const host = machine({ [DAEMON_JSON]: '{"proxies": {"http-proxy": "http://u:secret@p.example"}}' });
  await host.configure('docker');
  expect(statSync(join(host.root, '/var/lib/metahub/setup/state.json')).mode & 0o777).toBe(0o600);
});

describe('setup with another address of the mirror', () => {
  const OTHER_URL = 'http://127.0.0.1:5081';
  const FILES: readonly (readonly [RuntimeSetupName, Readonly<Record<string, string>>])[] = [
    ['docker', {}],
    ['docker', { [DAEMON_JSON]: '{"registry-mirrors": ["https://mirror.gcr.io"], "debug": true}' }],
    ['containerd', {}],
    ['podman', {}],
    ['k3s', {}],
    ['k3s', { [K3S]: 'mirrors:\n  docker.io:\n    endpoint:\n      - https://harbor.example\n' }],
  ];

  test.each(FILES)('replaces the earlier address: %s with %j', async (name, files) => {
    const host = machine(files);
    const before = host.tree();
    await host.configure(name);
    await host.configureFor(OTHER_URL, name);
    const written = host
      .files()
      .filter((path) => !path.startsWith('var/'))
      .map((path) => host.read(path))
      .join('\n');
    expect(written).toContain('127.0.0.1:5081');
    expect(written).not.toContain('127.0.0.1:5080');
    await host.remove(name);
    expect(host.tree()).toEqual(before);
  });

  test.each(FILES)(
    'for one runtime leaves the removal of another complete: %s with %j',
    async (name, files) => {
      const host = machine(files);
      const before = host.tree();
      await host.configure(name);
      const other = name === 'docker' ? 'k3s' : 'docker';
      await host.configureFor(OTHER_URL, other);
      await host.remove(name);
      await host.remove(other);
      expect(host.tree()).toEqual(before);
    },
  );
});

describe('a setup that was interrupted', () => {
  /** What a killed setup leaves: the record of a file that it did not write yet, and the beginning of that file. */
  test('before it wrote a file is finished by --remove', async () => {
    const host = machine({ [DAEMON_JSON]: '{ "debug": true }\n' });
    const before = host.tree();
    await host.configure('docker');
    host.write(DAEMON_JSON, '{ "debug": true }\n');
    host.write('/etc/docker/.0123456789ab.tmp', '{ "debug"');
    await host.remove('docker');
    expect(host.tree()).toEqual(before);
  });

  test('before its first record leaves nothing that --remove does not take away', async () => {
    const host = machine({});
    const before = host.tree();
    host.write('/var/lib/metahub/setup/.0123456789ab.tmp', '{');
    await host.remove('docker');
    expect(host.tree()).toEqual(before);
  });

  test('at work of a file is finished by the next setup', async () => {
    const host = machine({});
    const before = host.tree();
    await host.configure('containerd');
    host.write('/etc/containerd/certs.d/ghcr.io/.0123456789ab.tmp', 'server');
    host.write(HOSTS, '');
    expect((await host.configure('containerd')).error).toBeUndefined();
    expect(host.read(HOSTS)).toContain(URL);
    await host.remove('containerd');
    expect(host.tree()).toEqual(before);
  });
});

test('setups that run at once change the files one after the other', async () => {
  const host = machine({ [DAEMON_JSON]: '{ "debug": true }\n' });
  const before = host.tree();
  const names: readonly RuntimeSetupName[] = ['docker', 'containerd', 'podman', 'k3s'];
  const outcomes = await Promise.all(names.map((name) => host.configure(name)));
  expect(outcomes.map(({ error }) => error)).toEqual(names.map(() => undefined));
  for (const name of names) await host.remove(name);
  expect(host.tree()).toEqual(before);
});
