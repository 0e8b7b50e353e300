import { gzipSync } from 'node:zlib';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { type TarFile, tarOf } from './tar.ts';

/** The two formats of the same documents. */
export type ImageDialect = 'docker' | 'oci';

export interface BuiltDocument {
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly digest: Digest;
}

export interface BuiltImage {
  readonly manifest: BuiltDocument;
  /** Config and layers. */
  readonly blobs: readonly Buffer[];
}

/** The platform of an index's entry. */
export interface EntryPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  /** Only in Docker's manifest list. */
  readonly features?: readonly string[];
}

const MEDIA_TYPES = {
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
} as const;

function documentOf(mediaType: string, content: object): BuiltDocument {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }, null, 3));
  return { mediaType, bytes, digest: digestOf(bytes) };
}

/** An image of one layer with one static program, its entrypoint, and further files. */
export function buildImage(
  program: Buffer,
  {
    dialect,
    architecture = 'amd64',
    files = [],
  }: {
    readonly dialect: ImageDialect;
    readonly architecture?: string;
    readonly files?: readonly TarFile[];
  },
): BuiltImage {
  const types = MEDIA_TYPES[dialect];
  const archive = tarOf([{ path: 'report', content: program }, ...files]);
  const layer = gzipSync(archive);
  const config = Buffer.from(
    JSON.stringify({
      created: '2024-01-01T00:00:00Z',
      architecture,
      os: 'linux',
      config: { Entrypoint: ['/report'] },
      rootfs: { type: 'layers', diff_ids: [digestOf(archive)] },
      history: [{ created: '2024-01-01T00:00:00Z', created_by: 'a test' }],
    }),
  );
  const descriptor = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    size: bytes.length,
    digest: digestOf(bytes),
  });
  return {
    manifest: documentOf(types.manifest, {
      config: descriptor(types.config, config),
      layers: [descriptor(types.layer, layer)],
    }),
    blobs: [config, layer],
  };
}

/** An OCI image index or a Docker manifest list of images, in the given order. */
export function buildIndex(
  dialect: ImageDialect,
  entries: readonly { readonly image: BuiltImage; readonly platform: EntryPlatform }[],
): BuiltDocument {
  return documentOf(MEDIA_TYPES[dialect].index, {
    manifests: entries.map(({ image: { manifest }, platform }) => ({
      mediaType: manifest.mediaType,
      size: manifest.bytes.length,
      digest: manifest.digest,
      platform,
    })),
  });
}
