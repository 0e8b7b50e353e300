import { randomBytes } from 'node:crypto';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { readBlob, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');

/** A data directory in which a tag and two blobs are held. */
async function filled() {
  const directory = await dataDirectory();
  const { upstream, cache, store, layout } = await cacheAt(directory);
  upstream.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'v1' });
  await cache.manifest(app, tagged('v1'));
  const blobs = [upstream.putBlob(randomBytes(3000)), upstream.putBlob(randomBytes(5000))] as const;
  for (const digest of blobs) await readBlob(await cache.blob(app, digest));
  await cache.close();
  await store.close();
  return { directory, blobs, layout };
}

describe('metahub cache ls', () => {
  test('shows each repository with its size and tags', async () => {
    const { directory } = await filled();
    const { stdout, status } = await runCli('cache', 'ls', '--data', directory, '--cache-size', '1GiB');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^registry\.test\/team\/app +28\.0 KiB +within the hour +v1$/m);
    expect(stdout).toMatch(/^3 items, 28\.0 KiB of 1\.0 GiB$/m);
  });

  test('--json has every item', async () => {
    const { directory, blobs } = await filled();
    const { items } = JSON.parse((await runCli('cache', 'ls', '--json', '--data', directory)).stdout);
    expect(items).toContainEqual(
      expect.objectContaining({
        digest: blobs[0],
        kind: 'blob',
        sizeBytes: 3000,
        repository: 'registry.test/team/app',
      }),
    );
    expect(items).toContainEqual(
      expect.objectContaining({ kind: 'manifest', tags: ['registry.test/team/app:v1'] }),
    );
  });

  test('reports that there is no store', async () => {
    const { stderr, status } = await runCli('cache', 'ls', '--data', join(await dataDirectory(), 'none'));
    expect(status).toBe(1);
    expect(stderr).toContain('there is no content below');
  });
});

describe('metahub cache verify', () => {
  test('reports that no content is corrupt', async () => {
    const { directory } = await filled();
    const { stdout, status } = await runCli('cache', 'verify', '--data', directory);
    expect(stdout).toBe('3 of 3 items are intact\n');
    expect(status).toBe(0);
  });

  test('removes corrupt content, names it, and exits with 3', async () => {
    const { directory, blobs, layout } = await filled();
    await truncate(join(layout, 'blobs/sha256', blobs[1].slice(7)), 4999);
    const first = await runCli('cache', 'verify', '--data', directory);
    expect(first.stdout).toContain(`corrupt, removed: ${blobs[1]} of registry.test/team/app`);
    expect(first.status).toBe(3);
    expect((await runCli('cache', 'verify', '--data', directory)).stdout).toContain('2 of 2');
  });

  test('--json counts what was read and lists what was corrupt', async () => {
    const { directory, blobs, layout } = await filled();
    await truncate(join(layout, 'blobs/sha256', blobs[1].slice(7)), 4999);
    const { stdout, status } = await runCli('cache', 'verify', '--json', '--data', directory);
    expect(JSON.parse(stdout)).toMatchObject({ verified: 3, corrupt: [{ digest: blobs[1] }] });
    expect(status).toBe(3);
  });
});

describe('metahub cache prune', () => {
  test('removes the least recently used content down to a size', async () => {
    const { directory } = await filled();
    const dry = await runCli('cache', 'prune', '--to', '24KiB', '--dry-run', '--data', directory);
    expect(dry.stdout).toMatch(/^would remove \d items/);
    await runCli('cache', 'prune', '--to', '24KiB', '--data', directory);
    const { items } = JSON.parse((await runCli('cache', 'ls', '--json', '--data', directory)).stdout);
    const held = items.reduce((sum: number, { diskBytes }: { diskBytes: number }) => sum + diskBytes, 0);
    expect(held).toBeLessThanOrEqual(24 * 1024);
    expect(items.length).toBeGreaterThan(0);
  });

  test('--json lists what was removed, or would be', async () => {
    const { directory, blobs } = await filled();
    const words = ['cache', 'prune', '--all', '--json', '--data', directory];
    const dry = JSON.parse((await runCli(...words, '--dry-run')).stdout);
    const { stdout } = await runCli(...words);
    expect(dry).toEqual({ ...JSON.parse(stdout), dryRun: true });
    expect(dry.diskBytes).toBe(28 * 1024);
    expect(dry.dropped).toContainEqual(expect.objectContaining({ digest: blobs[0], sizeBytes: 3000 }));
    expect((await runCli('cache', 'ls', '--data', directory)).stdout).toContain('0 items');
  });

  test.each([
    ['--all', '--to', '1GiB'],
    ['--all', '--older-than', '1h'],
    ['--older-than', '1h', '--to', '1GiB'],
  ])('refuses two rules at once: %s %s %s', async (...words) => {
    const { directory, blobs } = await filled();
    const { stderr, status } = await runCli('cache', 'prune', ...words, '--data', directory);
    expect(stderr).toContain('cannot be used with option');
    expect(status).toBe(2);
    const { items } = JSON.parse((await runCli('cache', 'ls', '--json', '--data', directory)).stdout);
    expect(items).toHaveLength(blobs.length + 1);
  });

  test('--older-than keeps recently used content, --all removes everything', async () => {
    const { directory } = await filled();
    expect((await runCli('cache', 'prune', '--older-than', '1h', '--data', directory)).stdout).toBe(
      'removed 0 items, 0 B\n',
    );
    expect((await runCli('cache', 'prune', '--all', '--data', directory)).stdout).toBe(
      'removed 3 items, 28.0 KiB\n',
    );
    expect((await runCli('cache', 'ls', '--data', directory)).stdout).toMatch(/^0 items/);
  });

  test('refuses an invalid duration', async () => {
    const { directory } = await filled();
    const { status, stderr } = await runCli('cache', 'prune', '--older-than', 'long', '--data', directory);
    expect(status).toBe(2);
    expect(stderr).toContain('--older-than');
  });
});
