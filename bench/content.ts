import { randomBytes } from 'node:crypto';
import { digestOf } from '../src/oci/digest.ts';
import { tarOf } from '../test/support/tar.ts';

/** The measured index: ten entries, three of them for other platforms; 3 to 4 KB. */
export interface ListContent {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

const LIST_TYPE = 'application/vnd.docker.distribution.manifest.list.v2+json';
const IMAGE_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';

async function expectCreated(response: Response): Promise<void> {
  if (response.status !== 201)
    throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
}

async function pushBlob(registry: string, repository: string, bytes: Buffer): Promise<string> {
  const digest = digestOf(bytes);
  const start = await fetch(`${registry}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(start.headers.get('location') ?? '', registry);
  location.searchParams.set('digest', digest);
  await expectCreated(await fetch(location, { method: 'PUT', body: new Uint8Array(bytes) }));
  return digest;
}

async function pushManifest(
  registry: string,
  repository: string,
  document: object,
  type: string,
  tag?: string,
) {
  const bytes = Buffer.from(JSON.stringify(document));
  const reference = tag ?? digestOf(bytes);
  const headers = { 'content-type': type };
  const url = `${registry}/v2/${repository}/manifests/${reference}`;
  await expectCreated(await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) }));
  return { digest: digestOf(bytes), bytes };
}

/** Pushes an index of `entries` images that differ in one byte of configuration, as `bench/list:latest`. */
export async function pushList(registry: string, entries = 10): Promise<{ path: string; digest: string }> {
  const repository = 'bench/list';
  const features = [
    [],
    ['cpu:broadwell'],
    ['cpu:skylake'],
    ['cpu:zen4'],
    ['cpu:icelake'],
    ['cpu:haswell'],
    ['cpu:zen2'],
  ];
  const manifests = [];
  for (let position = 0; position < entries; position++) {
    const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', position }));
    const digest = await pushBlob(registry, repository, config);
    const image = {
      schemaVersion: 2,
      mediaType: IMAGE_TYPE,
      config: { mediaType: 'application/vnd.docker.container.image.v1+json', size: config.length, digest },
      layers: [],
    };
    const pushed = await pushManifest(registry, repository, image, IMAGE_TYPE);
    const own = features[position];
    const foreign = ['arm64', 'ppc64le', 's390x'][position - features.length] ?? 'riscv64';
    manifests.push({
      mediaType: IMAGE_TYPE,
      size: pushed.bytes.length,
      digest: pushed.digest,
      platform:
        own === undefined
          ? { os: 'linux', architecture: foreign }
          : { os: 'linux', architecture: 'amd64', features: own },
    });
  }
  const list = { schemaVersion: 2, mediaType: LIST_TYPE, manifests };
  const { digest } = await pushManifest(registry, repository, list, LIST_TYPE, 'latest');
  return { path: `/v2/${repository}/manifests/latest`, digest };
}

/** Pushes one blob of random bytes. Resolves with its path and bytes. */
export async function pushRandomBlob(registry: string, sizeBytes: number) {
  const bytes = randomBytes(sizeBytes);
  const digest = await pushBlob(registry, 'bench/blob', bytes);
  return { path: `/v2/bench/blob/blobs/${digest}`, digest, bytes };
}

/** The Accept header for an index; docker-registry serves an index only with it. */
export const ACCEPT_LIST = { Accept: LIST_TYPE };

/** An image whose layers are plain tar archives of one file of these bytes each. */
export function imageOf(files: readonly Buffer[]) {
  const layers = files.map((content, position) => tarOf([{ path: `layer-${position}`, content }]));
  const descriptors = layers.map((archive) => ({
    mediaType: 'application/vnd.docker.image.rootfs.diff.tar',
    size: archive.length,
    digest: digestOf(archive),
  }));
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: descriptors.map(({ digest }) => digest) },
      history: descriptors.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'bench' })),
    }),
  );
  const document = {
    schemaVersion: 2,
    mediaType: IMAGE_TYPE,
    config: {
      mediaType: 'application/vnd.docker.container.image.v1+json',
      size: config.length,
      digest: digestOf(config),
    },
    layers: descriptors,
  };
  return { layers, config, document, manifest: Buffer.from(JSON.stringify(document)), mediaType: IMAGE_TYPE };
}

/** Pushes such an image as `latest`. */
export async function pushImageOfLayers(registry: string, repository: string, files: readonly Buffer[]) {
  const { layers, config, document } = imageOf(files);
  for (const blob of [...layers, config]) await pushBlob(registry, repository, blob);
  await pushManifest(registry, repository, document, IMAGE_TYPE, 'latest');
}
