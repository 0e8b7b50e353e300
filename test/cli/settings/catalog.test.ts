import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { baselinesJson, catalogInForce, openCatalog } from '../../../src/cli/settings/catalog.ts';
import { formatRepository } from '../../../src/oci/reference.ts';
import { writeTree } from '../../support/host-tree.ts';
import { repository } from '../../support/upstream.ts';

describe('catalogInForce()', () => {
  test('has every baseline and no list by default', async () => {
    const { lists, baselines } = await catalogInForce({ catalog: [], catalogBaselines: true });
    expect(lists).toEqual([]);
    const patterns = baselines.map(({ pattern }) => pattern);
    expect(patterns).toEqual(
      expect.arrayContaining([
        'docker.io/library/almalinux',
        'docker.io/library/mongo',
        'docker.io/clickhouse/clickhouse-server',
        'docker.io/vdaas/vald-agent-ngt',
      ]),
    );
    // Off until it is enabled: nothing shows that the images on Docker Hub are built so.
    expect(patterns).not.toContain('docker.io/library/ubuntu');
  });

  test('has the lists and the baselines of the entries that are named', async () => {
    const { lists, baselines } = await catalogInForce({
      catalog: ['tei', 'ubuntu-26.04'],
      catalogBaselines: true,
    });
    expect(lists.map(({ repository: one }) => formatRepository(one))).toEqual([
      'ghcr.io/huggingface/text-embeddings-inference',
    ]);
    expect(baselines.map(({ pattern }) => pattern)).toContain('docker.io/library/ubuntu');
  });

  test('has the same baselines from the packaged file as from the YAML files', async () => {
    const told = async (catalog: readonly string[]) => {
      const { baselines } = await catalogInForce({ catalog, catalogBaselines: true });
      return baselines.map(({ tags, ...rule }) => ({ ...rule, tags: tags?.map(({ text }) => text) }));
    };
    // A named entry that has lists alone: the YAML files are read, and the same baselines apply.
    expect(await told([])).toEqual(await told(['tei']));
  });

  test('has no baseline when the setting is off', async () => {
    expect(await catalogInForce({ catalog: [], catalogBaselines: false })).toEqual({
      lists: [],
      baselines: [],
    });
  });

  test('refuses a name that the catalogue does not have', async () => {
    await expect(catalogInForce({ catalog: ['no-such'], catalogBaselines: false })).rejects.toMatchObject({
      message: 'the catalogue has no “no-such”',
      exitStatus: 2,
    });
  });
});

test('catalog/baselines.json holds what the YAML files say: otherwise run `npm run catalogue-table`', async () => {
  const file = new URL('../../../catalog/baselines.json', import.meta.url);
  expect(readFileSync(file, 'utf8')).toBe(await baselinesJson());
});

describe('openCatalog()', () => {
  test('finds the entries that list a repository', async () => {
    const catalog = await openCatalog();
    const found = await catalog.listing(repository('ggml-org/llama.cpp', 'ghcr.io'));
    expect(found.map(({ name }) => name)).toEqual(['llama.cpp']);
    expect(await catalog.listing(repository('ggml-org/llama.cpp', 'quay.io'))).toEqual([]);
  });

  test('names the file of an invalid entry', async () => {
    const folder = writeTree({
      'it.yml': 'title: It\nsource: nowhere\nchecked: 2026-11-26\npromise: One.\n',
    });
    const catalog = await openCatalog(folder);
    await expect(catalog.entry('it')).rejects.toThrow(/it\.yml:2:9: source: a URL is expected/);
  });

  test('reports the next step when the package is incomplete', async () => {
    await expect(openCatalog('/nonexistent')).rejects.toMatchObject({
      nextStep: expect.stringContaining('Install'),
    });
  });
});
