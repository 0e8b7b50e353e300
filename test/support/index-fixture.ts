import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { type ImageIndex, parseManifestDocument } from '../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';

/** An entry as a test writes it: features as words, or an object. Default platform: linux/amd64. */
export type EntrySpec = string | EntryFields;

export interface EntryFields {
  /** `linux/arm64`; `none` for an entry without a platform. */
  readonly on?: string;
  readonly features?: unknown;
  readonly variant?: string;
  readonly osFeatures?: readonly string[];
  readonly osVersion?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly mediaType?: string;
  readonly artifactType?: string;
  /** An attestation of the entry with this name. */
  readonly about?: string;
  /** The same image as the entry with this name. */
  readonly sameAs?: string;
}

/** The digest of the entry with this name. */
export function digestNamed(name: string) {
  return digestOf(Buffer.from(name));
}

function words(text: string): readonly string[] {
  return text.split(' ').filter((word) => word !== '');
}

function platformOf({ on = 'linux/amd64', features, variant, osFeatures, osVersion, about }: EntryFields) {
  if (about !== undefined) return { architecture: 'unknown', os: 'unknown' };
  if (on === 'none') return undefined;
  const [os, architecture] = on.split('/');
  return {
    architecture,
    os,
    ...(osVersion === undefined ? {} : { 'os.version': osVersion }),
    ...(osFeatures === undefined ? {} : { 'os.features': osFeatures }),
    ...(variant === undefined ? {} : { variant }),
    ...(features === undefined ? {} : { features }),
  };
}

function entryOf(name: string, spec: EntrySpec): object {
  const fields: EntryFields = typeof spec === 'string' ? { features: words(spec) } : spec;
  const features = typeof fields.features === 'string' ? words(fields.features) : fields.features;
  const platform = platformOf({ ...fields, ...(spec === '' ? { features: undefined } : { features }) });
  const annotations = {
    ...fields.annotations,
    ...(fields.about === undefined
      ? {}
      : {
          'vnd.docker.reference.type': 'attestation-manifest',
          'vnd.docker.reference.digest': digestNamed(fields.about),
        }),
  };
  return {
    mediaType: fields.mediaType ?? MEDIA_TYPE.dockerManifest,
    digest: digestNamed(fields.sameAs ?? name),
    size: 1000 + name.length,
    ...(fields.artifactType === undefined ? {} : { artifactType: fields.artifactType }),
    ...(platform === undefined ? {} : { platform }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/** An index, and the bytes that it was parsed from. */
export interface IndexFixture {
  readonly document: ImageIndex;
  readonly bytes: Buffer;
  readonly digest: Digest;
}

/** An index as a registry sends it; `more` are members in addition to `manifests`. */
export function documentOf(
  entries: Readonly<Record<string, EntrySpec>>,
  more: Readonly<Record<string, unknown>> = {},
): IndexFixture {
  const raw = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.dockerList,
    manifests: Object.entries(entries).map(([name, spec]) => entryOf(name, spec)),
    ...more,
  };
  return readDocument(Buffer.from(JSON.stringify(raw, undefined, 2)));
}

/** Parses bytes that must be an index. */
export function readDocument(bytes: Buffer): IndexFixture {
  const document = parseManifestDocument(bytes);
  if (document.kind !== 'index') throw new Error(`a test's index is ${document.kind}`);
  return { document, bytes, digest: digestOf(bytes) };
}
