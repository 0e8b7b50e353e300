import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { writeTree } from '../support/host-tree.ts';
import { startMetahub } from '../support/metahub.ts';
import { runCli } from '../support/run-cli.ts';
import { closing } from '../support/upstream.ts';
import { openWorkplace } from '../support/workplace.ts';
import {
  startWritableRegistry,
  type WritableRegistry,
  type WritableRegistryOptions,
} from '../support/writable-registry.ts';

let folder: string;

beforeEach(() => {
  folder = writeTree({});
});

async function registry(options?: WritableRegistryOptions): Promise<WritableRegistry> {
  return closing(await startWritableRegistry(options));
}

/** Puts an image into a registry, as if pushed by somebody else. */
function putImage(
  { blobs, manifests }: WritableRegistry,
  name: string,
  tag: string,
  type: 'docker' | 'oci' = 'docker',
) {
  const [config, layer] = [Buffer.from(`{"image":"${tag}"}`), Buffer.from(`layer of ${tag} `.repeat(9000))];
  for (const bytes of [config, layer]) blobs.set(`${name}@${digestOf(bytes)}`, bytes);
  const mediaType = type === 'docker' ? MEDIA_TYPE.dockerManifest : MEDIA_TYPE.ociManifest;
  const document = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: MEDIA_TYPE.dockerConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: 'application/x-layer', digest: digestOf(layer), size: layer.length }],
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOf(bytes);
  manifests.set(`${name}:${tag}`, { mediaType, bytes });
  manifests.set(`${name}@${digest}`, { mediaType, bytes });
  return { digest, layer: digestOf(layer), bytes };
}

interface Member {
  readonly image: string;
  readonly features?: string;
}

function listFile(image: string, ...members: readonly Member[]): string {
  const lines = members.map(
    ({ image: of, features = '' }) =>
      `  - image: ${of}\n    platform: { architecture: amd64, os: linux, features: [${features}] }\n`,
  );
  const path = join(folder, 'manifest.yml');
  writeFileSync(path, `image: ${image}\nmanifests:\n${lines.join('')}`);
  return path;
}

/** Pushes to and from registries by name: `hub.test` is the first. */
function push(
  path: string,
  registries: Readonly<Record<string, WritableRegistry>>,
  ...words: readonly string[]
) {
  const upstreams = Object.entries(registries).flatMap(([name, { url }]) => ['--upstream', `${name}=${url}`]);
  return runCli('push', ...upstreams, ...words, path);
}

const SEEDS: readonly Member[] = [
  { image: 'hub.test/qnib/plain:generic' },
  { image: 'hub.test/qnib/plain:cpu-skylake', features: 'cpu:skylake' },
];

