import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { writeTree } from '../support/host-tree.ts';
import { startServer } from '../support/hostile-registry.ts';
import { runCli } from '../support/run-cli.ts';
import { closing } from '../support/upstream.ts';

let config: string;

beforeEach(() => {
  config = join(writeTree({ 'config.yaml': '# Ours.\nlisten: 127.0.0.1:5081 # not 5080\n' }), 'config.yaml');
});

describe('metahub catalog ls', () => {
  test('lists every publisher, and which of its parts are enabled', async () => {
    const { stdout, stderr, status } = await runCli('catalog', 'ls', '--config', config, '--catalog', 'tei');
    expect(stdout).toMatch(/^NAME +STATE +WHAT +PUBLISHER$/m);
    expect(stdout).toMatch(/^tei +on +1 list +Hugging Face Text Embeddings Inference$/m);
    expect(stdout).toMatch(/^llama\.cpp +off +4 lists +llama\.cpp$/m);
    expect(stdout).toMatch(/^mongodb +on +3 baselines +MongoDB$/m);
    expect(stdout).toMatch(/^akvorado +native +an index of its own/m);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });

  test('--json has all facts of each entry', async () => {
    const { stdout } = await runCli('catalog', 'ls', '--json', '--config', config);
    const entries = JSON.parse(stdout) as { name: string; checked: string; source: string }[];
    expect(entries.length).toBeGreaterThanOrEqual(30);
    expect(entries.find(({ name }) => name === 'mongodb')).toMatchObject({
      state: 'on',
      checked: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      source: expect.stringMatching(/^https:/),
    });
  });
});

describe('metahub catalog show', () => {
  test('prints the promise, the members and the next step', async () => {
    const { stdout } = await runCli('catalog', 'show', 'tei', '--config', config);
    expect(stdout).toMatch(/^Hugging Face Text Embeddings Inference \(tei\): off$/m);
    expect(stdout).toMatch(/86-\{tag\} +linux\/amd64 nvcap:8\.6 cuda:12\.2$/m);
    expect(stdout).toMatch(/^metahub catalog enable tei uses its lists\.$/m);
  });

  test('refuses an unknown name with status 2', async () => {
    const { stderr, status } = await runCli('catalog', 'show', 'no-such', '--config', config);
    expect(stderr).toMatch(/the catalogue has no “no-such”\n {2}metahub catalog ls/);
    expect(status).toBe(2);
  });
});

describe('metahub catalog enable and disable', () => {
  const written = () => readFileSync(config, 'utf8');

  test('enable adds the entry to the configuration file, and changes nothing else in it', async () => {
    expect((await runCli('catalog', 'enable', 'tei', 'llama.cpp', '--config', config)).status).toBe(0);
    expect(written()).toBe('# Ours.\nlisten: 127.0.0.1:5081 # not 5080\ncatalog: [ tei, llama.cpp ]\n');
  });

  test('enable creates the file when there is none', async () => {
    const fresh = join(writeTree({ 'a/b': '' }), 'etc/config.yaml');
    await runCli('catalog', 'enable', 'tei', '--config', fresh);
    expect(readFileSync(fresh, 'utf8')).toBe('catalog: [ tei ]\n');
  });

  test('enable changes nothing the second time', async () => {
    await runCli('catalog', 'enable', 'tei', '--config', config);
    const once = written();
    await runCli('catalog', 'enable', 'tei', '--config', config);
    expect(written()).toBe(once);
  });

  test('disable removes a list, and switches off the baselines of an entry', async () => {
    await runCli('catalog', 'enable', 'tei', '--config', config);
    await runCli('catalog', 'disable', 'tei', 'mongodb', '--config', config);
    expect(written()).toMatch(/^catalog: \[ "?!mongodb"? \]$/m);
    const { stdout } = await runCli('catalog', 'ls', '--config', config);
    expect(stdout).toMatch(/^mongodb +off/m);
    expect(stdout).toMatch(/^tei +off/m);
  });

  test('an unknown name changes nothing', async () => {
    const before = written();
    expect((await runCli('catalog', 'enable', 'tei', 'no-such', '--config', config)).status).toBe(2);
    expect(written()).toBe(before);
  });

  test('a file in which an alias needs the list stays as it is, and the error says what to do', async () => {
    const text = 'catalog: &names [tei]\nname: *names\n';
    writeFileSync(config, text);
    const { stderr } = await runCli('catalog', 'enable', 'llama.cpp', '--config', config);
    expect(stderr).toContain('the alias *names still needs the part to change');
    expect(stderr).toContain('Write out what the alias stands for in the file, then repeat the change.');
    expect(written()).toBe(text);
  });

  test('a file that cannot be written is named, with the next step', async () => {
    const { stderr, status } = await runCli(
      'catalog',
      'enable',
      'tei',
      '--config',
      '/proc/version/config.yaml',
    );
    expect(stderr).toMatch(/\/proc\/version\/config\.yaml/);
    expect(status).toBe(1);
  });
});

