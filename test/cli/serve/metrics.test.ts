import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createUpstreamMetrics } from '../../../src/cli/serve/metrics.ts';
import { openMirror } from '../../../src/cli/serve/open-mirror.ts';
import { loadSettings } from '../../../src/cli/settings/load.ts';
import { SERVE_SETTINGS } from '../../../src/cli/settings/table.ts';
import { createMetrics } from '../../../src/server/metrics.ts';
import { createFakeRegistry } from '../../support/fake-registry.ts';
import { temporaryFolder } from '../../support/folder.ts';
import { closing, repository } from '../../support/upstream.ts';

const DOCUMENT = new URL('../../../docs/metrics.md', import.meta.url);

async function openedMirror() {
  const flags = {
    data: temporaryFolder(),
    set: ['cpu:broadwell'],
    listen: '127.0.0.1:0',
    publicRegistries: 'on',
  };
  const settings = await loadSettings(SERVE_SETTINGS, flags);
  const mirror = await openMirror(settings, () => {});
  closing(mirror.stack);
  return mirror;
}

test('docs/metrics.md lists every metric of a mirror with its type, labels and meaning, and no other', async () => {
  const { server } = await openedMirror();
  const rows = server.metrics
    .describe()
    .map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${labels.map((one) => `\`${one}\``).join(' ')} | ${help} |`,
    );
  const text = readFileSync(DOCUMENT, 'utf8');
  const listed = text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.replaceAll(/\s*\|\s*/g, ' | ').trim());
  expect(listed.toSorted()).toEqual(rows.map((row) => row.replaceAll(/\s*\|\s*/g, ' | ').trim()).toSorted());
});

test('every metric has samples before the first request, and says build, host, cache and process', async () => {
  const { server } = await openedMirror();
  const text = server.metrics.text();
  for (const { name, type } of server.metrics.describe()) {
    const sample = type === 'histogram' ? `${name}_count` : name;
    expect(text).toMatch(new RegExp(`^${sample}(?:\\{.*\\})? \\S+$`, 'm'));
  }
  expect(text).toMatch(/^metahub_build_info\{version=".+",node=".+"\} 1$/m);
  expect(text).toMatch(/^metahub_host_info\{microarchitecture="broadwell",platform="linux\/amd64",.*\} 1$/m);
  expect(text).toMatch(/^metahub_cache_limit_bytes [1-9]\d+$/m);
  expect(text).toMatch(/^process_resident_memory_bytes [1-9]\d+$/m);
  expect(text).toMatch(/^metahub_upstream_errors_total\{registry="docker.io",code="UNAVAILABLE"\} 0$/m);
});

test('200 registries are counted by name, all others together', async () => {
  const upstream = createUpstreamMetrics(createMetrics(), () => 0);
  const registry = upstream.measured(createFakeRegistry());
  for (let at = 0; at < 202; at += 1)
    await registry.tags(repository('team/app', `registry-${at}.test`)).catch(() => {});
  const counted = upstream.health().map(({ registry: name, requests }) => [name, requests]);
  expect(counted).toHaveLength(201);
  expect(counted.slice(-2)).toEqual([
    ['registry-199.test', 1],
    ['other', 2],
  ]);
});
