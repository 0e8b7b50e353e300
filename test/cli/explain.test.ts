import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { answerFor } from '../../src/selection/answer.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { hostOf } from '../support/host-of.ts';
import { writeTree } from '../support/host-tree.ts';
import { startServer } from '../support/hostile-registry.ts';
import { digestNamed, documentOf, type EntrySpec } from '../support/index-fixture.ts';
import { runCli } from '../support/run-cli.ts';
import { closing } from '../support/upstream.ts';

type Entries = Readonly<Record<string, EntrySpec>>;

const SEEDS: Entries = {
  generic: '',
  skylake: 'cpu:skylake',
  broadwell: 'cpu:broadwell',
  gpu: 'cpu:broadwell nvcap:5.2',
  arm: { on: 'linux/arm64', variant: 'v8' },
  about: { about: 'skylake' },
};

/** Explains an index from a file, for hosts of these features; `%s` in words is the file's folder. */
async function explain(
  entries: Entries,
  hosts: Readonly<Record<string, string>>,
  ...words: readonly string[]
) {
  const folder = writeTree({ 'index.json': documentOf(entries).bytes.toString('utf8') });
  const profiles = Object.entries(hosts).flatMap(([name, features]) => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(hostOf(features)));
    return ['--profile', path];
  });
  return runCli('explain', '--manifest', join(folder, 'index.json'), ...profiles, ...words);
}

