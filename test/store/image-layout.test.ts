import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { createImageIndexFile, layoutOf, prepareLayout } from '../../src/store/layout.ts';
import type { Records } from '../../src/store/metadata.ts';
import type { TagFiles } from '../../src/store/tags.ts';
import type { FakeRegistry } from '../support/fake-registry.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { tarOf } from '../support/tar.ts';
import { readBlob, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** An image of one small file, in an index of one entry, tagged v1. */
function putImage(upstream: FakeRegistry) {
  const tar = tarOf([{ path: 'hello', content: randomBytes(5000) }]);
  const layer = gzipSync(tar);
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
    }),
  );
  const descriptor = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: upstream.putBlob(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: descriptor(MEDIA_TYPE.ociConfig, config),
      layers: [descriptor(LAYER_TYPE, layer)],
    }),
  );
  const child = upstream.putManifest(manifest, { mediaType: MEDIA_TYPE.ociManifest });
  const index = upstream.putManifest(
    {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [
        {
          mediaType: MEDIA_TYPE.ociManifest,
          digest: child,
          size: manifest.length,
          platform: { os: 'linux', architecture: 'amd64' },
        },
      ],
    },
    { tag: 'v1' },
  );
  return { child, index, blobs: [digestOf(config), digestOf(layer)] };
}

/** The image pulled through a cache, as a runtime does it; answers the layout's directory. */
async function pulled() {
  const { upstream, cache, store, layout } = await cacheAt(await dataDirectory());
  const { child, index, blobs } = putImage(upstream);
  await cache.manifest(app, tagged('v1'));
  await cache.manifest(app, { kind: 'digest', digest: child });
  for (const digest of blobs) await readBlob(await cache.blob(app, digest));
  await cache.close();
  await store.close();
  return { layout, child, index };
}

describe('the store as an OCI image layout', () => {
  test('lists every manifest by its digest and its tags', async () => {
    const { layout, child, index } = await pulled();
    const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'));
    const names = manifests.map((entry: { digest: string; annotations: Record<string, string> }) => [
      entry.annotations['org.opencontainers.image.ref.name'],
      entry.digest,
    ]);
    expect(new Map(names)).toEqual(
      new Map([
        ['registry.test/team/app:v1', index],
        [`registry.test/team/app@${index}`, index],
        [`registry.test/team/app@${child}`, child],
      ]),
    );
    expect(JSON.parse(await readFile(join(layout, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
  });
});

test('a manifest that arrives while the index is being written is added by the next process if this one is killed', async () => {
  const layout = layoutOf(await dataDirectory());
  await prepareLayout(layout);
  const digests = ['first', 'second'].map((text) => digestOf(Buffer.from(text)));
  const keep = async (digest: Digest) => {
    await writeFile(layout.record(digest), '{}');
    await writeFile(layout.blob(digest), 'held');
  };
  const record = { kind: 'manifest', mediaType: MEDIA_TYPE.ociIndex, origins: ['registry.test/team/app'] };
  /** What comes while the tags are read has missed the records. */
  let meanwhile = async () => {};
  const open = () =>
    createImageIndexFile({
      layout,
      records: { find: async () => record } as unknown as Records,
      tags: { all: () => meanwhile().then(() => []) } as unknown as TagFiles,
      onError: (error) => {
        throw error;
      },
    });
  const [first, second] = digests as [Digest, Digest];
  await keep(first);
  meanwhile = () => keep(second);
  await open().writeNow();
  meanwhile = async () => {};
  const next = open();
  await next.catchUp();
  await next.flush();
  const { manifests } = JSON.parse(await readFile(layout.index, 'utf8'));
  expect(manifests.map(({ digest }: { readonly digest: string }) => digest).sort()).toEqual(
    digests.toSorted(),
  );
});

test('the index is written half a second after the first change, once for all that come meanwhile', async () => {
  const layout = layoutOf(await dataDirectory());
  await prepareLayout(layout);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  let written = 0;
  const index = createImageIndexFile({
    layout,
    records: { find: async () => undefined },
    tags: {
      all: async () => {
        written += 1;
        return [];
      },
    },
    onError: (error) => expect.unreachable(error.message),
  });
  index.touch();
  vi.advanceTimersByTime(499);
  index.touch();
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1);
  expect(vi.getTimerCount()).toBe(0);
  await index.flush();
  expect(written).toBe(1);
});

test('block checksums are stored for large blobs that are read after a start, and for no others', async () => {
  const directory = await dataDirectory();
  const { cache, upstream, layout } = await cacheAt(directory);
  const [small, large] = [upstream.putBlob(randomBytes(10_000)), upstream.putBlob(randomBytes(2 ** 21))];
  const unread = upstream.putBlob(randomBytes(2 ** 21));
  for (const digest of [small, large, unread]) await readBlob(await cache.blob(app, digest));
  await cache.close();
  expect(await readdir(join(layout, 'checksums'))).toEqual([]);
  const restarted = await cacheAt(directory, { upstream });
  for (const digest of [small, large]) await readBlob(await restarted.cache.blob(app, digest));
  await restarted.cache.close();
  expect(await readdir(join(layout, 'checksums'))).toEqual([large.replace(':', '-')]);
});

describeWith(['skopeo'], 'skopeo on the store', () => {
  test('is readable by skopeo: copies an image by its tag', async () => {
    const { layout } = await pulled();
    const source = `oci:${layout}:registry.test/team/app:v1`;
    const target = join(await dataDirectory(), 'copy');
    await run('skopeo', [
      '--override-os',
      'linux',
      '--override-arch',
      'amd64',
      'copy',
      source,
      `dir:${target}`,
    ]);
    const { layers } = JSON.parse(await readFile(join(target, 'manifest.json'), 'utf8'));
    expect(layers).toHaveLength(1);
  });
});

describeWith(['umoci'], 'umoci on the store', () => {
  test('is readable by crane: lists its images', async () => {
    const { layout, child } = await pulled();
    const listed = await run('umoci', ['ls', '--layout', layout]);
    expect(listed.split('\n')).toContain('registry.test/team/app:v1');
    expect(listed).toContain(child);
  });
});
