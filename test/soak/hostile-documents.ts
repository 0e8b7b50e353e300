import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';

const MAX_BYTES = 4 * 2 ** 20;

function entry(position: number, features: readonly string[], annotations = {}): object {
  return {
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(Buffer.from(String(position))),
    size: 1,
    platform: { os: 'linux', architecture: 'amd64', features },
    annotations,
  };
}

function index(manifests: readonly object[], more = {}): Buffer {
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests, ...more }),
  );
}

const many = <T>(length: number, make: (at: number) => T) => Array.from({ length }, (_, at) => make(at));

/** Indexes made to take time, up to the maximum size of a manifest. */
export const HOSTILE_INDEXES: readonly Buffer[] = [
  index(many(3000, (at) => entry(at, ['cpu:broadwell']))),
  index(many(20_000, (at) => entry(at, []))),
  index([
    entry(
      0,
      many(60_000, (at) => `k:${at}`),
    ),
  ]),
  index([entry(0, [], Object.fromEntries(many(30_000, (at) => [`key${at}`, 'v'])))]),
  index([entry(0, [], { 'io.metahub.features': 'a,b,'.repeat(900_000) })]),
  index([entry(0, ['cpu:broadwell'])], { pad: 'x'.repeat(MAX_BYTES - 2000) }),
  Buffer.from('['.repeat(MAX_BYTES - 1)),
  Buffer.alloc(MAX_BYTES - 1, 0xff),
];

/** A large manifest, and a large list of tags, that are valid. */
export const SLOW_MANIFEST = index([], { annotations: { pad: 'x'.repeat(MAX_BYTES - 300) } });
export const SLOW_TAGS = Buffer.from(
  JSON.stringify({ tags: many(110_000, (at) => `t${String(at).padStart(120, '0')}`) }),
);