describe('the table of metahub explain', () => {
  test('says of every entry what it demands, whether it runs and why, and marks the winner', async () => {
    const { stdout, stderr, status } = await explain(SEEDS, { node: 'cpu:skylake' }, 'qnib/bench');
    expect(stdout).toMatch(/^docker\.io\/qnib\/bench:latest|^qnib\/bench/);
    expect(stdout).toMatch(/^an index of 6 entries, sha256:/m);
    expect(stdout).toMatch(/^for node: linux\/amd64\/v3, cpu:skylake$/m);
    expect(stdout).toMatch(/^ {3}1 linux\/amd64 +nothing +runs here$/m);
    expect(stdout).toMatch(/^> {2}2 linux\/amd64 +cpu:skylake +wins$/m);
    expect(stdout).toMatch(/^ {3}4 linux\/amd64 +cpu:broadwell, nvcap:5\.2 {2}no$/m);
    expect(stdout).toMatch(/^ {5}demands nvcap:5\.2 \(platform\.features\): this host has no NVIDIA GPU$/m);
    expect(stdout).toMatch(/^ {3}5 linux\/arm64\/v8 +other platform$/m);
    expect(stdout).toMatch(/^ {3}6 unknown\/unknown +attestation$/m);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });

  test('ends with the mirror’s answer and its digest', async () => {
    const { stdout } = await explain(SEEDS, { node: 'cpu:skylake' });
    const answer = answerFor(documentOf(SEEDS).document, hostOf('cpu:skylake'), DEFAULT_POLICY, {
      acceptsIndex: true,
    });
    if (answer.kind !== 'derived') throw new Error('the seeds’ image is tailored');
    expect(stdout).toContain('answer   a derived index\n');
    expect(stdout).toContain(`digest   ${answer.digest}\n`);
    expect(stdout).toContain('because  entry 2 of 6 demands cpu:skylake');
  });

  test('is at most 100 columns wide outside a terminal, and has no colours', async () => {
    const many = { it: 'cpu:zen5 nvcap:7.0 nvcap:7.5 nvcap:8.0 nvcap:8.6 nvcap:9.0 fabric:ib rack:b12' };
    const { stdout } = await explain({ ...SEEDS, ...many }, { node: 'cpu:skylake' });
    const reasons = stdout.split('\n').filter((line) => line.startsWith('     '));
    expect(Math.max(...reasons.map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(stdout).not.toContain('\x1b');
  });

  test('shows no control characters of labels and annotations', async () => {
    const nasty = { features: ['rack:\u001b[31mred'], annotations: { 'io.metahub.features': 'x:\u202egpj' } };
    const { stdout } = await explain({ it: nasty, plain: '' }, { node: 'cpu:skylake' });
    expect([...stdout].filter((letter) => letter === '\u001b' || letter === '\u202e')).toEqual([]);
  });

  test('says that the original is served when there is nothing to decide', async () => {
    const plain: Entries = { a: '', arm: { on: 'linux/arm64' } };
    const { stdout, status } = await explain(plain, { node: 'cpu:zen4' });
    expect(stdout).toContain('answer   the original, byte for byte\n');
    expect(stdout).toContain(`digest   ${documentOf(plain).digest}\n`);
    expect(stdout).toContain('because  no entry for this platform demands hardware');
    expect(status).toBe(0);
  });

  test('says that no entry runs, and ends with the exit status for it', async () => {
    const { stdout, status } = await explain({ it: 'cpu:zen5' }, { node: 'cpu:haswell' });
    expect(stdout).toContain('answer   refused: no matching manifest\n');
    expect(status).toBe(3);
  });

  test('says that a pull by digest is never tailored', async () => {
    const { stdout } = await explain(
      SEEDS,
      { node: 'cpu:skylake' },
      `qnib/bench@${documentOf(SEEDS).digest}`,
    );
    expect(stdout).toContain('because  requested by digest; MetaHub never tailors digests');
  });

  test('says that an index has no entries', async () => {
    const { stdout } = await explain({}, { node: 'cpu:skylake' });
    expect(stdout).toContain('The index is empty.');
  });

  test('is about this host, changed by --set, when no profile is given', async () => {
    const { stdout } = await explain(SEEDS, {}, '--set', 'cpu:broadwell', '--set', 'nvcap:5.2');
    expect(stdout).toMatch(/^for this host: linux\/amd64\/v3, cpu:broadwell, nvcap:5\.2$/m);
    expect(stdout).toMatch(/^> {2}4 /m);
  });

  test('changes a host of --profile by --set only, this host and one of the file by set of the file too', async () => {
    const folder = writeTree({ 'node.json': JSON.stringify(hostOf('cpu:skylake')) });
    const own = join(folder, 'own.yaml');
    writeFileSync(own, 'set: [cpu:broadwell]\n');
    const both = join(folder, 'both.yaml');
    writeFileSync(both, `set: [cpu:broadwell]\nprofile: ${join(folder, 'node.json')}\n`);
    const hostIn = async (...words: readonly string[]) =>
      /^for .*cpu:(\w+)/m.exec((await explain(SEEDS, {}, ...words)).stdout)?.[1];
    const node = ['--profile', join(folder, 'node.json')];
    expect(await hostIn('--config', own)).toBe('broadwell');
    expect(await hostIn('--config', both)).toBe('broadwell');
    expect(await hostIn('--config', own, ...node)).toBe('skylake');
    expect(await hostIn('--config', both, ...node)).toBe('skylake');
    expect(await hostIn('--config', own, ...node, '--set', 'cpu:haswell')).toBe('haswell');
  });

  test('applies the policy of the flags', async () => {
    const { stdout } = await explain(SEEDS, { node: 'cpu:skylake' }, '--answer', 'manifest');
    expect(stdout).toContain('answer   the manifest of the winner itself\n');
    expect(stdout).toContain(`digest   ${digestNamed('skylake')}\n`);
  });
});

describe('metahub explain for several hosts', () => {
  const HOSTS = {
    old: 'cpu:nehalem',
    node7: 'cpu:skylake',
    gpu1: 'cpu:broadwell nvcap:5.2',
    pi: 'cpu:cortex_a72',
  };

  test('prints a matrix of hosts and entries, and for each entry its hosts', async () => {
    const { stdout, status } = await explain(SEEDS, HOSTS);
    expect(stdout).toMatch(/^HOST {5}#1 {3}#2 {3}#3 {3}#4 {3}#5 {2}GETS$/m);
    expect(stdout).toMatch(/^old {4}WINS {4}- {4}- {4}- {4}\. {2}a derived index$/m);
    expect(stdout).toMatch(/^node7 {2}runs WINS runs {4}- {4}\. {2}a derived index$/m);
    expect(stdout).toMatch(/^gpu1 {3}runs {4}- runs WINS {4}\. {2}a derived index$/m);
    expect(stdout).toMatch(/^pi {8}\. {4}\. {4}\. {4}\. WINS {2}the original$/m);
    expect(stdout).toContain('#3 linux/amd64, demands cpu:broadwell\n   runs on node7, gpu1\n');
    expect(stdout).toContain('#5 linux/arm64/v8, demands nothing\n   runs on pi\n');
    expect(status).toBe(0);
  });

  test('names an entry that none of them can run', async () => {
    const { stdout } = await explain({ ...SEEDS, far: 'cpu:zen5' }, HOSTS);
    expect(stdout).toContain('demands cpu:zen5\n   runs on none of these hosts\n');
  });
});

describe('metahub explain --requires', () => {
  test('prints the minimum hardware for each platform', async () => {
    const { stdout } = await explain(
      { a: 'cpu:skylake', b: 'cpu:haswell', arm: { on: 'linux/arm64' } },
      {},
      '--requires',
    );
    expect(stdout).toBe('linux/amd64  cpu:haswell  (entry 2)\nlinux/arm64  any host  (entry 3)\n');
  });

  test('says when no host can run anything', async () => {
    expect((await explain({ a: 'cpu:warp9' }, {}, '--requires')).stdout).toBe(
      'no host can run any entry of it\n',
    );
  });

  test('prints the requirements as JSON', async () => {
    const { stdout } = await explain({ a: 'cpu:haswell' }, {}, '--requires', '--json');
    expect(JSON.parse(stdout).least).toEqual([
      { platform: 'linux/amd64', features: ['cpu:haswell'], positions: [0] },
    ]);
  });
});

describe('metahub explain --json', () => {
  test('has entries, verdicts with failing demands and their sources, and the answer', async () => {
    const { stdout } = await explain(SEEDS, { node: 'cpu:skylake' }, '--json');
    const told = JSON.parse(stdout);
    expect(told.digest).toBe(documentOf(SEEDS).digest);
    expect(told.entries).toHaveLength(6);
    expect(told.entries[4]).toMatchObject({
      platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    });
    expect(told.entries[3].demands).toHaveLength(2);
    const [host] = told.hosts;
    expect(host).toMatchObject({ host: 'node', winner: 1, features: ['cpu:skylake'] });
    expect(host.verdicts[3]).toMatchObject({
      status: 'ineligible',
      demands: [
        { demand: 'cpu:broadwell', source: 'platform.features' },
        { demand: 'nvcap:5.2', source: 'platform.features' },
      ],
      failures: [{ demand: 'nvcap:5.2', source: 'platform.features', why: 'this host has no NVIDIA GPU' }],
    });
    expect(host.answer).toMatchObject({ kind: 'derived', digest: expect.stringMatching(/^sha256:/) });
  });

  test('has one member of hosts for each profile', async () => {
    const { stdout } = await explain(SEEDS, { a: 'cpu:zen4', b: 'cpu:skylake' }, '--json');
    expect(JSON.parse(stdout).hosts.map(({ host }: { host: string }) => host)).toEqual(['a', 'b']);
  });
});

describe('the notes of metahub explain', () => {
  const GPUS: Entries = { generic: '', ampere: 'nvcap:8.0', hopper: 'nvcap:9.0' };

  test('name an unused accelerator, with the nearest entry', async () => {
    const { stdout } = await explain(GPUS, { node: 'cpu:zen4 nvcap:12.0' });
    expect(stdout).toMatch(/^note +this host's accelerator \(nvidia\) is not used: the nearest entry, 3,/m);
  });

  test('have their code in --json', async () => {
    const { stdout } = await explain(GPUS, { node: 'cpu:zen4 nvcap:12.0' }, '--json');
    expect(JSON.parse(stdout).hosts[0].notes).toMatchObject([{ code: 'accelerator-unused' }]);
  });
});

describe('metahub explain of an image in the catalogue', () => {
  const TEI = 'ghcr.io/huggingface/text-embeddings-inference:1.9';

  async function ghcr(isThere: boolean) {
    const image = Buffer.from(JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }));
    const { url } = closing(
      await startServer((_, response) => {
        const type = 'application/vnd.oci.image.manifest.v1+json';
        response.writeHead(isThere ? 200 : 404, { 'content-type': type });
        response.end(isThere ? image : '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}');
      }),
    );
    return `ghcr.io=${url}`;
  }

  test('says how to enable its list', async () => {
    const { stdout } = await runCli('explain', '--upstream', await ghcr(true), '--set', 'cpu:zen4', TEI);
    expect(stdout).toMatch(/^hint +the catalogue has a list .*metahub\s+catalog\s+enable\s+tei$/ms);
  });

  test('says how to enable its list when the image does not exist without it', async () => {
    const { stderr } = await runCli('explain', '--upstream', await ghcr(false), '--set', 'cpu:zen4', TEI);
    expect(stderr).toMatch(/The catalogue has a list for it: metahub catalog enable tei$/m);
  });

  test('suggests nothing when its list is enabled', async () => {
    const { stdout } = await runCli(
      ...['explain', '--upstream', await ghcr(true), '--set', 'cpu:zen4', '--catalog', 'tei', TEI],
    );
    expect(stdout).not.toMatch(/catalog enable/);
  });
});

describe('metahub explain of an image in a registry', () => {
  async function registry(bytes: Buffer, type: string) {
    return closing(
      await startServer((request, response) => {
        if (request.url !== '/v2/team/app/manifests/v1') {
          response.writeHead(404, { 'content-type': 'application/json' });
          response.end(
            JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }),
          );
          return;
        }
        response.writeHead(200, { 'content-type': type, 'docker-content-digest': digestOf(bytes) });
        response.end(request.method === 'HEAD' ? undefined : bytes);
      }),
    );
  }

  test('fetches it from the upstream in the settings', async () => {
    const { bytes, document } = documentOf(SEEDS);
    const server = await registry(bytes, document.mediaType);
    const { stdout, stderr, status } = await runCli(
      ...['explain', '--upstream', `hub.test=${server.url}`, '--set', 'cpu:skylake', 'hub.test/team/app:v1'],
    );
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^hub\.test\/team\/app:v1$/m);
    expect(stdout).toMatch(/^> {2}2 linux\/amd64/m);
    expect(status).toBe(0);
  });

  test('prints one line and the next step when the image does not exist', async () => {
    const server = await registry(Buffer.from('{}'), 'application/json');
    const { stdout, stderr, status } = await runCli(
      ...['explain', '--upstream', `hub.test=${server.url}`, 'hub.test/team/app:v2'],
    );
    expect(stdout).toBe('');
    expect(stderr).toMatch(
      /^metahub: hub\.test\/team\/app:v2: .*\n {2}Check the image name and the tag\.\n$/,
    );
    expect(status).toBe(1);
  });

  test('prints one line and the next step when the registry is not reachable', async () => {
    const { stderr, status } = await runCli(
      ...['explain', '--upstream', 'hub.test=http://127.0.0.1:9', 'hub.test/team/app:v1'],
    );
    expect(stderr).toMatch(
      /^metahub: hub\.test\/team\/app:v1: .*\n {2}Check that this machine reaches the registry; .*\n$/,
    );
    expect(status).toBe(1);
  });
});

