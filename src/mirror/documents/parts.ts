import type { HostPlatform } from '../../host/profile.ts';
import { exactJson, objectOf } from '../../lib/json.ts';
import { normalizePlatform } from '../../lib/platform.ts';
import type { Digest } from '../../oci/digest.ts';
import {
  type Descriptor,
  type ImageManifest,
  isImageEntry,
  type ManifestDocument,
  parseManifestDocument,
  parseManifestObject,
} from '../../oci/manifest.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { deniedAnnotation, type SelectionPolicy } from '../../selection/policy.ts';
import type { DocumentSource } from './source.ts';

/** A descriptor in a manifest, without its annotations. */
export type ConfigDescriptor = Pick<Descriptor, 'mediaType' | 'digest' | 'sizeBytes'>;

function briefly({ mediaType, digest, sizeBytes }: Descriptor): ConfigDescriptor {
  return { mediaType, digest, sizeBytes };
}

export function configDescriptorOf({ config }: ImageManifest): ConfigDescriptor {
  return briefly(config);
}

/** True for an index that can be parsed. */
export function isReadableIndex({ bytes, mediaType }: DocumentSource): boolean {
  return orUndefined(() => parseManifestDocument(bytes, mediaType))?.kind === 'index';
}

/**
 * The descriptor of an image's configuration; undefined for any other document.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function readConfigDescriptor({ bytes, mediaType }: DocumentSource): ConfigDescriptor | undefined {
  const document = parseManifestDocument(bytes, mediaType);
  return document.kind === 'image' ? briefly(document.config) : undefined;
}

/**
 * What a manifest refers to: the entries of an index; the configuration and layers of an image.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function listChildren({
  bytes,
  mediaType,
}: DocumentSource): readonly Pick<Descriptor, 'digest' | 'mediaType'>[] {
  const document = parseManifestDocument(bytes, mediaType);
  if (document.kind === 'opaque') return [];
  const children = document.kind === 'index' ? document.entries : [document.config, ...document.layers];
  return children.map(({ digest, mediaType: ofChild }) => ({ digest, mediaType: ofChild }));
}

/**
 * The digests of the entries that a host of this platform can choose from.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function listCandidates({ bytes, mediaType }: DocumentSource, host: HostPlatform): readonly Digest[] {
  const document = parseManifestDocument(bytes, mediaType);
  if (document.kind !== 'index') return [];
  const { os, architecture } = normalizePlatform(host);
  return document.entries
    .filter(
      (entry) =>
        entry.platform?.os === os && entry.platform.architecture === architecture && isImageEntry(entry),
    )
    .map(({ digest }) => digest);
}

const CREATED = 'org.opencontainers.image.created';

/**
 * The newest artifact of this type in a list of referrers, which is the one that node-feature-discovery uses. An
 * artifact without a date counts as the oldest.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function newestArtifact(
  { bytes, mediaType }: DocumentSource,
  artifactType: string,
): Digest | undefined {
  const list = parseManifestDocument(bytes, mediaType);
  if (list.kind !== 'index') return undefined;
  const time = ({ annotations }: Descriptor) => Date.parse(annotations[CREATED] ?? '') || 0;
  return list.entries
    .filter((entry) => (entry.raw['artifactType'] ?? entry.mediaType) === artifactType)
    .reduce<Descriptor | undefined>(
      (newest, one) => (newest === undefined || time(one) >= time(newest) ? one : newest),
      undefined,
    )?.digest;
}

/**
 * The descriptor of an artifact's first layer; undefined when it has none.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function readSpecLayer({ bytes, mediaType }: DocumentSource): ConfigDescriptor | undefined {
  const document = parseManifestDocument(bytes, mediaType);
  const layer = document.kind === 'image' ? document.layers[0] : undefined;
  return layer && briefly(layer);
}

/** Undefined for a document that cannot be parsed. Whoever reads it next reports that. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/**
 * The first annotation of a manifest that the operator denies, and the descriptor of the configuration with its
 * labels.
 */
export function readDenied(
  { bytes, mediaType }: DocumentSource,
  policy: SelectionPolicy,
): { readonly annotation: string | undefined; readonly config: ConfigDescriptor | undefined } {
  const annotations = orUndefined(() => parseManifestObject(bytes))?.['annotations'];
  const document: ManifestDocument | undefined = orUndefined(() => parseManifestDocument(bytes, mediaType));
  return {
    annotation: deniedAnnotation(objectOf(annotations), policy),
    config: document?.kind === 'image' ? briefly(document.config) : undefined,
  };
}

/**
 * The list with only the artifacts of this type; `all` when every entry is of this type. Undefined when the
 * document has no list of entries: MetaHub then passes it on, and does not claim to have filtered it.
 */
export function selectArtifacts(
  { bytes }: DocumentSource,
  artifactType: string,
): Uint8Array | 'all' | undefined {
  const document = orUndefined(() => parseManifestObject(bytes));
  const manifests = document?.['manifests'];
  if (!Array.isArray(manifests)) return undefined;
  const kept = manifests.filter(
    (entry: { artifactType?: unknown } | null) => entry?.artifactType === artifactType,
  );
  if (kept.length === manifests.length) return 'all';
  return Buffer.from(exactJson({ ...document, manifests: kept }));
}