describe('metahub push', () => {
  test('assembles the list and brings its images over by mounting their blobs', async () => {
    const hub = await registry();
    const images = [putImage(hub, 'qnib/plain', 'generic'), putImage(hub, 'qnib/plain', 'cpu-skylake')];
    const { stdout, stderr, status } = await push(listFile('hub.test/qnib/bench', ...SEEDS), {
      'hub.test': hub,
    });
    expect(status).toBe(0);
    const list = hub.manifests.get('qnib/bench:latest');
    expect(list?.mediaType).toBe(MEDIA_TYPE.dockerList);
    expect(JSON.parse(list?.bytes.toString() ?? '').manifests).toEqual([
      {
        mediaType: MEDIA_TYPE.dockerManifest,
        size: images[0]?.bytes.length,
        digest: images[0]?.digest,
        platform: { architecture: 'amd64', os: 'linux' },
      },
      {
        mediaType: MEDIA_TYPE.dockerManifest,
        size: images[1]?.bytes.length,
        digest: images[1]?.digest,
        platform: { architecture: 'amd64', os: 'linux', features: ['cpu:skylake'] },
        annotations: { 'io.metahub.features': 'cpu:skylake' },
      },
    ]);
    expect(stdout).toBe(
      `hub.test/qnib/bench:latest  ${digestOf(list?.bytes ?? Buffer.alloc(0))}  (2 entries, ${list?.bytes.length} bytes)\n`,
    );
    expect(stderr).toContain('hub.test/qnib/plain:generic  blobs: 2 mounted\n');
    expect(
      hub.requests.filter((request) => request.startsWith('PUT') && request.includes('/blobs/')),
    ).toEqual([]);
  });

  test('sends nothing when it runs again', async () => {
    const hub = await registry();
    for (const tag of ['generic', 'cpu-skylake']) putImage(hub, 'qnib/plain', tag);
    const path = listFile('hub.test/qnib/bench', ...SEEDS);
    const first = await push(path, { 'hub.test': hub });
    const again = await push(path, { 'hub.test': hub });
    expect(again.stdout).toBe(first.stdout);
    expect(again.stderr).toContain('blobs: 2 there already\n');
  });

  test.each(['upload', 'refused'] as const)(
    'copies the blobs when a mount is answered with: %s',
    async (mount) => {
      const hub = await registry({ mount });
      const image = putImage(hub, 'qnib/plain', 'generic');
      const path = listFile('hub.test/qnib/bench:v1', { image: 'hub.test/qnib/plain:generic' });
      const { stderr, status } = await push(path, { 'hub.test': hub });
      expect(status).toBe(0);
      expect(stderr).toContain('blobs: 2 sent\n');
      expect(hub.blobs.get(`qnib/bench@${image.layer}`)).toEqual(hub.blobs.get(`qnib/plain@${image.layer}`));
      expect(hub.manifests.has('qnib/bench:v1')).toBe(true);
    },
  );

  test('copies from another registry', async () => {
    const [hub, elsewhere] = [await registry(), await registry()];
    const image = putImage(elsewhere, 'team/app', 'v1', 'oci');
    const path = listFile('hub.test/qnib/bench', { image: 'else.test/team/app:v1', features: 'cpu:zen4' });
    const { status } = await push(path, { 'hub.test': hub, 'else.test': elsewhere });
    expect(status).toBe(0);
    expect(hub.blobs.has(`qnib/bench@${image.layer}`)).toBe(true);
    expect(hub.requests.some((request) => request.includes('mount='))).toBe(false);
    expect(hub.manifests.get('qnib/bench:latest')?.mediaType).toBe(MEDIA_TYPE.ociIndex);
  });

  test('does not copy an image that is in the list’s own repository', async () => {
    const hub = await registry();
    putImage(hub, 'qnib/bench', 'generic');
    const path = listFile('hub.test/qnib/bench', { image: 'hub.test/qnib/bench:generic' });
    const { stderr, status } = await push(path, { 'hub.test': hub });
    expect(status).toBe(0);
    expect(stderr).toBe('hub.test/qnib/bench:generic  is in the repository\n');
    expect(hub.requests.filter((request) => request.startsWith('POST'))).toEqual([]);
  });

  test('fault 83: a pull right after a push: a running mirror serves what was pushed, though it believes tags for an hour', async () => {
    const hub = await registry();
    putImage(hub, 'qnib/plain', 'generic');
    putImage(hub, 'qnib/plain', 'cpu-skylake');
    const workplace = closing(openWorkplace());
    const { url } = await startMetahub(workplace, {
      upstream: hub.url,
      args: ['--tag-max-age', '1h', '--upstream', `hub.test=${hub.url}`],
    });
    const targets = [
      '/v2/hub.test/qnib/bench/manifests/latest',
      '/v2/qnib/bench/manifests/latest?ns=hub.test',
    ];
    const digests = () =>
      Promise.all(
        targets.map(async (target) => {
          const { headers } = await fetch(`${url}${target}`, { headers: { accept: MEDIA_TYPE.dockerList } });
          return headers.get('docker-content-digest');
        }),
      );
    await push(listFile('hub.test/qnib/bench', SEEDS[0] as Member), { 'hub.test': hub }, '--mirror', url);
    const before = await digests();
    const pulls = async () => JSON.parse(await (await fetch(`${url}/status.json`)).text()).decisions.length;
    const pulled = await pulls();
    const pushed = await push(
      listFile('hub.test/qnib/bench', ...SEEDS),
      { 'hub.test': hub },
      '--mirror',
      url,
    );
    expect(pushed.status, pushed.stderr).toBe(0);
    expect(await pulls()).toBe(pulled);
    const after = await digests();
    expect(await pulls()).toBe(pulled + 2);
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).toBe(after[0]);
  });

  test('exits with 3 when the mirror that --mirror names does not answer, and with 2 before it pushes for a wrong URL', async () => {
    const hub = await registry();
    putImage(hub, 'qnib/plain', 'generic');
    const path = listFile('hub.test/qnib/bench', { image: 'hub.test/qnib/plain:generic' });
    const wrong = await push(path, { 'hub.test': hub }, '--mirror', 'nowhere');
    expect(wrong.status).toBe(2);
    expect(hub.manifests.has('qnib/bench:latest')).toBe(false);
    const { status, stdout, stderr } = await push(
      path,
      { 'hub.test': hub },
      '--mirror',
      'http://127.0.0.1:1',
    );
    expect(status).toBe(3);
    expect(stderr).toContain('no mirror answers at http://127.0.0.1:1');
    expect(stdout).toContain('hub.test/qnib/bench:latest');
    expect(hub.manifests.has('qnib/bench:latest')).toBe(true);
  });

  test('--dry-run writes nothing, and prints the plan and the list', async () => {
    const hub = await registry();
    for (const tag of ['generic', 'cpu-skylake']) putImage(hub, 'qnib/plain', tag);
    const { stdout, status } = await push(
      listFile('hub.test/qnib/bench', ...SEEDS),
      { 'hub.test': hub },
      '--dry-run',
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/^hub\.test\/qnib\/bench:latest {2}sha256:[0-9a-f]{64} {2}\(not pushed\)$/m);
    expect(stdout).toMatch(
      /^ {2}linux\/amd64 cpu:skylake {2}hub\.test\/qnib\/plain:cpu-skylake {2}.*to be copied or mounted$/m,
    );
    expect(JSON.parse(stdout.slice(stdout.indexOf('{'))).manifests).toHaveLength(2);
    expect(hub.requests.filter((request) => !/^(GET|HEAD)/.test(request))).toEqual([]);
  });

  test('--format oci makes an OCI index of Docker images', async () => {
    const hub = await registry();
    putImage(hub, 'qnib/plain', 'generic');
    const path = listFile('hub.test/qnib/bench', { image: 'hub.test/qnib/plain:generic' });
    await push(path, { 'hub.test': hub }, '--format', 'oci');
    expect(hub.manifests.get('qnib/bench:latest')?.mediaType).toBe(MEDIA_TYPE.ociIndex);
  });

  test('logs in with a stored login, for a push', async () => {
    const hub = await registry({ login: { username: 'ann', password: 'secret' } });
    putImage(hub, 'qnib/plain', 'generic');
    const auth = Buffer.from('ann:secret').toString('base64');
    const docker = writeTree({
      'config.json': JSON.stringify({ auths: { [hub.url.replace('http://', '')]: { auth } } }),
    });
    vi.stubEnv('DOCKER_CONFIG', docker);
    try {
      // The same registry's pulls need a token as well, which the pull's own scope does not give here: read elsewhere.
      const open = await registry();
      putImage(open, 'qnib/plain', 'generic');
      const path = listFile('hub.test/qnib/bench', { image: 'open.test/qnib/plain:generic' });
      const { status, stderr } = await push(path, { 'hub.test': hub, 'open.test': open });
      expect({ status, stderr }).toEqual({
        status: 0,
        stderr: 'open.test/qnib/plain:generic  blobs: 2 sent\n',
      });
      expect(hub.requests.filter((request) => request.startsWith('GET /token'))).toEqual([
        expect.stringContaining('scope=repository%3Aqnib%2Fbench%3Apull%2Cpush'),
      ]);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('a metahub push that fails prints one line and the next step, and writes nothing', () => {
  test('when a member does not exist', async () => {
    const hub = await registry();
    putImage(hub, 'qnib/plain', 'generic');
    const { stdout, stderr, status } = await push(listFile('hub.test/qnib/bench', ...SEEDS), {
      'hub.test': hub,
    });
    expect(stdout).toBe('');
    expect(stderr).toMatch(
      /^metahub: hub\.test\/qnib\/plain:cpu-skylake: .*\n {2}Every member of a list has to exist/,
    );
    expect(status).toBe(1);
    expect(hub.requests.filter((request) => !/^(GET|HEAD)/.test(request))).toEqual([]);
  });

  test('when the bytes of a blob do not have its digest', async () => {
    const [hub, liar] = [await registry(), await registry()];
    const image = putImage(liar, 'team/app', 'v1');
    const right = liar.blobs.get(`team/app@${image.layer}`) ?? Buffer.alloc(0);
    liar.blobs.set(`team/app@${image.layer}`, Buffer.alloc(right.length, 'x'));
    const path = listFile('hub.test/qnib/bench', { image: 'liar.test/team/app:v1' });
    const { stderr, status } = await push(path, { 'hub.test': hub, 'liar.test': liar });
    expect(stderr).toMatch(/metahub: hub\.test\/qnib\/bench:latest: .*\n/);
    expect(status).toBe(1);
    expect(hub.blobs.has(`qnib/bench@${image.layer}`)).toBe(false);
    expect(hub.manifests.size).toBe(0);
  });

  test('when the registry needs a login and there is none', async () => {
    const [hub, open] = [
      await registry({ login: { username: 'ann', password: 'secret' } }),
      await registry(),
    ];
    putImage(open, 'qnib/plain', 'generic');
    const path = listFile('hub.test/qnib/bench', { image: 'open.test/qnib/plain:generic' });
    const { stderr, status } = await push(path, { 'hub.test': hub, 'open.test': open });
    expect(stderr).toMatch(
      /metahub: hub\.test\/qnib\/bench:latest: .*\n {2}Log in with a login that may push/,
    );
    expect(status).toBe(1);
  });

  test.each<[string, string, RegExp]>([
    ['a file that is not YAML', 'a: [', /^metahub: .*manifest\.yml:1:5: /],
    [
      'a file without members',
      'image: hub.test/a/b\n',
      /manifests: this key is missing\n {2}A list has image/,
    ],
    [
      'a pattern of tags',
      'image: hub.test/a/b\ntags: "v*"\nmanifests:\n  - image: "hub.test/a/b:{tag}-x"\n    platform: { os: linux, architecture: amd64 }\n',
      /v\* is a pattern of tags, and only a tag can be pushed\n {2}Name the tag/,
    ],
  ])('when %s', async (_, text, expected) => {
    const path = join(folder, 'manifest.yml');
    writeFileSync(path, text);
    const { stdout, stderr, status } = await runCli('push', path);
    expect(stdout).toBe('');
    expect(stderr).toMatch(expected);
    expect(status).toBe(2);
  });

  test('when the file does not exist', async () => {
    const { stderr, status } = await runCli('push', '/nowhere/manifest.yml');
    expect(stderr).toMatch(/^metahub: \/nowhere\/manifest\.yml: there is no such file/);
    expect(status).toBe(1);
  });
});