describe('metahub explain prints one line and the next step', () => {
  test.each<[string, readonly string[], RegExp]>([
    ['no image', [], /^metahub: explain needs an image or a file\n {2}Name one/],
    ['a name that is none', ['Not A Name'], /^metahub: “Not A Name” is not an image name\n {2}Write it as/],
    [
      'a file that is not there',
      ['--manifest', '/nowhere.json'],
      /^metahub: --manifest \/nowhere\.json: there is no such file\n {2}.* skopeo inspect --raw/,
    ],
    ['an unknown feature', ['--manifest', '/dev/null', '--set', '¡!'], /^metahub: .*\n/],
    ['a policy that is none', ['--match', 'some', 'alpine'], /^metahub: --match: .*\n/],
  ])('for %s', async (_, words, expected) => {
    const { stdout, stderr, status } = await runCli('explain', ...words);
    expect(stdout).toBe('');
    expect(stderr).toMatch(expected);
    expect(stderr).not.toContain('    at ');
    expect(status).toBeGreaterThan(0);
  });

  test.each([
    ['--requires', '--digest'],
    ['--requires', '--fleet'],
    ['--digest', '--fleet'],
    ['--digest', '--json'],
  ])('for %s beside %s', async (...words) => {
    const { stderr, status } = await runCli('explain', 'alpine', ...words);
    expect(stderr).toContain('cannot be used with option');
    expect(status).toBe(2);
  });

  test('for a file that is not an index', async () => {
    const folder = writeTree({ 'it.json': '{"schemaVersion": 2, "manifests": [], "layers": []}' });
    const { stderr, status } = await runCli('explain', '--manifest', join(folder, 'it.json'));
    expect(stderr).toMatch(/the manifest is both an image and an index: refused\n {2}An image index in JSON/);
    expect(status).toBe(2);
  });
});