describe('metahub catalog test', () => {
  test('shows which host gets what, without a registry', async () => {
    const { stdout, status } = await runCli('catalog', 'test', 'tei', '--offline', '--config', config);
    expect(stdout).toMatch(/^T4 +ghcr\.io\/huggingface\/text-embeddings-inference:turing-1\.9$/m);
    expect(stdout).toMatch(/^v2 +ghcr\.io\/huggingface\/text-embeddings-inference:cpu-1\.9$/m);
    expect(stdout).not.toMatch(/UPSTREAM/);
    expect(status).toBe(0);
  });

  test('shows the example hosts on a node whose configuration sets features and names a profile', async () => {
    const folder = writeTree({ 'config.yaml': 'set: [cpu:broadwell]\nprofile: /nowhere/host.json\n' });
    const words = ['catalog', 'test', 'tei', '--offline', '--config', join(folder, 'config.yaml')];
    const { stdout } = await runCli(...words);
    expect(stdout).toMatch(/^Grace +ghcr\.io\/huggingface\/text-embeddings-inference:cpu-arm64-1\.9$/m);
    const set = (await runCli(...words, '--set', 'nvcap:9.0')).stdout;
    expect(set).toMatch(/^T4 +ghcr\.io\/huggingface\/text-embeddings-inference:hopper-1\.9$/m);
  });

  test('applies the baseline of an index that states less than it needs', async () => {
    const { stdout } = await runCli('catalog', 'test', 'almalinux', '--offline', '--config', config);
    expect(stdout).toMatch(/^v2 +linux\/amd64\/v2$/m);
    expect(stdout).toMatch(/^v4 +linux\/amd64$/m);
  });

  test('names members that are missing upstream, with status 3', async () => {
    const { url } = closing(
      await startServer((req, res) => {
        const isThere = /manifests\/(hopper-)?1\.9$/.test(req.url ?? '');
        res.writeHead(isThere ? 200 : 404, {
          'content-type': 'application/vnd.oci.image.manifest.v1+json',
          'docker-content-digest': `sha256:${'0'.repeat(64)}`,
          'content-length': '2',
        });
        res.end();
      }),
    );
    const { stdout, status } = await runCli(
      'catalog',
      'test',
      'tei',
      '--config',
      config,
      '--upstream',
      `ghcr.io=${url}`,
    );
    expect(stdout).toMatch(/^ghcr\.io\/huggingface\/text-embeddings-inference:hopper-1\.9 +there$/m);
    expect(stdout).toMatch(/^ghcr\.io\/huggingface\/text-embeddings-inference:86-1\.9 +missing$/m);
    expect(status).toBe(3);
  });

  test('refuses a tag that no list covers, and names tags that a list covers', async () => {
    const { stderr, status } = await runCli('catalog', 'test', 'tei', '--tag', '86-1.9', '--config', config);
    expect(stderr).toMatch(/no list of tei answers to 86-1\.9\n {2}The lists answer to \[0-9\]\.\*/);
    expect(status).toBe(2);
  });
});
